"""Detection and segmentation: the recipes are the paper's, and run from the command line alone."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS as DET
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as SEG
from PIL import Image

from mmc2fmae.cli import run_options
from mmc2fmae.engine import launch
from mmc2fmae.engine.train_options import apply_train_options
from mmc2fmae.errors import DatasetError
from mmc2fmae.scenes import SceneSpec, write_scenes
from mmc2fmae.visualization.predictions import draw_predictions

CONFIGS = Path(__file__).parents[1] / 'configs'
THINGS = "('beetle','bird','boat','bus','butterfly','car','fish','house','kite','turtle')"
QUICK = [
    'default_hooks.logger.interval=1',
    *(
        f'{split}_dataloader.{option}'
        for split in ('train', 'val', 'test')
        for option in ('num_workers=0', 'persistent_workers=False')
    ),
]
DET_OPTIONS = [
    *QUICK,
    'model.backbone.arch=deit-tiny',
    'model.neck.0.embed_dim=192',
    'model.neck.1.in_channels=[192,192,192,192]',
    'model.roi_head.bbox_head.num_classes=10',
    'model.roi_head.mask_head.num_classes=10',
    'model.train_cfg.rcnn.sampler.num=16',
    'model.test_cfg.rpn.max_per_img=20',
    'train_dataloader.batch_size=2',
    'RandomChoiceResize.scales=[(128,64)]',
    'train_dataloader.dataset.ann_file=annotations/instances_train.json',
    'train_dataloader.dataset.data_prefix.img=train/',
    *(
        f'{split}_dataloader.dataset.metainfo.classes={THINGS}'
        for split in ('train', 'val', 'test')
    ),
    *(
        option
        for split in ('val', 'test')
        for option in (
            f'{split}_dataloader.dataset.ann_file=annotations/instances_val.json',
            f'{split}_dataloader.dataset.data_prefix.img=val/',
            f'{split}_evaluator.ann_file=data/coco/annotations/instances_val.json',
        )
    ),
    'Resize.scale=(128,64)',
    'train_cfg.max_epochs=1',
]
SEG_OPTIONS = [
    *QUICK,
    'model.backbone.arch=deit-tiny',
    'model.backbone.img_size=64',
    'model.data_preprocessor.size=(64,64)',
    'model.test_cfg.crop_size=(64,64)',
    'model.test_cfg.stride=(43,43)',
    'RandomResize.scale=(256,64)',
    'RandomCrop.crop_size=(64,64)',
    'Resize.scale=(256,64)',
    'train_cfg.max_iters=1',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
]
UPERNET = [
    'model.neck.embed_dim=192',
    'model.decode_head.in_channels=[192,192,192,192]',
    'model.decode_head.channels=32',
    'model.auxiliary_head.in_channels=192',
]
LINEAR = ['model.decode_head.in_channels=192', 'model.decode_head.channels=192']


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Two training and two validation scenes as COCO and as ADE20K."""
    return Path(
        write_scenes(
            tmp_path_factory.mktemp('data') / 'scenes', SceneSpec(), 2, 2, 0, 1, quiet=True
        )
    )


