"""The panel of 7_review: any month, by project or by category."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, choice, live
from dcbudget.stages.review import MonthlyReview

BY = ("project", "category")


class ReviewPanel:
    """Month and grouping; shows the headline and budget, actual and variance."""

    def __init__(self, review: MonthlyReview):
        self._first = review
        self._stages = {f"{review.month:%Y-%m}": review}
        self.month = choice("Month", [f"{month:%Y-%m}" for month in review.months], f"{review.month:%Y-%m}")
        self.by = choice("Budget and actual by", list(BY), BY[0])
        self.view = View()
        self.box = live([self.month, self.by], self.view, self._redraw)

    def _redraw(self) -> None:
        stage = self._stage(self.month.value)
        table = stage.projects() if self.by.value == "project" else stage.categories()
        self.view.show(stage.headline(), stage.variance_chart(self.by.value), table)

    def _stage(self, month: str) -> MonthlyReview:
        if month not in self._stages:
            self._stages[month] = self._first.of_month(month)
        return self._stages[month]


def panel(review: MonthlyReview) -> widgets.Widget:
    """The panel's widget."""
    return ReviewPanel(review).box
