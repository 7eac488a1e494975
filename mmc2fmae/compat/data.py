"""Photographs, label maps and copies of data sets: how mmcv, mmseg and mmengine read them."""

import sys
from collections.abc import Callable

from mmc2fmae.compat.gap import Gap

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
        from mmc2fmae.images.opening import UNREADABLE

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

    from mmc2fmae.images.rgb import decode_photograph

    backend = backend or reading.imread_backend  # of mmcv.use_backend
    return decode_photograph(decode, content, flag, channel_order, backend)


def _open_image(source):
    from mmc2fmae.images.opening import open_image

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
    from mmc2fmae.images.opening import UNREADABLE
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
