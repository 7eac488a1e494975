"""Text files that users write: whatever their editor puts around the text."""

import codecs
from pathlib import Path

from mmc2fmae.errors import DatasetError
from mmc2fmae.paths import AnyPath

# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


def read_text(path: AnyPath, file_names: bool = False) -> str:
    r"""Read a text file: UTF-8, or what its byte-order mark says; lines end in ``\n``.

    Args:
        path: The file.
        file_names: Whether it lists names of files, which need not be UTF-8; bytes that are not
            become what Python's own functions for files take.

    Raises:
        OSError: It cannot be read.
        DatasetError: It is no text of such an encoding; the message names the line.
    """
    data = Path(path).read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), 'utf-8')
    fix = 'save it as UTF-8'
    if encoding.startswith('utf-8') and b'\0' in data:
        raise DatasetError(f'{path} holds NUL bytes, expected UTF-8: no text, or UTF-16; {fix}')
    try:
        text = data.decode(encoding, 'surrogateescape' if file_names else 'strict')
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b'\n') + 1
        raise DatasetError(
            f'{path}, line {line}, is no {encoding.removesuffix("-sig").upper()} '
            f'(byte 0x{data[error.start]:02x}): {fix}'
        ) from error
    return text.replace('\r\n', '\n').replace('\r', '\n')


def read_lines(path: AnyPath, file_names: bool = False) -> list[str]:
    """Return the lines of a text file that are not blank, without blanks around them.

    Args:
        path: The file.
        file_names: See :func:`read_text`.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        text = read_text(path, file_names)
    except OSError as error:
        raise DatasetError(f'{path} cannot be read ({error.strerror})') from error
    return [line.strip() for line in text.split('\n') if line.strip()]
