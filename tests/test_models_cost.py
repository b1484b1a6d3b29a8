"""Money on every basis: published cases, by hand, at the limits, and against a simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models import cost
from dcbudget.models.cost import Owned
from dcbudget.models.performance import failure_overhead

# Epoch AI, github.com/epoch-research/training-cost-trends, commit 263c40a, model_costs.csv: amortised hardware and
# energy [USD of December 2024]; model, chip-hours, chip, price, acquired, training start, PUE, USD/kWh, index.
PUBLISHED = [
    ("GPT-3 175B", 3_552_000, "V100", 18_625, "2018-06-25", "2019-10-01", 1.25, 0.0667, 113.400, 2_198_105),
    ("GPT-4", 57_000_000, "A100", 24_875, "2020-08-12", "2022-05-12", 1.25, 0.0806, 117.766, 40_695_706),
    ("BLOOM-176B", 1_078_272, "A100", 24_875, "2021-02-14", "2022-01-15", 1.25, 0.0832, 116.778, 995_819),
    ("Llama 2-70B", 1_720_320, "A100", 24_875, "2021-02-14", "2023-03-08", 1.10, 0.0806, 118.355, 1_102_561),
    ("Falcon-180B", 17_694_720, "A100", 24_875, "2020-08-12", "2023-01-09", 1.25, 0.0806, 118.297, 10_368_712),
]
CHIP_KW = {"V100": 0.25, "A100": 0.4}


def trained(row, **more):
    _, hours, chip, price, acquired, start, pue, price_per_kwh, index, _ = row
    years = (pd.Timestamp(start) - pd.Timestamp(acquired)).days / 365.25
    power = cost.SERVER_POWER[chip]
    index = 119.349 / index
    return cost.training_cost(hours, price, years, CHIP_KW[chip], power, pue, price_per_kwh, price_index=index, **more)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_training_costs_what_was_published(row):
    assert trained(row).amortised_hardware_and_energy == pytest.approx(row[-1], rel=1e-4)


def test_training_cost_has_three_bases():
    """GPT-4 of the same model_costs.csv: 40.7 million amortised, 78.6 rented, 778 bought."""
    found = trained(PUBLISHED[1], chips=25_000, rental_price_per_chip_hour=1.36)
    assert found.amortised_hardware_and_energy == pytest.approx(40_695_706, rel=1e-4)
    assert found.cloud_rental == pytest.approx(78_562_017, rel=1e-6)
    assert found.hardware_acquisition == pytest.approx(778_066_899, rel=1e-6)


@pytest.mark.parametrize("row, chips, published", [(2, 384, 12_052_220), (3, 1000, 30_967_792)])
def test_acquisition_costs_what_was_published(row, chips, published):
    """BLOOM-176B and Llama 2-70B of the same file."""
    assert trained(PUBLISHED[row], chips=chips).hardware_acquisition == pytest.approx(published, rel=1e-6)


def test_training_cost_without_a_rental_price_or_number_of_chips_does_not_make_one_up():
    found = trained(PUBLISHED[1])
    assert np.isnan(found.cloud_rental) and np.isnan(found.hardware_acquisition)


@pytest.mark.parametrize("gpu_hours, mwh, tonnes", [(82_432, 36, 14), (135_168, 59, 23), (530_432, 233, 90),
                                                    (1_022_362, 449, 173)])  # fmt: skip
def test_energy_and_carbon_of_llama(gpu_hours, mwh, tonnes):
    """Touvron et al. 2023, "LLaMA", arXiv:2302.13971, table 15: 400 W a GPU, PUE 1.1, 0.385 kg/kWh."""
    kwh = cost.energy_kwh(gpu_hours, 400, 1.1)
    assert kwh / 1000 == pytest.approx(mwh, abs=1)
    assert cost.carbon_kg(kwh, 0.385) / 1000 == pytest.approx(tonnes, abs=1)


ARTICLE = dict(servers=[10, 2, 1], nodes=[1, 5, 5], price_per_server=10_000, epochs=[100, 100, 200],
               hours_per_epoch=10, unit_price=1, plans=["single", "distributed", "batch"],
               printed=[100e6, 50e6, 50e6])  # fmt: skip


def test_article_as_printed_by_its_formula_and_soundly():
    found = cost.article_cost(**ARTICLE, server_kw=0.5, pue=1.2, price_per_kwh=0.1)
    assert list(found.plans["printed_saving"]) == [0, 0.5, 0.5]
    assert (found.plans["formula"] == 100e6).all()
    assert (found.plans["server_hours"] == 10_000).all() and (found.plans["saving"] == 0).all()
    assert (found.plans["rental"] == 10_000).all()
    assert found.plans["owned_5_years"].round().unique() == [2_282]
    assert found.plans["owned_3_years"].round().unique() == [3_803]
    assert found.plans["energy"].to_list() == pytest.approx([600, 600, 600])
    assert found.unit == "money x hours"
    assert "All 3 plans take the same 10,000 server-hours" in found.finding and "50%" in found.finding


def test_articles_table_has_a_column_a_plan():
    rows = cost.article_cost(**ARTICLE).rows.set_index("figure")
    assert list(rows.columns) == ["unit", "single", "distributed", "batch"]
    assert rows.loc["As printed", "batch"] == 50e6 and rows.loc["By the formula", "batch"] == 100e6
    assert rows.loc["By the formula", "unit"] == "money x hours" and rows.loc["Rental", "unit"] == "money"


def test_article_does_not_deny_a_saving_that_there_is():
    """Four times the servers at a fifth of the hours."""
    found = cost.article_cost([1, 4], 10_000, [100, 20], 10, 1, plans=["one", "four"], printed=[1.0, 0.8])
    assert list(found.plans["saving"]) == pytest.approx([0, 0.2])
    assert "800 to 1,000 server-hours" in found.finding and "does not exist" not in found.finding


@given(st.floats(1, 1000), st.floats(0.01, 1000))
def test_strategy_saves_only_where_hours_fall_by_more_than_servers_rise(more_servers, fewer_hours):
    saving = cost.strategy_saving(2 * more_servers, 100 / fewer_hours, 2, 100)
    assert (saving > 1e-9) == (fewer_hours > more_servers * (1 + 1e-9)) or saving == pytest.approx(0, abs=1e-8)


def test_rented_by_hand():
    assert list(cost.rented_cost(np.array([10.0, 0.0]), 2.0, 0.25)) == [15, 0]


def test_committed_by_hand():
    """Ten reserved at 1, of which 6 and then 10 are used; 4 beyond at 3."""
    found = cost.committed_cost([6, 14], 10, 3.0, 1.0)
    assert (list(found.committed), list(found.on_demand), list(found.unused)) == ([6, 10], [0, 12], [4, 0])
    assert list(found.total) == [10, 22]


def test_savings_plan_is_a_commitment_of_money():
    """7 an hour at 30 % off 2 covers 5 GPU-hours; the sixth costs 2."""
    found = cost.savings_plan_cost(6.0, 7.0, 2.0, 0.3)
    assert (found.committed, found.on_demand, found.unused) == pytest.approx((7, 2, 0))
    idle = cost.savings_plan_cost(0.0, 7.0, 2.0, 0.3)
    assert idle.total == idle.unused == pytest.approx(7)


FLEET = Owned(24_300, 5, 1000, 1.25, 0.08, interconnect_share=0.19, kg_co2e_per_kwh=0.4, heat_credit_per_kwh=0.02,
              power_fraction=0.8, idle_power_fraction=0.2, price_per_tonne_co2e=50, staff_cost_per_gpu_year=876.6,
              space_cost_per_gpu_year=438.3, other_cost_per_gpu_hour=0.03)  # fmt: skip


def test_owned_by_hand():
    """Half used: every used hour pays two of capacity and one idle; 24,300 of 30,000 are servers, 0.8 + 0.2 kW."""
    parts = cost.owned_parts_per_gpu_hour(FLEET, 0.5)
    assert parts == pytest.approx({
        "depreciation": 2 * 24_300 / 43_830, "interconnect": 2 * 5_700 / 43_830, "staff": 0.2, "space": 0.1,
        "other": 0.06, "energy": 1.25 * 0.08, "carbon": 1.25 * 0.4 * 0.05, "heat credit": -0.02,
    })  # fmt: skip
    assert cost.owned_cost_per_gpu_hour(FLEET, 0.5) == pytest.approx(sum(parts.values()))


def test_fully_used_fleet_has_no_idle_energy():
    assert cost.owned_parts_per_gpu_hour(FLEET, 1.0)["energy"] == pytest.approx(0.8 * 1.25 * 0.08)


def test_market_depreciation_adds_up_to_the_loss_of_value():
    """The integral of the loss an hour over three years."""
    years = np.linspace(0, 3, 3001)
    lost = cost.market_depreciation_per_hour(1000.0, years)
    total = np.sum((lost[1:] + lost[:-1]) / 2) * 8766 * (years[1] - years[0])
    assert total == pytest.approx(1000 - cost.market_value(1000.0, 3.0), rel=1e-6)
    assert cost.market_value(1000.0, 1 / 0.14) == pytest.approx(100)


def test_market_and_straight_line_agree_on_the_same_residual():
    terms = dict(price_per_gpu=20_000, life_years=4, server_watts_per_gpu=900, pue=1.1, price_per_kwh=0.1)
    residual = cost.market_value(1.0, 4)
    market = cost.owned_cost_per_gpu_hour(Owned(**terms, depreciation="market"), 0.7)
    assert market == pytest.approx(cost.owned_cost_per_gpu_hour(Owned(**terms, residual_share=residual), 0.7))


def test_residual_value_is_not_paid_for():
    """876.6 over a tenth of a year with a quarter left: 0.75 an hour, and no power."""
    assert cost.owned_cost_per_gpu_hour(Owned(876.6, 0.1, 0, 1, 0, residual_share=0.25), 1) == pytest.approx(0.75)


def test_straight_line_ends_with_the_life():
    assert list(cost.straight_line_depreciation_per_hour(8766.0, [0, 1.9, 2, 5], 2, 0.5)) == [0.25, 0.25, 0, 0]


def test_server_and_interconnect_overhead():
    assert cost.price_in_server(10_000, "A100") == pytest.approx(16_600)
    assert cost.price_in_server(10_000, "B200") == pytest.approx(16_400)
    network = cost.interconnect_cost(81.0, 0.19)
    assert network == pytest.approx(19)


@settings(max_examples=200)
@given(st.floats(1_000, 100_000), st.floats(1, 10), st.floats(50, 3000), st.floats(1, 2), st.floats(0.01, 0.5),
       st.floats(0, 0.5), st.floats(0, 1), st.floats(0.1, 20))  # fmt: skip
def test_at_break_even_owning_costs_what_renting_does(price, life, watts, pue, per_kwh, residual, idle, rental):
    owned = Owned(price, life, watts, pue, per_kwh, residual_share=residual, idle_power_fraction=idle)
    share = cost.break_even_utilisation(owned, rental)
    if share <= 1:
        assert cost.owned_cost_per_gpu_hour(owned, share) == pytest.approx(rental)
        assert cost.owned_cost_per_gpu_hour(owned, min(1, share * 1.01)) <= rental * (1 + 1e-12)
    else:
        assert cost.owned_cost_per_gpu_hour(owned, 1.0) > rental


def test_break_even_by_hand_and_where_renting_always_wins():
    """1 an hour of capacity and 0.25 of energy while used, against 2.25, 1.05 and 0.2."""
    owned = Owned(8766, 1, 1000, 1.0, 0.25, power_fraction=1.0)
    assert list(cost.break_even_utilisation(owned, [2.25, 1.05, 0.2])) == pytest.approx([0.5, 1.25, np.inf])


def test_break_even_chart_holds_every_basis_and_the_crossings():
    owned = Owned(8766, 1, 1000, 1.0, 0.25, power_fraction=1.0)
    found = cost.break_even(owned, on_demand_price=2.25, committed_price=1.8, spot_price=1.0)
    assert list(found.curve["basis"].unique()) == ["owned", "committed", "on-demand", "spot"]
    assert found.points.values.tolist() == [["owned", "on-demand", 0.5, 2.25], ["committed", "on-demand", 0.8, 2.25]]
    half = cost.break_even(owned, 2.25, 1.8, low=0.5).curve.groupby("basis")["cost_per_gpu_hour"].first()
    assert half.to_dict() == pytest.approx({"owned": 2.25, "committed": 3.6, "on-demand": 2.25})
    full = found.curve[found.curve["utilisation"] == 1].set_index("basis")["cost_per_gpu_hour"]
    assert full.to_dict() == pytest.approx({"owned": 1.25, "committed": 1.8, "on-demand": 2.25, "spot": 1.0})


def simulated_overhead(mean_between, work, checkpoint, restart, segments=20_000, seed=7):
    """Seconds of segments of work, checkpoint and, after each interruption, restart, as they happen."""
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(segments):
        needed = work + checkpoint
        while (until := rng.exponential(mean_between)) < needed:
            total += until
            needed = restart + work + checkpoint
        total += needed
    return total / (segments * work) - 1


@pytest.mark.parametrize("rate, gpus, interval", [(0.01, 8, 1800), (0.05, 32, 600)])
def test_spot_overhead_is_that_of_a_simulation(rate, gpus, interval):
    found = cost.spot_overhead(rate, gpus, 60, 300, interval)
    simulated = simulated_overhead(3600 / (rate * gpus), interval, 60, 300)
    assert found == pytest.approx(simulated, rel=0.03)


def test_spot_at_daly_interval_is_as_failures_are():
    """An interruption every 500 GPU-hours costs what a failure does."""
    found = cost.spot_overhead(1 / 500, [8, 64], 60, 300)
    assert list(found) == pytest.approx(list(failure_overhead(np.array([8, 64]), 500, 60, 300)))


def test_spot_checkpoints_at_the_best_interval():
    """Daly's interval is within a permille of the best of a grid."""
    grid = np.geomspace(60, 36_000, 2000)
    for rate in (1e-4, 1e-3, 1e-2):
        best = np.min(cost.spot_overhead(rate, 64, 60, 300, grid))
        assert 1 + cost.spot_overhead(rate, 64, 60, 300) == pytest.approx(1 + best, rel=1e-3)


