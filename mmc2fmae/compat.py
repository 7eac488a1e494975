"""Closes the gaps between the released OpenMMLab packages and today's torch, numpy and setuptools.

Importing this module closes them, so `mmc2fmae/__init__.py` imports it before anything else (but
see COMMAND_LINE).
`python -m mmc2fmae.env` prints what was found and what was filled in.
"""

import argparse
import importlib.metadata
import importlib.util
import multiprocessing
import os
import pickle
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

# Import name -> what pip installs; the same versions as in pyproject.toml (a test compares them).
REQUIREMENTS = {
    'torch': 'torch>=2.6',
    'torchvision': 'torchvision>=0.21',
    'mmengine': 'mmengine==0.10.7',
    'mmcv': 'mmcv-lite==2.1.0',
    'mmpretrain': 'mmpretrain==1.2.0',
    'mmdet': 'mmdet==3.3.0',
    'mmseg': 'mmsegmentation==1.2.2',
    'timm': 'timm>=1.0.3',
    'numpy': 'numpy>=1.26',
    'PIL': 'pillow>=10',
    'cv2': 'opencv-python>=4.9',
    'matplotlib': 'matplotlib>=3.8',
    'pycocotools': 'pycocotools>=2.0.8',
    'ftfy': 'ftfy>=6',
    'regex': 'regex',
    'safetensors': 'safetensors>=0.4',
    'tqdm': 'tqdm>=4.62',
    'jinja2': 'jinja2>=3.1',
}


def _is_command_line() -> bool:
    # A worker of a pool starts with the command line of its parent, and needs the whole package.
    if multiprocessing.parent_process() is not None:
        return False
    words = sys.argv or ['']
    if words[0] == '-m':  # so it is called until Python has found the module
        return sys.orig_argv[-len(words)].removeprefix('-m') in (
            'mmc2fmae',
            'mmc2fmae.env',
            'mmc2fmae.torchrun',
        )
    script = Path(words[0]).absolute()
    if script.parent.name == 'tools':
        return (script.parents[1] / 'mmc2fmae/cli').is_dir()
    return script.name == 'mmc2fmae'


# Whether this process is the command `mmc2fmae`, `python -m mmc2fmae` or a script of a checkout's
# tools/. These answer --help and a wrong path at once, so importing the package does nothing there:
# mmc2fmae.cli closes the gaps and registers the parts once it has understood its arguments.
COMMAND_LINE = _is_command_line()


@dataclass(frozen=True)
class Gap:
    """One thing that training needs from the stack.

    Args:
        name: what is needed.
        state: 'ok' (it is there), 'filled in' (by this module), 'warning' (it may do harm) or
            'missing' (training cannot run).
        detail: what was found.
        fix: what the user can do about it; empty when there is nothing to do.
    """

    name: str
    state: Literal['ok', 'filled in', 'warning', 'missing']
    detail: str
    fix: str = ''


_gaps: list[Gap] = []


def gaps() -> list[Gap]:
    """Return the record of each gap, in the order in which they were closed."""
    return list(_gaps)


def close_gaps() -> None:
    """Fill in what the stack lacks; calling it again changes nothing.

    Raises:
        ImportError: training cannot run; the message names each missing thing and its fix.
    """
    lost = [f'{g.detail} (fix: {g.fix})' for g in fill_gaps() if g.state == 'missing']
    if lost:
        raise ImportError(f'mmc2fmae cannot run with these packages: {"; ".join(lost)}')


def fill_gaps() -> list[Gap]:
    """Fill in what the stack lacks and return the record of each gap, missing ones among them."""
    _gaps[:] = [
        Gap(name, 'missing', f'the package {name} is not installed', pip_install(requirement))
        for name, requirement in REQUIREMENTS.items()
        if importlib.util.find_spec(name) is None
    ]
    if not _gaps:
        _gaps.append(Gap('packages', 'ok', f'all {len(REQUIREMENTS)} are installed'))
        for close in (
            check_torchvision,
            check_one_mmcv,
            fill_mmcv_operators,
            allow_checkpoint_types,
            read_checkpoints_as_data,
            restrict_image_formats,
            keep_label_ids,
            copy_datasets_afresh,
            keep_out_multimodal,
            replace_pkg_resources,
            restore_find_loader,
        ):
            try:
                _gaps.append(close())
            except Exception as error:  # half-broken packages raise anything, even AssertionError
                _gaps.append(failed(close.__name__.replace('_', ' '), error))
    return gaps()


