"""Panels without a browser: set a control, look at what is shown."""

import pandas as pd
import pytest
from altair.utils import schemapi

from dcbudget.errors import DcbudgetError
from dcbudget.panels import assess, review
from dcbudget.panels.controls import View, choice, live, rate_slider
from dcbudget.stages.assess import Assessment
from dcbudget.stages.review import MonthlyReview
from dcbudget.tables import Headline, Table
from tiny import budget, charge, make, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return str(make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture
def review_panel(world):
    return review.ReviewPanel(MonthlyReview("2026-05", world))


@pytest.fixture
def assess_panel(world):
    return assess.AssessPanel(Assessment("2026-05", world, target_allocation=0.5))


def spec(view):
    """The specification of the chart that is shown."""
    assert view.chart_box.children == (view.chart,)
    return view.chart.chart.to_dict()


def records(view):
    return next(iter(spec(view)["datasets"].values()))


def test_review_starts_as_the_notebook_does(review_panel, world):
    """Untouched, the panel shows what the notebook's own cells show."""
    stage = MonthlyReview("2026-05", world)
    assert (review_panel.month.value, review_panel.by.value) == ("2026-05", "project")
    assert review_panel.view.headline.value == stage.headline()._repr_html_()
    assert review_panel.view.table.value == stage.projects()._repr_html_()
    assert spec(review_panel.view) == stage.variance_chart("project").to_dict()
    assert review_panel.view.message.value == ""


def test_review_by_category(review_panel, world):
    review_panel.by.value = "category"
    assert review_panel.view.table.value == MonthlyReview("2026-05", world).categories()._repr_html_()
    assert {row["category"] for row in records(review_panel.view)} >= {"Rented GPUs", "Storage"}
    assert "Tax and support" in review_panel.view.table.value


def test_review_of_another_month_and_back(review_panel):
    before = review_panel.view.headline.value, spec(review_panel.view)
    review_panel.month.value = "2026-06"
    assert (
        "Budget review June 2026" in review_panel.view.headline.value and "480 USD" in review_panel.view.headline.value
    )
    assert {row["project"] for row in records(review_panel.view)} == {"beta", "Idle capacity"}
    review_panel.month.value = "2026-05"
    assert (review_panel.view.headline.value, spec(review_panel.view)) == before


def test_review_offers_the_months_that_there_are(review_panel):
    assert list(review_panel.month.options) == ["2026-05", "2026-06"]


def test_review_keeps_the_parameters_of_the_notebook(tmp_path):
    """The plan and the fiscal year that the notebook was given hold for every month of its panel."""
    plan = [
        budget(f"2026-{month}", "alpha", "Network", amount, plan=name, status=status)
        for name, status, amount in (("a", "approved", "10"), ("b", "draft", "70"))
        for month in ("05", "06")
    ]
    bill = [charge("x", "1"), charge("y", "2", start="2026-06-01", end="2026-07-01")]
    panel = review.ReviewPanel(MonthlyReview("2026-05", str(make(tmp_path, charges=bill, plan=plan)), "b", 4, 2, 1))
    panel.month.value = "2026-06"
    assert "plan b" in panel.view.headline.value and "70 USD" in panel.view.headline.value
    assert "fiscal year from 2026-04" in panel.view.headline.value


def test_review_error_is_a_sentence_and_the_next_value_recovers(tmp_path):
    """A named plan that does not cover the chosen month."""
    plan = [budget("2026-06", "alpha", "Network", "10", plan="<b>june</b>")]
    bill = [charge("x", "1"), charge("y", "2", start="2026-06-01", end="2026-07-01")]
    panel = review.ReviewPanel(MonthlyReview("2026-06", str(make(tmp_path, charges=bill, plan=plan)), "<b>june</b>"))
    good = panel.view.headline.value
    panel.month.value = "2026-05"
    assert 'role="alert"' in panel.view.message.value
    assert "plan &lt;b&gt;june&lt;/b&gt; does not cover 2026-05" in panel.view.message.value
    assert panel.view.headline.value == panel.view.table.value == "" and panel.view.chart_box.children == ()
    panel.month.value = "2026-06"
    assert panel.view.message.value == "" and panel.view.headline.value == good
    assert records(panel.view)


def test_panel_survives_a_database_that_goes_away(tmp_path, world):
    """Somebody moves the file while the notebook is open."""
    from shutil import copy

    db = copy(world, tmp_path / "moved.duckdb")
    panel = review.ReviewPanel(MonthlyReview("2026-05", str(db)))
    db.rename(tmp_path / "elsewhere.duckdb")
    panel.month.value = "2026-06"
    assert "there is no database" in panel.view.message.value
    (tmp_path / "elsewhere.duckdb").rename(db)
    panel.by.value = "category"
    assert panel.view.message.value == "" and "June 2026" in panel.view.headline.value


def test_assess_starts_as_the_notebook_does(assess_panel, world):
    stage = Assessment("2026-05", world, target_allocation=0.5)
    assert (assess_panel.target.value, assess_panel.growth.value) == (0.5, 0.0)
    assert assess_panel.view.headline.value == stage.need_headline(stage.need())._repr_html_()
    assert assess_panel.view.table.value == stage.need_table(stage.need())._repr_html_()
    assert spec(assess_panel.view) == stage.need_chart(stage.need()).to_dict()


def needed(panel):
    return {row["pool"]: row["gpus"] for row in records(panel.view) if row["what"] == "needed"}


def test_assess_sliders_move_the_answer(assess_panel):
    """22 of east's GPU-hours held over 744 h: at a target of a half 0.059 GPUs, at a whole 0.030, doubled 0.059."""
    assert needed(assess_panel)["east H100"] == pytest.approx(22 / 744 / 0.5)
    assess_panel.target.value = 1.0
    assert needed(assess_panel) == pytest.approx({"east H100": 22 / 744, "west A100": 40 / 744})
    assess_panel.growth.value = 1.0
    assert needed(assess_panel)["east H100"] == pytest.approx(2 * 22 / 744)
    assess_panel.growth.value = -0.9
    assert needed(assess_panel)["east H100"] == pytest.approx(0.1 * 22 / 744)


def test_assess_of_another_month_keeps_the_sliders(assess_panel):
    assess_panel.target.value = 1.0
    assess_panel.month.value = "2026-06"
    assert needed(assess_panel) == pytest.approx({"east H100": 24 / 720})
    assert "June 2026" in spec(assess_panel.view)["title"]["subtitle"]


def test_assess_where_nothing_is_known(tmp_path):
    panel = assess.AssessPanel(Assessment("", str(make(tmp_path, charges=[charge("x", "1")]))))
    assert "GPUs to spare" in panel.view.headline.value and "nothing to show" in panel.view.table.value
    panel.target.value = 0.4
    assert panel.view.message.value == ""


def test_chart_is_replaced_in_place(review_panel):
    """The widget stays, its specification changes: nothing flickers in the browser."""
    widget = review_panel.view.chart
    review_panel.by.value = "category"
    assert review_panel.view.chart is widget


@pytest.mark.parametrize("module, stage", [(assess, Assessment), (review, MonthlyReview)])
def test_panel_is_one_widget_of_controls_over_a_view(module, stage, world):
    box = module.panel(stage("", world))
    *controls, view = box.children
    assert controls and all(hasattr(control, "value") for control in controls)
    assert len(view.children) == 4


# The controls by themselves.


def test_altair_checks_charts_again_after_a_redraw_that_failed():
    pick, asked = choice("x", ["1", "2"], "1"), []

    def redraw():
        asked.append(schemapi.DEBUG_MODE)
        raise DcbudgetError("no")

    live([pick], View(), redraw)
    pick.value = "2"
    assert asked == [False, False] and schemapi.DEBUG_MODE


def number(value):
    frame = pd.DataFrame({"a": [value]})
    return Headline(f"{value}", [("a", f"{value}", "")]), Table(frame, {"a": "A"}, f"{value}")


def test_rate_slider_keeps_its_range():
    slider = rate_slider("Share", 0.5, 0.05, 1.0)
    slider.value = 0.75
    assert slider.value == 0.75
    slider.value = 7
    assert slider.value == 1.0
    slider.value = 0.0
    assert slider.value == 0.05


def test_live_redraws_on_every_change_and_shows_errors_escaped():
    pick, view, drawn = choice("x", ["1", "2", "<bad>"], "1"), View(), []

    def redraw():
        drawn.append(pick.value)
        if pick.value == "<bad>":
            raise DcbudgetError("no <bad> values")
        headline, table = number(pick.value)
        view.show(headline, None, table)

    live([pick], view, redraw)
    assert drawn == ["1"] and "<h3" in view.headline.value
    pick.value = "<bad>"
    assert "no &lt;bad&gt; values" in view.message.value and view.headline.value == ""
    pick.value = "2"
    assert drawn == ["1", "<bad>", "2"] and view.message.value == "" and ">2<" in view.table.value


def test_a_bug_is_not_hidden_as_a_sentence():
    """Only what a user can put right is a sentence."""

    def redraw():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        live([], View(), redraw)


def test_a_first_value_that_fails_still_makes_the_panel():
    def redraw():
        raise DcbudgetError("not yet")

    view = View()
    live([], view, redraw)
    assert "not yet" in view.message.value


class TwoTabs:
    """A panel of two tabs, the second of which can fail in two ways; what the tabs say as each redraw begins."""

    def __init__(self):
        self.pick, self.views, self.said = choice("x", ["1", "2", "bad", "worse"], "1"), {"a": View(), "b": View()}, []
        live([self.pick], self.views, self.redraw)

    def redraw(self):
        self.said.append(self.alerts())
        headline, table = number(self.pick.value)
        self.views["a"].show(headline, None, table)
        if self.pick.value == "bad":
            raise DcbudgetError("no bad values")
        if self.pick.value == "worse":
            raise ZeroDivisionError("by <nothing>")
        self.views["b"].show(headline, None, table)

    def alerts(self):
        return [view.message.value for view in self.views.values()]

    def tables(self):
        return [view.table.value for view in self.views.values()]


def test_error_of_one_tab_stands_under_every_tab_and_is_gone_before_the_next_redraw_begins():
    """The first tab's results are there while the others are still drawn."""
    tabs = TwoTabs()
    tabs.pick.value = "bad"
    assert all("no bad values" in said for said in tabs.alerts()) and tabs.tables() == ["", ""]
    tabs.pick.value = "2"
    assert tabs.said == [["", ""]] * 3
    assert tabs.alerts() == ["", ""] and all(">2<" in table for table in tabs.tables())


def test_fault_of_the_program_leaves_nothing_that_passes_for_an_answer():
    """It goes on to Jupyter's log as well, and the next good value recovers."""
    tabs = TwoTabs()
    with pytest.raises(ZeroDivisionError):
        tabs.pick.value = "worse"
    assert all("cannot be drawn (ZeroDivisionError: by &lt;nothing&gt;)" in said for said in tabs.alerts())
    assert tabs.tables() == ["", ""]
    tabs.pick.value = "2"
    assert tabs.alerts() == ["", ""] and all(">2<" in table for table in tabs.tables())
