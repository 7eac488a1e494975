"""Attention maps of any checkpoints side by side (Figure 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from mmpretrain.models import VisionTransformer
from torch import Tensor

from mmc2fmae.checkpoints import Preprocessing, build_backbone
from mmc2fmae.evaluation.features import FeatureOptions, check_options, split_tokens
from mmc2fmae.evaluation.image_files import ImageFiles
from mmc2fmae.visualization.figures.page import WIDTH, Page

HEAT, OVERLAY = 'viridis', 'inferno'
"""Colour maps whose lightness rises: they print in grey and suit the colour-blind."""


def attention_weights(vit: VisionTransformer, images: Tensor, block: int) -> Tensor:
    """Return the attention of a block, from the very queries and keys that it computes.

    Args:
        vit: Backbone of :func:`mmc2fmae.checkpoints.build_backbone`.
        images: (B, 3, H, W) prepared images.
        block: From 0; negative numbers count from the last.

    Returns:
        (B, heads, P + N, P + N), class tokens first; every row sums to 1.

    Raises:
        ValueError: There is no such block.
    """
    if not -vit.num_layers <= block < vit.num_layers:
        raise ValueError(f'no block {block}: the ViT has blocks 0 to {vit.num_layers - 1}')
    attention, caught = vit.layers[block].attn, []
    hook = attention.qkv.register_forward_hook(lambda _, __, output: caught.append(output))
    try:
        with torch.no_grad():
            vit(images)
    finally:
        hook.remove()
    q, k, _ = caught[0].unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(dim=-1)


Query = str | int | tuple[int, int]


def parse_query(text: str, grid: tuple[int, int]) -> Query:
    """Read a query: 'cls', 'mean' (over all patches), 'proxy:I' or 'ROW,COLUMN', all from 0.

    Args:
        text: 'cls' is the mean over all class tokens where there are several (SemanticMIM's
            proxies), 'proxy:I' one of them.
        grid: Rows and columns of patches.

    Returns:
        'cls', 'mean', the number of a class token, or the (row, column) of a patch.

    Raises:
        ValueError: It is none of them, or lies outside the grid.
    """
    if text in ('cls', 'mean'):
        return text
    try:
        if text.startswith('proxy:'):
            return int(text.removeprefix('proxy:'))
        row, column = (int(part) for part in text.split(','))
    except ValueError:
        raise ValueError(f"query {text!r}: expected 'cls', 'mean', proxy:I or ROW,COLUMN") from None
    if not (0 <= row < grid[0] and 0 <= column < grid[1]):
        raise ValueError(
            f'query {text} is outside of the {grid[0]} x {grid[1]} patches: rows are 0 to '
            f'{grid[0] - 1}, columns 0 to {grid[1] - 1}'
        )
    return row, column


def query_map(
    weights: Tensor, query: Query, grid: tuple[int, int], asked: tuple[int, int]
) -> Tensor:
    """Return where a query looks, relative to looking at all patches alike.

    Args:
        weights: (heads, P + N, P + N) attention.
        query: Result of :func:`parse_query`.
        grid: (rows, columns) of these patches.
        asked: Grid that the query was named in; another one is asked at the same place.

    Returns:
        (heads, rows, columns); the mean over all patches is 1. What goes to class tokens is left
        out.

    Raises:
        ValueError: There is no such class token.
    """
    of_class_tokens, of_patches = split_tokens(weights, grid)
    if isinstance(query, tuple):
        row, column = (int((q + 0.5) * g / a) for q, g, a in zip(query, grid, asked, strict=True))
        rows = of_patches[:, row * grid[1] + column]
    elif query == 'cls':
        rows = of_class_tokens.mean(dim=1)
    elif query == 'mean':
        rows = of_patches.mean(dim=1)
    elif query in range(of_class_tokens.shape[1]):
        rows = of_class_tokens[:, int(query)]
    else:
        raise ValueError(
            f'query proxy:{query}: the ViT has class tokens 0 to {of_class_tokens.shape[1] - 1}'
        )
    _, patches = split_tokens(rows, grid)
    return (patches / patches.mean(dim=1, keepdim=True)).unflatten(1, grid)


def choose_heads(maps: Tensor, heads: str) -> list[tuple[str, Tensor]]:
    """Choose among (heads, rows, columns) maps: 'mean', 'each' or numbers such as '0,3'.

    Returns:
        Titles and (rows, columns) maps.

    Raises:
        ValueError: There is no such head.
    """
    if heads == 'mean':
        return [('', maps.mean(dim=0))]
    try:
        chosen = range(len(maps)) if heads == 'each' else [int(n) for n in heads.split(',')]
    except ValueError:
        chosen = [-1]
    if not all(0 <= n < len(maps) for n in chosen):
        raise ValueError(
            f"heads {heads!r}: expected 'mean', 'each' or numbers from 0 to {len(maps) - 1}"
        )
    return [(f'head {n}', maps[n]) for n in chosen]


def to_photo(image: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Return a prepared (3, H, W) image as the (H, W, 3) uint8 pixels that it was made of."""
    std, mean = (torch.tensor(x).view(3, 1, 1) for x in (preprocessing.std, preprocessing.mean))
    pixels = 255 * (image * std + mean)
    return pixels.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


