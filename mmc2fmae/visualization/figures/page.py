"""A page of pictures in rows and columns, for print: vector text, pictures pixel by pixel."""

import io
import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmc2fmae.env import collect
from mmc2fmae.files import write_atomically

WIDTH = 7.16
"""Width of a figure over both columns of an IEEE page, in inches."""

STYLE: dict[Any, Any] = {  # matplotlib 3.8 has no type for its keys yet
    'font.family': 'DejaVu Sans',  # comes with matplotlib: the same on every machine
    'font.size': 7,
    'axes.titlesize': 7,
    'axes.labelsize': 7,
    'xtick.labelsize': 6,
    'ytick.labelsize': 6,
    'legend.fontsize': 6,
    'axes.linewidth': 0.6,
    'lines.linewidth': 1.4,
    'pdf.fonttype': 42,  # text stays text, also for journals that refuse Type 3 fonts
}
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7')
"""Colours that the colour-blind tell apart (Okabe and Ito)."""

_SMALL, _LETTER = 6, 0.052  # points of small text, and about its inches a letter
_LINE, _GAP, _GROUP_GAP = 0.125, 0.03, 0.11  # inches
_LEAST, _LARGEST = 0.2, 1.3  # inches of a picture
_LEAST_DPI, _CURVES_DPI = 300, 600