def failed(name: str, error: Exception) -> Gap:
    """Return the record of a thing called `name` that raised `error`."""
    absent = (error.name or '').split('.')[0] if isinstance(error, ModuleNotFoundError) else ''
    pinned = [r for r in REQUIREMENTS.values() if r.startswith('mm')]
    wanted = [REQUIREMENTS.get(absent, absent)] if absent else pinned
    return Gap(name, 'missing', f'{type(error).__name__}: {error}', pip_install(*wanted))


def pip_install(*requirements: str) -> str:
    """Return the command that installs `requirements` into the Python that is running."""
    return ' '.join(['python -m pip install', *(f"'{r}'" for r in requirements)])


def check_torchvision() -> Gap:
    """Tell whether torchvision was built for the installed torch."""
    name = 'torchvision'
    try:
        import torchvision
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        fix = pip_install('--force-reinstall', 'torch', 'torchvision').replace("'", '')
        return Gap(name, 'missing', f'torchvision is not built for this torch: {error}', fix)
    return Gap(name, 'ok', f'torchvision {torchvision.__version__} fits torch')


# --- mmcv._ext, mmcv's compiled operators ---


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


# --- torch.load with weights_only=True, the default since torch 2.6 ---


def allow_checkpoint_types() -> Gap:
    """Allow-list what the checkpoints of mmengine, MAE and MultiMAE hold besides tensors."""
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    # numpy 1 and 2 keep these two functions in modules of different names.
    reduced: list[Any] = [np.zeros(0).__reduce__()[0], np.float64().__reduce__()[0]]
    functions = {function.__name__: function for function in reduced}
    codes = np.typecodes['AllInteger'] + np.typecodes['AllFloat'] + '?U'
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_history_statistic, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            *{type(np.dtype(code)) for code in codes},
            *((f, f'numpy.{core}.multiarray.{n}') for n, f in functions.items()
              for core in ('core', '_core')),
            argparse.Namespace,  # the arguments of an official MAE or MultiMAE run
        ]
    )  # fmt: skip
    return Gap(
        'resuming', 'filled in', 'the log history in checkpoints is allowed, weights_only stays on'
    )


def _history_statistic(owner: type, name: str) -> Callable:
    # A pickled HistoryBuffer looks up its own methods with getattr. Allowing all of getattr would
    # open weights_only loading; this stands in for it and serves nothing else.
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'a checkpoint may not read {name!r} of {owner!r}')
    return getattr(owner, name)


def read_checkpoints_as_data() -> Gap:
    """Let mmengine's runner and inferencers load checkpoints without running what is in them.

    Its loaders leave weights-only to torch's default, which an environment variable switches off,
    and switch it off themselves for addresses; and a resumed run executes ``meta['config']``.
    """
    from functools import partial

    from mmengine.runner import checkpoint as loading

    name = 'checkpoints of others'
    variable = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
    ignored = os.environ.pop(variable, None)
    loader = loading.CheckpointLoader
    if loader.load_checkpoint is not _load_checkpoint:
        loading.load_url = partial(loading.load_url, weights_only=True)
        loader.register_scheme('', loader=load_from_local, force=True)
        _unguarded.append(loader.load_checkpoint)
        loader.load_checkpoint = staticmethod(_load_checkpoint)
    detail = 'weights-only everywhere, and no code in them is run'
    return Gap(name, 'filled in', detail + (f'; {variable} is not heeded' if ignored else ''))


_unguarded: list[Callable] = []


def load_from_local(filename: str, map_location=None) -> dict:
    """Load a local checkpoint in place of mmengine's function, which logs the name of this one."""
    from safetensors.torch import load_file

    from mmc2fmae.file_kinds import require_checkpoint
    from mmc2fmae.unpickling import load_torch

    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if path.endswith('.safetensors'):
        require_checkpoint(path, safetensors=True)
        return dict(state_dict=load_file(path))
    return load_torch(path, map_location)


