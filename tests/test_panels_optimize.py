"""The panel of 4_optimize without a browser: what its controls make of the stages, and what its button proposes."""

import shutil

import pytest

from dcbudget import adjustments
from dcbudget.panels import optimize as panels
from dcbudget.stages.optimize import Optimize


@pytest.fixture(scope="module")
def optimize(sample_db, tmp_path_factory):
    database = tmp_path_factory.mktemp("optimize") / "sample.duckdb"
    shutil.copy(sample_db, database)
    for key in sample_db.parent.glob("*.key"):
        shutil.copy(key, database.parent)
    return Optimize("2026-06", database=str(database))


@pytest.fixture(scope="module")
def panel(optimize):
    return panels.OptimizePanel(optimize)


def title(tab):
    return tab.view.chart.chart.to_dict()["title"]["text"]


def test_starts_as_the_notebook_does(panel, optimize):
    replays = optimize.replays
    assert panel.replay.view.headline.value == replays.headline()._repr_html_()
    assert panel.replay.view.table.value == replays.projects_table()._repr_html_()
    assert panel.workloads.view.headline.value == optimize.workloads.headline()._repr_html_()


def test_policy_and_nodes_move_headline_chart_and_table(panel, optimize):
    tab, replays = panel.replay, optimize.replays
    tab.policy.value, tab.nodes.value = "Conservative backfill", 40
    setting = replays.with_changes(policy="Conservative backfill", nodes=40)
    assert tab.setting() == setting
    assert tab.view.headline.value == replays.headline(setting)._repr_html_()
    tab.show.value = "A week"
    assert title(tab) == replays.week_chart(setting).to_dict()["title"]["text"]
    tab.show.value = "Policies"
    assert tab.view.table.value == replays.policies_table(setting)._repr_html_()
    tab.show.value, tab.policy.value, tab.nodes.value = "Projects", replays.first.policy, replays.first.nodes


def test_job_larger_than_the_pool_is_a_sentence_and_the_next_value_recovers(panel, optimize):
    tab = panel.replay
    good = tab.view.headline.value
    tab.nodes.value = 1
    assert "gpus must be at most the 8 of pool h100" in tab.view.message.value and tab.view.headline.value == ""
    tab.nodes.value = optimize.log.nodes
    assert tab.view.message.value == "" and tab.view.headline.value == good


def test_reservation_over_the_room_is_a_sentence_and_recovers(panel):
    tab = panel.reservation
    tab.gpus.value = 200
    assert "must leave room for every job of others" in tab.view.message.value
    tab.gpus.value = 32
    assert tab.view.message.value == "" and "32 of 256 GPUs held" in tab.view.headline.value


def test_sweep_shows_progress_can_be_stopped_and_is_shown_once_it_is_there(panel, optimize):
    tab = panel.capacity
    tab.sweep.stop.click()
    assert "Not replayed yet" in tab.view.table.value or optimize.frontier.known()
    tab.sweep.start.click()
    tab.sweep.thread.join(120)
    assert tab.sweep.said.value == "" or "stopped" not in tab.sweep.said.value
    assert (
        title(tab) == optimize.frontier.chart(optimize.frontier.money(price=tab.price.value)).to_dict()["title"]["text"]
    )
    tab.waiting.value = 0
    assert "128 GPUs, the edge of what was tried, cost least" in tab.view.table.value


def test_elasticity_and_energy_follow_their_sliders(panel, optimize):
    tab = panel.elasticity
    before = title(tab)
    tab.price.value = 20.0
    assert title(tab) != before
    tab.show.value = "Shrink and grow"
    assert "Mean JCT" in tab.view.headline.value
    tab = panel.energy
    before = tab.view.headline.value
    tab.slack.value = 0
    assert tab.view.headline.value != before and "Saved" in tab.view.headline.value


def test_plan_without_money_is_a_sentence_of_what_conflicts_and_recovers(panel):
    tab = panel.workloads
    first = tab.money.value
    tab.money.value, tab.service.value = 0.0, 1.0
    assert "these demands conflict" in tab.view.message.value
    tab.money.value, tab.service.value = first, 0.5
    assert tab.view.message.value == ""


def press(button):
    button.children[0].click()
    return button.children[1].value


def test_choice_is_proposed_by_its_owner(panel, optimize):
    proposal = panel.proposal
    assert "no owner was given" in press(proposal.propose)
    proposal.owner.value = "ops"
    panel.replay.nodes.value = 28
    said = press(proposal.propose)
    assert "proposed 2026-07-01-01 (proposed)" in said and "owner ops" in said
    (row,) = adjustments.ledger(optimize.log.db).to_dict("records")
    assert row["source"] == "4_optimize"
    assert float(row["promised_saving"]) == pytest.approx(12 * 4 * 8 * 720 * optimize.log.price, abs=0.01)
    panel.replay.nodes.value = 1
    assert press(proposal.propose) == "" and "must be at most" in proposal.view.message.value
