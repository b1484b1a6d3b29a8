"""The panels of 5_monitor without a browser: what their controls show, errors as sentences, and recovery."""

from html import unescape

import pytest

from dcbudget.panels import alerts as alerts_panel
from dcbudget.panels import monitor as panels
from dcbudget.stages.alerts import Alerts
from dcbudget.stages.checkpointing import Checkpointing
from dcbudget.stages.monitor import Monitor
from tiny import make_world
from trained import make_trained


@pytest.fixture(scope="module")
def monitor(tmp_path_factory):
    return Monitor("2026-05", str(make_trained(tmp_path_factory.mktemp("trained"))), least_group=1)


@pytest.fixture
def panel(monitor):
    return panels.MonitorPanel(monitor, Checkpointing(monitor), smoothing=0.5)


def title(view):
    return view.chart.chart.to_dict()["title"]["text"]


def test_starts_as_the_notebook_does(panel, monitor):
    curves, results, checkpoints = panel.views.values()
    assert list(panel.runs.value) == monitor.chosen
    assert curves.chart.chart.to_dict() == monitor.curve(smoothing=0.5).to_dict()
    assert curves.table.value == monitor.runs_table(monitor.chosen)._repr_html_()
    assert results.table.value == monitor.results_table(monitor.chosen)._repr_html_()
    assert "Checkpoints of big" in checkpoints.headline.value


def test_chosen_runs_are_drawn_and_counted(panel, monitor):
    panel.runs.value = ["wild"]
    assert title(panel.views["Curves"]) == "wild diverged: its loss ends at 900"
    assert panel.views["Curves"].headline.value == monitor.headline(["wild"])._repr_html_()
    assert panel.views["Results"].table.value == monitor.results_table(["wild"])._repr_html_()
    assert title(panel.views["Results"]) == monitor.parts_chart(["wild"]).to_dict()["title"]["text"]


def test_metric_axis_and_smoothing(panel, monitor):
    panel.runs.value = ["big"]
    panel.metric.value, panel.axis.value, panel.smoothing.value = "accuracy", "cost", 0.9
    expected = monitor.curve(["big"], "accuracy", "cost", 0.9).to_dict()
    assert panel.views["Curves"].chart.chart.to_dict() == expected


def test_checkpoint_interval(panel, monitor):
    checkpointing, view = Checkpointing(monitor), panel.views["Checkpoints"]
    assert panel.interval.value == checkpointing.present_interval("big") == 119
    panel.interval.value = 30
    found = checkpointing.found("big", 30)
    assert view.headline.value == checkpointing.headline(found, "big")._repr_html_()
    assert view.chart.chart.to_dict() == checkpointing.chart(found, "big").to_dict()
    panel.run.value = "wild"  # starts from its own interval
    assert panel.interval.value == 60 and "Checkpoints of wild" in view.headline.value


def test_a_view_is_drawn_only_when_its_controls_move(panel, monitor, monkeypatch):
    monkeypatch.setattr(type(monitor), "curve", lambda *_: pytest.fail("the curves were drawn again"))
    panel.interval.value = 45
    assert "Every 45 min" in panel.views["Checkpoints"].headline.value


def test_error_is_a_sentence_and_the_next_value_recovers(panel):
    good = {name: view.headline.value for name, view in panel.views.items()}
    panel.runs.value = []
    for view in panel.views.values():
        assert "no run is chosen; choose at least one" in view.message.value
        assert view.headline.value == view.table.value == "" and view.chart_box.children == ()
    panel.runs.value = ["big", "wild", "undated"]
    assert {name: view.message.value for name, view in panel.views.items()} == dict.fromkeys(good, "")
    assert panel.views["Checkpoints"].headline.value == good["Checkpoints"]
    panel.metric.options = [*panel.metric.options, "<b>"]
    panel.metric.value = "<b>"
    assert "no run logs &#x27;&lt;b&gt;&#x27;" in panel.views["Curves"].message.value
    panel.metric.value = "loss"
    assert panel.views["Curves"].message.value == ""


def test_month_without_runs(monitor):
    june = Monitor("2026-06", monitor.database, least_group=1)
    panel = panels.MonitorPanel(june, Checkpointing(june))
    assert panel.run.value == panels.NONE and "Curves" in panel.views
    assert list(panel.runs.options) == ["undated"]


def test_alerts_under_other_rules(tmp_path):
    alerts = Alerts("2026-05", str(make_world(tmp_path)), least_group=1)
    panel = alerts_panel.AlertsPanel(alerts)
    assert panel.view.table.value == alerts.table()._repr_html_()
    panel.least_money.value = 0
    assert panel.alerts().rules.least_money == 0 and alerts.rules.least_money == 1000
    assert panel.view.table.value == alerts.tried(4.0, 0).table()._repr_html_()
    assert len(panel.alerts().of_month) > len(alerts.of_month)
    panel.least_money.value = 1000
    assert panel.alerts() is alerts and panel.view.headline.value == alerts.headline()._repr_html_()
    panel.sensitivity.min, panel.sensitivity.value = 0.0, 0.0
    assert "sensitivity must be at least 1" in unescape(panel.view.message.value)
    panel.sensitivity.value = 4.0
    assert panel.view.message.value == ""
