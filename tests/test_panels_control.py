"""The panel of 3_control without a browser: what its controls make of a training run and of the ways of paying."""

import re
from html import unescape
from math import exp

import ipywidgets as widgets
import numpy as np
import pytest

from dcbudget.ingest.load import load
from dcbudget.panels.control import ControlPanel, panel
from dcbudget.stages.commitments import GREW, PLANNED, Commitments
from dcbudget.stages.control import Control
from dcbudget.stages.strategies import Strategies
from tiny import charge, egress, make, write

MONTHS = {3: 744, 4: 720, 5: 744}
HOURS_PER_YEAR = 365.25 * 24


def node(gpu_model: str, gpus: int, price: float) -> list[dict]:
    """GPUs on demand day and night from March to May 2026, at a price per GPU-hour."""
    return [charge(f"{gpu_model} {month}", str(hours * gpus * price), gpus=(gpu_model, gpus, hours),
                   start=f"2026-0{month}-01", end=f"2026-0{month + 1}-01", PricingCategory="Standard")
            for month, hours in MONTHS.items()]  # fmt: skip


def listed(category: str, price: float) -> dict:
    """The price of an hour of 8 H100 in the price list."""
    return {"provider": "Cloud", "region": "x", "sku": "h100-8x", "gpu_model": "H100", "gpus": "8",
            "pricing_category": category, "unit": "Hours", "unit_price": str(price), "currency": "USD",
            "effective_from": "2026-01-01"}  # fmt: skip


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """8 H100 at 4 an hour, committed at 2 and spot at 1.50 by the price list, and 4 A100 at 2.50."""
    folder = tmp_path_factory.mktemp("steady")
    db = make(folder, charges=[*node("H100", 8, 4), *node("A100", 4, 2.5)])
    load([write(folder / "prices.csv", [listed("Standard", 32), listed("Committed", 16), listed("Dynamic", 12)])], db)
    return Control("2026-05", str(db))


@pytest.fixture(scope="module")
def stage(control):
    return Strategies(control)


@pytest.fixture(scope="module")
def buying(control):
    return Commitments(control)


@pytest.fixture(scope="module")
def shared(buying, stage):
    return ControlPanel(buying, stage)


@pytest.fixture
def tabs(shared):
    """The panel, with its controls as they were at first."""
    first = [(each, each.value) for tab in tabs_of(shared) for each in controls_of(tab)]
    yield shared
    for each, value in first:
        each.value = value


def tabs_of(shown: ControlPanel) -> list:
    return [shown.strategies, shown.commitments, shown.spot, shown.ownership]


def controls_of(tab) -> list:
    return [each for each in vars(tab).values() if hasattr(each, "value")]


def cards(tab) -> dict[str, str]:
    """The figures of a tab's headline: label -> value."""
    found = re.findall(r'class="label">(.*?)</div><div class="value">(.*?)</div>', tab.view.headline.value)
    return {unescape(label): unescape(value) for label, value in found}


def number(text: str) -> float:
    return float(re.match(r"[+-]?[\d,.]+", text)[0].replace(",", ""))


def spec(tab) -> dict:
    """The specification of the chart that is shown."""
    assert tab.view.chart_box.children == (tab.view.chart,)
    return tab.view.chart.chart.to_dict()


def rows(tab, column: str) -> list[dict]:
    """The drawn rows that have a column."""
    return next(rows for rows in spec(tab)["datasets"].values() if rows and column in rows[0])


def points(tab) -> dict[tuple, dict]:
    return {(row["strategy"], row["gpus"]): row for row in rows(tab, "pareto")}


def results(tab) -> tuple[str, str, dict]:
    return tab.view.headline.value, tab.view.table.value, spec(tab)


def compared(stage, *given, **changed) -> tuple[str, str, dict]:
    """What the strategies tab is to show."""
    found = stage.compare(*given, **changed)
    return (stage.comparison_headline(found)._repr_html_(), stage.comparison_table(found)._repr_html_(),
            stage.comparison_chart(found).to_dict())  # fmt: skip


# Where it starts.


def test_every_tab_starts_as_its_stage_does(tabs, buying, stage):
    assert results(tabs.strategies) == compared(stage)
    purchase = buying.buy(commitment_discount=buying.commitment_discount.value)
    assert results(tabs.commitments) == (buying.buy_headline(purchase)._repr_html_(),
                                         buying.buy_table(purchase)._repr_html_(),
                                         buying.buy_chart(purchase).to_dict())  # fmt: skip
    spot = stage.spot()
    assert results(tabs.spot) == (stage.spot_headline(spot)._repr_html_(), "", stage.spot_chart(spot).to_dict())
    owned = stage.own_or_rent(stage.owned())
    assert results(tabs.ownership) == (stage.ownership_headline(owned)._repr_html_(), "",
                                       stage.ownership_chart(owned).to_dict())  # fmt: skip


