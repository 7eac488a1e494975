"""--size and --patch-size: the image, its grid of patches, and all that follows from them."""

from collections.abc import Iterator, MutableMapping
from fractions import Fraction
from typing import Any

from mmengine.config import Config

from mmc2fmae.engine.overrides import takes_field, typed_parts

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# Fields of transforms that are lengths in pixels of what the model sees.
_PIXELS = dict(
    JointRandomResizedCrop='size',
    JointCenterCrop='size',
    RandomResizedCrop='scale',
    CenterCrop='crop_size',
    ResizeEdge='scale',
    Resize='scale',
    RandomResize='scale',
    RandomChoiceResize='scales',
    RandomCrop='crop_size',
)
_RESCALES = {Fraction(4), Fraction(2), Fraction(1), Fraction(1, 2), Fraction(1, 4)}
"""What mmseg's Feature2Pyramid can do."""


def set_grid(cfg: Config, size: int | None, patch: int | None) -> None:
    """Let the model see images of another size or patches of another size, in place.

    All lengths in pixels (crops, resizing, windows) grow in proportion, the visible tokens with the
    number of patches. In detection the size is the short side of the validation images, and
    ``img_size``, the grid that positions are learned or laid out for, stays.

    Args:
        cfg: Config.
        size: Side of the input in pixels, None to keep it.
        patch: Side of a patch in pixels, None to keep it.

    Raises:
        ValueError: It does not fit the model, or a pipeline takes photographs as they are.
    """
    backbone = cfg.get('model', {}).get('backbone')
    if not backbone or not takes_field(backbone, 'patch_size', cfg.get('default_scope')):
        raise ValueError(
            f'{_asked(size, patch)}: the backbone '
            f'{backbone["type"] if backbone else "of this config"} has no patches'
        )
    dense = cfg.get('default_scope') == 'mmdet'
    before = _patches(backbone)
    if size:
        _scale_pixels(cfg, Fraction(size, _old_size(cfg, dense)), dense, size)
    if patch:
        _scale_patches(cfg, Fraction(patch, backbone.get('patch_size', 16)), patch)
    _check_multiple(backbone, size, patch)
    after = _patches(backbone)
    for _, part in typed_parts(cfg):
        if part['type'] == 'ProgressiveMasking':
            visible = part.get('num_visible', 98)  # its share of the patches stays
            part['num_visible'] = max(round(visible * after / before), 1)
        if part['type'] == 'MAEPretrainDecoder':
            part['num_patches'] = int(after)


def _asked(size: int | None, patch: int | None) -> str:
    return f'--size {size}' if size else f'--patch-size {patch}'


def _sides(value: Any) -> tuple[int, int]:
    return (value[0], value[-1]) if isinstance(value, list | tuple) else (value, value)


def _patches(backbone: MutableMapping) -> Fraction:
    rows, columns = _sides(backbone.get('img_size', 224))
    return Fraction(rows * columns, backbone.get('patch_size', 16) ** 2)


def _old_size(cfg: Config, dense: bool) -> int:
    """Return the side of what the model sees now."""
    if not dense:
        side = (cfg.model.get('data_preprocessor') or {}).get('size') or cfg.model.backbone.get(
            'img_size', 224
        )
        return min(_sides(side))
    for name in ('val_dataloader', 'test_dataloader', 'train_dataloader'):
        for path, part in typed_parts(cfg):
            if path.startswith(name) and _name(part) == 'Resize' and part.get('scale'):
                return min(_sides(part['scale']))
    raise ValueError('--size: no pipeline of this config has a Resize: set its transforms by --set')


def _name(part: MutableMapping) -> str:
    return str(part['type']).rpartition('.')[2]


def _scale_pixels(cfg: Config, factor: Fraction, dense: bool, size: int) -> None:
    moved = set()
    done: set[int] = set()  # test_dataloader may be the very val_dataloader
    for path, part in typed_parts(cfg):
        field = _PIXELS.get(_name(part))
        if path.startswith(LOADERS) and field and part.get(field):
            moved.add(path.partition('.')[0])
            if id(part) not in done and not str(part.get('crop_type', '')).startswith('relative'):
                part[field] = _times(part[field], factor)
            done.add(id(part))
    still = [name for name in LOADERS if cfg.get(name) and name not in moved]
    if still:
        raise ValueError(
            f'--size {size}: the pipeline of {", ".join(still)} takes photographs as they are; '
            'give it a transform that resizes or crops, in a config of your own'
        )
    if not dense:
        backbone = cfg.model.backbone
        backbone.img_size = _times(backbone.get('img_size', 224), factor)
        for name in ('data_preprocessor', 'test_cfg'):
            fields = cfg.model.get(name) or {}
            for field in ('size', 'crop_size', 'stride'):
                if fields.get(field):
                    fields[field] = _times(fields[field], factor)


def _times(value: Any, factor: Fraction) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_times(v, factor) for v in value)
    return round(value * factor)


def _scale_patches(cfg: Config, factor: Fraction, patch: int) -> None:
    for path, part in _model_parts(cfg):
        maps = part.get('granularities')
        maps = maps if isinstance(maps, MutableMapping) else {}
        strides = {
            name: spec.get('stride', 4 if 'num_classes' in spec else 1)
            for name, spec in maps.items()
        }
        wrong = [name for name, stride in strides.items() if patch % stride]
        if wrong:
            raise ValueError(
                f'--patch-size {patch}: no multiple of stride {strides[wrong[0]]} of the '
                f'{wrong[0]} map (model.backbone.granularities.{wrong[0]}.stride)'
            )
        if 'patch_size' in part or path == 'model.backbone':
            part['patch_size'] = patch
        if _name(part) == 'HOGTarget':
            for field, default in (('pool', 8), ('gaussian_window', 16)):
                part[field] = _whole(part.get(field, default) * factor, patch, f'HOGTarget.{field}')
        if _name(part) == 'Feature2Pyramid':
            part['rescales'] = _pyramid(part.get('rescales', [4, 2, 1, 0.5]), factor, patch)
    for _, part in typed_parts(cfg):
        if part['type'] == 'ProgressiveMasking':
            part['patch_size'] = patch


def _model_parts(cfg: Config) -> Iterator[tuple[str, MutableMapping]]:
    return (pair for pair in typed_parts(cfg) if f'{pair[0]}.'.startswith('model.'))


def _whole(value: Fraction, patch: int, field: str) -> int:
    if value.denominator != 1:
        raise ValueError(
            f'--patch-size {patch}: {field} would be {float(value):g}, no whole number'
        )
    return int(value)


def _pyramid(rescales: list, factor: Fraction, patch: int) -> list:
    """Return the factors that lead from the new grid to the strides of before."""
    found = [Fraction(value) * factor for value in rescales]
    if not set(found) <= _RESCALES:
        raise ValueError(
            f'--patch-size {patch}: the pyramid would rescale its features by '
            f'{[float(value) for value in found]}, Feature2Pyramid can do 4, 2, 1, 0.5 and 0.25; '
            'take a patch of half or the same size'
        )
    return [int(value) if value.denominator == 1 else float(value) for value in found]


def _check_multiple(backbone: MutableMapping, size: int | None, patch: int | None) -> None:
    side = backbone.get('patch_size', 16)
    for length in _sides(backbone.get('img_size', 224)):
        if length % side:
            below = length // side * side
            raise ValueError(
                f'{_asked(size, patch)}: an image of {length} pixels is no multiple of patches of '
                f'{side}; the nearest images are {[n for n in (below, below + side) if n]}'
            )
