"""The panel of 6_adjust without a browser: what its controls make of the stage, and what its buttons write."""

import pytest

from dcbudget.panels import adjust as panels
from dcbudget.stages.adjust import Adjust
from test_stages_adjust import desk_in


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return Adjust("2026-05", desk_in(tmp_path_factory.mktemp("desk")), floor=0.5, draws=400)


@pytest.fixture
def panel(stage):
    return panels.AdjustPanel(stage)


def agrees(panel, stage, **rules):
    found = stage.moves(**rules)
    assert panel.view.headline.value == stage.headline(found)._repr_html_()
    assert panel.view.table.value == stage.chances_table(found)._repr_html_()
    assert panel.view.chart.chart.to_dict() == stage.chances_chart(found).to_dict()


def test_starts_as_the_notebook_does(panel, stage):
    assert panel.rules.items() <= stage.rules.items()
    agrees(panel, stage)


@pytest.mark.parametrize("name, value", [("floor", 0.9), ("reserve", 100.0), ("risk", 0.05), ("goal", "chance")])
def test_every_rule_moves_what_is_shown(panel, stage, name, value):
    getattr(panel, name).value = value
    agrees(panel, stage, **{name: value})


def test_views(panel, stage):
    for name, table in (("Moves", "moves_table"), ("Audit", "audit"), ("Bridge", "bridge_table")):
        panel.show.value = name
        assert panel.view.table.value == getattr(stage, table)()._repr_html_()
    assert panel.view.chart.chart.to_dict() == stage.bridge_chart().to_dict()


def test_a_move_is_proposed_and_accepted(panel, stage):
    ledger = panels.LedgerPanel(stage, panel)

    def press(button):
        button.children[0].click()
        return button.children[1].value, ledger.view.message.value

    assert "no move was named" in press(ledger.propose)[0]
    ledger.move.value = ledger.move.options[1]
    assert "owner of the adjustment must be a text" in press(ledger.propose)[1]
    ledger.owner.value, ledger.date.value = "ann", "2026-06-02"
    assert "proposed 2026-06-02-01" in press(ledger.propose)[0]
    assert "wait for a decision" in ledger.view.table.value and "ann" in ledger.view.table.value
    ledger.waiting.value = "2026-06-02-01"
    assert "consent must name who agreed for beta" in press(ledger.accept)[1]
    ledger.consent.value = "bob"
    said, error = press(ledger.accept)
    assert "accepted 2026-06-02-01" in said and "in place of 2026" in said and not error
    assert ledger.waiting.options == (panels.NONE,)
    panel.floor.value = 1.0
    assert ledger.move.options == (panels.NONE,)
