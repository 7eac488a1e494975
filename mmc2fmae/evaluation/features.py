"""Features of images from a plain ViT: which token, after which block, for any number of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmpretrain.models import VisionTransformer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from mmc2fmae.checkpoints import Preprocessing
from mmc2fmae.engine.halving import Halving
from mmc2fmae.evaluation.image_files import ImageFiles, stack_images
from mmc2fmae.parallel import be_a_worker, progress_bar

TOKENS = ('cls', 'mean', 'patches')


@dataclass(frozen=True)
class FeatureOptions:
    """How features are computed.

    Attributes:
        tokens: Which of 'cls' (class token, the mean of several), 'mean' (mean over patches),
            'patches' (the grid).
        blocks: After which blocks, from 0; () is the last one.
        size: Side of the square input in pixels; None is the checkpoint's.
        batch_size: Images of a forward pass.
        workers: Processes that read images.
        device: 'cpu', 'cuda', ...
        half: Compute under autocast to float16 and store float16; needs a GPU.
    """

    tokens: Sequence[str] = ('cls',)
    blocks: Sequence[int] = ()
    size: int | None = None
    batch_size: int = 64
    workers: int = 2
    device: str = 'cpu'
    half: bool = False


def block_tokens(vit: VisionTransformer, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """Return all tokens after some blocks.

    Args:
        vit: The backbone.
        images: (B, 3, H, W) prepared images.
        blocks: Blocks, from 0, ascending.

    Returns:
        A (B, P + N, D) tensor a block, class tokens first; the final norm is applied after the
        last block alone.
    """
    vit.out_type, vit.out_indices = 'raw', list(blocks)
    return list(vit(images))


def split_tokens(tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Split (B, P + N, ...) tokens into P class tokens and N = h w patches.

    Args:
        tokens: Tokens, class tokens first.
        grid: Rows and columns of patches, (h, w).
    """
    number = tokens.shape[1] - grid[0] * grid[1]
    return tokens[:, :number], tokens[:, number:]


def pool(tokens: Tensor, kind: str, grid: tuple[int, int]) -> Tensor:
    """Reduce (B, P + N, D) tokens to what was asked for.

    Args:
        tokens: Tokens, class tokens first.
        kind: 'cls' or 'mean' give (B, D), 'patches' gives (B, h, w, D).
        grid: Rows and columns of patches, (h, w).
    """
    cls_tokens, patches = split_tokens(tokens, grid)
    if kind == 'cls':
        return cls_tokens.mean(dim=1)
    if kind == 'mean':
        return patches.mean(dim=1)
    return patches.unflatten(1, grid)


def check_options(vit: VisionTransformer, size: tuple[int, int], options: FeatureOptions) -> None:
    """Check options before a long run.

    Args:
        vit: The backbone.
        size: Height and width of its input in pixels.
        options: The options.

    Raises:
        ValueError: An option does not fit the backbone or the machine.
    """
    strangers = [b for b in options.blocks if not 0 <= b < vit.num_layers]
    if strangers:
        raise ValueError(f'no block {strangers}: the ViT has blocks 0 to {vit.num_layers - 1}')
    unknown = sorted(set(options.tokens) - set(TOKENS))
    if unknown or not options.tokens:
        raise ValueError(f'tokens {unknown}: expected some of {TOKENS}')
    projection = vit.patch_embed.projection
    patch = projection.kernel_size[0]
    if any(type(side) is not int or side < 1 or side % patch for side in size):
        raise ValueError(f'size {size} is no multiple of the patch {patch}')
    if options.batch_size < 1 or options.workers < 0:
        raise ValueError(
            f'batch_size is {options.batch_size} and workers {options.workers}: expected 1 or more '
            'and 0 or more'
        )
    if projection.in_channels != 3:
        raise ValueError(f'the ViT reads {projection.in_channels} channels, photographs have 3')
    if options.half and not options.device.startswith('cuda'):
        raise ValueError(f'half precision is for GPUs, the device is {options.device}')


