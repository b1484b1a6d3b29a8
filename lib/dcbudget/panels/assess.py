"""The panel of 2_assess: how many GPUs would the demand need?"""

import ipywidgets as widgets

from dcbudget.panels.controls import View, choice, live, rate_slider
from dcbudget.stages.assess import Assessment


class AssessPanel:
    """Month, target allocation and demand growth; shows GPUs now and needed, and what the difference is worth."""

    def __init__(self, assessment: Assessment):
        self._stages = {f"{assessment.month:%Y-%m}": assessment}
        months = [f"{month:%Y-%m}" for month in assessment.months]
        self.month = choice("Month", months, f"{assessment.month:%Y-%m}")
        self.target = rate_slider("Target allocation", assessment.target_allocation, 0.05, 1.0)
        self.growth = rate_slider("Demand growth", assessment.demand_growth, -0.9, 3.0, 0.05)
        self.view = View()
        self._first = assessment
        self.box = live([self.month, self.target, self.growth], self.view, self._redraw)

    def _redraw(self) -> None:
        stage = self._stage(self.month.value)
        need = stage.need(self.target.value, self.growth.value)
        self.view.show(stage.need_headline(need), stage.need_chart(need), stage.need_table(need))

    def _stage(self, month: str) -> Assessment:
        if month not in self._stages:
            self._stages[month] = Assessment(month, self._first.db or "", currency=self._first.currency)
        return self._stages[month]


def panel(assessment: Assessment) -> widgets.Widget:
    """The panel's widget."""
    return AssessPanel(assessment).box
