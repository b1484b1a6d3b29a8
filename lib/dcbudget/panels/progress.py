"""A button that computes for long: a bar shows how far it is, and another button stops it."""

from collections.abc import Callable
from html import escape
from threading import Event, Thread

import ipywidgets as widgets

from dcbudget.errors import DcbudgetError


class Progress:
    """Runs something in a thread of its own, so that the stop button is heard.

    Parameters
    ----------
    label : of the button that begins.
    run : takes what to call with (done, of how many, name of the last) and what to ask whether it shall stop.
    done : called, from the thread, once it ended well.
    """

    def __init__(self, label: str, run: Callable[[Callable, Callable], object], done: Callable[[], None]):
        self._run, self._done = run, done
        self._stopped = Event()
        self.thread: Thread | None = None
        self.start = widgets.Button(description=label, layout=widgets.Layout(width="auto"))
        self.stop = widgets.Button(description="Stop", disabled=True, layout=widgets.Layout(width="auto"))
        self.bar = widgets.IntProgress(value=0, min=0, max=1, layout=widgets.Layout(width="240px"))
        self.said = widgets.HTML()
        self.start.on_click(self._begin)
        self.stop.on_click(lambda _: self._stopped.set())
        self.box = widgets.HBox([self.start, self.bar, self.stop, self.said])

    def _begin(self, _) -> None:
        self._stopped.clear()
        self.start.disabled, self.stop.disabled = True, False
        self.said.value, self.bar.value = "", 0
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self._run(self._progressed, self._stopped.is_set)
            self.bar.value = self.bar.max
            self._done()
        except DcbudgetError as error:
            self.said.value = f'<span role="alert" style="color:#b42318">{escape(str(error))}</span>'
        finally:
            self.start.disabled, self.stop.disabled = False, True

    def _progressed(self, done: int, count: int, name: str) -> None:
        self.bar.max, self.bar.value = count, done
        self.said.value = escape(f"{done:,} of {count:,}: {name}")