def _load_checkpoint(filename: str, map_location=None, logger='current'):
    from mmc2fmae.unpickling import require_finite

    checkpoint = _unguarded[0](filename, map_location, logger)
    if isinstance(checkpoint, dict):
        for part in (checkpoint, *(checkpoint.get(k) for k in ('state_dict', 'ema_state_dict'))):
            if isinstance(part, dict):
                require_finite(part, filename)
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        meta.pop('config', None)  # Runner.resume would execute it
    return checkpoint


# --- Pillow, which starts Ghostscript on EPS files of whatever name ---


def restrict_image_formats() -> Gap:
    """Let mmcv read photographs by the rules of :mod:`mmc2fmae.images`, and no other formats."""
    from functools import partial
    from types import SimpleNamespace

    import mmcv
    import mmcv.image.io as reading
    from mmcv.image import geometric
    from mmcv.transforms import LoadImageFromFile
    from PIL import Image

    reading.Image = SimpleNamespace(open=_open_image, new=Image.new)
    # What is to be turned never comes there, and damaged EXIF data would stop it.
    reading.ImageOps = SimpleNamespace(exif_transpose=lambda image: image)
    if not isinstance(reading.imfrombytes, partial):
        decode = partial(_decode_photograph, reading.imfrombytes)
        reading.imfrombytes = mmcv.image.imfrombytes = mmcv.imfrombytes = decode
        LoadImageFromFile.transform = _naming_the_file(LoadImageFromFile.transform)
        resize = partial(_rescaled_size, geometric.rescale_size)
        geometric.rescale_size = mmcv.image.rescale_size = mmcv.rescale_size = resize
    return Gap('image formats', 'filled in', 'mmcv reads photographs as this project does')


def _rescaled_size(rescaled_size: Callable, old_size, scale, return_scale: bool = False):
    # A strip that is resized by its long side keeps a pixel across; OpenCV would refuse it.
    size, factor = rescaled_size(old_size, scale, return_scale=True)
    size = tuple(max(side, 1) for side in size)
    return (size, factor) if return_scale else size


def _naming_the_file(load: Callable) -> Callable:
    """Wrap a loading transform, whose errors do not tell which of a million files is damaged."""

    def transform(self, results: dict) -> dict | None:
        from mmc2fmae.errors import SampleError
        from mmc2fmae.images import UNREADABLE

        try:
            return load(self, results)
        except UNREADABLE as error:
            path = str(results['img_path'])
            if path in str(error):
                raise
            advice = 'restore it, save it anew or leave it out'
            raise SampleError(f'cannot be read ({error})', path, advice) from error

    return transform


def _decode_photograph(decode, content, flag='color', channel_order='bgr', backend=None):
    import mmcv.image.io as reading

    from mmc2fmae.images import decode_photograph

    backend = backend or reading.imread_backend  # of mmcv.use_backend
    return decode_photograph(decode, content, flag, channel_order, backend)


def _open_image(source):
    from mmc2fmae.images import open_image

    return open_image(source)


# --- MMSegmentation's label maps, read as pictures ---


def keep_label_ids() -> Gap:
    """Let MMSegmentation, once it is imported, read label maps by :mod:`mmc2fmae.label_maps`."""
    from mmcv.transforms import LoadAnnotations

    # Importing mmseg takes seconds, so its subclass is met when it is made.
    LoadAnnotations.__init_subclass__ = classmethod(_keep_label_ids)
    for known in LoadAnnotations.__subclasses__():
        _keep_label_ids(known)
    return Gap('label maps', 'filled in', 'mmseg reads ids as they are stored')


def _keep_label_ids(cls) -> None:
    if (cls.__module__, cls.__name__) != ('mmseg.datasets.transforms.loading', 'LoadAnnotations'):
        return
    from types import SimpleNamespace

    load = cls._load_seg_map
    if load.__module__ != cls.__module__:  # replaced before
        return

    def _load_seg_map(self, results: dict) -> None:
        from mmc2fmae.errors import SampleError

        try:
            load(self, results)
        except SampleError as error:
            raise SampleError(error.reason, results['seg_map_path'], error.advice) from error

    cls._load_seg_map = _load_seg_map
    sys.modules[cls.__module__].mmcv = SimpleNamespace(imfrombytes=_ids_of_8_bits)  # type: ignore[attr-defined]


