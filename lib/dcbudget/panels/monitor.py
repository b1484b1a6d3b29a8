"""The panel of 5_monitor: chosen runs along a metric, and what another checkpoint interval would save."""

import ipywidgets as widgets

from dcbudget.panels.controls import LABEL, WIDE, View, choice, live, number_slider, rate_slider
from dcbudget.stages.checkpointing import Checkpointing
from dcbudget.stages.monitor import AXES, Monitor

CURVES, RESULTS, CHECKPOINTS = "Curves", "Results", "Checkpoints"
NONE = "no run"


class MonitorPanel:
    """Runs, metric, axis, smoothing and checkpoint interval; shows curves, what results cost, and checkpoints."""

    def __init__(self, monitor: Monitor, checkpointing: Checkpointing, metric: str = "loss", smoothing: float = 0.0):
        self._monitor, self._checkpointing = monitor, checkpointing
        self.runs = widgets.SelectMultiple(
            options=monitor.run_names, value=monitor.chosen, description="Runs", rows=8, style=LABEL, layout=WIDE
        )
        self.metric = choice("Metric", monitor.log.metrics, metric)
        self.axis = choice("Along", list(AXES), "step")
        self.smoothing = rate_slider("Smoothing", smoothing, 0.0, 0.99)
        names = checkpointing.names
        self.run = choice("Checkpoints of", names or [NONE], names[0] if names else NONE)
        self.interval = number_slider("Every, minutes", self._present(), 1.0, 480.0, 1.0, ",.0f")
        self.views = {name: View() for name in (CURVES, RESULTS, CHECKPOINTS)}
        self._moves_itself, self._drawn = False, {}
        self.run.observe(self._of_run, names="value")
        self.box = live([self.runs, self.metric, self.axis, self.smoothing, self.run, self.interval], self.views,
                        self._redraw)  # fmt: skip

    def _redraw(self) -> None:
        """Draw the views whose controls have moved; after an error, all of them."""
        if self._moves_itself:
            return
        drawn, self._drawn = self._drawn, {}
        chosen = list(self.runs.value)
        curve = (chosen, self.metric.value, self.axis.value, self.smoothing.value)
        checkpoints = (self.run.value, self.interval.value)
        wanted = {CURVES: (self._curves, curve), RESULTS: (self._results, (chosen,)),
                  CHECKPOINTS: (self._checkpoints, checkpoints)}  # fmt: skip
        for name, (draw, values) in wanted.items():
            if drawn.get(name) != values:
                draw(self.views[name], *values)
        self._drawn = {name: values for name, (_, values) in wanted.items()}

    def _curves(self, view: View, chosen: list[str], *values) -> None:
        monitor = self._monitor
        view.show(monitor.headline(chosen), monitor.curve(chosen, *values), monitor.runs_table(chosen))

    def _results(self, view: View, chosen: list[str]) -> None:
        view.show(None, self._monitor.parts_chart(chosen), self._monitor.results_table(chosen))

    def _checkpoints(self, view: View, run: str, interval: float) -> None:
        if run == NONE:
            view.show()
            return
        found = self._checkpointing.found(run, interval)
        view.show(self._checkpointing.headline(found, run), self._checkpointing.chart(found, run))

    def _present(self) -> float:
        return self._checkpointing.present_interval(self.run.value) if self.run.value != NONE else 1.0

    def _of_run(self, _) -> None:
        """Another run starts from its own interval."""
        self._moves_itself = True
        self.interval.value = self._present()
        self._moves_itself = False


def panel(
    monitor: Monitor, checkpointing: Checkpointing, metric: str = "loss", smoothing: float = 0.0
) -> widgets.Widget:
    """The panel's widget."""
    return MonitorPanel(monitor, checkpointing, metric, smoothing).box
