"""Files that a browser sends: checked, read as training reads files, and not kept."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from PIL import ImageOps

from mmc2fmae.errors import SampleError
from mmc2fmae.images import FORMATS, UNREADABLE, open_image

MOST_PIXELS = 50_000_000

Result = TypeVar('Result')


class Upload(NamedTuple):
    """A file from the browser.

    Args:
        name: Its name there; only ever shown.
        data: Its content.
    """

    name: str
    data: bytes


def check_upload(upload: Upload, granularity: str) -> None:
    """Refuse what is no image, or one so large that decoding it would exhaust the memory.

    Raises:
        SampleError: The message names the file.
    """
    what = f'{upload.name} ({"photograph" if granularity == "rgb" else granularity + " map"})'
    try:
        with open_image(io.BytesIO(upload.data)) as image:  # reads the header alone
            width, height = image.size
            if width * height <= MOST_PIXELS:
                image.load()
    except UNREADABLE as error:
        raise SampleError(
            f'{what} cannot be read ({error}): choose a whole file of one of {", ".join(FORMATS)}'
        ) from error
    if width * height > MOST_PIXELS:
        raise SampleError(
            f'{what} has {width} x {height} pixels, at most {MOST_PIXELS // 10**6} million are '
            'read: make it smaller'
        )


def upright(data: bytes) -> bytes:
    """Turn a photograph as its EXIF orientation says; other files are returned as they are."""
    with open_image(io.BytesIO(data)) as image:
        if image.getexif().get(0x0112, 1) == 1:
            return data
        turned = io.BytesIO()
        ImageOps.exif_transpose(image).convert('RGB').save(turned, 'PNG', compress_level=1)
        return turned.getvalue()


def read_uploads(uploads: dict[str, Upload], read: Callable[[dict[str, str]], Result]) -> Result:
    """Hand uploads as files to what reads a sample from files.

    A photograph alone is turned upright; beside maps it stays as it is, as in training.

    Args:
        uploads: A photograph (rgb) and maps.
        read: Reads the files, given by granularity.

    Returns:
        What ``read`` returned; the files are gone by then.

    Raises:
        SampleError: A file cannot be used, the photograph is missing, or sizes differ. The message
            calls the files by their names in the browser.
    """
    if 'rgb' not in uploads:
        raise SampleError('there is no photograph: choose one beside the maps')
    for granularity, upload in uploads.items():
        check_upload(upload, granularity)
    if len(uploads) == 1:
        uploads = dict(rgb=uploads['rgb']._replace(data=upright(uploads['rgb'].data)))
    with TemporaryDirectory() as folder:
        files = {granularity: os.path.join(folder, granularity) for granularity in uploads}
        for granularity, path in files.items():
            Path(path).write_bytes(uploads[granularity].data)
        try:
            return read(files)
        except SampleError as error:
            names = {path: uploads[granularity].name for granularity, path in files.items()}
            raise SampleError(error.told(names)) from error