def run(work_dir: Path, config: str, data_root: Path, options: list[str]):
    """Train as tools/train.py does and return the runner; ``Type.field=value`` is a --set."""
    parser = argparse.ArgumentParser()
    run_options.add_common_arguments(parser)
    run_options.add_train_arguments(parser)
    args = parser.parse_args(
        [str(CONFIGS / config), '--work-dir', str(work_dir), '--data-root', str(data_root),
         *(f'--set={option}' for option in options if option[0].isupper()),
         '--cfg-options', *(option for option in options if not option[0].isupper())]
    )  # fmt: skip
    cfg = launch.load_config(args)
    apply_train_options(cfg, args)
    runner = launch.build_runner(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize(
    ('path', 'registry'),
    [(p, DET if p.parent.name == 'det' else SEG)
     for p in sorted([*CONFIGS.glob('det/*.py'), *CONFIGS.glob('seg/*.py')])],
    ids=lambda value: getattr(value, 'stem', ''),
)  # fmt: skip
def test_every_config_builds_its_model(path, registry):
    cfg = Config.fromfile(path)
    scope = DefaultScope.overwrite_default_scope(cfg.default_scope)
    with scope, torch.device('meta'):
        model = registry.build(cfg.model)
    assert type(model.backbone).__name__ == 'PlainViT'
    steps = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters
    assert cfg.param_scheduler[-1].end == steps


def test_pyramid_has_strides_4_to_64():
    cfg = Config.fromfile(CONFIGS / 'det/mask_rcnn_vitb_1x_coco.py')
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = DET.build(cfg.model)
        features = model.extract_feat(torch.zeros(1, 3, 64, 128))
    assert [tuple(x.shape[2:]) for x in features] == [(16, 32), (8, 16), (4, 8), (2, 4), (1, 2)]
    assert model.backbone.out_indices == [3, 5, 7, 11]  # after blocks 4, 6, 8 and 12


def test_detection_recipe():
    """Section IV-A and D13, number by number."""
    cfg = Config.fromfile(CONFIGS / 'det/mask_rcnn_vitb_1x_coco.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 3e-4, 0.05)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay == 0.75
    assert cfg.model.backbone.drop_path_rate == 0.2
    assert cfg.train_cfg.max_epochs == 12
    assert (cfg.param_scheduler[1].milestones, cfg.param_scheduler[1].gamma) == ([9, 11], 0.1)
    pipeline = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    scales = pipeline['RandomChoiceResize'].scales
    assert {long for long, _ in scales} == {1333}
    assert (min(s for _, s in scales), max(s for _, s in scales)) == (480, 800)
    assert cfg.train_dataloader.batch_size * 8 == 16
    assert cfg.val_evaluator.metric == ['bbox', 'segm']


def test_24_gb_preset_is_the_same_recipe():
    paper, preset = (
        Config.fromfile(CONFIGS / f'det/mask_rcnn_vitb_1x_coco{name}.py') for name in ('', '_24gb')
    )
    accumulate = preset.optim_wrapper.accumulative_counts
    assert preset.train_dataloader.batch_size * accumulate == 16
    assert preset.param_scheduler[0].end == paper.param_scheduler[0].end * accumulate
    assert preset.param_scheduler[1] == paper.param_scheduler[1]
    assert preset.optim_wrapper.optimizer == paper.optim_wrapper.optimizer
    assert preset.model.backbone.checkpointing


def test_segmentation_recipe():
    """Section IV-A and D14, number by number."""
    cfg = Config.fromfile(CONFIGS / 'seg/upernet_vitb_160k_ade20k.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 4e-4, 0.05)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay == 0.65
    assert cfg.model.backbone.drop_path_rate == 0.1
    assert cfg.train_cfg.max_iters == 160_000
    warmup, decay = cfg.param_scheduler
    assert (warmup.end, decay.begin, decay.end, decay.power) == (1500, 1500, 160_000, 1.0)
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341))
    assert cfg.train_dataloader.batch_size * 8 == 16
    assert cfg.model.auxiliary_head.type == 'FCNHead'
    assert cfg.model.decode_head.num_classes == 150


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('mask_rcnn_vitb_1x_coco', []),
        (
            'mask_rcnn_vitb_1x_coco_24gb',
            ['model.backbone.window_size=2', 'model.backbone.global_blocks=[2,5,8,11]'],
        ),
        ('mask_rcnn_vitb_4conv1fc_1x_coco', []),
        (
            'mask_rcnn_semanticmim_vitb_1x_coco',
            ['model.backbone.window_size=2', 'model.backbone.global_blocks=[2,5,8,11]'],
        ),
    ],
    ids=['paper', '24gb-windows', '4conv1fc', 'proxies-windows'],
)
def test_detection_trains_evaluates_and_draws(name, options, scenes, tmp_path):
    runner = run(tmp_path, f'det/{name}.py', scenes, [*DET_OPTIONS, *options])
    assert runner.message_hub.get_scalar('train/loss').current() > 0
    for metric in ('bbox_mAP', 'segm_mAP'):
        assert 0 <= runner.message_hub.get_scalar(f'val/coco/{metric}').current() <= 1
    if not options and 'conv' not in name:
        pictures, _ = draw_predictions(
            tmp_path / f'{name}.py', tmp_path / 'epoch_1.pth', scenes / 'ade/images/validation',
            tmp_path / 'out', score=0.0, most=1,
        )  # fmt: skip
        assert [path.name for path in pictures] == ['val_000000.jpg']
        assert pictures[0].is_file()


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('upernet_vitb_160k_ade20k', UPERNET),
        ('upernet_semanticmim_vitb_160k_ade20k', UPERNET),
        ('linear_vitb_40k_ade20k', LINEAR),
    ],
)
def test_segmentation_trains_evaluates_and_draws(name, options, scenes, tmp_path):
    runner = run(tmp_path, f'seg/{name}.py', scenes / 'ade', [*SEG_OPTIONS, *options])
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    trained = any(p.requires_grad for p in runner.model.backbone.parameters())
    assert trained == (name != 'linear_vitb_40k_ade20k')  # its backbone is frozen
    photos = shutil.copytree(scenes / 'ade/images/validation', tmp_path / 'photos')
    first, second = sorted(photos.iterdir())[:2]
    first.write_bytes(first.read_bytes()[:-200])  # its header is whole
    pictures, unreadable = draw_predictions(
        tmp_path / f'{name}.py', tmp_path, photos, tmp_path / 'out', most=2
    )
    assert [path.name for path in pictures] == [second.name]
    assert pictures[0].is_file()
    assert len(unreadable) == 1 and f'{first} is no readable image' in unreadable[0]