def _ids_of_8_bits(content: bytes, flag: str, backend: str):
    """Stand in for ``mmcv.imfrombytes`` where mmseg reads a label map."""
    from mmc2fmae.errors import SampleError
    from mmc2fmae.images import UNREADABLE
    from mmc2fmae.label_maps import decode_ids

    advice = 'restore or remove it'
    try:
        ids = decode_ids(content)
    except SampleError:
        raise
    except UNREADABLE as error:
        raise SampleError(f'cannot be read ({error})', advice=advice) from error
    if ids.max() > 255:
        raise SampleError(
            f'label map has id {ids.max()}, expected 0 to 255: mmseg keeps 8 bits',
            advice='renumber the classes',
        )
    return ids


# --- copies of data sets ---


def copy_datasets_afresh() -> Gap:
    """Give every copy that mmengine makes of a data set (``get_subset``) a memo of its own.

    It has one for all, which answers for objects that are gone with the copies of what lay at their
    place in memory.
    """
    from mmengine.dataset import BaseDataset

    copy = BaseDataset._copy_without_annotation
    if copy.__module__ != __name__:

        def _copy_without_annotation(self, memo=None) -> BaseDataset:
            return copy(self, {} if memo is None else memo)

        BaseDataset._copy_without_annotation = _copy_without_annotation
    return Gap('subsets of data sets', 'filled in', 'each is copied with a memo of its own')


# --- mmpretrain's multimodal models ---


def keep_out_multimodal() -> Gap:
    """Keep mmpretrain from importing its multimodal models, which break on today's transformers."""
    from mmpretrain.utils import dependency

    name = 'multimodal models'
    if importlib.util.find_spec('transformers') is None:
        return Gap(name, 'ok', 'transformers is not installed, mmpretrain leaves them out')
    dependency.WITH_MULTIMODAL = False
    return Gap(name, 'filled in', 'transformers is installed, so mmpretrain leaves them out')


# --- pkg_resources, gone from setuptools 82 ---


def replace_pkg_resources() -> Gap:
    """Give mmengine, for configs like 'mmdet::_base_/...', a package search of today."""
    name = "configs named 'package::path'"
    if importlib.util.find_spec('pkg_resources'):
        return Gap(name, 'ok', 'pkg_resources is installed')
    import mmengine.utils.package_utils  # noqa: F401

    # mmengine's modules hold their own references to the two functions.
    for module in ('utils.package_utils', 'utils', 'config.config', 'hub.hub'):
        loaded: Any = sys.modules.get(f'mmengine.{module}')
        if loaded:
            loaded.get_installed_path = _installed_path
            loaded.is_installed = _is_installed
    return Gap(name, 'filled in', 'importlib.metadata in place of pkg_resources')


def _installed_path(package: str) -> str:
    # `package` is the name of a distribution (mmsegmentation) or of a module (mmseg).
    spec = importlib.util.find_spec(package)
    if spec is None:
        modules = importlib.metadata.distribution(package).read_text('top_level.txt')
        spec = importlib.util.find_spec((modules or package).split()[0])
    if spec is None or spec.origin is None:
        raise importlib.metadata.PackageNotFoundError(package)
    return os.path.dirname(spec.origin)


def _is_installed(package: str) -> bool:
    try:
        return bool(_installed_path(package))
    except importlib.metadata.PackageNotFoundError:
        return False


# --- pkgutil.find_loader, gone from Python 3.14 ---


def restore_find_loader() -> Gap:
    """Give back the function by which mmengine's Runner asks whether mmcv is compiled."""
    name = 'pkgutil.find_loader'
    if hasattr(pkgutil, 'find_loader'):
        return Gap(name, 'ok', 'this Python has it')
    setattr(pkgutil, 'find_loader', _find_loader)  # noqa: B010  (typeshed knows other Pythons)
    return Gap(name, 'filled in', 'importlib.util.find_spec in its place')


def _find_loader(name: str):
    spec = importlib.util.find_spec(name)
    return spec and spec.loader


if not COMMAND_LINE:
    close_gaps()
