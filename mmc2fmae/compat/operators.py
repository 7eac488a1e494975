"""mmcv._ext, mmcv's compiled operators: what stands in for them where mmcv comes without."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from mmc2fmae.compat.gap import Gap, pip_install


def check_torchvision() -> Gap:
    """Tell whether torchvision was built for the installed torch."""
    name = 'torchvision'
    try:
        import torchvision
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        fix = pip_install('--force-reinstall', 'torch', 'torchvision').replace("'", '')
        return Gap(name, 'missing', f'torchvision is not built for this torch: {error}', fix)
    return Gap(name, 'ok', f'torchvision {torchvision.__version__} fits torch')


def check_one_mmcv() -> Gap:
    """Tell whether compiled mmcv and mmcv-lite, which install the same folder, are both there."""
    name = 'one mmcv'
    both = [d for d in ('mmcv', 'mmcv-lite') if _has_distribution(d)]
    if len(both) < 2:
        return Gap(name, 'ok', f'{both[0]} alone' if both else 'no other mmcv beside it')
    fix = f'python -m pip uninstall -y mmcv mmcv-lite; {pip_install("mmcv==2.1.0")}'
    detail = 'mmcv and mmcv-lite are both installed and overwrite each other: keep one'
    return Gap(name, 'warning', detail, f"{fix} (or 'mmcv-lite==2.1.0', which needs no compiler)")


def _has_distribution(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def fill_mmcv_operators() -> Gap:
    """Register a module `mmcv._ext` on top of torchvision where mmcv comes without one."""
    name = 'mmcv operators'
    # A look into mmcv's folder: find_spec('mmcv._ext') would import mmcv.
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv and PathFinder.find_spec('mmcv._ext', mmcv.submodule_search_locations):
        return Gap(name, 'ok', 'compiled mmcv')
    if 'mmcv._ext' not in sys.modules:
        ext: Any = ModuleType('mmcv._ext', 'Stands in for the compiled operators of mmcv.')
        ext.nms = _nms
        ext.roi_align_forward = _roi_align_forward
        ext.roi_align_backward = _roi_align_backward
        # Not operators, but mmcv's and mmdet's collect_env ask for them.
        ext.get_compiler_version = ext.get_compiling_cuda_version = lambda: 'not compiled'
        ext.__getattr__ = _missing_operator
        # mmengine looks the module up by its spec; one without a loader means "not compiled".
        ext.__spec__ = ModuleSpec('mmcv._ext', loader=None)
        sys.modules['mmcv._ext'] = ext
    return Gap(
        name,
        'filled in',
        'mmcv-lite: nms, roi_align_forward and roi_align_backward run on torchvision, '
        'any other operator raises',
        'nothing to do, unless a model of yours needs another operator: compile mmcv 2.1.0',
    )


def _missing_operator(name: str) -> Callable:
    # mmcv.ops asks for every operator when it is imported, so only the call can raise.
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args, **kwargs) -> None:
        raise NotImplementedError(
            f"operator '{name}' is only in compiled mmcv, this is mmcv-lite. To build it: "
            f'python -m pip uninstall mmcv-lite; {pip_install("mmcv==2.1.0")}'
        )

    return operator


def _wide(x):
    # torchvision has no bfloat16 kernels, and on CPU no float16 ones either.
    return x if x.element_size() == 8 else x.float()


def _nms(boxes, scores, iou_threshold: float, offset: int):
    # boxes [N, 4], scores [N] -> kept indices [K]. With offset 1, x2 and y2 are the last pixel of
    # the box: widths, heights and overlaps grow by 1, as when x2 and y2 move by 1.
    from torchvision.ops import nms

    boxes = _wide(boxes)
    return nms(boxes + boxes.new_tensor([0, 0, offset, offset]), _wide(scores), iou_threshold)


def _roi_align_forward(features, rois, output, argmax_y, argmax_x, **how) -> None:
    # features [B, C, H, W], rois [K, 5] (batch index and box) -> output [K, C, height, width]
    if how['pool_mode'] == 0:
        _missing_operator('roi_align_forward with pool_mode max')()
    features = _wide(features)
    output.copy_(_torchvision().roi_align(features, rois.to(features), *_bins(how), *_samples(how)))


def _roi_align_backward(grad, rois, argmax_y, argmax_x, grad_features, **how) -> None:
    # grad [K, C, height, width] -> grad_features [B, C, H, W]
    grad, shape = _wide(grad), grad_features.shape
    grad_features.copy_(
        _torchvision()._roi_align_backward(grad, rois.to(grad), *_bins(how), *shape, *_samples(how))
    )


def _bins(how: dict) -> tuple[float, int, int]:
    return how['spatial_scale'], how['aligned_height'], how['aligned_width']


def _samples(how: dict) -> tuple[int, bool]:
    return how['sampling_ratio'], how['aligned']


def _torchvision():
    import torch
    import torchvision  # noqa: F401  (loads the operators)

    return torch.ops.torchvision
