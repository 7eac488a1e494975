"""Image files of any kind and number: found, read, and put together as batches."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from mmc2fmae.errors import first_names
from mmc2fmae.files import IMAGE_SUFFIXES, list_photographs, spelt_otherwise
from mmc2fmae.images.opening import open_image
from mmc2fmae.images.rgb import brightest, upright_middle
from mmc2fmae.paths import AnyPath, expand_path
from mmc2fmae.texts import read_lines


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
        try:
            if isinstance(source, Image.Image):
                return self.transform(upright_middle(source))
            with open_image(source) as image:
                return self.transform(upright_middle(image))
        except Exception as error:  # Pillow raises many kinds on damaged files
            name = f'picture {index}' if isinstance(source, Image.Image) else source
            raise _unreadable(name, error) from error


def stack_images(batch: Sequence[Tensor | str]) -> tuple[Tensor | None, dict[int, str]]:
    """Put the images of a batch together; a tensor a batch is all that leaves a loader process.

    Args:
        batch: Items of :class:`ImageFiles`.

    Returns:
        (B, ...) images, None if there is none, and place and reason of those that are none.
    """
    reasons = {i: item for i, item in enumerate(batch) if isinstance(item, str)}
    images = [item for item in batch if isinstance(item, Tensor)]
    return (default_collate(images) if images else None), reasons


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
    if not os.fspath(source):
        raise ValueError('the path of the images is empty: name a folder, a list or an image')
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


def _unreadable(path: AnyPath, error: Exception) -> ValueError:
    return ValueError(
        f'{path} is no readable image ({type(error).__name__}: {error}): repair it or leave it out'
    )
