"""Tar files of label maps, of which neither names nor sizes are trusted."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import AnyPath
from mmc2fmae.preparation.layout import GRANULARITIES

_PNG_START = b'\x89PNG\r\n\x1a\n'
_ONE_CHANNEL = (0, 3)  # PNG's colour types grey and palette
MOST_BYTES = 2**28  # of a map: 11,500 pixels square in 16 bits, not compressed


def read_shard(path: AnyPath) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each map in a shard, trusting neither.

    Raises:
        DatasetError: A member is anything but a PNG under ``instance/`` or ``semantic/``.
    """
    members = shard_members(path)
    with _open_tar(path) as archive:
        for member in members:
            file = archive.extractfile(member)
            data = file.read() if file else b''
            check_png(data, f'{path}: {member.name}')
            yield member.name, data


class _Bounded(io.FileIO):
    """A file of which no more is read at once than a label map may have, whatever a header says."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MOST_BYTES:
            raise tarfile.ReadError(f'a header asks for {size:,} bytes')
        return super().read(size) or b''


@contextmanager
def _open_tar(path: AnyPath) -> Iterator[tarfile.TarFile]:
    with _Bounded(path) as file, tarfile.open(fileobj=file, mode='r:') as archive:
        yield archive


def shard_members(path: AnyPath) -> list[tarfile.TarInfo]:
    """Return a shard's members, all of which are files that may be written below a folder.

    Raises:
        DatasetError: A member is anything else, or larger than a label map can be.
    """
    try:
        with _open_tar(path) as archive:
            members = archive.getmembers()
    except (tarfile.TarError, ValueError, OverflowError, MemoryError) as error:
        raise DatasetError(f'{path} is no readable tar file ({error})') from error
    for member in members:
        parts = PurePosixPath(member.name).parts
        inside = len(parts) > 2 and parts[0] in GRANULARITIES and '..' not in parts
        if not (inside and member.isreg() and member.name.endswith('.png')):
            raise DatasetError(
                f'{path}: {member.name!r} is no label map, expected files instance/SPLIT/NAME.png '
                'and semantic/SPLIT/NAME.png alone; nothing of this pack is to be trusted'
            )
        if member.issparse() or not 0 <= member.size <= MOST_BYTES:
            raise DatasetError(
                f'{path}: {member.name!r} is to have {member.size:,} bytes'
                f'{", most of them holes" * member.issparse()}, expected a label map of at most '
                f'{MOST_BYTES:,}; nothing of this pack is to be trusted'
            )
    return members


def check_png(data: bytes, what: object) -> None:
    """Check by its first bytes that a file is a PNG with one channel.

    Raises:
        DatasetError: It is not.
    """
    # Signature, length and name of the first chunk, width, height, depth: the 26th byte is the
    # colour type.
    if not data.startswith(_PNG_START) or len(data) < 26 or data[25] not in _ONE_CHANNEL:
        raise DatasetError(f'{what} is no PNG with one channel, so no label map')
