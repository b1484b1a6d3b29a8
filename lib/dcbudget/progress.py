"""Progress bars: over the bytes of the files that are being loaded, and over the months that are being rendered."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from dcbudget.ingest.load import expand


@contextmanager
def load_progress(paths: list[str], shown: bool) -> Iterator[tuple]:
    """Two functions for `load`: one for the start of a file, one for its result."""
    if not shown:
        yield (lambda path, con: None), (lambda result: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    sizes = {path: path.stat().st_size for path in expand(paths) if path.is_file()}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=sum(sizes.values()) or 1)
        state = {"done": 0, "now": None, "con": None}
        stop = Event()

        def watch() -> None:
            while not stop.wait(0.2):
                if state["con"] is not None:
                    share = max(state["con"].query_progress(), 0) / 100
                    bar.update(task, completed=state["done"] + share * sizes.get(state["now"], 0))

        def on_start(path, con) -> None:
            state.update(now=path, con=con)
            bar.update(task, description=path.name)

        def on_result(result) -> None:
            state["done"] += sizes.get(result.path, 0)
            bar.update(task, completed=state["done"])

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield on_start, on_result
        finally:
            stop.set()
            watcher.join()


@contextmanager
def months_progress(shown: bool) -> Iterator[tuple]:
    """Two functions for `render_months`: one for the number of months, one for every month that is done."""
    if not shown:
        yield (lambda count: None), (lambda done: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("rendering months"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield (lambda count: bar.update(task, total=count)), (lambda done: bar.advance(task))
