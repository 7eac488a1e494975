"""What the maps of a dataset mean: ``labels.json`` beside them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmc2fmae.datasets.bundle_folders import is_remote, join_address, open_folder
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import AnyPath, write_atomically
from mmc2fmae.label_ids import check_num_classes
from mmc2fmae.texts import read_text

INFO_FILE = 'labels.json'


def manifest_path(root: AnyPath, split: str) -> Path:
    """Return where the record of a split's pseudo-labels lies, one JSON line a photograph."""
    return Path(root, f'manifest_{split}.jsonl')


class LabelInfo(NamedTuple):
    """What the maps of a dataset mean; kept beside them as ``labels.json``.

    Args:
        semantic_classes: Names of the semantic ids from 0; 255 is unknown.
        source: What made the maps, JSON types.
    """

    semantic_classes: tuple[str, ...]
    source: dict

    def write(self, root: AnyPath) -> None:
        """Write ``ROOT/labels.json``."""
        write_atomically(json.dumps(self._asdict(), indent=1).encode(), Path(root, INFO_FILE))


def label_info(classes: Sequence[str], source: dict) -> LabelInfo:
    """Return the description of maps of these classes.

    Raises:
        ValueError: There are fewer than 2 or more than 255 classes.
    """
    check_num_classes('semantic', len(classes))
    return LabelInfo(tuple(classes), source)


def read_label_info(root: AnyPath) -> LabelInfo | None:
    """Read ``ROOT/labels.json``, ROOT being a folder or an address; None where there is none.

    Raises:
        DatasetError: The file is damaged.
    """
    path = join_address(str(root), INFO_FILE)
    try:
        text: str | bytes | None
        text = open_folder(str(root)).read(INFO_FILE) if is_remote(path) else read_text(path)
        if text is None:
            return None
        content = json.loads(text)
        return label_info(content['semantic_classes'], content['source'])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{path} is damaged ({error!r}): expected the keys semantic_classes and source'
        ) from error