@pytest.fixture
def voc(tmp_path):
    """Two training and two validation images in VOC's layout; 255 borders each object."""
    root = tmp_path / 'VOC2012'
    masks = dict(trainaug='SegmentationClassAug', val='SegmentationClass')
    for folder in ('JPEGImages', 'ImageSets/Segmentation', *masks.values()):
        (root / folder).mkdir(parents=True)
    for split, folder in masks.items():
        names = [f'2007_{split}_{i}' for i in range(2)]
        (root / f'ImageSets/Segmentation/{split}.txt').write_text('\n'.join(names))
        for i, name in enumerate(names):
            mask = np.zeros((60, 80), np.uint8)
            mask[10:50, 10:60] = 255
            mask[12:48, 12:58] = 1 + 19 * i  # aeroplane, tvmonitor
            Image.fromarray(mask).save(root / folder / f'{name}.png')
            Image.new('RGB', (80, 60), (90, 60, 30 * i)).save(root / f'JPEGImages/{name}.jpg')
    return root


VOC = [
    *QUICK, *LINEAR,
    'model.backbone.arch=deit-tiny',
    'model.backbone.img_size=64',
    'model.data_preprocessor.size=(64,64)',
    'RandomResize.scale=(64,64)',
    'RandomCrop.crop_size=(64,64)',
    'Resize.scale=(64,64)',
    'train_dataloader.batch_size=2',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=2',
]  # fmt: skip


def test_the_voc_probe_trains_one_convolution_on_block_8_and_its_data_are_checked(voc, tmp_path):
    options = [*VOC, 'PlainViT.num_cls_tokens=3']
    runner = run(tmp_path / 'run', 'seg/linear_vitb_voc2012.py', voc, options)
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    trained = {name for name, p in runner.model.named_parameters() if p.requires_grad}
    assert trained == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert '2 of 2 masks read, 3 values; expected classes 0 to 20, 255 = not counted' in log
    backbone = runner.model.backbone
    backbone.eval()
    images = torch.rand(1, 3, 64, 64).to(backbone.pos_embed.device)
    with torch.no_grad():
        (features,) = backbone(images)
        backbone.out_type = 'raw'
        tokens = backbone(images)[0]
    assert torch.equal(features.flatten(2).mT, tokens[:, 3:])
    (voc / 'SegmentationClassAug/2007_trainaug_0.png').unlink()
    with pytest.raises(DatasetError, match='1 of 2 images have no mask'):
        run(tmp_path / 'again', 'seg/linear_vitb_voc2012.py', voc, VOC)


