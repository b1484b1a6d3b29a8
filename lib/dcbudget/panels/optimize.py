"""The panel of 4_optimize: policies, capacity, reservations, elasticity, the plan of workloads and energy, by tab."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, beside, choice, live, number_slider, rate_slider, whole_slider
from dcbudget.panels.progress import Progress
from dcbudget.stages.frontier import Frontier
from dcbudget.stages.job_log import PLANNED_BY
from dcbudget.stages.replays import PLACEMENTS, POLICIES, Replays

VIEWS = {
    "Projects": ("projects_chart", "projects_table"),
    "Policies": ("policies_chart", "policies_table"),
    "A week": ("week_chart", "week_table"),
}


class ReplayTab:
    """A policy, its knowledge, and the pool's size; shows what becomes of waiting, projects and a week."""

    def __init__(self, replays: Replays):
        self._replays, first, log = replays, replays.first, replays.log
        self.policy = choice("Policy", list(POLICIES), first.policy)
        self.nodes = whole_slider("Nodes", first.nodes, *replays.node_range)
        self.planned_by = choice("Plans by", list(PLANNED_BY), first.planned_by)
        self.placement = choice("Placement", list(PLACEMENTS), first.placement)
        self.important = choice("Important project", log.projects, first.important)
        self.show = widgets.ToggleButtons(options=list(VIEWS), value=next(iter(VIEWS)))
        self.view = View()
        controls = [self.policy, self.nodes, self.planned_by, self.placement, self.important, self.show]
        self.box = live(controls, self.view, self._redraw, [
            self.policy, beside(self.nodes, replays.nodes_remark), self.planned_by, self.placement,
            beside(self.important, "of the higher class under priority classes"), self.show,
        ])  # fmt: skip

    def setting(self):
        """What the controls have."""
        return self._replays.with_changes(
            policy=self.policy.value, nodes=self.nodes.value, planned_by=self.planned_by.value,
            placement=self.placement.value, important=self.important.value,
        )  # fmt: skip

    def _redraw(self) -> None:
        setting = self.setting()
        chart, table = VIEWS[self.show.value]
        replays = self._replays
        self.view.show(replays.headline(setting), getattr(replays, chart)(setting), getattr(replays, table)(setting))


class CapacityTab:
    """Prices of GPUs and of waiting; shows the pool's size that costs least, once the replays are there."""

    def __init__(self, frontier: Frontier):
        self._frontier = frontier
        supposed = frontier.log.supposed
        self.policy = choice("Policy", list(POLICIES), frontier.replays.first.policy)
        self.waiting = number_slider("Waiting, money an hour", supposed["waiting_price_per_hour"], 0, 500, 5, ",.0f")
        self.people = rate_slider("With somebody waiting", supposed["people_share"], 0.0, 1.0)
        self.price = number_slider("GPU-hour, money", frontier.first_price, 0, 20, 0.01)
        self.view = View()
        self.sweep = Progress(f"Replay {frontier.count:,} times", frontier.points, self._redraw)
        self.box = live([self.policy, self.waiting, self.people, self.price], self.view, self._redraw, [
            self.policy, self.waiting, self.people, beside(self.price, frontier.price_remark), self.sweep.box,
        ])  # fmt: skip

    def _redraw(self) -> None:
        stage = self._frontier
        if not stage.known():
            self.view.show(table=stage.unknown_table())
            return
        frame = stage.money(self.policy.value, self.waiting.value, self.people.value, self.price.value)
        self.view.show(chart=stage.chart(frame), table=stage.table(frame))


class OptimizePanel:
    """All tabs; each redraws by itself."""

    def __init__(self, replays: Replays, frontier: Frontier):
        self.replay, self.capacity = ReplayTab(replays), CapacityTab(frontier)
        shown = {"Policies": self.replay, "Capacity": self.capacity}
        self.box = widgets.Tab([tab.box for tab in shown.values()], titles=list(shown))


def panel(replays: Replays, frontier: Frontier) -> widgets.Widget:
    """The panel's widget."""
    return OptimizePanel(replays, frontier).box
