"""Whose turn it is: readers share a database, so a writer would wait for ever where one reader follows the other.

A writer that must wait locks a file beside the database; who begins to read meanwhile lets it go first. The lock ends
with its process, the file is removed, and where neither can be made nobody goes first.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Turn:
    """A writer's turn at a database, once `take` has succeeded and until `give_back`."""

    def __init__(self, database: Path):
        self.database = database
        self.file = _file(database)
        self.descriptor: int | None = None

    def take(self) -> None:
        """Let no reader begin from now on; another writer's turn comes first."""
        if fcntl is None or self.descriptor is not None:
            return
        try:
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return
        if _locked(descriptor, exclusive=True):
            self.descriptor = descriptor
        else:
            os.close(descriptor)

    def give_back(self) -> None:
        if self.descriptor is not None:
            self.file.unlink(missing_ok=True)
            os.close(self.descriptor)
            self.descriptor = None


def writer_waits(database: Path) -> bool:
    """Whether a writer of another process has its turn."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(_file(database), os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _locked(descriptor, exclusive=False)
    finally:
        os.close(descriptor)


def _file(database: Path) -> Path:
    return database.with_name(f".{database.name}.turn")


def _locked(descriptor: int, exclusive: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
