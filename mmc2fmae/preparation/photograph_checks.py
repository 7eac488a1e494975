"""What can be wrong with a photograph and its label maps, one photograph at a time."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmc2fmae.datasets.sample_io import read_label_map, read_rgb
from mmc2fmae.errors import SampleError, first_names
from mmc2fmae.files import AnyPath
from mmc2fmae.images.opening import LARGE_PIXELS, UNREADABLE, ends_whole, open_image
from mmc2fmae.images.orientation import Stored, stored
from mmc2fmae.images.rgb import brightest, nearly_black
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.label_maps import between_others, colours_of_ids, wide_ids
from mmc2fmae.preflight.orientation import undecided
from mmc2fmae.preparation.findings import Finding
from mmc2fmae.preparation.folders import Expected, Layout
from mmc2fmae.preparation.statistics import Statistics


class Rules(NamedTuple):
    """What maps have to be like.

    Args:
        num_instances: Instance classes of the model, background included.
        classes: Names of the semantic classes in the order of their ids.
        rerank: Instance ids may be any, since training renumbers them.
        decode: Decode every photograph, not only those whose file ends unexpectedly.
    """

    num_instances: int = 32
    classes: tuple[str, ...] = ()
    rerank: bool = False
    decode: bool = False


class Photo(NamedTuple):
    """Header of a photograph: stored width and height, Pillow's mode, EXIF orientation (1 to 8).

    With what is odd about it, kind to detail.
    """

    width: int
    height: int
    mode: str
    orientation: int
    oddities: dict[str, str]


def reason_of(error: BaseException, path: AnyPath) -> str:
    """Return what went wrong with a file, without its path and without advice for training."""
    if isinstance(error, SampleError):
        if error.__cause__ is not None:
            return reason_of(error.__cause__, path)
        return error.told({}, with_path=error.path != str(path))
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def count_ids(labels: np.ndarray) -> np.ndarray:
    """Count the pixels of each id.

    Args:
        labels: (h, w) ids of any integer type, 0 or more.

    Returns:
        (largest id + 1,) int64; block by block, since a plain bincount takes 8 bytes a pixel.
    """
    flat = labels.ravel()
    counts = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
    for start in range(0, len(flat), 1 << 20):
        counts += np.bincount(flat[start : start + (1 << 20)], minlength=len(counts))
    return counts


def instance_problem(counts: np.ndarray) -> str:
    """Say in which way instance ids are not canonical (D10), or '' where they are.

    Args:
        counts: Pixels of each id from 0, the background.
    """
    areas, ids = counts[1:], np.flatnonzero(counts[1:]) + 1
    if ids.tolist() == [255]:
        return 'a mask of 0 and 255: save the object as 1'
    if len(ids) != len(areas):
        shown = ', '.join(map(str, ids[:8])) + (', ...' if len(ids) > 8 else '')
        return f'{len(ids)} instances, but the ids are {shown}'
    (rises,) = np.nonzero(np.diff(areas) > 0)
    if not len(rises):
        return ''
    i = int(rises[0])
    return (
        f'instance {i + 2} ({areas[i + 1]:,} pixels) is larger than {i + 1} ({areas[i]:,} pixels)'
    )


def read_header(path: AnyPath, decode: bool = False) -> Photo:
    """Read a photograph's header and see whether the file is whole.

    Args:
        path: Image file.
        decode: Decode it in any case; else only a file that does not end as its format does.

    Raises:
        SampleError: The file is missing, truncated, no image, or beyond Pillow's limit against
            decompression bombs; the message holds the reason alone.
    """
    try:
        with open_image(path) as image:
            brightest(image)  # refuses pixels of 32 bits
            width, height, orientation = stored(image)
            photo = Photo(width, height, image.mode, orientation, _oddities(image))
            whole = ends_whole(path, image)
        if decode or not whole:
            read_rgb(str(path))
    except UNREADABLE as error:
        raise SampleError(reason_of(error, path)) from error
    return photo


def _oddities(image: Image.Image) -> dict[str, str]:
    """Return what is read otherwise than it may be meant, kind to detail."""
    frames = getattr(image, 'n_frames', 1) if image.format != 'MPO' else 1
    profile = image.info.get('icc_profile') or b''
    found = dict(
        frames=f'{frames} frames or pages' if frames > 1 else '',
        profile='' if b'sRGB' in profile.replace(b'\0', b'') else f'of {len(profile):,} bytes',
        dark=nearly_black(image),
    )
    if not profile or image.mode not in ('RGB', 'RGBA', 'P'):
        del found['profile']
    return {kind: detail for kind, detail in found.items() if detail}


def check_photograph(
    name: str, layout: Layout, rules: Rules, expected: Expected | None = None
) -> tuple[Statistics, list[Finding]]:
    """Check a photograph and its maps.

    Args:
        name: Its path relative to the folder of the photographs.
        layout: Where things lie.
        rules: What maps have to be like.
        expected: What the manifest says, where there is one.

    Returns:
        What it and its maps are like, and what was found.
    """
    stats = Statistics()
    if expected and expected.error and not any(
        layout.path(g, name).exists() for g in layout.granularities
    ):  # fmt: skip
        return stats, [Finding('unlabelled', layout.file('rgb', name), expected.error)]
    try:
        photo = read_header(layout.path('rgb', name), rules.decode)
    except SampleError as error:
        return stats, [Finding('photograph', layout.file('rgb', name), str(error))]
    stats.add_photograph(photo.mode, photo.width, photo.height)
    findings = _photo_findings(photo, layout.file('rgb', name), expected)
    missing = []
    for granularity in layout.granularities:
        file = layout.file(granularity, name)
        try:
            labels = read_label_map(str(Path(layout.root, file)))
        except UNREADABLE as error:
            if isinstance(error.__cause__, FileNotFoundError):
                missing.append(granularity)
            else:
                findings.append(Finding('map', file, reason_of(error, Path(layout.root, file))))
            continue
        if labels.shape != (photo.height, photo.width):
            findings.append(Finding('size', file, _size_detail(labels.shape, photo)))
            continue
        counts = count_ids(labels)
        wide = wide_ids(labels)
        if granularity == 'instance':
            findings += _instance_findings(counts, wide, file, rules, expected)
            stats.add_instances(counts, rules.num_instances)
        elif granularity == 'semantic':
            findings += _semantic_findings(counts, file, rules)
            stats.add_classes(counts, wide)
            stats.add_palette(colours_of_ids(Path(layout.root, file)), counts)
    if missing:
        detail = f'no {" and no ".join(missing)} map'
        findings.append(Finding('missing', layout.file('rgb', name), detail))
    return stats, findings


def _photo_findings(photo: Photo, file: str, expected: Expected | None) -> list[Finding]:
    findings = [Finding(kind, file, detail) for kind, detail in photo.oddities.items()]
    size = f'{photo.width} x {photo.height}'
    if photo.orientation > 1:
        header = Stored(photo.width, photo.height, photo.orientation)
        kind = 'turned' if undecided(header) and not expected else 'rotated'
        findings.append(Finding(kind, file, f'EXIF orientation {photo.orientation}'))
    if photo.width * photo.height > LARGE_PIXELS:
        findings.append(Finding('huge', file, size))
    if expected and not expected.error and expected[1:3] != (photo.width, photo.height):
        said = f'{expected.width} x {expected.height}'
        findings.append(Finding('manifest', file, f'{size} pixels, the manifest says {said}'))
    return findings


def _instance_findings(
    counts: np.ndarray, wide: set[int], file: str, rules: Rules, expected: Expected | None
) -> list[Finding]:
    findings = []
    number = int(np.count_nonzero(counts[1:]))
    problem = '' if rules.rerank else instance_problem(counts)
    if problem:
        findings.append(Finding('ids', file, problem))
    between = between_others(set((np.flatnonzero(counts[1:]) + 1).tolist()), wide)
    if between and len(between) >= number / 2:
        findings.append(Finding('edges', file, f'ids {first_names(map(str, between))}'))
    if number == 0:
        findings.append(Finding('empty', file))
    if number >= rules.num_instances:
        findings.append(Finding('many', file, f'{number} instances'))
    if expected and not expected.error and number != expected.instances:
        detail = f'{number} instances, the manifest says {expected.instances}'
        findings.append(Finding('manifest', file, detail))
    return findings


def _semantic_findings(counts: np.ndarray, file: str, rules: Rules) -> list[Finding]:
    ids = np.flatnonzero(counts)
    outside = ids[(ids >= len(rules.classes)) & (ids != IGNORE)].tolist()
    if outside:
        detail = f'ids {outside[:8]}, expected 0 to {len(rules.classes) - 1} or {IGNORE}'
        return [Finding('classes', file, detail)]
    return [Finding('unknown', file)] if ids.tolist() == [IGNORE] else []


def _size_detail(shape: tuple[int, int], photo: Photo) -> str:
    detail = f'{shape[1]} x {shape[0]}, the photograph is {photo.width} x {photo.height}'
    if photo.orientation >= 5 and shape == (photo.width, photo.height):
        detail += f': the map is turned as EXIF orientation {photo.orientation} says'
    return detail