class Page:
    """A grid of square pictures with headings, names of rows, a legend and notes.

    Args:
        groups: Headings and their columns, ``[('rgb', ['visible', 'predicted']), ...]``; an empty
            heading or column title leaves its place free.
        rows: Names of the rows.
        native: Pixels along a side of the largest picture: a PNG shows each as whole dots.
        legend: Names and colours (RGB in 0 to 255).
        bar: Colour map and value of its lightest colour, for a colour bar from 0.
        notes: Sentences under the pictures.
        captions: Leave room for :meth:`caption` under every picture.
        width: Most inches across; pictures grow to 1.3 inches and no further.

    Raises:
        ValueError: The width leaves no room for the pictures.
    """

    def __init__(
        self,
        groups: Sequence[tuple[str, Sequence[str]]],
        rows: Sequence[str],
        native: int,
        legend: Sequence[tuple[str, Sequence[int]]] = (),
        bar: tuple[str, float] | None = None,
        notes: Sequence[str] = (),
        captions: bool = False,
        width: float = WIDTH,
    ) -> None:
        columns = [title for _, titles in groups for title in titles]
        left = 1.25 * _LINE if any(rows) else 0.0
        gaps = (len(columns) - len(groups)) * _GAP + (len(groups) - 1) * _GROUP_GAP
        tile = min((width - left - gaps) / len(columns), _LARGEST)
        if tile < _LEAST:
            raise ValueError(
                f'{width:g} inches are too narrow for {len(columns)} columns: widen it'
            )
        width = left + gaps + tile * len(columns)  # a page of few columns is narrower
        # Whole dots a pixel, and everything on whole dots: no pixel is doubled or lost.
        dots = native * math.ceil(_LEAST_DPI * tile / native)
        self.dpi = dots / tile
        self.tile, self.width, self.left = tile, width, left
        self._headings(groups, bool(any(title for title, _ in groups)), any(columns))
        self.row_step = tile + _GAP + (_LINE if captions else 0)
        self.notes = self._wrap(' '.join(filter(None, notes)))
        self.legend = list(legend)
        self._fit_legend()
        legend_rows = math.ceil(len(self.legend) / self.legend_columns)
        bottom = _LINE * (legend_rows + 2 * bool(bar) + 0.3 + len(self.notes)) + 0.02
        self.height = self.top + len(rows) * self.row_step + bottom
        with rc_context(STYLE):
            self.figure = Figure(figsize=(width, self.height), dpi=self.dpi)
            self._write_headings(groups)
            for row, name in enumerate(rows):
                y = self.top + row * self.row_step + tile / 2
                self._text(0.4 * _LINE, y, shorten(name, tile), rotation=90, fontsize=_SMALL)
            self._write_bottom(legend_rows, bar)

    def show(self, row: int, column: int, picture: np.ndarray) -> Axes:
        """Show a (S, S, 3) uint8 picture; returns its axes, in pixels of the picture."""
        x, y = self.x[column], self.top + row * self.row_step
        box = [round(v * self.dpi) for v in (x, self.height - y - self.tile, self.tile)]
        size = [v * self.dpi for v in (self.width, self.height)]
        ax = self.figure.add_axes(
            (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[2] / size[1])
        )
        ax.imshow(picture, interpolation='none')
        ax.axis('off')
        return ax

    def caption(self, row: int, column: int, text: str) -> None:
        """Write a short line under a picture."""
        with rc_context(STYLE):
            y = self.top + row * self.row_step + self.tile + 0.5 * _LINE
            self._text(self.x[column] + self.tile / 2, y, text, fontsize=_SMALL - 1)

    def _headings(self, groups: Sequence, grouped: bool, titled: bool) -> None:
        """Set the left edge of every column and the height of the headings."""
        self.x, x = [], self.left
        for _, titles in groups:
            for _ in titles:
                self.x.append(x)
                x += self.tile + _GAP
            x += _GROUP_GAP - _GAP
        self.top = _LINE * (1.35 * grouped + titled) + 0.05

    def _write_headings(self, groups: Sequence) -> None:
        first = 0
        for heading, titles in groups:
            start, end = self.x[first], self.x[first + len(titles) - 1] + self.tile
            if heading:
                self._text((start + end) / 2, 0.65 * _LINE, shorten(heading, end - start, 7))
                y = self.height - 1.25 * _LINE
                self._rectangle((start, y), end - start, 0, lw=0.5, ec='0.3', fc='none')
            for column, title in enumerate(titles, first):
                middle, y = self.x[column] + self.tile / 2, self.top - 0.55 * _LINE
                self._text(middle, y, shorten(title, self.tile, 7))
            first += len(titles)

    def _write_bottom(self, legend_rows: int, bar: tuple[str, float] | None) -> None:
        y = self.height - 0.02 - _LINE * (len(self.notes) + 0.3 + legend_rows + 2 * bool(bar))
        step = self.legend_step
        for i, (name, colour) in enumerate(self.legend):
            x = self.left + (i % self.legend_columns) * step
            line = y + (i // self.legend_columns + 0.5) * _LINE
            style = dict(fc=np.array(colour) / 255, ec='0.4', lw=0.4)
            self._rectangle((x, self.height - line - 0.035), 0.13, 0.075, **style)
            self._text(x + 0.17, line, shorten(name, step - 0.2), ha='left', fontsize=_SMALL)
        y += legend_rows * _LINE
        if bar:
            name, top = bar
            size = (0.3, 0.55 * _LINE / self.height)
            ax = self.figure.add_axes((0.35, 1 - (y + 0.75 * _LINE) / self.height, *size))
            ax.imshow(np.linspace(0, 1, 256)[None], name, aspect='auto', extent=(0, top, 0, 1))
            ax.set_yticks([])
            ax.tick_params(length=2, width=0.5, pad=1)
            y += 2 * _LINE
        for i, note in enumerate(self.notes):
            at = y + (i + 0.8) * _LINE
            self._text(self.left, at, note, ha='left', fontsize=_SMALL, color='0.25')

    def _rectangle(self, corner: tuple[float, float], width: float, height: float, **style) -> None:
        """Draw a rectangle at inches from the left and from the bottom."""
        artist = Rectangle(corner, width, height, **style)
        artist.set_transform(self.figure.dpi_scale_trans)
        self.figure.add_artist(artist)

    def _text(self, x: float, y: float, text: str, **style) -> None:
        """Write text at inches from the left and from the top."""
        style = dict(ha='center', va='center') | style
        self.figure.text(x / self.width, 1 - y / self.height, text, **style)

    def _wrap(self, text: str) -> list[str]:
        return textwrap.wrap(text, int((self.width - self.left) / (0.88 * _LETTER)))

    def _fit_legend(self) -> None:
        """Set how many names stand side by side, and how far apart they begin."""
        longest = max((len(name) for name, _ in self.legend), default=0)
        self.legend_step = min(0.3 + _LETTER * longest, self.width - self.left)
        self.legend_columns = int((self.width - self.left) / self.legend_step)


def shorten(text: str, inches: float, points: float = _SMALL) -> str:
    """Cut the middle out of a text that is too long for a width."""
    most = max(5, int(inches / (_LETTER * points / _SMALL)))
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f'{text[:head]}…{text[len(text) - (most - 1 - head) :]}'


def save_figure(drawn: Page | Figure, out: str | Path, record: dict) -> list[Path]:
    """Write a figure as PNG and PDF, and beside them what made it as JSON; equal bytes each time.

    The record stays out of the pictures: they go into papers, which may be anonymous.

    Args:
        drawn: The figure.
        out: File name; its suffix, .png or .pdf, does not matter.
        record: What the figure shows, JSON types; versions and commit are added.

    Returns:
        The files.
    """
    figure, dpi = (drawn.figure, drawn.dpi) if isinstance(drawn, Page) else (drawn, _CURVES_DPI)
    stem = Path(out)
    stem = stem.with_suffix('') if stem.suffix.lower() in ('.png', '.pdf') else stem
    files = {}
    with rc_context(STYLE):
        for suffix, options in (
            ('.png', dict(dpi=dpi)),
            ('.pdf', dict(dpi=dpi, metadata={'CreationDate': None})),
        ):
            data = io.BytesIO()
            figure.savefig(data, format=suffix[1:], **options)
            files[stem.with_name(stem.name + suffix)] = data.getvalue()
    found = collect()
    record = record | {key: found[key] for key in ('commit', 'dirty', 'versions', 'python')}
    files[stem.with_name(stem.name + '.json')] = json.dumps(record, indent=1).encode()
    for path, content in files.items():
        write_atomically(content, path)
    return list(files)