def iterate_features(
    vit: VisionTransformer,
    preprocessing: Preprocessing,
    paths: Sequence[Path | Image.Image],
    options: FeatureOptions,
    unreadable: dict[int, str] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Compute features batch by batch, in the order of the files, with a progress bar.

    Where the ViT has a norm of pooled features (fine-tuned MAE, BEiT), the mean of the last block
    passes through it, as in the model it was trained in.

    Args:
        vit: Backbone of :func:`mmc2fmae.checkpoints.build_backbone`.
        preprocessing: Its preprocessing.
        paths: Images.
        options: How.
        unreadable: Takes index and reason of each image that cannot be read, which has no row then;
            by default such an image is an error.

    Yields:
        ``{'cls_11': (B, D), 'patches_11': (B, h, w, D), ...}``, a key for each token and block.

    Raises:
        ValueError: An option does not fit, an image cannot be read, or a feature is not finite.
    """
    size = preprocessing.size if options.size is None else (options.size, options.size)
    check_options(vit, size, options)
    last = vit.num_layers - 1
    blocks = sorted(set(options.blocks)) or [last]
    patch = vit.patch_embed.projection.kernel_size[0]
    grid = (size[0] // patch, size[1] // patch)
    dtype = torch.float16 if options.half else torch.float32
    vit.to(options.device).eval()
    loader = DataLoader(
        ImageFiles(paths, preprocessing.pixels(options.size), unreadable is not None),
        batch_size=options.batch_size,
        collate_fn=stack_images,
        num_workers=min(options.workers, len(paths)),
        pin_memory=options.device.startswith('cuda'),
        worker_init_fn=be_a_worker,
    )

    @Halving
    def compute(pixels: Tensor) -> dict[str, Tensor]:
        found = {}
        with (
            torch.inference_mode(),
            torch.autocast(options.device.split(':')[0], torch.float16, enabled=options.half),
        ):
            # Bytes travel, a quarter of the size; they become numbers on the device.
            images = preprocessing.normalise(pixels.to(options.device, non_blocking=True))
            for block, tokens in zip(blocks, block_tokens(vit, images, blocks), strict=True):
                for kind in options.tokens:
                    pooled = pool(tokens, kind, grid)
                    if kind == 'mean' and block == last and hasattr(vit, 'ln2'):
                        pooled = vit.ln2(pooled)
                    found[f'{kind}_{block}'] = pooled.to(dtype).cpu()
        return found

    first = 0  # of a batch
    with progress_bar(len(paths), 'image') as bar:
        for pixels, reasons in loader:
            length = len(reasons) + (0 if pixels is None else len(pixels))
            rows = [first + i for i in range(length) if i not in reasons]
            if unreadable is not None:
                unreadable |= {first + i: text for i, text in reasons.items()}
            first += length
            bar.update(length)
            if pixels is None:
                continue
            features = {name: tokens.numpy() for name, tokens in compute(pixels).items()}
            for name, values in features.items():
                require_finite(values, name, [paths[i] for i in rows])
            yield features


def compute_features(
    vit: VisionTransformer,
    preprocessing: Preprocessing,
    paths: Sequence[Path | Image.Image],
    options: FeatureOptions,
) -> dict[str, Tensor]:
    """Compute features of images that fit into memory together; see :func:`iterate_features`."""
    features, row = {}, 0
    for batch in iterate_features(vit, preprocessing, paths, options):
        for key, value in batch.items():
            if key not in features:
                features[key] = np.empty((len(paths), *value.shape[1:]), value.dtype)
            features[key][row : row + len(value)] = value
        row += len(value)
    return {key: torch.from_numpy(value) for key, value in features.items()}


def require_finite(features: np.ndarray, name: str, sources: Sequence[object]) -> None:
    """Check that features can be written and scored.

    Args:
        features: (B, ...) features of a batch.
        name: What they are called.
        sources: The B images; files are named.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    good = np.isfinite(features.reshape(len(features), -1)).all(axis=1)
    if good.all():
        return
    source = sources[int(np.argmin(good))]
    what = source if isinstance(source, Path) else 'an image'
    half = features.dtype == np.float16
    raise ValueError(
        f'{name} of {what} is NaN or infinite, expected finite features: '
        + ('float16 holds no number above 65,504, leave out --half' if half else 'the weights are '
           'damaged or overflow, take another checkpoint')
    )  # fmt: skip