def test_parameters_between_the_usual_values_are_where_the_sliders_start(control):
    """Nothing is rounded to what a slider usually offers, nor kept within its usual range."""
    given = {"model_parameters": 2.6e9, "tokens": 3.3e9, "accelerator": "A100", "gpus": 48, "gpus_per_node": 6,
             "batch": 100, "network_gb_per_second": 612.5, "price_kind": "on-demand"}  # fmt: skip
    stage = Strategies(control, **given)
    tab = ControlPanel(Commitments(control), stage).strategies
    shown = [tab.parameters, tab.tokens, tab.accelerator, tab.gpus, tab.gpus_per_node, tab.batch, tab.network]
    assert [each.value for each in shown] == list(given.values())[:-1]
    assert results(tab) == compared(stage)


def test_sample_starts_from_what_was_measured(sample_db):
    control = Control("2026-06", str(sample_db))
    shown, known = ControlPanel(Commitments(control), Strategies(control)), control.known
    starts = {"mfu": shown.strategies.mfu, "demand_growth_per_year": shown.commitments.growth,
              "allocation_rate": shown.ownership.utilisation, "server_life_years": shown.ownership.life,
              "gpu_watts": shown.ownership.watts, "pue": shown.ownership.pue,
              "power_price_per_kwh": shown.ownership.price_per_kwh}  # fmt: skip
    for name, slider in starts.items():
        assert known[name].count and slider.value == pytest.approx(known[name].value, abs=1e-8), name
    often = known["spot_interruptions_per_gpu_hour"]
    assert often.count and shown.spot.interruptions.value == pytest.approx(1000 * often.value)
    starts = {"checkpoint_minutes": shown.spot.checkpoint, "restart_minutes": shown.spot.restart,
              "network_gb_per_second": shown.strategies.network}  # fmt: skip
    for name, slider in starts.items():
        assert known[name].is_published and slider.value == known[name].value, name
    assert [tab.view.message.value for tab in tabs_of(shown)] == [""] * 4
    assert "GPUs to commit to" in cards(shown.commitments) and number(cards(shown.strategies)["Cheapest"]) > 0


def test_every_measured_slider_says_where_it_starts(tabs, control):
    told = [unescape(row.children[1].value) for tab in tabs_of(tabs) for row in tab.box.children
            if type(row) is widgets.HBox]  # fmt: skip
    names = ("network_gb_per_second", "mfu", None, "demand_growth_per_year", "commitment_discount",
             "spot_interruptions_per_gpu_hour", "checkpoint_minutes", "restart_minutes", "allocation_rate",
             "server_life_years", "gpu_watts", "pue", "power_price_per_kwh")  # fmt: skip
    assert len(told) == len(names)
    assert "published: 50 (400 Gb/s for each H100" in told[0] and "published: 0.67 (BLOOM" in told[6]
    for name, remark in zip(names, told, strict=True):
        known = control.known[name] if name else None
        if name == "spot_interruptions_per_gpu_hour":
            assert "published: 0.0342 (AWS" in remark
            known = known.times(1000)
        assert (known.remark if known else "grew: the days of the past") in remark, name


def test_panel_is_four_named_tabs(buying, stage):
    (box,) = panel(buying, stage).children
    assert box.titles == ("Strategies", "Commitments", "Spot", "Own or rent") and len(box.children) == 4


# Strategies.


def test_every_control_of_strategies_is_its_argument(tabs, stage):
    """Moved one after the other, all that were moved before staying where they are."""
    moves = [
        ("parameters", "model_parameters", 1e9), ("tokens", "tokens", 1e12), ("accelerator", "accelerator", "A100"),
        ("gpus", "gpus", 64), ("gpus_per_node", "gpus_per_node", 4), ("batch", "batch", 128),
        ("network", "network_gb_per_second", 5.0), ("price_kind", "price_kind", "spot"), ("mfu", "mfu", 0.2),
    ]  # fmt: skip
    moved, before = {}, results(tabs.strategies)
    for name, argument, value in moves:
        getattr(tabs.strategies, name).value = moved[argument] = value
        after = results(tabs.strategies)
        assert after == compared(stage, **moved) and after != before, name
        before = after


