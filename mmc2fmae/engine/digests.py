"""What identifies the content of files."""

import os
from collections.abc import Callable
from hashlib import sha256


def file_sha256(*paths: str | os.PathLike, progress: Callable[[int], object] | None = None) -> str:
    """Return the SHA-256 of the content of files, one after the other, in hexadecimal digits.

    Args:
        *paths: Files.
        progress: Told the number of bytes of each part that was read.
    """
    found = sha256()
    for path in paths:
        with open(path, 'rb') as file:
            while part := file.read(2**22):
                found.update(part)
                if progress is not None:
                    progress(len(part))
    return found.hexdigest()
