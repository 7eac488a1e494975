"""Put a dataset of scenes on disk: whole or not at all, and once only."""

import glob
import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from mmc2fmae.files import require_room
from mmc2fmae.scenes.files import SPLITS, coco_file, make_folders
from mmc2fmae.scenes.jobs import write_all
from mmc2fmae.scenes.spec import PALETTE, STUFF, THINGS, SceneSpec
from mmc2fmae.texts import read_text

VERSION = 1  # of the drawing: raise it when equal settings no longer give equal scenes
GENERATOR = 'mmc2fmae.datasets.scenes'  # as data sets on disk say it, whatever moves here

_MOST = 1_000_000  # scenes of a split; names have six digits
_FILES_PER_SCENE = 5
_CHECK = (
    'find . -type f ! -path ./meta.json | LC_ALL=C sort | tr "\\n" "\\0" '
    '| xargs -0 sha256sum | sha256sum'
)


def write_scenes(
    out: str | Path,
    spec: SceneSpec | None = None,
    num_train: int = 4000,
    num_val: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Write a dataset of scenes, or find that it is there already.

    Scene number i of a split depends on `spec`, `seed`, the split and i alone. The dataset is
    made in a hidden folder beside `out` and renamed at the end, so `out` is never half-made.

    Args:
        out: Folder to create.
        spec: Settings of the scenes; the defaults when None.
        num_train: Scenes to train on, 1 to 1,000,000.
        num_val: Scenes to validate on, 0 to 1,000,000.
        seed: 0 to 2**32 - 1.
        workers: Processes; when None one for each core, fewer for few scenes.
        overwrite: Whether to replace another dataset of scenes found at `out`.
        quiet: Show no progress bar.

    Returns:
        Path: `out`, absolute.

    Raises:
        ValueError: A number is of the wrong type or out of range.
        FileExistsError: `out` holds something else and `overwrite` is off, or something that
            is no dataset of scenes.
        OSError: The disk is full, or `out` cannot be written.
    """
    spec = SceneSpec() if spec is None else spec
    _check_int('num_train', num_train, 1, _MOST)
    _check_int('num_val', num_val, 0, _MOST)
    _check_int('seed', seed, 0, 2**32 - 1)
    counts = {'train': int(num_train), 'val': int(num_val)}
    if workers is not None:
        _check_int('workers', workers, 1, 512)
    asked = _identity(spec, counts, int(seed))
    out = Path(out).expanduser().resolve()  # a link's target is replaced, not the link
    if _holds(out, asked, overwrite):
        return out

    out.parent.mkdir(parents=True, exist_ok=True)
    number = sum(counts.values())
    require_room(
        out.parent,
        number * (4 * 4096 + spec.size**2),  # four small files in blocks, and the photo
        f'{number} scenes of {spec.size} pixels',
        'ask for fewer or smaller scenes, or another folder',
    )
    _sweep(out)
    made = _sibling(out, 'making')
    try:
        made.mkdir()
        make_folders(str(made))
        scenes = write_all(
            str(made), spec, seed=int(seed), counts=counts, workers=workers, quiet=quiet
        )
        hashes = [pair for split in SPLITS for scene in scenes[split] for pair in scene.hashes]
        texts = {
            f'annotations/instances_{split}.json': json.dumps(coco_file(scenes[split], split))
            for split in SPLITS
        }
        texts['classes.txt'] = '\n'.join(THINGS) + '\n'
        for name, text in texts.items():
            (made / name).write_text(text, encoding='utf-8', newline='\n')
            hashes.append((name, sha256(text.encode()).hexdigest()))
        meta = asked | {
            'instances': {s: sum(len(x.annotations) for x in scenes[s]) for s in SPLITS},
            'things': THINGS,
            'stuff': STUFF,
            'palette': PALETTE,
            'digest': digest(hashes),
            'digest_command': _CHECK,
            'made_with': {'numpy': np.__version__, 'opencv': cv2.__version__},
        }
        (made / 'meta.json').write_text(json.dumps(meta, indent=2) + '\n', encoding='utf-8')
        _put(made, out, asked, overwrite)
    finally:
        # Also after Ctrl-C; after a success there is nothing left to remove.
        shutil.rmtree(made, ignore_errors=True)
    return out


def digest(hashes: list[tuple[str, str]]) -> str:
    """SHA-256 over a listing of files (path, SHA-256), as the shell command in meta.json."""
    lines = (f'{code}  ./{path}\n' for path, code in sorted(hashes))
    return sha256(''.join(lines).encode()).hexdigest()


def _identity(spec: SceneSpec, counts: dict[str, int], seed: int) -> dict:
    asked = {
        'generator': GENERATOR,
        'version': VERSION,
        'seed': seed,
        'counts': counts,
        'spec': asdict(spec),
    }
    return json.loads(json.dumps(asked))  # lists for tuples, as read back from disk


def _check_int(name: str, value: int, low: int, high: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not low <= value <= high:
        raise ValueError(f'{name}: got {value!r}, expected an integer from {low} to {high}')


def _holds(out: Path, asked: dict, overwrite: bool) -> bool:
    """Whether `out` holds exactly what is asked; an error if it holds what may not be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    meta = _read_meta(out)
    if meta is None:
        raise FileExistsError(
            f'{out}: exists and is no dataset of scenes (no meta.json by {GENERATOR}), so it is '
            'never overwritten; choose another folder or remove it yourself'
        )
    differing = [key for key in asked if meta.get(key) != asked[key]]
    if not differing:
        have, want = _count_files(out), _FILES_PER_SCENE * sum(asked['counts'].values()) + 4
        if have >= want:  # more may be a file manager's
            return True
        problem = f'holds the dataset asked for, but {have} files, expected {want}'
    else:
        problem = 'holds other scenes: ' + '; '.join(
            f'{key} there {_brief(meta.get(key), asked[key])}, '
            f'asked {_brief(asked[key], meta.get(key))}'
            for key in differing
        )
    if not overwrite:
        raise FileExistsError(f'{out}: {problem}; pass --overwrite (overwrite=True) to replace it')
    return False


def _read_meta(out: Path) -> dict | None:
    try:
        meta = json.loads(read_text(out / 'meta.json'))
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and meta.get('generator') == GENERATOR else None


def _brief(value: object, other: object) -> object:
    """A setting without the entries that are the same in the other."""
    if not isinstance(value, dict) or not isinstance(other, dict):
        return value
    return {key: value[key] for key in value if other.get(key) != value[key]}


def _count_files(out: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(out))


def _sibling(out: Path, kind: str) -> Path:
    # On the same file system, so that a rename is all it takes; tokens keep processes apart.
    return out.with_name(f'.{out.name}.{kind}-{secrets.token_hex(4)}')


def _sweep(out: Path) -> None:
    """Remove what runs killed more than a day ago left beside `out`."""
    for left in out.parent.glob(f'.{glob.escape(out.name)}.making-*'):
        with suppress(OSError):  # gone already
            if time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left)


def _put(made: Path, out: Path, asked: dict, overwrite: bool) -> None:
    """Move the finished folder to `out`, unless another process was faster."""
    if _holds(out, asked, overwrite):
        return
    old = _sibling(out, 'old') if out.exists() else None
    if old:
        out.rename(old)
    try:
        made.rename(out)
    except OSError:
        if old and not out.exists():
            old.rename(out)  # as it was
            raise
        if not _holds(out, asked, overwrite=False):
            raise
    if old:
        shutil.rmtree(old, ignore_errors=True)
