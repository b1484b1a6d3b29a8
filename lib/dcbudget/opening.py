"""Opens database files: waits for others, knows what is encrypted, and keeps open what is read in a burst.

To open a database takes longer than most questions: all of its views are read. So a connection that was read from stays
open for a moment for the next question; writers of any process go first.
"""

import atexit
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dcbudget import encryption
from dcbudget.errors import DatabaseBusy, DcbudgetError
from dcbudget.seen import state
from dcbudget.turn import Turn, writer_waits

TELL_SECONDS = 2.0
# For how long a connection stays open that nobody reads from, and how often that is looked at.
IDLE_SECONDS = 0.1
LOOK_SECONDS = 0.05
# Names the copy of a database that its processes share and nobody writes into: it stays open until it is released.
COPY = "DCBUDGET_COPY"
# Under what name an encrypted database is attached.
ATTACHED = "budget"
# What this process has open, and whether it is encrypted. Such a file must not be looked into: closing it gives up
# every lock that the process has on it (POSIX fcntl), also DuckDB's.
_open_here: dict[Path, list[bool]] = {}
_opening = threading.Lock()


@dataclass
class _Idle:
    """A connection that nobody reads from, the state of its file, and when to close it."""

    con: duckdb.DuckDBPyConnection
    state: tuple
    until: float


_idle: dict[Path, _Idle] = {}
_watching = threading.Lock()
_watcher: threading.Thread | None = None
_ends = threading.Event()


@contextmanager
def opened(
    path: Path, write: bool, wait_seconds: float, *, attach: bool = False, alone: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for the length of a `with` block.

    Parameters
    ----------
    attach : open it beside a database in memory, so that others can be attached too.
    alone : neither before nor behind it does the file stay open.

    Raises
    ------
    DatabaseBusy : another process held the file for longer than `wait_seconds`.
    WrongKey : it is encrypted, and the key is missing or another one.
    DcbudgetError : it is no database that can be opened.
    """
    key = path.resolve()
    kinds = _open_here.setdefault(key, [])
    kept = _idle.get(key)
    if kept and (write or attach or alone or kept.state != state(path) or writer_waits(key)):
        release(path)
    con = _open(path, kinds, write, wait_seconds, attach)
    stays = False
    try:
        yield con
        stays = not (write or attach or alone) and (_is_copy(path) or not kinds[-1])
    finally:
        with _opening:
            stays = stays and key not in _idle
            if stays:
                _idle[key] = _Idle(con, state(path), 0)
            else:
                con.close()
                kinds.pop()
        if key in _idle:
            _stay(path)


def release(path: Path) -> None:
    """Close what stays open of a database for the next question."""
    key = path.resolve()
    with _opening:
        if kept := _idle.pop(key, None):
            kept.con.close()
            _open_here[key].pop()


def is_encrypted(path: Path) -> bool:
    """Whether a database that this process has open is encrypted."""
    return _open_here[path.resolve()][-1]


def _is_copy(path: Path) -> bool:
    return os.environ.get(COPY) == str(path)


def _stay(path: Path) -> None:
    """Let a connection stay open from now on, and see to it that it is closed."""
    global _watcher
    with _watching:
        if kept := _idle.get(path.resolve()):
            kept.until = math.inf if _is_copy(path) else time.monotonic() + IDLE_SECONDS
        if _watcher is None:
            _close_after_cells()
            _watcher = threading.Thread(target=_close_idle, daemon=True)
            _watcher.start()


def _close_idle() -> None:
    global _watcher
    while not _ends.wait(LOOK_SECONDS):
        with _watching:
            now = time.monotonic()
            for path in [path for path, kept in list(_idle.items()) if kept.until <= now]:
                release(path)
            if all(kept.until == math.inf for kept in list(_idle.values())):
                _watcher = None
                return


@atexit.register
def _close_at_the_end() -> None:
    """Leave nothing to a thread that is stopped within DuckDB, which takes the process down."""
    _ends.set()
    if watcher := _watcher:
        watcher.join()
    for path in list(_idle):
        release(path)


def _close_after_cells() -> None:
    """Leave a notebook's next cell nothing open: it may open the file in its own way."""
    # absent, or about to be imported by another thread
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell and _end_of_cell not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _end_of_cell)


def _end_of_cell(*_) -> None:
    for path in [path for path, kept in list(_idle.items()) if kept.until < math.inf]:
        release(path)


def _open(path: Path, kinds: list[bool], write: bool, wait_seconds: float, attach: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + wait_seconds
    pause = 0.05
    told = time.monotonic() + TELL_SECONDS
    turn = Turn(path.resolve())
    try:
        while True:
            try:
                # a process that reads already must not wait for a writer that waits for it
                if not (write or kinds) and time.monotonic() < deadline and writer_waits(turn.database):
                    time.sleep(0.02)
                    continue
                with _opening:
                    return _open_now(path, kinds, write, attach)
            except (duckdb.ConnectionException, duckdb.BinderException) as error:
                if time.monotonic() >= deadline:
                    raise DatabaseBusy(f"{path} is open in this process in another mode ({error})") from None
            except duckdb.Error as error:
                # not any "lock": a damaged file's message speaks of its blocks, and paths may hold the word
                if "Could not set lock" not in str(error):
                    said = str(error).splitlines()[0]
                    raise DcbudgetError(f"{path} is not a database that can be opened: {said}") from None
                if time.monotonic() >= deadline:
                    raise DatabaseBusy(_busy(path, str(error), wait_seconds)) from None
                if time.monotonic() >= told:
                    print(f"dcbudget: waiting for {_holder(str(error))}, which holds {path.name}", file=sys.stderr)
                    told = deadline
                if write:
                    turn.take()
            time.sleep(min(pause, max(deadline - time.monotonic(), 0)))
            pause = min(pause * 1.5, 0.25)
    finally:
        turn.give_back()


def _open_now(path: Path, kinds: list[bool], write: bool, attach: bool) -> duckdb.DuckDBPyConnection:
    while True:
        before = _identity(path)
        encrypted = _kind(path, kinds)
        con = (_attach(path, write, encrypted) if encrypted or attach
               else duckdb.connect(str(path), read_only=not write))  # fmt: skip
        con.execute("set enable_progress_bar = false")  # a busy machine's bar would be a notebook's output
        # a conversion may have put another file in its place while it was opened
        if before is None or _identity(path) == before:
            kinds.append(encrypted)
            return con
        con.close()


def _kind(path: Path, kinds: list[bool]) -> bool:
    """Whether a database is encrypted, or will be when it is made."""
    if kinds:
        return kinds[0]
    return encryption.is_encrypted(path) if path.exists() else encryption.key() is not None


def _attach(path: Path, write: bool, encrypted: bool) -> duckdb.DuckDBPyConnection:
    """Connections of one process to one file share an instance: two would not see each other's locks."""
    settings = {**encryption.SETTINGS, "temp_directory": f"{path}.tmp"}
    con = duckdb.connect(f":memory:{path.resolve()}", config=settings)
    try:
        encryption.attach(con, path, ATTACHED, write=write, encrypted=encrypted)
        con.execute(f"use {ATTACHED}")
    except BaseException:
        con.close()
        raise
    return con


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _busy(path: Path, error: str, wait_seconds: float) -> str:
    return f"{path} is held by {_holder(error)}; waited {wait_seconds:g} s and changed nothing"


def _holder(error: str) -> str:
    held = re.search(r"held in (.+?) \(PID (\d+)\)", error)
    return f"{Path(held[1]).name or 'another process'} (process {held[2]})" if held else "another process"
