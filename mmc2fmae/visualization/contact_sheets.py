"""Contact sheets of a dataset: photographs, instances, semantic classes and overlays."""

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from PIL import Image

from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.datasets.transforms import crop_labels
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import write_atomically
from mmc2fmae.images.opening import UNREADABLE, open_image
from mmc2fmae.images.orientation import stored, turn
from mmc2fmae.images.rgb import upright_rgb
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.preparation.photograph_checks import reason_of
from mmc2fmae.visualization.colours import instance_colours, semantic_palette

SIDE = 400
"""Long side of a picture on the sheet in pixels."""
DPI = 150
SPECK = 0.002
"""Share of a picture below which a number would hide what it names."""
LISTED = 9
"""Instances that the caption of a photograph lists."""


class Tile(NamedTuple):
    """A photograph at the size of the sheet; a part that cannot be shown is a text that says why.

    Args:
        photo: (h, w, 3) uint8.
        instance: (h, w) ids, or None without that granularity.
        semantic: (h, w) ids, or None without that granularity.
    """

    photo: np.ndarray | str
    instance: np.ndarray | str | None
    semantic: np.ndarray | str | None


def fit(width: int, height: int, side: int = SIDE) -> tuple[int, int]:
    """Return the width and height of a picture whose long side is ``side``."""
    scale = side / max(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def read_tile(name: str, layout: Layout) -> Tile:
    """Read a photograph and its maps at the size of the sheet.

    A large JPEG is decoded at a fraction of its size; maps are decimated by nearest neighbour.

    Args:
        name: Path relative to the folder of the photographs.
        layout: Where things lie.
    """
    parts: dict[str, Any] = dict(photo='', instance=None, semantic=None)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        path = layout.path('rgb', name)
        try:
            with open_image(path) as image:
                width, height, orientation = header = stored(image)
                image.draft(None, fit(width, height))
                size = fit(*header.upright)
                image = upright_rgb(image).resize(size, Image.Resampling.BICUBIC)
                parts['photo'] = np.asarray(image)
        except UNREADABLE as error:
            return Tile(**parts | dict(photo=f'cannot be read: {reason_of(error, path)}'))
        for granularity in layout.granularities:
            path = layout.path(granularity, name)
            labels = _read_map(path, (width, height), fit(width, height))
            if isinstance(labels, np.ndarray):
                labels = turn(labels, orientation)
            parts[granularity] = labels
    return Tile(**parts)


def outlines(labels: np.ndarray) -> np.ndarray:
    """Return (h, w) bool, True where the right or lower neighbour has another id."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def class_colours(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colour class ids; unknown pixels are hatched, ids beyond 8 bits count as unknown."""
    labels = np.minimum(labels, IGNORE)
    rows, columns = np.indices(labels.shape)
    hatch = np.where((rows + columns) // 6 % 2, 235, 190).astype(np.uint8)[..., None]
    return np.where(labels[..., None] == IGNORE, hatch, palette[labels])


def overlay(photo: np.ndarray, colours: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Blend half of ``colours`` over a photograph where ``where`` (h, w) is True."""
    mixed = (photo.astype(np.uint16) + colours) // 2
    return np.where(where[..., None], mixed, photo).astype(np.uint8)


def draw_sheets(
    records: Sequence[Mapping[str, Any]],
    layout: Layout,
    classes: Sequence[str],
    out: str | Path,
    rows: int = 12,
    note: str = '',
) -> list[Path]:
    """Draw photographs with their maps, one row each, into as many pages as they need.

    Args:
        records: Their lines of the manifest, or what is known of them; 'path' is needed.
        layout: Where things lie.
        classes: Names of the semantic classes in the order of their ids.
        out: A picture (.png, .pdf, ...) or a folder of PNGs; of several pages of one picture each
            has a number.
        rows: Photographs on a page.
        note: Line below the pictures, e.g. how they were chosen.

    Returns:
        The pages.

    Raises:
        DatasetError: ``out`` ends in something that is no picture.
    """
    pages = [records[i : i + rows] for i in range(0, len(records), rows)]
    paths = page_paths(out, len(pages))
    for number, (path, page) in enumerate(zip(paths, pages, strict=True), 1):
        figure = draw_sheet(page, layout, classes, f'page {number} of {len(pages)}.  {note}')
        data = io.BytesIO()
        figure.savefig(data, format=path.suffix[1:], dpi=DPI)
        write_atomically(data.getvalue(), path)
    return paths


def page_paths(out: str | Path, number: int) -> list[Path]:
    """Return where the pages go: ``OUT.png``, ``OUT_001.png``, ... or ``OUT/page_001.png``, ...

    Args:
        out: A picture, or a folder.
        number: Number of pages.

    Raises:
        DatasetError: ``out`` ends in something that is no picture.
    """
    out = Path(out)
    if not out.suffix or out.is_dir():
        return [out / f'page_{i:03d}.png' for i in range(1, number + 1)]
    known = Figure().canvas.get_supported_filetypes()
    if out.suffix[1:] not in known:
        raise DatasetError(
            f'{out} is neither a folder nor a picture of a known kind: expected one of '
            f'{", ".join(f".{kind}" for kind in sorted(known))}'
        )
    if number == 1:
        return [out]
    return [out.with_name(f'{out.stem}_{i:03d}{out.suffix}') for i in range(1, number + 1)]


def draw_sheet(
    records: Sequence[Mapping[str, Any]], layout: Layout, classes: Sequence[str], note: str = ''
) -> Figure:
    """Draw one page; see :func:`draw_sheets`."""
    titles = ['photograph']
    titles += ['instances', 'on the photograph'] * ('instance' in layout.folders)
    titles += ['semantic classes', 'on the photograph'] * ('semantic' in layout.folders)
    palette, seen = semantic_palette(classes), set()
    picture, caption, gap, head = 2.4, 2.7, 0.08, 0.3
    width = len(titles) * (picture + gap) + caption + gap
    tiles = [read_tile(record['path'], layout) for record in records]
    heights = [_height(tile, picture) for tile in tiles]
    for tile in tiles:
        if isinstance(tile.semantic, np.ndarray):
            seen |= set(np.unique(np.minimum(tile.semantic, IGNORE)).tolist())
    columns = max(int((width - 0.2) / 2.1), 1)
    legend = 0.2 * -(-len(seen) // columns) + 0.15 if seen else 0.0
    height = head + sum(heights) + gap * len(heights) + legend + 0.3
    figure = Figure(figsize=(width, height), facecolor='white')

    def axes(left: float, top: float, wide: float, tall: float) -> Axes:
        box = (left / width, 1 - (top + tall) / height, wide / width, tall / height)
        ax = figure.add_axes(box)
        ax.axis('off')
        return ax

    for column, title in enumerate(titles):
        middle = gap + column * (picture + gap) + picture / 2
        figure.text(middle / width, 1 - 0.7 * head / height, title, ha='center', fontsize=10)
    top = head
    for record, tile, tall in zip(records, tiles, heights, strict=True):
        for column, (panel, ids) in enumerate(_panels(tile, palette)):
            ax = axes(gap + column * (picture + gap), top, picture, tall)
            _show(ax, panel)
            if ids is not None:
                _number(ax, ids)
        _caption(axes(width - caption, top, caption - gap, tall), record, tall)
        top += tall + gap
    if seen:
        box = axes(gap, top, width - 2 * gap, legend)
        handles = [_handle(i, classes, palette) for i in sorted(seen)]
        shown = box.legend(handles=handles, loc='upper left', ncols=columns, fontsize=8,
                           frameon=False, borderaxespad=0, handlelength=1.2)  # fmt: skip
        for text in shown.get_texts():
            text.set_parse_math(False)
    figure.text(gap / width, 0.1 / height, _plain(note), fontsize=8, parse_math=False, color='0.35')
    return figure


def _read_map(path: Path, stored: tuple[int, int], size: tuple[int, int]) -> np.ndarray | str:
    try:
        labels = read_label_map(str(path))
    except UNREADABLE as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return 'no map'
        return f'cannot be read: {reason_of(error, path)}'
    if labels.shape[::-1] != stored:
        height, width = labels.shape
        return f'map is {width} x {height}, photograph is {stored[0]} x {stored[1]}'
    return crop_labels(labels, (0, 0, *stored), size[::-1])


def _height(tile: Tile, picture: float) -> float:
    """Height of a row in inches: that of the photograph, but room for a caption."""
    if isinstance(tile.photo, str):
        return 1.0
    height, width = tile.photo.shape[:2]
    return min(max(picture * height / width, 1.5), picture)


def _panels(tile: Tile, palette: np.ndarray) -> list[tuple[np.ndarray | str, np.ndarray | None]]:
    """Return the pictures of a row, each with the (h, w) ids to write on it, -1 for none."""
    panels: list[tuple[np.ndarray | str, np.ndarray | None]] = [(tile.photo, None)]
    maps = (
        (tile.instance, 0, instance_colours),
        (tile.semantic, IGNORE, partial(class_colours, palette=palette)),
    )
    for labels, blank, colour in maps:
        if isinstance(labels, str):
            panels += [(labels, None)] * 2
        elif labels is not None and isinstance(tile.photo, np.ndarray):
            colours, edge, shown = colour(labels), outlines(labels)[..., None], labels != blank
            ids = np.where(shown, labels.astype(np.int32), -1)
            for picture in (colours, overlay(tile.photo, colours, shown)):
                panels.append((np.where(edge, 255, picture).astype(np.uint8), ids))
    return panels


def _show(ax: Axes, panel: np.ndarray | str) -> None:
    if isinstance(panel, str):
        text = _plain('\n'.join(textwrap.wrap(panel, 34)[:6]))
        ax.text(0.5, 0.5, text, ha='center', va='center', fontsize=8, color='#b00000',
                parse_math=False, transform=ax.transAxes)  # fmt: skip
    else:
        ax.imshow(panel, interpolation='antialiased')
        ax.set_anchor('N')


def _number(ax: Axes, labels: np.ndarray) -> None:
    """Write each id onto what has it, at the pixel farthest from its border."""
    outline = [withStroke(linewidth=1.6, foreground='black')]
    for i in np.unique(labels[labels >= 0]).tolist():
        inside = np.pad(labels == i, 1).astype(np.uint8)  # the picture's border counts, too
        if inside.sum() < labels.size * SPECK:
            continue
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        row, column = (int(n) for n in np.unravel_index(depth.argmax(), depth.shape))
        ax.text(column, row, str(i), fontsize=7, color='white', ha='center', va='center',
                path_effects=outline)  # fmt: skip


def _caption(ax: Axes, record: Mapping[str, Any], tall: float) -> None:
    """Write path, numbers and the first instances with name and score beside a row."""
    lines = textwrap.wrap(_plain(record['path']), 38)[:3]
    keys = (
        ('threshold', 'threshold', '.2f'),
        ('instances cover', 'coverage', '.0%'),
        ('classes known', 'semantic_coverage', '.0%'),
        ('semantic score', 'semantic_score', '.2f'),
    )
    facts = [f'{name} {record[key]:{form}}' for name, key, form in keys if key in record]
    lines += textwrap.wrap(',  '.join(facts), 42)
    instances = record.get('instances')
    if instances is not None:
        lines.append(f'{len(instances)} instance{"" if len(instances) == 1 else "s"}')
        room = max(min(LISTED, int((tall - 0.05) / 0.125) - len(lines) - 1), 0)
        named = [one for one in instances if 'name' in one]
        for one in named[:room]:
            lines.append(textwrap.shorten(_plain(one['name']), 30) + f' {one["score"]:.2f}')
            lines[-1] = f'  {one["id"]}  {lines[-1]}'
        if len(named) > room:
            lines.append(f'  and {len(named) - room} more')
    ax.text(0, 1, '\n'.join(lines), va='top', fontsize=7.5, linespacing=1.25, parse_math=False,
            transform=ax.transAxes)  # fmt: skip


def _handle(number: int, classes: Sequence[str], palette: np.ndarray) -> Patch:
    if number == IGNORE:
        return Patch(facecolor='0.92', edgecolor='0.7', hatch='////', label='unknown')
    name = f'{number} {classes[number] if number < len(classes) else "(no class)"}'
    return Patch(color=palette[number] / 255, label=textwrap.shorten(_plain(name), 26))


def _plain(text: str) -> str:
    """Make a name printable, also where its bytes are not UTF-8."""
    return text.encode(errors='backslashreplace').decode()