def test_spot_without_interruptions_costs_its_price():
    assert cost.spot_cost(100.0, 1.5, 0.0) == 150
    assert cost.spot_overhead(0.0, 8, 60, 300, interval_seconds=600) == pytest.approx(0.1)


def test_waits_cost_time_and_no_money():
    """A mean of an hour between interruptions, each followed by one of waiting, doubles the time."""
    paid = cost.spot_overhead(1.0, 1, 10, 60)
    assert 1 + cost.spot_overhead(1.0, 1, 10, 60, wait_seconds=3600) == pytest.approx(2 * (1 + paid))


@given(st.floats(1e-6, 0.05), st.floats(1.001, 5), st.integers(1, 512))
def test_spot_costs_more_the_more_it_is_interrupted(rate, more, gpus):
    assert cost.spot_overhead(rate * more, gpus) > cost.spot_overhead(rate, gpus) > 0


def test_spot_cost_with_measured_losses():
    """A job of 4 GPUs that is stopped 0.04 times an hour and loses 2.5 hours: a tenth is lost."""
    assert cost.spot_cost(90.0, 1.0, 0.01, 2.5, gpus=4) == pytest.approx(100)
    with pytest.raises(OutOfRange, match="never end"):
        cost.spot_cost(90.0, 1.0, 0.5, 2.5)


