"""Copies of photographs without EXIF orientation, for labels that were drawn on them."""

import io
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, JpegImagePlugin

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import IMAGE_SUFFIXES, list_photographs, write_atomically
from mmc2fmae.images.opening import UNREADABLE, open_image
from mmc2fmae.images.orientation import BACK, stored, stored_size, turn_image
from mmc2fmae.parallel import in_threads


def write_upright(images: str, out: str, as_stored: bool = False) -> tuple[int, int]:
    """Write a folder of photographs anew, those with an EXIF orientation without it.

    Size, format and mode stay; a turned JPEG is written with its own quantisation. All others are
    copied.

    Args:
        images: Folder of photographs.
        out: Folder to write.
        as_stored: Drop the orientation and keep the pixels as they are stored.

    Returns:
        How many photographs there are, and how many of them had an orientation.

    Raises:
        DatasetError: There are none, the output is the same folder, or one cannot be read.
    """
    names = list_photographs(images)
    if not names:
        raise DatasetError(f'{images} has no files ending in {", ".join(IMAGE_SUFFIXES)}')
    if Path(images).resolve() in (Path(out).resolve(), *Path(out).resolve().parents):
        raise DatasetError(f'{out} is inside the folder of the photographs: choose another output')
    write = partial(_write, Path(images), Path(out), as_stored)
    return len(names), sum(in_threads(write, names))


def _write(images: Path, out: Path, as_stored: bool, name: str) -> bool:
    source, target = images / name, out / name
    if stored_size(source).orientation == 1:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return False
    try:
        with open_image(source) as image:
            orientation, options = stored(image).orientation, _options(image)
            done = orientation if image.format == 'TIFF' else 1  # Pillow turns TIFF by itself
            plain = turn_image(image, orientation if done == 1 else 1)
            if as_stored:
                plain = turn_image(plain, BACK.get(orientation, orientation))
            plain = plain.copy()
    except UNREADABLE as error:
        raise DatasetError(f'{source} is no readable image ({error})') from error
    # No EXIF data, nor texts that may hold some.
    plain.info = {k: v for k, v in plain.info.items() if k in ('transparency', 'icc_profile')}
    content = io.BytesIO()
    plain.save(content, **options)
    write_atomically(content.getvalue(), target)
    return True


def _options(image: Image.Image) -> dict[str, Any]:
    """Return how a picture of the same format and quality is saved."""
    options = dict(format=image.format, icc_profile=image.info.get('icc_profile'))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        sampling = JpegImagePlugin.get_sampling(image)
        return options | dict(format='JPEG', qtables=image.quantization, subsampling=sampling)
    return options | (dict(lossless=True) if image.format == 'WEBP' else dict(quality=95))
