"""--classes: the classes of own data, and all that depends on their number and names."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmc2fmae.datasets.bundle_folders import is_remote
from mmc2fmae.datasets.image_folders import ImageFolders
from mmc2fmae.datasets.label_info import INFO_FILE, read_label_info
from mmc2fmae.engine.overrides import constructors, nearest_names, takes_field, typed_parts
from mmc2fmae.texts import read_text

AUTO = 'auto'
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def set_classes(cfg: Config, classes: str | Sequence[str]) -> tuple[str, ...]:
    """Let data, model and metrics have other classes, in place.

    Args:
        cfg: Config, with the folder of its data.
        classes: Names parted by commas, or 'auto' for those that the data states: class folders of
            the training photographs, categories of the COCO json in the order of their ids,
            ``labels.json`` of label maps.

    Returns:
        The names.

    Raises:
        ValueError: Names are wrong, or the config has no classes.
        FileNotFoundError: The data does not state its classes.
    """
    scope = cfg.get('default_scope')
    names = read_classes(cfg) if classes == AUTO else _listed(classes)
    for part in datasets(cfg):
        _check_own_classes(part, names, scope)
    if scope in ('mmdet', 'mmseg'):
        done = _set_counts(cfg.model, len(names))
        for part in datasets(cfg):
            part['metainfo'] = _metainfo(part.get('metainfo') or {}, names)
    elif cfg.model.get('head') and 'num_classes' in cfg.model['head']:
        done = _set_counts(cfg.model, len(names))
        _set_folders(cfg, names)
        _set_metrics(cfg, len(names))
    else:
        done = _set_semantic(cfg, len(names))
    if not done:
        raise ValueError(f'--classes: the {cfg.model.type} of this config has no classes')
    return names


def datasets(cfg: Mapping) -> Iterator[MutableMapping]:
    """Yield the data sets of all loaders, those that others wrap in their place."""
    for name in _LOADERS:
        if cfg.get(name):
            yield from _unwrapped(cfg[name]['dataset'])


def _unwrapped(dataset: Any) -> Iterator[MutableMapping]:
    inner = dataset.get('datasets') or dataset.get('dataset')
    if inner is None:
        yield dataset
        return
    for part in [inner] if isinstance(inner, Mapping) else inner:
        yield from _unwrapped(part)


def _listed(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of a list as typed; one with a comma stands in double quotes."""
    given = (
        next(csv.reader([classes], skipinitialspace=True), [])
        if isinstance(classes, str)
        else classes
    )
    names = tuple(str(name).strip() for name in given)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or '' in names or not names:
        raise ValueError(
            f'--classes {classes}: expected names parted by commas, each once; '
            + (f'{twice} are there twice' if twice else 'one is empty')
        )
    if len(names) == 1 and names[0].isdigit():
        raise ValueError(
            f'--classes {classes} would be one class of the name {names[0]}: give the names, '
            f'parted by commas, or {AUTO}'
        )
    return names


def read_classes(cfg: Config) -> tuple[str, ...]:
    """Return the classes that the training data states.

    Raises:
        ValueError: It states none, or parts of it others than the rest.
        FileNotFoundError: A folder or file is missing.
    """
    loader = cfg.get('train_dataloader') or cfg.test_dataloader
    found = {_stated(part) for part in _unwrapped(loader['dataset'])}
    if len(found) > 1:
        raise ValueError(
            f'--classes {AUTO}: the parts of the training data have different classes: '
            f'{sorted(map(list, found))}; give the names'
        )
    return found.pop()


def _stated(dataset: Mapping) -> tuple[str, ...]:
    given = dataset.get('data_root') or ''
    root = Path(given).expanduser()
    name = str(dataset['type']).rpartition('.')[2]
    if name == 'ImageFolders':
        known = ImageFolders(str(root), dataset.get('folder', 'train'), lazy_init=True).CLASSES
        if not known:
            raise FileNotFoundError(
                f'--classes {AUTO}: {root / dataset.get("folder", "train")} holds no class folders'
            )
        return tuple(known)
    if name.startswith('Coco'):
        return _categories(root / dataset['ann_file'])
    info = read_label_info(given if is_remote(given) else root)
    if info is None:
        raise FileNotFoundError(
            f'--classes {AUTO}: {root / INFO_FILE} does not exist, which would name the classes '
            '(tools/convert_dataset.py writes it): give the names, parted by commas'
        )
    return info.semantic_classes


