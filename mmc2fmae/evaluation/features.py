"""Features of images from a plain ViT: which token, after which block, for any number of images."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmpretrain.models import VisionTransformer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmc2fmae.checkpoints import Preprocessing
from mmc2fmae.engine.halving import Halving
from mmc2fmae.errors import first_names
from mmc2fmae.files import IMAGE_SUFFIXES, list_photographs, spelt_otherwise
from mmc2fmae.images import brightest, middle, open_image, upright_rgb
from mmc2fmae.parallel import be_a_worker, progress_bar
from mmc2fmae.paths import AnyPath, expand_path
from mmc2fmae.texts import read_lines

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


class ImageFiles(Dataset):
    """Images of a list of files, transformed.

    Args:
        paths: Files, or PIL images.
        transform: From a PIL image in RGB to a tensor.
        named: Return the reason in place of an image that cannot be read.
    """

    def __init__(
        self, paths: Sequence[AnyPath | Image.Image], transform, named: bool = False
    ) -> None:
        self.paths = list(paths)
        self.transform = transform
        self.named = named

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        """Return an image.

        Raises:
            ValueError: It cannot be read; the message names it.
        """
        try:
            return self.read(index)
        except ValueError as error:
            if self.named:
                return str(error)
            raise

    def read(self, index: int) -> Tensor:
        """Return an image.

        Raises:
            ValueError: It cannot be read; the message names it.
        """
        source = self.paths[index]
        if isinstance(source, Image.Image):
            return self.transform(source.convert('RGB'))
        try:
            with open_image(source) as image:
                rgb = upright_rgb(image)
            return self.transform(rgb.crop(middle(*rgb.size)))
        except Exception as error:  # Pillow raises many kinds on damaged files
            raise _unreadable(source, error) from error


def find_images(source: str | os.PathLike[str], unreadable: list[str] | None = None) -> list[Path]:
    """List the images that a user means.

    Args:
        source: A folder (searched recursively), a ``.txt`` list with a path a line (relative to the
            list's folder), or a single image.
        unreadable: Takes the reason of each file whose header is not an image's, which is left out
            then; by default such a file is an error.

    Returns:
        Paths, those of a folder sorted.

    Raises:
        FileNotFoundError: There is nothing of that name, or no image in it.
        ValueError: The header of a file is not an image's.
    """
    source = Path(expand_path(source))
    if source.is_dir():
        paths = [source / name for name in list_photographs(source)]
    elif source.suffix.lower() == '.txt' and source.is_file():
        paths = [source.parent / line for line in read_lines(source, file_names=True)]
    else:
        paths = [source]
    if not paths:
        raise FileNotFoundError(f'{source} holds no images ({", ".join(IMAGE_SUFFIXES)})')
    gone = [str(path) for path in paths if not path.is_file()]
    if gone:
        listed = f'{source}: {len(gone):,} of {len(paths):,} images do not exist, first '
        raise FileNotFoundError(
            f'{listed}{first_names(gone)}{spelt_otherwise(gone)}: bring them back, or take them '
            'out of the list'
            if source.is_file()
            else f'image {source} does not exist{spelt_otherwise(gone)}'
        )
    found = []
    for path in paths:  # headers only: cheap, and most mistakes show before the run
        try:
            with open_image(path) as image:
                brightest(image)  # refuses pixels of 32 bits
            found.append(path)
        except Exception as error:
            if unreadable is None:
                raise _unreadable(path, error) from error
            unreadable.append(str(_unreadable(path, error)))
    if not found:
        raise ValueError(f'no image of {source} can be read: {(unreadable or [""])[0]}')
    return found


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
    if any(side % projection.kernel_size[0] for side in size):
        raise ValueError(f'size {size} is no multiple of the patch {projection.kernel_size[0]}')
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
    size = (options.size, options.size) if options.size else preprocessing.size
    check_options(vit, size, options)
    last = vit.num_layers - 1
    blocks = sorted(set(options.blocks)) or [last]
    patch = vit.patch_embed.projection.kernel_size[0]
    grid = (size[0] // patch, size[1] // patch)
    dtype = torch.float16 if options.half else torch.float32
    vit.to(options.device).eval()
    loader = DataLoader(
        ImageFiles(paths, preprocessing.transform(options.size), unreadable is not None),
        batch_size=options.batch_size,
        collate_fn=list,
        num_workers=min(options.workers, len(paths)),
        pin_memory=options.device.startswith('cuda'),
        worker_init_fn=be_a_worker,
    )

    @Halving
    def compute(images: Tensor) -> dict[str, Tensor]:
        found = {}
        with (
            torch.inference_mode(),
            torch.autocast(options.device.split(':')[0], torch.float16, enabled=options.half),
        ):
            images = images.to(options.device, non_blocking=True)
            for block, tokens in zip(blocks, block_tokens(vit, images, blocks), strict=True):
                for kind in options.tokens:
                    pooled = pool(tokens, kind, grid)
                    if kind == 'mean' and block == last and hasattr(vit, 'ln2'):
                        pooled = vit.ln2(pooled)
                    found[f'{kind}_{block}'] = pooled.to(dtype).cpu()
        return found

    first = 0  # of a batch
    with progress_bar(len(paths), 'image') as bar:
        for batch in loader:
            rows = {first + i: image for i, image in enumerate(batch)}
            first += len(batch)
            bar.update(len(batch))
            if unreadable is not None:
                unreadable |= {i: text for i, text in rows.items() if isinstance(text, str)}
            rows = {i: image for i, image in rows.items() if isinstance(image, Tensor)}
            if not rows:
                continue
            features = {
                name: tokens.numpy()
                for name, tokens in compute(torch.stack(list(rows.values()))).items()
            }
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


def _unreadable(path: AnyPath, error: Exception) -> ValueError:
    return ValueError(
        f'{path} is no readable image ({type(error).__name__}: {error}): repair it or leave it out'
    )
