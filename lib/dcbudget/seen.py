"""Frames that were read from a database which has not changed since: a report asks for the same rows many times."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# How many frames are held, and how large one may be.
MOST = 128
LARGEST_BYTES = 8_000_000


class Seen:
    """The last frames by what was asked, as long as the file and its log are the same."""

    def __init__(self):
        self._frames: OrderedDict[tuple, pd.DataFrame] = OrderedDict()
        self._writes = 0

    def written(self) -> None:
        """This process opens a database to write into it: nothing that was read before counts."""
        self._writes += 1
        self._frames.clear()

    def get(self, path: Path, asked: tuple, read: Callable[[], "pd.DataFrame"]) -> "pd.DataFrame":
        """A frame of the caller's own: what was read before of the same state, else what `read` reads."""
        key = (self._writes, *state(path), *asked)
        found = self._frames.get(key)
        if found is None:
            found = read()
            if found.memory_usage(index=False).sum() > LARGEST_BYTES or key[1:3] != state(path):
                return found
            self._frames[key] = found
            while len(self._frames) > MOST:
                self._frames.popitem(last=False)
        return found.copy()


def state(path: Path) -> tuple[tuple, tuple]:
    """What changes with every write: inode, size and time of the file and of its log."""
    return _told(path), _told(path.with_name(f"{path.name}.wal"))


def _told(path: Path) -> tuple:
    try:
        found = path.stat()
    except OSError:
        return (str(path),)
    return str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
