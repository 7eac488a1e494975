"""Runtime of every fine-tuning: hooks, log, checkpoints, seed. A task adds its default_scope."""

custom_imports = dict(imports=['mmc2fmae'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='LearningRateRangeHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=1),
)
custom_hooks = [
    dict(type='DatasetCheckHook'),
    dict(type='KeyedRandomnessHook'),
    dict(type='CheckpointCoverageHook'),
    dict(type='SameScheduleHook'),
    dict(type='NonFiniteGuardHook'),
    dict(type='RunRecordHook'),
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=True, window_size=50)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