def test_spot_stops_paying_at_its_break_even():
    rate = cost.spot_break_even_interruptions(1.0, [1.3, 3.0], gpus=16)
    assert list(cost.spot_cost(1.0, 1.0, rate, gpus=16)) == pytest.approx([1.3, 3.0])
    assert cost.spot_break_even_interruptions(2.0, 1.9) == 0
    assert cost.spot_break_even_interruptions(1.0, 2.0, checkpoint_seconds=0, restart_seconds=0) == np.inf


def test_tiers_by_hand():
    """100 GB free, 400 at 0.09, the rest at 0.05; and a class of storage a row."""
    assert list(cost.network_cost([50, 300, 600], 0.0, [(100, 0.09), (500, 0.05)])) == pytest.approx([0, 18, 41])
    assert list(cost.storage_cost([1000, 500], [0.02, 0.004])) == [20, 2]
    with pytest.raises(OutOfRange, match="bounds of tiers must rise"):
        cost.storage_cost(1, 0.02, [(500, 0.01), (100, 0.02)])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cost.rented_cost(10, -1), "price_per_gpu_hour must be at least 0 and finite, not -1"),
        (lambda: cost.rented_cost(10, 1, 1.5), "discount must be at least 0 and at most 1, not 1.5"),
        (lambda: cost.rented_cost(np.nan, 1), "gpu_hours must be at least 0 and finite, not nan"),
        (lambda: cost.rented_cost("many", 1), "gpu_hours must be a number at least 0 and finite, not 'many'"),
        (lambda: cost.energy_kwh(1, 400, 0.9), "pue must be at least 1 and finite, not 0.9"),
        (lambda: Owned(1, 0, 1, 1, 1), "life_years must be above 0 and finite, not 0"),
        (lambda: Owned(1, 1, 1, 1, np.inf), "price_per_kwh must be at least 0 and finite, not inf"),
        (lambda: Owned(1, 1, 1, 1, 1, depreciation="none"), "depreciation must be straight-line or market"),
        (lambda: Owned(1, 1, 1, 1, 1, residual_share=2), "residual_share must be at least 0 and at most 1, not 2"),
        (lambda: cost.owned_cost_per_gpu_hour(FLEET, [0.5, 1.2]), "utilisation must be above 0 and at most 1"),
        (lambda: cost.spot_cost(1, 1, 0.1, gpus=0), "gpus must be above 0 and finite, not 0"),
        (lambda: cost.article_cost(0, 1, 1, 1, 1), "servers must be above 0 and finite, not 0"),
    ],
)
def test_bad_values_name_the_field_and_its_range(call, message):
    with pytest.raises(OutOfRange, match=message.replace("(", r"\(")):
        call()