def test_twice_the_tokens_are_twice_the_time_and_the_money(tabs):
    tab = tabs.strategies
    tab.tokens.value = 1e11
    before = points(tab)
    tab.tokens.value = 2e11
    after = points(tab)
    assert len(before) > 20 and after.keys() == before.keys()
    for point, row in after.items():
        for column in ("hours", "gpu_hours", "cost"):
            assert row[column] == pytest.approx(2 * before[point][column]), (point, column)


def test_half_the_mfu_is_twice_the_gpu_hours_where_it_was_measured(tabs):
    """On few GPUs hardly any time is communication, so that the MFU alone decides."""
    tab = tabs.strategies
    cheapest = []
    for mfu in (0.4, 0.2):
        tab.mfu.value = mfu
        cheapest.append(number(cards(tab)["Cheapest"]))
    assert cheapest[1] == pytest.approx(2 * cheapest[0], rel=0.01)


@pytest.mark.parametrize("kind, price", [("on-demand", 4.0), ("committed", 2.0)])
def test_money_is_gpu_hours_at_the_price_of_the_kind(tabs, kind, price):
    tabs.strategies.price_kind.value = kind
    assert cards(tabs.strategies)["Price"] == f"{price:.2f} USD"
    for (strategy, _), row in points(tabs.strategies).items():
        assert row["cost"] == pytest.approx(price * row["gpu_hours"] + server_hours(strategy, row))


