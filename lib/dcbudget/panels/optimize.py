"""The panel of 4_optimize: policies, capacity, reservations, elasticity, the plan of workloads and energy, by tab."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, beside, button, choice, live, number_slider, rate_slider, whole_slider
from dcbudget.panels.progress import Progress
from dcbudget.stages.energy import Energy
from dcbudget.stages.frontier import Frontier
from dcbudget.stages.job_log import PLANNED_BY
from dcbudget.stages.optimize import Optimize
from dcbudget.stages.replays import PLACEMENTS, POLICIES, Replays
from dcbudget.stages.sharing import Sharing
from dcbudget.stages.workloads import Workloads

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
        self.waiting = number_slider("Waiting, money/hour", supposed["waiting_price_per_hour"], 0, 500, 5, ",.0f")
        self.people = rate_slider("Somebody waits", supposed["people_share"], 0.0, 1.0)
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


class ReservationTab:
    """A project and how many GPUs are held for it; shows what that protects and what it costs the others."""

    def __init__(self, sharing: Sharing):
        self._sharing = sharing
        self.project = choice("Project", sharing.log.projects, sharing.important)
        self.gpus = whole_slider("GPUs held", 0, 0, sharing.log.gpus, sharing.log.gpus_per_node)
        self.show = widgets.ToggleButtons(options=["Projects", "Every size"], value="Projects")
        self.view = View()
        self.box = live([self.project, self.gpus, self.show], self.view, self._redraw)

    def _redraw(self) -> None:
        sharing, project, gpus = self._sharing, self.project.value, self.gpus.value
        headline = sharing.reservation_headline(project, gpus)
        if self.show.value == "Projects":
            self.view.show(headline, sharing.reservation_projects_chart(project, gpus))
        else:
            self.view.show(headline, sharing.reservations_chart(project), sharing.reservations_table(project))


class ElasticityTab:
    """Jobs that shrink and grow, or nodes that are rented while jobs wait."""

    def __init__(self, sharing: Sharing):
        self._sharing = sharing
        self.show = widgets.ToggleButtons(options=["Rent nodes", "Shrink and grow"], value="Rent nodes")
        self.startup = number_slider("Node start, minutes", 10, 0, 120, 1, ",.0f")
        self.minimum = number_slider("Shortest rent, hours", 1, 0, 48, 1, ",.0f")
        self.price = number_slider("Rent, money/hour", sharing.first_rent_price, 0, 20, 0.01)
        self.least = rate_slider("Least of its GPUs", 0.5, 0.05, 1.0)
        self.most = number_slider("Most, times its GPUs", 2, 1, 8, 0.5, ",.1f")
        self.exponent = number_slider("Speed-up exponent", 0.9, 0.1, 1.0, 0.05)
        self.resize = number_slider("Resize, minutes", 5, 0, 120, 1, ",.0f")
        self.view = View()
        self.box = live(
            [self.show, self.startup, self.minimum, self.price, self.least, self.most, self.exponent, self.resize],
            self.view, self._redraw,
        )  # fmt: skip

    def _redraw(self) -> None:
        sharing = self._sharing
        if self.show.value == "Rent nodes":
            frame = sharing.rentings(self.startup.value, self.minimum.value, self.price.value)
            self.view.show(None, sharing.rentings_chart(frame), sharing.rentings_table(frame))
        else:
            grown = sharing.grown(self.least.value, self.most.value, self.exponent.value, self.resize.value)
            self.view.show(sharing.grown_headline(grown), sharing.grown_chart(grown))


class WorkloadsTab:
    """Money, minimum service and power of the coming months; shows the best plan and what a little more is worth."""

    def __init__(self, workloads: Workloads):
        self._workloads, first = workloads, workloads.first
        self.money = rate_slider("Money by the hour", first.money_share, 0.0, 1.5, 0.05)
        self.service = rate_slider("Minimum service", first.minimum_service, 0.0, 1.0, 0.05)
        self.power = rate_slider("Power, owned GPUs", first.power_share, 0.1, 1.0, 0.05)
        self.view = View()
        self.box = live([self.money, self.service, self.power], self.view, self._redraw, [
            beside(self.money, "of what all demand would need"), self.service,
            beside(self.power, "of their draw when all of them work"),
        ])  # fmt: skip

    def _redraw(self) -> None:
        stage = self._workloads
        limits = stage.limits(self.money.value, self.service.value, self.power.value)
        self.view.show(stage.headline(limits), stage.ways_chart(limits), stage.projects_table(limits))


class EnergyTab:
    """How late the largest jobs may be, and a power cap; shows what cheap hours spare."""

    def __init__(self, energy: Energy):
        self._energy = energy
        self.slack = whole_slider("Late by, hours", 24, 0, 72)
        self.cap = rate_slider("Power cap", 0.8, 0.4, 1.0)
        self.heat = number_slider("Heat, money a kWh", 0.02, 0, 0.2, 0.005, ",.3f")
        self.view = View()
        self.box = live([self.slack, self.cap, self.heat], self.view, self._redraw)

    def _redraw(self) -> None:
        energy, slack = self._energy, self.slack.value
        table = energy.measures_table(slack, cap=self.cap.value, heat_price=self.heat.value)
        self.view.show(energy.headline(slack), energy.chart(slack), table)


class ProposalPanel:
    """An owner, and a button that proposes what the first tab has."""

    def __init__(self, optimize: Optimize, replay: ReplayTab):
        self._optimize, self._replay = optimize, replay
        self.owner = widgets.Text(description="Owner", style={"description_width": "160px"})
        self.view = View()
        self.propose = button("Propose the policy and the nodes", self.view, self._propose)
        self.box = widgets.VBox([self.owner, widgets.HBox([self.propose]), self.view.box])

    def _propose(self) -> str:
        self.view.show()
        return self._optimize.propose(self.owner.value, self._replay.setting())


class OptimizePanel:
    """All tabs, each of which redraws by itself, over the proposal."""

    def __init__(self, optimize: Optimize):
        self.replay, self.capacity = ReplayTab(optimize.replays), CapacityTab(optimize.frontier)
        self.reservation, self.elasticity = ReservationTab(optimize.sharing), ElasticityTab(optimize.sharing)
        self.workloads, self.energy = WorkloadsTab(optimize.workloads), EnergyTab(optimize.energy)
        self.proposal = ProposalPanel(optimize, self.replay)
        shown = {"Policies": self.replay, "Capacity": self.capacity, "Reservation": self.reservation,
                 "Elasticity": self.elasticity, "Plan": self.workloads, "Energy": self.energy}  # fmt: skip
        tabs = widgets.Tab([tab.box for tab in shown.values()], titles=list(shown))
        self.box = widgets.VBox([tabs, self.proposal.box])


def panel(optimize: Optimize) -> widgets.Widget:
    """The panel's widget."""
    return OptimizePanel(optimize).box
