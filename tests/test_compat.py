"""Each gap of the stack is closed: what fails without `mmc2fmae.compat` works with it."""

import argparse
import pickle
import pkgutil
import sys
import zipfile
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from safetensors.torch import save_file

from mmc2fmae import compat

ROOT = Path(__file__).parents[1]
COMPILED = any(gap.detail == 'compiled mmcv' for gap in compat.gaps())
without_compiled_mmcv = pytest.mark.skipif(COMPILED, reason='this environment has compiled mmcv')
# Runs compat.py alone, without the registration of the package.
COMPAT_ALONE = "import runpy; runpy.run_path('mmc2fmae/compat.py'); "


def test_closing_the_gaps_again_changes_nothing():
    before = compat.gaps(), sys.modules.get('mmcv._ext')
    compat.close_gaps()
    assert (compat.gaps(), sys.modules.get('mmcv._ext')) == before
    assert {gap.state for gap in before[0]} <= {'ok', 'filled in'}


def test_compat_alone_imports_neither_mmdet_nor_mmseg_nor_the_models(python):
    slow = "print({'mmdet', 'mmseg', 'mmpretrain.models', 'mmcv.ops'} & set(sys.modules))"
    assert python('-c', f'{COMPAT_ALONE} import sys; {slow}').stdout == 'set()\n'


def test_required_packages_are_the_dependencies_of_pyproject():
    tomllib = pytest.importorskip('tomllib' if sys.version_info >= (3, 11) else 'tomli')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    declared = {*project['dependencies'], *project['optional-dependencies']['lite']}
    assert set(compat.REQUIREMENTS.values()) == {d for d in declared if ';' not in d}


# --- mmcv operators ---


def test_nms_keeps_the_best_of_overlapping_boxes():
    from mmcv.ops import nms

    # The first two overlap by 90 of 110, the third is apart and scores highest.
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]])
    detections, kept = nms(boxes, torch.tensor([0.8, 0.7, 0.9]), iou_threshold=0.5)
    assert kept.tolist() == [2, 0]
    assert detections[:, 4].tolist() == pytest.approx([0.9, 0.8])


def test_nms_with_offset_1_counts_the_last_pixel():
    from mmcv.ops import nms

    # 9 x 9 boxes that share 4 x 9: 36 / 126 = 0.29; counted in pixels 5 x 10: 50 / 150 = 0.33.
    boxes, scores = torch.tensor([[0.0, 0, 9, 9], [5, 0, 14, 9]]), torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, iou_threshold=0.3, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, iou_threshold=0.3, offset=1)[1].tolist() == [0]