def _categories(path: Path) -> tuple[str, ...]:
    """Return the names of a COCO json's categories in the order of their ids."""
    if not path.is_file():
        raise FileNotFoundError(f'--classes {AUTO}: {path} does not exist')
    try:
        categories = {int(one['id']): one['name'] for one in _read_categories(path)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f'--classes {AUTO}: {path} has no categories ({type(error).__name__}: {error}); '
            'expected a COCO json with a list of id and name'
        ) from error
    # Two of one name are left to the check of the file, which knows whether both are used.
    names = tuple(dict.fromkeys(str(categories[number]) for number in sorted(categories)))
    if not names:
        raise ValueError(
            f'--classes {AUTO}: {path} has no categories: expected some, or give names'
        )
    return names


def _read_categories(path: Path) -> Any:
    """Read the list of categories alone; the rest of COCO's file, 450 MB, takes many seconds."""
    text = read_text(path)
    starts = [match.end() for match in re.finditer(r'"categories"\s*:\s*(?=\[)', text)]
    if len(starts) == 1 and text[starts[0] : starts[0] + 2] != '[]':
        found, _ = json.JSONDecoder().raw_decode(text, starts[0])
        if all(isinstance(one, dict) and {'id', 'name'} <= one.keys() for one in found):
            return found
    return json.loads(text)['categories']  # there are several such lists, or odd ones


def _check_own_classes(dataset: Mapping, names: Sequence[str], scope: str | None) -> None:
    """Refuse names that a data set of fixed classes does not know; mmseg maps ids by them."""
    for maker in constructors(dataset['type'], scope):
        known = getattr(maker, 'METAINFO', {}).get('classes') if scope == 'mmseg' else None
        known = tuple(known or ())
        strange = [name for name in names if known and name not in known]
        if strange:
            raise ValueError(
                f'--classes: {dataset["type"]} has classes of its own, {strange[0]} is none (the '
                f'nearest: {nearest_names(strange[0], known)}); for masks of your own take '
                'configs/seg/upernet_own_data.py, or BaseSegDataset'
            )


def _metainfo(old: Mapping, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the description of a data set; colours of other classes are dropped."""
    new = {**old, 'classes': names}
    if len(old.get('palette') or ()) != len(names):
        new.pop('palette', None)
    return new


def _set_counts(part: Any, number: int) -> bool:
    """Set num_classes of all parts of a model but the backbone; tell whether there are any."""
    found = False
    if isinstance(part, MutableMapping):
        if isinstance(part.get('num_classes'), int):
            part['num_classes'], found = number, True
        if isinstance(part.get('topk'), int | list | tuple):
            part['topk'] = fitting_topk(part['topk'], number)
        inner = [value for key, value in part.items() if key != 'backbone']
    else:
        inner = list(part) if isinstance(part, list | tuple) else []
    return any([found, *(_set_counts(value, number) for value in inner)])


def fitting_topk(topk: int | Sequence[int], number: int) -> int | tuple[int, ...]:
    """Return those k for which being among the first k of a number of classes says something."""
    if isinstance(topk, int):
        return topk if topk < number else 1
    return tuple(k for k in topk if k < number) or (1,)


def _set_folders(cfg: Config, names: tuple[str, ...]) -> None:
    for part in datasets(cfg):
        if not takes_field(part, 'classes', cfg.get('default_scope')):
            raise ValueError(
                f'--classes: {part["type"]} takes no classes; use ImageFolders (class folders)'
            )
        if part.get('classes') != names:
            part['classes'] = list(names)
            if 'expected' in part:  # the number of photographs of the set that it was
                part['expected'] = None


def _set_metrics(cfg: Config, number: int) -> None:
    for path, part in typed_parts(cfg):
        if path.startswith(('val_evaluator', 'test_evaluator')):
            if 'topk' in part:
                part['topk'] = fitting_topk(part['topk'], number)
            if isinstance(part.get('num_classes'), int):
                part['num_classes'] = number


def _set_semantic(cfg: Config, number: int) -> bool:
    """Set the classes of the semantic map that pre-training reads and predicts."""
    maps = cfg.model.get('backbone', {}).get('granularities') or {}
    if 'num_classes' not in maps.get('semantic', {}):
        return False
    if any(part['type'] == 'SemanticFromInstance' for _, part in typed_parts(cfg)):
        raise ValueError(
            '--classes: this config makes its semantic maps from the masks (object or not); for '
            'maps with classes take configs/pretrain/c2fmae_own_maps.py'
        )
    maps['semantic']['num_classes'] = number
    for _, part in typed_parts(cfg):
        if part['type'] == 'LoadMultiGranular' and 'semantic' in (part.get('num_classes') or {}):
            part['num_classes']['semantic'] = number
    return True