@dataclass
class Looks:
    """The attention of one checkpoint on some images.

    Attributes:
        label: What the checkpoint is called in a figure.
        weights: (heads, P + N, P + N) attention of every image.
        photos: The (H, W, 3) uint8 pixels that it saw.
        grid: Rows and columns of patches.
    """

    label: str
    weights: list[Tensor]
    photos: list[np.ndarray]
    grid: tuple[int, int]


def look_at(
    checkpoint: str | Path,
    images: Sequence[Path],
    label: str,
    block: int = -1,
    size: int | None = None,
    **stated: Any,
) -> Looks:
    """Compute the attention of a checkpoint.

    Args:
        checkpoint: Checkpoint of any house; see :func:`mmc2fmae.checkpoints.read_backbone`.
        images: Photographs.
        label: What to call it in a figure.
        block: See :func:`attention_weights`.
        size: Side of the input in pixels, by default the checkpoint's own.
        **stated: What the checkpoint does not say; see
            :func:`mmc2fmae.checkpoints.read_backbone`.

    Raises:
        ValueError: The block, the size or an image is wrong.
        CheckpointMismatch: The file is no checkpoint of a ViT.
    """
    vit, preprocessing = build_backbone(checkpoint, **stated)
    check_options(
        vit,
        (size, size) if size else preprocessing.size,
        FeatureOptions(blocks=(block,) if block >= 0 else ()),
    )
    patch = vit.patch_embed.projection.kernel_size[0]
    weights, photos = [], []
    files = ImageFiles(images, preprocessing.transform(size))
    for image in (files.read(i) for i in range(len(files))):
        weights.append(attention_weights(vit, image[None], block)[0])
        photos.append(to_photo(image, preprocessing))
    grid = tuple(side // patch for side in photos[0].shape[:2])
    return Looks(label, weights, photos, grid)


def draw_attention(
    looks: Sequence[Looks],
    names: Sequence[str],
    queries: Sequence[str] = ('cls',),
    heads: str = 'mean',
    styles: Sequence[str] = ('overlay',),
    shared_scale: bool = False,
    width: float = WIDTH,
) -> Page:
    """Draw attention maps: a row for each image and query, a column for each checkpoint.

    Args:
        looks: Results of :func:`look_at`.
        names: Names of the images.
        queries: See :func:`parse_query`; patches are those of the first checkpoint's grid.
        heads: See :func:`choose_heads`.
        styles: 'overlay', 'heat' or both.
        shared_scale: One scale for the whole figure, with a bar, in place of one for each map.
        width: Most inches across.

    Raises:
        ValueError: A query or head is wrong.
    """
    asked = looks[0].grid
    places = [parse_query(query, asked) for query in queries]
    rows = [
        [choose_heads(query_map(look.weights[i], place, look.grid, asked), heads) for look in looks]
        for i in range(len(names))
        for place in places
    ]
    top = max(float(values.max()) for row in rows for chosen in row for _, values in chosen)
    groups = [
        (
            look.label,
            [title if style == styles[0] else '' for title, _ in chosen for style in styles],
        )
        for look, chosen in zip(looks, rows[0], strict=True)
    ]
    if all(len(titles) == 1 for _, titles in groups):  # a single column is its own heading
        groups = [('', ['input', *(look.label for look in looks)])]
    else:
        groups = [('', ['input']), *groups]
    page = Page(
        groups,
        [name if len(places) == 1 else f'{name}, {q}' for name in names for q in queries],
        max(len(look.photos[0]) for look in looks),
        bar=(OVERLAY if styles[0] == 'overlay' else HEAT, top) if shared_scale else None,
        notes=[_explain(queries, heads, shared_scale)],
        width=width,
    )
    for r, row in enumerate(rows):
        i, place = r // len(places), places[r % len(places)]
        ax = page.show(r, 0, looks[0].photos[i])
        if isinstance(place, tuple):
            _mark(ax, place, len(looks[0].photos[i]) / asked[0])
        column = 1
        for look, chosen in zip(looks, row, strict=True):
            for _, values in chosen:
                limit = top if shared_scale else float(values.max())
                for style in styles:
                    page.show(r, column, picture_of(style, look.photos[i], values, limit))
                    column += 1
    return page


def picture_of(style: str, photo: np.ndarray, values: Tensor, top: float) -> np.ndarray:
    """Colour (rows, columns) values from 0 to ``top`` as 'heat' or as an 'overlay' of a photo.

    Args:
        style: 'heat' shows one square a patch; 'overlay' lies smoothed over the grey photograph.
        photo: (S, S, 3) uint8.
        values: Values of the patches.
        top: The value of the lightest colour.

    Returns:
        (S, S, 3) uint8.
    """
    shares = (values / top).clamp(0, 1)
    if style == 'heat':
        colours = (255 * matplotlib.colormaps[HEAT](shares.numpy())[..., :3]).round()
        cell = len(photo) // len(colours)
        return colours.astype(np.uint8).repeat(cell, 0).repeat(cell, 1)
    smooth = F.interpolate(shares[None, None], photo.shape[:2], mode='bilinear')[0, 0].numpy()
    colours = 255 * matplotlib.colormaps[OVERLAY](smooth)[..., :3]
    grey = (photo @ np.array([0.299, 0.587, 0.114]))[..., None]
    return (0.45 * grey + 0.55 * colours).round().astype(np.uint8)


def _explain(queries: Sequence[str], heads: str, shared_scale: bool) -> str:
    kinds = [
        'the class token' if 'cls' in queries else '',
        *(f'class token {q.removeprefix("proxy:")}' for q in queries if q.startswith('proxy:')),
        'all patches (mean)' if 'mean' in queries else '',
        'the marked patches' if any(',' in query for query in queries) else '',
    ]
    scale = (
        'one scale for all maps, in multiples of even attention'
        if shared_scale
        else 'each map from 0 to its own maximum'
    )
    over = '; mean over the heads' if heads == 'mean' else ''
    return f'Attention to the patches from {", ".join(filter(None, kinds))}{over}; {scale}.'


def _mark(ax: Axes, place: tuple[int, int], side: float) -> None:
    """Frame a patch, in black on white: seen on any photograph."""
    for colour, width in (('white', 1.8), ('black', 0.7)):
        corner = (place[1] * side - 0.5, place[0] * side - 0.5)
        ax.add_patch(Rectangle(corner, side, side, fc='none', ec=colour, lw=width))