def test_the_voc_probes_recipe():
    cfg = Config.fromfile(CONFIGS / 'seg/linear_vitb_voc2012.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == ('SGD', 0.01)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 1e-4)
    epoch = -(-10_582 // cfg.train_dataloader.batch_size)  # images of trainaug
    assert cfg.train_cfg.max_iters == 25 * epoch
    (steps,) = cfg.param_scheduler
    assert (steps.type, steps.step_size, steps.gamma) == ('StepLR', 10 * epoch, 0.1)
    assert cfg.model.backbone.out_indices == [7] and cfg.model.backbone.img_size == 448
    assert cfg.model.decode_head.num_classes == 21
    least = 1 / cfg.train_dataloader.dataset.pipeline[2].ratio_range[1] ** 2
    assert least == pytest.approx(0.8, abs=1e-3)  # of the image's area


@pytest.mark.parametrize(
    'name',
    [
        'cls/semanticmim_vitb_ft_100e',
        'cls/semanticmim_vitb_linear_90e',
        'det/mask_rcnn_semanticmim_vitb_1x_coco',
        'seg/upernet_semanticmim_vitb_160k_ade20k',
    ],
)
def test_models_after_semanticmim_have_its_proxies_and_frozen_ones_drop_nothing(name):
    backbone = Config.fromfile(CONFIGS / f'{name}.py').model.backbone
    assert backbone.num_cls_tokens == 8
    assert ('linear' in name) == (not backbone.get('drop_path_rate'))


def test_fine_tuning_after_semanticmim_takes_the_published_rates():
    cfg = Config.fromfile(CONFIGS / 'cls/semanticmim_vitb_ft_100e.py')
    assert cfg.optim_wrapper.optimizer.lr == 8e-3
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay == 0.65
    warmup, cosine = cfg.param_scheduler
    assert (warmup.end, cosine.begin, cosine.T_max, cosine.end) == (20, 20, 80, 100)
    cfg = Config.fromfile(CONFIGS / 'seg/upernet_semanticmim_vitb_160k_ade20k.py')
    assert cfg.optim_wrapper.optimizer.lr == 3e-5
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay == 0.9


def test_runs_stop_before_training_on_wrong_classes(scenes, tmp_path):
    with pytest.raises(DatasetError, match=r'instances_train\.json lacks 75 of the 80 classes'):
        run(
            tmp_path, 'det/mask_rcnn_vitb_1x_coco.py', scenes,
            [option for option in DET_OPTIONS if 'metainfo' not in option],
        )  # fmt: skip
    with pytest.raises(DatasetError, match=r'bbox_head has num_classes=80, the data set has 10'):
        run(
            tmp_path, 'det/mask_rcnn_vitb_1x_coco.py', scenes,
            [option for option in DET_OPTIONS if 'head.num_classes' not in option],
        )  # fmt: skip


def test_pictures_need_photographs_and_a_dense_config(tmp_path):
    config = CONFIGS / 'seg/upernet_vitb_160k_ade20k.py'
    with pytest.raises(FileNotFoundError, match='no photograph'):
        draw_predictions(config, 'none.pth', tmp_path, tmp_path)
    (tmp_path / 'a.jpg').touch()
    (tmp_path / 'x.pth').touch()
    with pytest.raises(ValueError, match=r'no photograph can be read: .*a\.jpg is no readable'):
        draw_predictions(config, tmp_path / 'x.pth', tmp_path, tmp_path)
    Image.new('RGB', (32, 32)).save(tmp_path / 'a.jpg')
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        draw_predictions(config, 'none.pth', tmp_path, tmp_path)
    (tmp_path / '@eaDir').mkdir()
    (tmp_path / '@eaDir/a.jpg').touch()  # a thumbnail
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        draw_predictions(config, 'none.pth', tmp_path, tmp_path)
    (tmp_path / 'sub').mkdir()
    Image.new('RGB', (32, 32)).save(tmp_path / 'sub/a.jpg')
    with pytest.raises(DatasetError, match=r'/a\.jpg and .*sub/a\.jpg have the same name'):
        draw_predictions(config, 'none.pth', tmp_path, tmp_path)
    with pytest.raises(ValueError, match="'mmpretrain': expected 'mmdet' or 'mmseg'"):
        draw_predictions(CONFIGS / 'mini/demo.py', 'none.pth', tmp_path, tmp_path)


def test_processes_without_gpus_need_no_synchronised_norms():
    cfg = Config.fromfile(CONFIGS / 'seg/upernet_vitb_160k_ade20k.py')
    assert launch.unsync_norms(cfg.model)
    assert not launch.unsync_norms(cfg.model)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        model = SEG.build(cfg.model)
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())


def test_an_official_checkpoint_fills_the_encoder_of_a_detector(tmp_path):
    """Names of MAE and timm, at 224 pixels, into a windowed encoder made for dense features."""
    import timm

    source = timm.create_model('vit_tiny_patch16_224', num_classes=0)
    torch.save(dict(model=source.state_dict()), tmp_path / 'official.pth')
    cfg = Config.fromfile(CONFIGS / 'det/mask_rcnn_own_data.py').model.backbone
    cfg.update(window_size=14, global_blocks=[2, 5, 8, 11])
    cfg.init_cfg = dict(type='StrictPretrained', checkpoint=str(tmp_path / 'official.pth'))
    encoder = DET.build(cfg)
    encoder.init_weights()
    encoder.eval()
    images = torch.randn(1, 3, 224, 224)  # one window: equal to the source's global attention
    with torch.no_grad():
        (expected,) = source.eval().forward_intermediates(
            images, indices=[7], norm=False, intermediates_only=True
        )
        assert torch.allclose(encoder(images)[2], expected, atol=1e-4)
