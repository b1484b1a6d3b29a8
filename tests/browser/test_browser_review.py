"""The panel of 7_review in JupyterLab."""

import pytest
from lab import CUT_OFF, Lab

from dcbudget.stages.review import MonthlyReview

pytestmark = pytest.mark.browser


def test_month_and_grouping_change_all_that_is_shown(server, chromium):
    with Lab(server, chromium, "7_review.ipynb") as lab:
        lab.run_all()
        assert lab.page.evaluate(CUT_OFF) == []
        for month, by in (("2026-06", "project"), ("2026-03", "project"), ("2026-03", "category")):
            lab.choose("Month", month)
            lab.choose("Budget and actual by", by)
            review = MonthlyReview(month, str(server.database))
            table = review.projects() if by == "project" else review.categories()
            rows = table.frame[[by, "budget", "actual"]].itertuples(index=False)
            bars = {f"{by}: {name}; budget: {budget:,.0f}; actual: {actual:,.0f}" for name, budget, actual in rows}
            lab.settles(lambda: {bar.partition("; ")[2] for bar in lab.bars()}, bars)
            lab.settles(lab.table, table.cells())
            lab.settles(lab.cards, [list(figure) for figure in review.headline().figures])
            assert lab.chart_title()[1] == f"variance, {review.basis}, {review.month:%B %Y}"
        assert lab.problems == []
