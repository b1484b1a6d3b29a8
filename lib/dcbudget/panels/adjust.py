"""The panel of 6_adjust: rules for moving money, what the optimiser moves under them, and the ledger of decisions."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, beside, button, choice, live, number_slider, rate_slider
from dcbudget.stages.adjust import Adjust

VIEWS = {
    "Chances": ("chances_chart", "chances_table"),
    "Moves": ("chances_chart", "moves_table"),
    "Audit": ("bridge_chart", "audit"),
    "Bridge": ("bridge_chart", "bridge_table"),
}
# Those that no rule changes.
AS_IS = ("bridge_chart", "audit", "bridge_table")
NONE = "none"


class AdjustPanel:
    """Floor, reserve, risk and goal; shows the headline with one chart and its table."""

    def __init__(self, stage: Adjust):
        self._stage = stage
        rules = stage.rules
        self.floor = rate_slider("Floor of a line", rules["floor"], 0.0, 1.0)
        self.reserve = number_slider("Reserve", rules["reserve"], 0.0, stage.most_reserve, 1000.0, ",.0f")
        self.risk = rate_slider("Risk of a giver", rules["risk"], 0.0, 1.0)
        self.goal = choice("Goal", list(stage.goals), rules["goal"])
        self.show = widgets.ToggleButtons(options=list(VIEWS), value=next(iter(VIEWS)))
        self.view = View()
        remarks = stage.remarks
        shown = [
            beside(self.floor, remarks["floor"]), beside(self.reserve, remarks["reserve"]),
            beside(self.risk, remarks["risk"]), beside(self.goal, remarks["goal"]), self.show,
        ]  # fmt: skip
        self.box = live([self.floor, self.reserve, self.risk, self.goal, self.show], self.view, self._redraw, shown)

    @property
    def rules(self) -> dict:
        """The rules as the controls have them."""
        return {"floor": self.floor.value, "reserve": self.reserve.value, "risk": self.risk.value,
                "goal": self.goal.value}  # fmt: skip

    def _redraw(self) -> None:
        found = self._stage.moves(**self.rules)
        shown = [getattr(self._stage, name)() if name in AS_IS else getattr(self._stage, name)(found)
                 for name in VIEWS[self.show.value]]  # fmt: skip
        self.view.show(self._stage.headline(found), *shown)


class LedgerPanel:
    """A move with its owner becomes a proposal; a proposal with its consent becomes a new plan version."""

    def __init__(self, stage: Adjust, first: AdjustPanel):
        self._stage, self._first = stage, first
        style = {"description_width": "160px"}
        self.move = choice("Move", [NONE, *stage.move_names()], NONE)
        self.owner = widgets.Text(description="Owner", style=style)
        self.date = widgets.Text(description="Date, YYYY-MM-DD", style=style)
        self.waiting = choice("Proposal", [NONE, *stage.proposed], NONE)
        self.consent = widgets.Text(description="Consent of", style=style)
        self.view = View()
        self.propose = button("Propose", self.view, self._propose)
        self.accept = button("Accept", self.view, self._accept)
        for control in (first.floor, first.reserve, first.risk, first.goal):
            control.observe(self._of_rules, names="value")
        self.box = live([], self.view, self._redraw, [
            self.move, self.owner, self.date, self.propose, self.waiting, self.consent, self.accept,
        ])  # fmt: skip

    def _of_rules(self, _) -> None:
        """Other rules have other moves."""
        found = self._stage.moves(**self._first.rules)
        self.move.options = [NONE, *self._stage.move_names(found)]

    def _propose(self) -> str:
        move = "" if self.move.value == NONE else self.move.value
        return self._done(self._stage.propose(move, self.owner.value, self.date.value, **self._first.rules))

    def _accept(self) -> str:
        waiting = "" if self.waiting.value == NONE else self.waiting.value
        return self._done(self._stage.accept(waiting, self.date.value, self.consent.value))

    def _done(self, sentence: str) -> str:
        self.waiting.options = [NONE, *self._stage.proposed]
        self._redraw()
        return sentence

    def _redraw(self) -> None:
        self.view.show(table=self._stage.ledger())


def panel(stage: Adjust) -> widgets.Widget:
    """The panel's widget."""
    first = AdjustPanel(stage)
    return widgets.VBox([first.box, LedgerPanel(stage, first).box])