def slope(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Two 12 x 12 maps of x + 10 y; the second lies 100 higher. [2, 1, 12, 12]"""
    y, x = torch.meshgrid(torch.arange(12), torch.arange(12), indexing='ij')
    plane = x + 10 * y
    return torch.stack([plane, plane + 100])[:, None].to(dtype)


@pytest.mark.parametrize(('aligned', 'half_pixel'), [(True, 0.5), (False, 0.0)])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_of_a_slope_is_its_value_at_the_centre_of_each_bin(
    aligned, half_pixel, sampling_ratio
):
    from mmcv.ops import RoIAlign

    # On the map, at half the size, the box is x 1..5, y 2..6: bins centred on 2, 4 and on 3, 5.
    layer = RoIAlign(2, spatial_scale=0.5, sampling_ratio=sampling_ratio, aligned=aligned)
    pooled = layer(slope(), torch.tensor([[1.0, 2, 4, 10, 12]]))
    expected = [[100 + (x - half_pixel) + 10 * (y - half_pixel) for x in (2, 4)] for y in (3, 5)]
    torch.testing.assert_close(pooled, torch.tensor([[expected]]))


def test_roi_align_spreads_the_gradient_over_the_pixels_that_it_averaged():
    from mmcv.ops import RoIAlign

    features = torch.zeros(1, 1, 4, 4, requires_grad=True)
    pooled = RoIAlign(1, sampling_ratio=2)(features, torch.tensor([[0.0, 1, 1, 3, 3]]))
    pooled.sum().backward()
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = 0.25
    torch.testing.assert_close(features.grad[0, 0], expected)


@without_compiled_mmcv
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_operators_take_every_precision_of_training(dtype):
    from mmcv.ops import RoIAlign, nms

    features = slope(dtype)[:1].requires_grad_()
    box = torch.tensor([[0, 1, 1, 3, 3]], dtype=dtype)
    pooled = RoIAlign(1, sampling_ratio=2)(features, box)
    pooled.sum().backward()
    assert pooled.dtype == features.grad.dtype == dtype
    assert pooled.item() == 1.5 + 15
    assert nms(box[:, 1:], torch.ones(1, dtype=dtype), 0.5)[1].tolist() == [0]


@without_compiled_mmcv
def test_an_operator_that_is_not_filled_in_names_itself_and_the_installation():
    from mmcv.ops import RoIAlign, soft_nms

    with pytest.raises(NotImplementedError, match=r"'softnms'.*pip install 'mmcv==2.1.0'"):
        soft_nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]))
    with pytest.raises(NotImplementedError, match='pool_mode max'):
        RoIAlign(1, pool_mode='max')(slope(), torch.tensor([[0.0, 1, 1, 3, 3]]))


def test_compiled_mmcv_is_used_untouched(tmp_path, monkeypatch):
    (tmp_path / 'mmcv').mkdir()
    for name in ('__init__.py', '_ext.py'):
        (tmp_path / 'mmcv' / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'mmcv')
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    assert compat.fill_mmcv_operators().state == 'ok'
    assert 'mmcv._ext' not in sys.modules


def test_torchvision_of_another_torch_is_named_with_the_fix(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == 'torchvision':
                raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.delitem(sys.modules, 'torchvision')
    monkeypatch.setattr(sys, 'meta_path', [Broken()])
    gap = compat.check_torchvision()
    assert gap.state == 'missing'
    assert gap.fix.endswith('pip install --force-reinstall torch torchvision')


# --- checkpoints ---


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, mode='loss'):
        return {'loss': (self.weight * x).mean()}


def runner(folder: Path, epochs: int, resume: bool) -> Runner:
    return Runner(
        Line(),
        str(folder),
        train_dataloader={
            'dataset': [{'x': torch.ones(2)}] * 2,
            'sampler': {'type': DefaultSampler, 'shuffle': True},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': epochs},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.1}},
        param_scheduler={'type': 'CosineAnnealingLR', 'T_max': 4, 'by_epoch': True},
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        resume=resume,
        default_scope='mmengine',
        experiment_name=f'{folder}-{epochs}',
    )


def test_a_checkpoint_of_a_runner_resumes(tmp_path):
    first = runner(tmp_path, epochs=1, resume=False)
    first.message_hub.update_info('best_score', np.float32(0.5))  # as mmseg's metrics leave it
    first.train()

    second = runner(tmp_path, epochs=2, resume=True)
    second.train()
    assert second.epoch == 2
    assert second.iter == 4
    assert second.message_hub.get_info('best_score') == 0.5
    losses, _ = second.message_hub.get_scalar('train/loss').data
    assert len(losses) == 4  # two of them read from the checkpoint


def test_the_history_reads_the_same_after_weights_only_loading(tmp_path):
    torch.save(
        {'args': argparse.Namespace(lr=1), 'h': HistoryBuffer([1, 3], [1, 1])}, tmp_path / 'f'
    )
    loaded = torch.load(tmp_path / 'f', weights_only=True)
    assert loaded['h'].mean() == loaded['h'].statistics('mean') == 2
    assert loaded['args'].lr == 1


@pytest.mark.parametrize('module', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_checkpoints_of_numpy_1_and_of_numpy_2_load(tmp_path, module):
    torch.save([np.float64(0.5), np.arange(3)], tmp_path / 'saved')
    with (
        zipfile.ZipFile(tmp_path / 'saved') as saved,
        zipfile.ZipFile(tmp_path / 'renamed', 'w') as renamed,
    ):
        for name in saved.namelist():
            content = saved.read(name).replace(b'numpy._core.multiarray', module)
            renamed.writestr(name, content.replace(b'numpy.core.multiarray', module))
    number, array = torch.load(tmp_path / 'renamed', weights_only=True)
    assert number == 0.5
    assert array.tolist() == [0, 1, 2]


@pytest.mark.parametrize('lookup', [(HistoryBuffer, '__init__'), (np.ndarray, 'tofile')])
def test_a_checkpoint_cannot_look_up_anything_else(tmp_path, lookup):
    class Lookup:
        def __reduce__(self):
            return getattr, lookup

    torch.save(Lookup(), tmp_path / 'file')
    with pytest.raises(pickle.UnpicklingError, match='may not read'):
        torch.load(tmp_path / 'file', weights_only=True)


# --- compiled mmcv beside mmcv-lite ---


def test_two_distributions_of_mmcv_are_named_with_the_fix(monkeypatch):
    monkeypatch.setattr(compat, '_has_distribution', lambda name: True)
    gap = compat.check_one_mmcv()
    assert gap.state == 'warning' and 'mmcv and mmcv-lite are both installed' in gap.detail
    assert gap.fix.startswith("python -m pip uninstall -y mmcv mmcv-lite; python -m pip install '")
    monkeypatch.setattr(compat, '_has_distribution', lambda name: name == 'mmcv-lite')
    assert compat.check_one_mmcv().detail == 'mmcv-lite alone'


# --- mmpretrain beside transformers ---


def test_models_of_mmpretrain_import_beside_transformers(tmp_path, python):
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers' / '__init__.py').touch()  # has nothing that mmpretrain looks for
    metadata = tmp_path / 'transformers-5.0.0.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 5.0.0\n')

    use = 'import mmpretrain.models'
    assert python('-c', use, path=[tmp_path]).returncode == 1  # the gap is there
    filled = python('-c', COMPAT_ALONE + use, path=[tmp_path])
    assert filled.returncode == 0, filled.stderr


# --- configs named 'package::path' ---


def test_a_config_of_another_package_is_found(tmp_path, python):
    config = tmp_path / 'config.py'
    config.write_text("_base_ = ['mmdet::_base_/default_runtime.py', "
                      "'mmseg::_base_/datasets/ade20k.py']\n")  # fmt: skip
    # mmengine.config comes first, as in a launcher that reads `custom_imports` from the config.
    code = (
        f'from mmengine.config import Config; {COMPAT_ALONE} c = Config.fromfile({str(config)!r});'
        'print(c.env_cfg.mp_cfg.mp_start_method, c.data_root)'
    )
    done = python('-c', code)
    assert done.stdout == 'fork data/ade/ADEChallengeData2016\n', done.stderr


def test_an_absent_package_is_reported_as_absent():
    assert mmengine.utils.is_installed('mmsegmentation')
    assert not mmengine.utils.is_installed('mmabsent')


def test_a_subset_holds_nothing_of_data_sets_that_are_gone():
    for _ in range(20):
        Listed(serialize_data=False).get_subset(1)
        whole = Listed(serialize_data=False)
        whole.kept = [Thing() for _ in range(50)]  # one lies where the data set lay
        assert {type(thing) for thing in whole.get_subset(1).kept} == {Thing}


class Thing:
    pass


class Listed(BaseDataset):
    def load_data_list(self):
        return [dict(name='a'), dict(name='b')]


def test_python_without_find_loader_still_learns_whether_mmcv_is_compiled(monkeypatch):
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    assert compat.restore_find_loader().state == 'filled in'
    assert mmengine.utils.dl_utils.mmcv_full_available() == COMPILED
    assert compat.restore_find_loader().state == 'ok'


# --- mmdet and mmseg, one training step each ---


def train_step(model: torch.nn.Module, data: dict) -> dict[str, torch.Tensor]:
    model.train()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = mmengine.optim.OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    losses = model.train_step(data, optimizer)
    moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert sum(moved) > len(moved) / 2
    return losses


def image() -> torch.Tensor:
    return torch.randint(256, (3, 64, 64), dtype=torch.uint8)


META = {'img_shape': (64, 64), 'ori_shape': (64, 64), 'scale_factor': (1.0, 1.0), 'img_id': 1}


@pytest.fixture
def mask_rcnn() -> torch.nn.Module:
    import mmdet.models
    from mmengine.config import Config

    assert mmdet.models
    folder = Path(mmdet.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(folder / 'mask-rcnn_r50_fpn.py').model
    model.backbone.update(depth=18, init_cfg=None, frozen_stages=-1)
    model.neck.update(in_channels=[64, 128, 256, 512])
    model.roi_head.bbox_head.update(fc_out_channels=32, num_classes=2)
    model.roi_head.mask_head.update(num_convs=1, num_classes=2)
    model.test_cfg.rcnn.score_thr = 0.0
    torch.manual_seed(0)
    return mmdet.registry.MODELS.build({**model, '_scope_': 'mmdet'})


def test_mask_rcnn_trains_and_predicts(mask_rcnn):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    square = np.zeros((1, 64, 64), np.uint8)
    square[0, 8:40, 8:40] = 1
    sample = DetDataSample(metainfo=META)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 40, 40]]),
        labels=torch.tensor([0]),
        masks=BitmapMasks(square, 64, 64),
    )
    data = {'inputs': [image()], 'data_samples': [sample]}
    losses = train_step(mask_rcnn, data)
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(losses)
    found = mask_rcnn.eval().test_step(data)[0].pred_instances
    assert 0 < len(found) <= 100
    assert found.masks.shape == (len(found), 64, 64)


@pytest.fixture
def upernet() -> torch.nn.Module:
    import mmseg.models
    from mmengine.config import Config

    assert mmseg.models
    folder = Path(mmseg.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(folder / 'upernet_r50.py').model
    plain = {'type': 'BN'}
    model.update(pretrained=None)
    model.data_preprocessor.size = (64, 64)
    model.backbone.update(type='ResNet', depth=18, norm_cfg=plain)
    model.decode_head.update(
        in_channels=[64, 128, 256, 512], channels=32, num_classes=3, norm_cfg=plain
    )
    model.auxiliary_head.update(in_channels=256, channels=32, num_classes=3, norm_cfg=plain)
    torch.manual_seed(0)
    return mmseg.registry.MODELS.build({**model, '_scope_': 'mmseg'})


def test_upernet_trains_and_predicts(upernet):
    from mmseg.structures import SegDataSample

    samples = [SegDataSample(metainfo=META) for _ in range(2)]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(3, (1, 64, 64)))
    data = {'inputs': [image(), image()], 'data_samples': samples}
    losses = train_step(upernet, data)
    assert {'decode.loss_ce', 'aux.loss_ce'} <= set(losses)
    labels = upernet.eval().test_step(data)[0].pred_sem_seg.data
    assert labels.shape == (1, 64, 64)
    assert set(labels.unique().tolist()) <= {0, 1, 2}


# --- their metrics, on predictions that are right ---


def test_coco_metric_of_perfect_boxes_and_masks_is_1(tmp_path):
    from mmdet.evaluation import CocoMetric

    annotation = {
        'id': 1, 'image_id': 1, 'category_id': 7, 'iscrowd': 0, 'area': 1024,
        'bbox': [8, 8, 32, 32], 'segmentation': [[8, 8, 40, 8, 40, 40, 8, 40]],
    }  # fmt: skip
    truth = {
        'images': [{'id': 1, 'width': 64, 'height': 64, 'file_name': 'a.jpg'}],
        'categories': [{'id': 7, 'name': 'square'}],
        'annotations': [annotation],
    }
    mmengine.dump(truth, tmp_path / 'truth.json')
    metric = CocoMetric(str(tmp_path / 'truth.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = {'classes': ['square']}
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, 8:40, 8:40] = True
    predicted = {
        'bboxes': torch.tensor([[8.0, 8, 40, 40]]), 'scores': torch.tensor([0.9]),
        'labels': torch.tensor([0]), 'masks': mask,
    }  # fmt: skip
    metric.process({}, [{**META, 'pred_instances': predicted}])
    scores = metric.evaluate(1)
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == pytest.approx(1)


def test_iou_metric_of_half_right_labels():
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric()
    metric.dataset_meta = {'classes': ['left', 'right']}
    truth, predicted = torch.zeros(1, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4)
    truth[..., 2:] = 1
    predicted[..., 3:] = 1
    metric.process(
        {}, [{'gt_sem_seg': {'data': truth}, 'pred_sem_seg': {'data': predicted.long()}}]
    )
    # left: 8 of 12 pixels; right: 4 of 8
    assert metric.evaluate(1)['mIoU'] == pytest.approx(100 * (8 / 12 + 4 / 8) / 2, abs=0.01)


# --- checkpoints of others ---


class Call:
    """Pickled, it is a call that leaves a file behind."""

    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


@pytest.fixture
def payload(tmp_path):
    """A checkpoint that would leave a file behind, and that file."""
    torch.save(dict(state_dict={}, payload=Call(tmp_path / 'flag')), tmp_path / 'x.pth')
    return tmp_path / 'x.pth', tmp_path / 'flag'


def test_mmengine_loads_weights_only_whatever_the_environment_says(payload, tmp_path, python):
    path, flag = payload
    code = (
        "import os; os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'\n"
        'from mmc2fmae import compat\n'
        'from mmengine.runner.checkpoint import _load_checkpoint\n'
        f"_load_checkpoint({str(path)!r}, 'cpu')"
    )
    run = python('-c', code)
    assert run.returncode == 1 and not flag.exists()
    last = run.stderr.splitlines()[-1]
    assert 'x.pth holds more than weights, pathlib.' in last and 'weights_only' not in run.stderr


def test_an_address_is_loaded_weights_only(payload, monkeypatch):
    path, flag = payload
    monkeypatch.setenv('TORCH_HOME', str(path.parent / 'cache'))
    with pytest.raises(pickle.UnpicklingError):
        mmengine.runner.checkpoint.load_url(path.as_uri())
    assert not flag.exists()


def test_code_that_resuming_would_run_is_taken_out(tmp_path):
    flag = tmp_path / 'flag'
    meta = dict(epoch=1, config=f'import pathlib; pathlib.Path({str(flag)!r}).touch()')
    torch.save(dict(meta=meta, state_dict={}), tmp_path / 'x.pth')
    loaded = mmengine.runner.checkpoint._load_checkpoint(str(tmp_path / 'x.pth'))
    assert loaded['meta'] == dict(epoch=1) and not flag.exists()


def test_safetensors_are_loaded_by_mmengine_too(tmp_path):
    save_file({'a': torch.ones(2)}, tmp_path / 'x.safetensors')
    loaded = mmengine.runner.checkpoint._load_checkpoint(str(tmp_path / 'x.safetensors'))
    assert torch.equal(loaded['state_dict']['a'], torch.ones(2))