def server_hours(strategy: str, row) -> float:
    """Of parameter servers, one for each node of eight GPUs; they cost 1 an hour."""
    return row["hours"] * -(-row["gpus"] // 8) if strategy == "parameter server" else 0.0


def test_spot_pays_for_what_is_repeated(tabs):
    tab = tabs.strategies
    before = points(tab)
    tab.price_kind.value = "spot"
    more = {point: row["gpu_hours"] / before[point]["gpu_hours"] for point, row in points(tab).items()}
    assert cards(tab)["Price"] == "1.50 USD" and min(more.values()) > 1
    assert more["data parallel", 256] > more["data parallel", 4]
    for (strategy, _), row in points(tab).items():
        assert row["cost"] == pytest.approx(1.5 * row["gpu_hours"] + server_hours(strategy, row))


def test_smaller_clusters_leave_the_others_as_they_are(tabs):
    before = points(tabs.strategies)
    tabs.strategies.gpus.value = 32
    after = points(tabs.strategies)
    assert max(gpus for _, gpus in after) == 32
    for point, row in after.items():
        assert row["hours"] == pytest.approx(before[point]["hours"])


def test_gpus_of_a_node_make_the_nodes(tabs):
    tabs.strategies.gpus_per_node.value = 4
    assert {row["nodes"] for (_, gpus), row in points(tabs.strategies).items() if gpus == 64} == {16}


# Commitments: 8 H100 without a doubt, at 4 an hour.


@pytest.mark.parametrize("name, value, saving", [
    ("discount", 0.25, 8 * 365 * 24 * 4 * 0.25), ("discount", 0.5, 8 * 365 * 24 * 4 * 0.5), ("discount", 0.0, 0.0),
    ("months", 1, 8 * 30 * 24 * 4 * 0.37),
])  # fmt: skip
def test_steady_demand_saves_the_discount_of_every_hour(tabs, name, value, saving):
    tabs.commitments.demand.value = GREW
    getattr(tabs.commitments, name).value = value
    shown = cards(tabs.commitments)
    assert number(shown["Expected saving"]) == pytest.approx(saving, abs=0.6)
    assert shown["GPUs to commit to"] == ("8" if saving else "0")


def test_growth_is_committed_to_as_far_as_it_pays(tabs):
    """Demand doubles in the year: every number of GPUs is tried here."""
    demand = 8 * 2 ** (np.arange(1, 366) / 365.25)
    costs = {n: 24 * (0.63 * 4 * n * 365 + 4 * np.maximum(demand - n, 0).sum()) for n in range(17)}
    best = min(costs, key=costs.get)
    assert tabs.commitments.demand.value == PLANNED
    tabs.commitments.demand.value = GREW
    tabs.commitments.growth.value = 1.0
    shown = cards(tabs.commitments)
    assert best > 8 and shown["GPUs to commit to"] == f"{best}"
    assert number(shown["Expected saving"]) == pytest.approx(costs[0] - costs[best], rel=1e-4)


def test_the_other_gpu_has_its_own_demand_and_price(tabs):
    assert tabs.commitments.gpu_model.options == ("H100", "A100")
    tabs.commitments.demand.value, tabs.commitments.gpu_model.value = GREW, "A100"
    shown = cards(tabs.commitments)
    assert (shown["GPUs to commit to"], shown["Demand now"]) == ("4", "4.0 GPUs")
    assert number(shown["Expected saving"]) == pytest.approx(4 * 365 * 24 * 2.5 * 0.37, abs=0.6)


# Spot: 1.50 an hour.


def test_without_interruptions_spot_costs_its_price(tabs):
    tabs.spot.interruptions.value = 0.0
    shown = cards(tabs.spot)
    assert (shown["Useful GPU-hour on spot"], shown["Repeated and stood still"]) == ("1.50 USD", "0.0%")
    assert shown["Checkpoint every"] == "never" and "less than on demand" in spec(tabs.spot)["title"]["text"]


def test_free_checkpoints_leave_the_restarts(tabs):
    """An interruption every 100 hours, an hour to restart that may be interrupted too: exp(1/100) of the work."""
    tab = tabs.spot
    tab.gpus.value, tab.interruptions.value, tab.checkpoint.value, tab.restart.value = 1, 10.0, 0.0, 60.0
    assert cards(tab)["Repeated and stood still"] == f"{exp(0.01) - 1:.1%}" == "1.0%"
    tab.gpus.value = 16
    assert cards(tab)["Repeated and stood still"] == f"{exp(0.16) - 1:.1%}" == "17.4%"
    assert cards(tab)["Useful GPU-hour on spot"] == f"{1.5 * exp(0.16):.2f} USD"
    assert [{"interruptions_per_1000_gpu_hours": 10.0}] in spec(tab)["datasets"].values()


@pytest.mark.parametrize("hours, shown", [(24, "1.9 h"), (6, "56.7 min"), (0.25, "9.1 min")])
def test_checkpoints_are_dalys(tabs, hours, shown):
    """Daly 2006 for checkpoints of 5 minutes: 117, 57 and 9.1 minutes at 24 h, 6 h and 15 min between failures."""
    tab = tabs.spot
    tab.gpus.value, tab.checkpoint.value = 128, 5
    tab.interruptions.value = 1000 / hours / 128
    assert cards(tab)["Checkpoint every"] == shown


def test_spot_of_the_other_gpu(tabs, stage):
    tabs.spot.accelerator.value = "A100"
    assert tabs.spot.view.headline.value == stage.spot_headline(stage.spot("A100"))._repr_html_()


# Own or rent: a DGX's eighth at 44,489.88 over 5 years, 400 W at a PUE of 1.25 and 0.0771 a kWh, used 80 %.


@pytest.mark.parametrize(
    "name, value",
    [("utilisation", 0.5), ("life", 2.5), ("watts", 1500), ("pue", 2.0), ("price_per_kwh", 0.5)],
)
def test_owning_by_hand(tabs, name, value):
    start = {"utilisation": 0.8, "life": 5.0, "watts": 400, "pue": 1.25, "price_per_kwh": 0.0771}
    for now in (start, start | {name: value}):
        getattr(tabs.ownership, name).value = now[name]
        held = 44489.88 / (now["life"] * HOURS_PER_YEAR)
        energy = now["watts"] / 1000 * now["pue"] * now["price_per_kwh"]
        shown = cards(tabs.ownership)
        assert shown["Owned"] == f"{held / now['utilisation'] + energy:.2f} USD"
        assert shown["Owning pays from"] == f"{held / (4 - energy):.0%}"
        assert shown["Rented"] == "4.00 USD"
        assert f"from {held / (4 - energy):.0%} of its hours" in spec(tabs.ownership)["title"]["text"]


def test_owning_the_other_gpu(tabs):
    tabs.ownership.accelerator.value = "A100"
    energy = 0.4 * 1.25 * 0.0771
    assert cards(tabs.ownership)["Owned"] == f"{24875 / (5 * HOURS_PER_YEAR) / 0.8 + energy:.2f} USD"
    assert cards(tabs.ownership)["Rented"] == "2.50 USD"


# What cannot be told.

UNKNOWN = "<b>X1</b>"


def fails(tab, sentence: str) -> None:
    """A sentence stands in place of all results."""
    assert tab.view.message.value.startswith('<p role="alert"')
    assert re.search(sentence, unescape(tab.view.message.value)), tab.view.message.value
    assert tab.view.headline.value == tab.view.table.value == "" and tab.view.chart_box.children == ()


@pytest.mark.parametrize("tab, bad, sentence", [
    ("strategies", {"accelerator": "MI355X"}, "no price of MI355X, on-demand, is known; load a bill"),
    ("strategies", {"price_kind": "owned"}, "no price of H100, owned, is known; load a bill"),
    ("strategies", {"gpus": 1}, "7B parameters do not fit: .* on 1 GPU needs .* GB a GPU, and H100 has"),
    ("strategies", {"gpus": 8, "parameters": 7e12}, "7,?000B parameters do not fit|7T parameters do not fit"),
    ("commitments", {"gpu_model": UNKNOWN}, "gpu_model must be one that is rented, of H100, A100, not '<b>X1</b>'"),
    ("spot", {"accelerator": "MI355X"}, "no price of MI355X, on-demand, is known"),
    ("ownership", {"accelerator": "MI355X"}, "no purchase price of MI355X is known"),
    ("ownership", {"accelerator": "L40S"}, "no purchase price of L40S is known; load a fleet that has it"),
])  # fmt: skip
def test_error_is_a_sentence_and_the_next_good_value_recovers(tabs, tab, bad, sentence):
    tab = getattr(tabs, tab)
    good, widget = results(tab), tab.view.chart
    for name, value in bad.items():
        each = getattr(tab, name)
        first = each.value
        if value == UNKNOWN:
            each.options = (*each.options, UNKNOWN)
        each.value = value
    fails(tab, sentence)
    assert "<b>" not in tab.view.message.value
    each.value = first
    for name in bad:
        getattr(tab, name).value = {"gpus": 256, "parameters": 7e9}.get(name, first)
    assert tab.view.message.value == "" and results(tab) == good and tab.view.chart is widget


def test_unknown_accelerator_of_the_notebook_is_a_sentence_until_another_is_chosen(control):
    shown = ControlPanel(Commitments(control), Strategies(control, accelerator=UNKNOWN))
    fails(shown.strategies, "accelerator must be one of .*H100.*, not '<b>X1</b>'")
    fails(shown.spot, "accelerator must be one of .*H100.*, not '<b>X1</b>'")
    fails(shown.ownership, "accelerator must be one of .*H100.*, not '<b>X1</b>'")
    for tab in (shown.strategies, shown.spot, shown.ownership):
        assert "<b>" not in tab.view.message.value
        tab.accelerator.value = "H100"
        assert tab.view.message.value == "" and cards(tab)


def test_chart_is_replaced_in_place(tabs):
    """The widget stays, its specification changes: nothing flickers in the browser."""
    moves = {tabs.strategies.mfu: 0.3, tabs.commitments.months: 6, tabs.spot.checkpoint: 30.0, tabs.ownership.life: 3.0}
    for tab, (slider, value) in zip(tabs_of(tabs), moves.items(), strict=True):
        widget, before = tab.view.chart, spec(tab)
        slider.value = value
        assert tab.view.chart is widget and spec(tab) != before


def test_where_nothing_is_known_the_published_values_stand_in(tmp_path):
    """No GPUs rented, no jobs, no fleet."""
    control = Control("", str(make(tmp_path, charges=[egress("2026-05", "1")])))
    shown = ControlPanel(Commitments(control), Strategies(control))
    fails(shown.commitments, "gpu_model must be one that is rented, of none")
    shown.commitments.growth.value = 0.5
    fails(shown.commitments, "gpu_model must be one that is rented, of none")
    for tab in (shown.strategies, shown.spot, shown.ownership):
        assert tab.view.message.value == "" and cards(tab) and spec(tab)
    assert cards(shown.ownership)["Rented"] == "6.88 USD"


def test_where_not_even_a_price_is_published_every_tab_says_so(tmp_path):
    """Published prices are in dollars, and no rate turns them into euros."""
    control = Control("", str(make(tmp_path, charges=[egress("2026-05", "1", BillingCurrency="EUR")])))
    shown = ControlPanel(Commitments(control), Strategies(control))
    fails(shown.strategies, "no price of H100, on-demand, is known")
    fails(shown.spot, "no price of H100, on-demand, is known")
    fails(shown.ownership, "USD.*EUR|EUR.*USD")
    *_, power, _ = shown.ownership.box.children
    assert power.children[0] is shown.ownership.price_per_kwh
    assert "nothing measured, and nothing published" in power.children[1].value
