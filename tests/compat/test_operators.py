"""The operators of mmcv that stand in for compiled ones."""

import sys

import pytest
import torch

from mmc2fmae.compat import operators
from tests.compat.conftest import COMPILED

without_compiled_mmcv = pytest.mark.skipif(COMPILED, reason='this environment has compiled mmcv')


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
    assert operators.fill_mmcv_operators().state == 'ok'
    assert 'mmcv._ext' not in sys.modules


def test_torchvision_of_another_torch_is_named_with_the_fix(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == 'torchvision':
                raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.delitem(sys.modules, 'torchvision')
    monkeypatch.setattr(sys, 'meta_path', [Broken()])
    gap = operators.check_torchvision()
    assert gap.state == 'missing'
    assert gap.fix.endswith('pip install --force-reinstall torch torchvision')


def test_two_distributions_of_mmcv_are_named_with_the_fix(monkeypatch):
    monkeypatch.setattr(operators, '_has_distribution', lambda name: True)
    gap = operators.check_one_mmcv()
    assert gap.state == 'warning' and 'mmcv and mmcv-lite are both installed' in gap.detail
    assert gap.fix.startswith("python -m pip uninstall -y mmcv mmcv-lite; python -m pip install '")
    monkeypatch.setattr(operators, '_has_distribution', lambda name: name == 'mmcv-lite')
    assert operators.check_one_mmcv().detail == 'mmcv-lite alone'
