"""One runner at a time in a work dir, even where an earlier one was killed."""

import fcntl
import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 30.0  # seconds that a process gets to end after SIGTERM


class AlreadyRunning(RuntimeError):
    """Another runner works in the same work dir."""


class WorkDirLock:
    """A lock that tools started under it hold, too: what a killed runner left is found and ended.

    Args:
        folder: The work dir.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / 'lock'
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> 'WorkDirLock':
        """Take the lock.

        Raises:
            AlreadyRunning: Another runner has it.
        """
        self.file = open(self.path, 'a+', encoding='utf-8')
        try:
            if not self._take():
                self._end_orphans()
        except BaseException:
            self.file.close()
            raise
        self.note([])
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @property
    def handle(self) -> int:
        """File descriptor for the tools to inherit."""
        return self.file.fileno()

    def note(self, groups: list[int]) -> None:
        """Write down who holds the lock, and the process groups of the tools that work."""
        text = json.dumps(dict(pid=os.getpid(), host=socket.gethostname(), groups=groups))
        self.file.seek(0)
        self.file.truncate()
        self.file.write(text)
        self.file.flush()

    def _take(self) -> bool:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _end_orphans(self) -> None:
        """End the tools of a runner that is gone, then take the lock."""
        self.file.seek(0)
        try:
            holder = json.loads(self.file.read())
            pid, host, groups = holder['pid'], holder['host'], holder['groups']
            if not all(isinstance(number, int) and number > 1 for number in (pid, *groups)):
                raise ValueError('no processes')
        except (ValueError, KeyError, TypeError):  # damaged: nobody is ended for it
            pid = host = None
        if host != socket.gethostname() or pid is None or _lives(pid):
            raise AlreadyRunning(
                f'{self.path.parent} is in use by process {pid} on {host}: wait for it, stop it '
                'with Ctrl-C or SIGTERM, or take another --work-dir'
            )
        for number, until in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 5.0)):
            for group in groups:
                print(f'ending process group {group}, left over from a runner that was killed')
                with suppress(ProcessLookupError):
                    os.killpg(group, number)
            end = time.monotonic() + until
            while time.monotonic() < end:
                if self._take():
                    return
                time.sleep(0.1)
        raise AlreadyRunning(
            f'{self.path.parent} is held by a tool that runner {pid} left behind when it was '
            'killed: end it, then start again'
        )


def is_running(folder: Path) -> bool:
    """Tell whether a runner works in a work dir."""
    if not (folder / 'lock').is_file():
        return False
    with open(folder / 'lock', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
