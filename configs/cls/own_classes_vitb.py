"""Classification on your own classes, ViT-B/16 (docs/first_number.md): for a GPU.

Expects train/CLASS/ and val/CLASS/ with photographs under --data-root; give `--classes auto`, and
`--checkpoint` for the encoder of a pre-training. The recipe is the paper's with small batches; the
rate follows the square root of the batch, 4e-3 * sqrt(32 / 2048).
"""

_base_ = [
    '../_base_/models/vitb_classifier.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/finetune_100e.py',
    '../_base_/finetune_runtime.py',
]
default_scope = 'mmpretrain'

num_classes = 2  # --classes auto sets the true number, wherever it belongs
data = dict(data_root='data/own', classes=None)  # None: the names of the folders

model = dict(
    data_preprocessor=dict(num_classes=num_classes),
    head=dict(num_classes=num_classes, topk=(1,)),
)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    drop_last=False,  # a small set has less than a batch
    dataset=data,
)
val_dataloader = dict(batch_size=32, num_workers=2, dataset=dict(expected=None, **data))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, 5))  # --classes leaves out a k that five classes or fewer make idle
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=5e-4))
auto_scale_lr = dict(base_batch_size=32)
train_cfg = dict(val_interval=5)
default_hooks = dict(logger=dict(interval=10))
log_processor = dict(window_size=10)
