"""The folder of a bundle: on a disk, or in an object store as fsspec reads it."""

import os
import posixpath
from typing import Any

from mmc2fmae.errors import DatasetError, RunStopped


def join_address(root: str, name: str) -> str:
    """Return the path or address of something below a folder; '' is the folder itself."""
    return posixpath.join(root, name).rstrip('/') if is_remote(root) else os.path.join(root, name)


def is_remote(address: str) -> bool:
    """Whether an address names an object store, such as ``s3://bucket/folder``."""
    return '://' in address


class LocalFolder:
    """A folder on a disk.

    Args:
        address: Its path.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none."""
        try:
            with open(join_address(self.address, name), 'rb') as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by its name."""
        with os.scandir(self.address) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}


class RemoteFolder:
    """A folder in an object store.

    Args:
        address: Its address, of a kind that fsspec knows; s3:// and gs:// need s3fs and gcsfs.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none.

        Raises:
            DatasetError: The store does not answer, or refuses.
        """
        try:
            files, path = self._open()
            content: bytes = files.cat_file(posixpath.join(path, name))
            return content
        except FileNotFoundError:
            return None
        except ImportError as error:
            raise DatasetError(
                f"{self.address} cannot be read ({error}): pip install 'mmc2fmae[bundle]'"
            ) from error
        except Exception as error:  # stores raise errors of their own
            raise DatasetError(self._told(name, error)) from error

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by its name.

        Raises:
            DatasetError: The store does not answer, or refuses.
        """
        try:
            files, path = self._open()
            files.invalidate_cache()  # of what this process listed before
            found = files.ls(path, detail=True)
        except Exception as error:
            raise DatasetError(self._told('', error)) from error
        return {posixpath.basename(e['name']): e['size'] for e in found if e['type'] == 'file'}

    def fetch(self, name: str, path: str) -> None:
        """Write the content of a file to a path.

        Raises:
            RunStopped: The store does not answer, or refuses. A sample that is passed over for
                that reason would change the training, so it is no SampleError.
        """
        try:
            files, folder = self._open()
            files.get_file(posixpath.join(folder, name), path)
        except Exception as error:
            raise RunStopped(self._told(name, error)) from error

    def _open(self) -> tuple[Any, str]:
        import fsspec  # here, as disks need none of it

        # fsspec keeps one client a thread, and makes new ones in processes that were forked.
        files, path = fsspec.core.url_to_fs(self.address)
        return files, path

    def _told(self, name: str, error: Exception) -> str:
        return (
            f'{join_address(self.address, name)} cannot be read ({type(error).__name__}: {error}): '
            "check the address, the network and the store's credentials on this machine"
        )


def open_folder(address: str) -> LocalFolder | RemoteFolder:
    """Return the folder of a path or an address."""
    return RemoteFolder(address) if is_remote(address) else LocalFolder(address)
