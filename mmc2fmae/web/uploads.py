"""Files that a browser sends: checked, read as training reads files, and not kept."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from mmc2fmae.errors import SampleError
from mmc2fmae.images.opening import FORMATS, UNREADABLE, open_image
from mmc2fmae.images.orientation import stored
from mmc2fmae.images.rgb import brightest
from mmc2fmae.preflight.orientation import undecided

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


def check_upload(upload: Upload, granularity: str, with_maps: bool = False) -> None:
    """Refuse what is no image, or one so large that decoding it would exhaust the memory.

    A photograph with maps is refused where EXIF data leave open which way up these are.

    Raises:
        SampleError: The message names the file.
    """
    what = f'{upload.name} ({"photograph" if granularity == "rgb" else granularity + " map"})'
    try:
        with open_image(io.BytesIO(upload.data)) as image:  # reads the header alone
            width, height = image.size
            if granularity == 'rgb':
                brightest(image)  # refuses pixels of 32 bits
            if width * height <= MOST_PIXELS:
                turns = stored(image)
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
    if granularity == 'rgb' and with_maps and undecided(turns):
        raise SampleError(
            f'{what} has EXIF orientation {turns.orientation}, and nothing tells whether its maps '
            'show the turned or the stored picture: save it turned and without EXIF data'
        )


def read_uploads(uploads: dict[str, Upload], read: Callable[[dict[str, str]], Result]) -> Result:
    """Hand uploads as files to what reads a sample from files.

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
        check_upload(upload, granularity, len(uploads) > 1)
    with TemporaryDirectory() as folder:
        files = {granularity: os.path.join(folder, granularity) for granularity in uploads}
        for granularity, path in files.items():
            Path(path).write_bytes(uploads[granularity].data)
        try:
            return read(files)
        except SampleError as error:
            names = {path: uploads[granularity].name for granularity, path in files.items()}
            raise SampleError(error.told(names)) from error
