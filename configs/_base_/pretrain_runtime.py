"""Runtime of every pre-training: hooks, log, checkpoints, seed."""

default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmc2fmae'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
)
custom_hooks = [
    dict(type='PreflightHook', num_samples=32),
    dict(type='DataProgressHook'),
    dict(type='PretrainLogHook'),
    dict(type='SkippedSamplesHook', max_share=0.01),
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
log_processor = dict(
    by_epoch=True,
    window_size=50,
    mean_pattern=r'.*(loss|time|data_time|grad_norm|visible|images_per_s).*',
)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
