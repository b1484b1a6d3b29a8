"""Plans: a month worked by hand, no chance and much of it, and sums that hold to the cent."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as sampling
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models import calibration, planning
from dcbudget.models.allocation import whole_cents
from dcbudget.models.planning import IDLE, Model, Settings, Supply, demand, draws, lines, simulate, tornado, trend

MONTHS = pd.date_range("2027-01-01", periods=3, freq="MS")
BASE = Settings(demand_growth=0.2, allocation_rate=0.5, mfu=0.4, failure_share=0.1, price_trend=0.0,
                commitment_share=0.25, spot_share=0.2, pue=1.5, power_price_per_kwh=0.1)  # fmt: skip
TFLOPS = {"H100": 1000.0, "L4": 100.0}
DRIVERS = [
    {"project": "a", "driver": "gpu_hours", "gpu_model": "H100", "gpu_hours_per_month": 600, "low": 0.8, "high": 1.3},
    {"project": "b", "driver": "gpu_hours", "gpu_model": "H100", "gpu_hours_per_month": 400},
    {"project": "b", "driver": "storage", "tb": 10, "growth_per_month": 0.1, "low": 0.5, "high": 1.5},
    {"project": "b", "driver": "staff", "heads": 2, "cost_per_month": 1000},
    {"project": "c", "driver": "services", "cost_per_month": 100},
    {"project": "c", "driver": "network", "gb_per_month": 1000, "price_per_gb": 0.5},
]
NO_SPREAD = pd.DataFrame({"low": 1.0, "high": 1.0, "label": "x"}, index=["demand_growth", "allocation_rate", "mfu"])
SPREAD = NO_SPREAD.assign(low=[0.9, 0.95, 0.8], high=[1.2, 1.05, 1.1], label=["Growth", "Rate", "MFU"])


def supply(owned=800.0, **more) -> Supply:
    """One GPU model; the hall's storage shares the owned money."""
    three = np.ones(3)
    told = {
        "gpu_models": ("H100",), "allocation_rate": np.array([0.5]), "owned_gpu_hours": owned * three[None],
        "owned_hardware": np.array([80.0 * three, 20 * three]),
        "facility_and_staff": np.array([8.0 * three, 2 * three]),
        "owned_kwh": np.array([100.0 * three, 0 * three]), "full_commitment_gpu_hours": 1600.0 * three[None],
        "spot_share": np.array([0.25]), "on_demand_price": np.array([4.0]), "committed_price": np.array([2.0]),
        "spot_price": np.array([1.0]), "storage_price_per_tb_month": 20.0, "network_price_per_gb": 0.1,
    }  # fmt: skip
    return Supply(**told | more)


def model(drivers=DRIVERS, spreads=NO_SPREAD, base=BASE, **more) -> Model:
    planned = demand(drivers, MONTHS, base, TFLOPS)
    # one month of mean length each, so that the sums can be done by hand
    return Model(MONTHS, np.zeros(3), planned, supply(**more.pop("supply", {})), base, spreads, **more)


def amounts(found: pd.DataFrame, month: int = 0) -> dict:
    part = found[found["month"] == MONTHS[month]]
    return {(row.project, row.category): row.amount for row in part.itertuples()}


# 1,000 GPU-hours of 31 days, that is 1,018.48 of a mean month.
MEAN = 31 / planning.DAYS_PER_MONTH


def test_a_month_by_hand():
    """1,000 h at a rate of a half need 2,000: 800 owned, 400 committed, of 800 others a quarter on spot, the rest at 4.

    Rented: 400 x 2 + 200 x 1 + 600 x 4 = 3,400. Of 2,000 h, a holds 600 and b 400, the rest is idle: 30 %, 20 %, 50 %.
    The hall's 20 + 2 go the same way. Power is 100 kWh x 1.5 x 0.1 = 15. Taxes of b are a tenth of all that is rented:
    3,400 + 200 + 500 + 100.
    """
    at = [driver | ({"gpu_hours_per_month": driver["gpu_hours_per_month"] / MEAN} if "gpu_model" in driver else {})
          for driver in DRIVERS]  # fmt: skip
    at[-1] = at[-1] | {"gb_per_month": 1000 / MEAN}
    found = amounts(lines(model(at, tax_rates={"b": 0.1}), BASE))
    assert found == {
        ("a", "Owned hardware"): 30.0, ("b", "Owned hardware"): 20.0, (IDLE, "Owned hardware"): 50.0,
        ("a", "Power"): 4.5, ("b", "Power"): 3.0, (IDLE, "Power"): 7.5,
        ("a", "Facility and staff"): 3.0, ("b", "Facility and staff"): 2002.0, (IDLE, "Facility and staff"): 5.0,
        ("a", "Rented GPUs"): 1020.0, ("b", "Rented GPUs"): 680.0, (IDLE, "Rented GPUs"): 1700.0,
        ("b", "Storage"): 200.0, ("c", "Network"): 500.0, ("c", "Other services"): 100.0,
        ("b", "Tax and support"): 420.0,
    }  # fmt: skip


def test_owned_first_then_commitments_then_spot_and_on_demand():
    for owned, committed, spot, on_demand in ((5000, 400, 0, 0), (1700, 400, 0, 0), (800, 400, 200, 600)):
        at = [driver | {"gpu_hours_per_month": driver["gpu_hours_per_month"] / MEAN} for driver in DRIVERS[:2]]
        row = planning.gpu_hours(model(at, supply={"owned": float(owned)}), BASE).iloc[0]
        assert row[["owned", "committed", "spot", "on_demand"]].tolist() == pytest.approx(
            [owned, committed, spot, on_demand])  # fmt: skip
        assert row["demand"] + row["idle"] == pytest.approx(owned + committed + spot + on_demand)


@pytest.mark.parametrize("owned, left", [(5000.0, 0), (1700.0, 300), (800.0, 1000)])
def test_commitments_could_cover_what_is_neither_owned_nor_on_spot(owned, left):
    """2,000 h are needed and 400 committed: of 300 rented none is on spot, of 1,200 a quarter of 800."""
    at = [driver | {"gpu_hours_per_month": driver["gpu_hours_per_month"] / MEAN} for driver in DRIVERS[:2]]
    planned = model(at, supply={"owned": owned})
    found = planning.rented_gpu_hours(planned, BASE, planning.certain(planned))
    assert found.shape == (1, 3, 1) and found[0, 0, 0] == pytest.approx(left)


@pytest.mark.parametrize(
    "change, factor", [({"mfu": 0.8}, 0.5), ({"failure_share": 0.55}, 2.0), ({"demand_growth": 0.2}, 1.0)]
)
def test_work_takes_the_hours_that_mfu_and_failures_leave(change, factor):
    """Twice the MFU takes half the GPU-hours; where half of what was useful fails besides, twice as many."""
    plain = planning.gpu_hours(model(), BASE)["demand"]
    assert planning.gpu_hours(model(), replace(BASE, **change))["demand"].tolist() == pytest.approx(factor * plain)


@pytest.mark.parametrize("name, end, factor", [("failure_share", 5.5, 2.0), ("mfu", 0.5, 2.0), ("mfu", 2.0, 0.5)])
def test_chance_of_failures_and_of_mfu_moves_the_hours_too(name, end, factor):
    """Failures of 55 % in place of 10 leave half as much of every hour; so does half the MFU."""
    planned, plain = model(), planning.certain(model())
    moved = replace(plain, risks={name: np.array([end])})
    supply = planned.supply.owned_gpu_hours[..., None]
    rented = [planning.rented_gpu_hours(planned, replace(BASE, spot_share=0.0), at) + supply for at in (plain, moved)]
    assert rented[1] == pytest.approx(factor * rented[0])


def test_growth_and_prices_of_a_year():
    """After a year 1.5 in place of 1.2 is a quarter more; prices that rise touch neither contracts nor owned."""
    plain = replace(model(), years_ahead=np.ones(3))
    grown = planning.gpu_hours(plain, replace(BASE, demand_growth=0.5))["demand"]
    assert grown.tolist() == pytest.approx(1.25 * planning.gpu_hours(plain, BASE)["demand"])
    before, after = (planning.gpu_hours(plain, at).iloc[0] for at in (BASE, replace(BASE, price_trend=0.1)))
    assert after["rented_cost"] - before["rented_cost"] == pytest.approx(0.1 * (before["rented_cost"] - 800))


def test_spot_goes_from_what_was_measured_to_all_and_to_nothing():
    for share, part in ((0.0, 0.0), (0.1, 0.125), (0.2, 0.25), (0.6, 0.625), (1.0, 1.0)):
        row = planning.gpu_hours(model(), replace(BASE, spot_share=share)).iloc[0]
        assert row["spot"] / (row["spot"] + row["on_demand"]) == pytest.approx(part)


def test_exchange_rate_moves_the_foreign_share_of_what_is_rented():
    half = model(foreign_share=0.5)
    before, after = (amounts(lines(half, at)) for at in (BASE, replace(BASE, exchange_rate=0.2)))
    moved = {key[1] for key in before if after[key] != before[key]}
    assert moved == {"Rented GPUs", "Storage", "Network", "Other services"}
    assert after["b", "Storage"] == pytest.approx(1.1 * before["b", "Storage"])


def test_training_is_flops_over_what_the_gpus_make_of_them():
    """6 x 7e9 x 1e12 FLOPs at 400 TFLOP/s take 29,167 GPU-hours, over 0.9 for what fails, in two months."""
    run = {"project": "a", "driver": "training", "parameters": 7e9, "tokens": 1e12, "gpu_model": "H100", "months": 2,
           "start": "2027-02"}  # fmt: skip
    planned = demand([run], MONTHS, BASE, TFLOPS)
    hours = 6 * 7e9 * 1e12 / (0.4 * 1000e12) / 3600 / 0.9
    assert planned.quantity[0] == pytest.approx([0, hours / 2, hours / 2])
    assert not planned.drivers["grows"].iloc[0] and planned.drivers["work"].iloc[0]


def test_every_kind_of_driver():
    told = [
        {"driver": "epochs", "epochs": 90, "hours_per_epoch": 0.5, "gpus": 8, "runs": 2, "gpu_model": "H100"},
        {"driver": "fine_tuning", "parameters": 1e9, "tokens": 6e11, "runs_per_month": 3, "gpu_model": "H100"},
        {"driver": "experiments", "share_of_training": 0.5, "gpu_model": "H100"},
        {"driver": "serving", "requests_per_month": 3600, "input_tokens": 900, "output_tokens": 100,
         "tokens_per_second_per_gpu": 500, "gpu_model": "L4"},
    ]  # fmt: skip
    found = demand([{"project": "a", **driver} for driver in told], MONTHS, BASE, TFLOPS)
    tuning = 3 * 6 * 1e9 * 6e11 / (0.4 * 1000e12) / 3600 / 0.9 * MEAN
    assert found.quantity[:, 0] == pytest.approx([90 * 0.5 * 8 * 2, tuning, (720 + tuning) / 2, 2 * MEAN])
    assert found.quantity[0, 1] == 0 and found.quantity[2, 1] == pytest.approx(found.quantity[1, 1] / 2)
    assert found.drivers["work"].tolist() == [True, True, True, False]


def test_growth_counts_from_the_start_even_before_the_plan():
    stock = {"project": "a", "driver": "storage", "tb": 100, "growth_per_month": 0.1, "start": "2026-11"}
    assert demand([stock], MONTHS, BASE, {}).quantity[0] == pytest.approx([121, 133.1, 146.41])


@given(st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=40))
@sampling(max_examples=60, deadline=None)
def test_cents_sum_to_the_rounded_sum(values):
    table = np.array([values, values[::-1]]).T
    cents = whole_cents(table)
    assert (np.abs(cents - 100 * table) <= 1 + 1e-6).all()
    assert cents.sum(axis=0) == pytest.approx(np.rint((100 * table).sum(axis=0)), abs=1.01)
    assert (cents == np.rint(cents)).all()


def test_lines_sum_to_the_plan_to_the_cent():
    odd = model([*DRIVERS, {"project": "z", "driver": "services", "cost_per_month": 1 / 3}], tax_rates={"a": 1 / 7})
    found = lines(odd, BASE).groupby("month")["amount"].sum()
    whole = simulate(odd, BASE, planning.certain(odd)).total[:, 0]
    assert found.tolist() == pytest.approx(np.round(whole, 2), abs=1e-9)
    assert len(lines(odd, BASE)["driver"].unique()) > 4


# Chance.


def test_without_spread_every_draw_is_the_plan():
    certain = model([driver | {"low": 1, "high": 1} for driver in DRIVERS])
    found = simulate(certain, BASE, draws(certain, 200, 1))
    plan = lines(certain, BASE).groupby("month")["amount"].sum().to_numpy()
    assert np.abs(found.by_month(0.01, 0.5, 0.99) - plan).max() < 0.005001
    assert found.chance_over(plan.sum() + 0.02) == 0 and found.contingency(plan.sum() + 0.02, 0.9) == 0


def test_factor_has_the_median_and_percentiles_that_were_told():
    z = np.random.default_rng(3).standard_normal(400_000)
    found = np.quantile(planning.factor(z, 0.7, 1.6), [0.1, 0.5, 0.9])
    assert found == pytest.approx([0.7, 1.0, 1.6], rel=0.01)


def test_sum_of_lognormals_has_their_moments():
    """Services alone: mean of a factor exp(s^2 / 2), covariance of two projects exp(rho s1 s2) - 1 over it."""
    s1, s2, rho = 0.3, 0.5, 0.4
    told = [{"project": name, "driver": "services", "cost_per_month": 100,
             "low": np.exp(-calibration.Z90 * s), "high": np.exp(calibration.Z90 * s)}
            for name, s in (("a", s1), ("b", s2))]  # fmt: skip
    chance = model(told, correlation=rho, supply={"owned": 0.0, "full_commitment_gpu_hours": np.zeros((1, 3)),
                                                  "owned_hardware": np.zeros((2, 3)), "owned_kwh": np.zeros((2, 3)),
                                                  "facility_and_staff": np.zeros((2, 3))})  # fmt: skip
    month = simulate(chance, BASE, draws(chance, 400_000, 5)).total[0]
    e1, e2 = 100 * np.exp(s1**2 / 2), 100 * np.exp(s2**2 / 2)
    variance = e1**2 * np.expm1(s1**2) + e2**2 * np.expm1(s2**2) + 2 * e1 * e2 * np.expm1(rho * s1 * s2)
    assert month.mean() == pytest.approx(e1 + e2, rel=0.005)
    assert month.var() == pytest.approx(variance, rel=0.02)


def test_more_spread_never_narrows_the_range():
    widths = []
    for more in (0.0, 0.5, 1.0, 2.0):
        spreads = SPREAD.assign(low=SPREAD["low"] ** more, high=SPREAD["high"] ** more)
        wide = model(spreads=spreads)
        middle, high = simulate(wide, BASE, draws(wide, 5000, 1)).of_year(0.5, 0.9)
        widths.append(high - middle)
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_percentiles_overrun_and_contingency_agree():
    found = simulate(model(spreads=SPREAD), BASE, draws(model(spreads=SPREAD), 20_000, 1))
    p80 = found.of_year(0.8)[0]
    assert found.chance_over(p80) == pytest.approx(0.2, abs=0.001)
    assert found.contingency(p80 - 100, 0.8) == pytest.approx(100)
    assert found.contingency(p80 + 100, 0.8) == 0


def test_the_same_seed_draws_the_same_and_a_new_project_leaves_the_others():
    more = model([*DRIVERS, {"project": "new", "driver": "services", "cost_per_month": 5, "low": 0.5, "high": 2}])
    first, again, other = (draws(model(), 50, seed).drivers for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert (draws(more, 50, 1).drivers[:-1] == first).all()


def test_tornado_is_one_risk_at_a_time():
    told = model(spreads=SPREAD)
    found = tornado(told, BASE).set_index("risk")
    assert found["swing"].is_monotonic_decreasing
    at = simulate(told, replace(BASE, mfu=0.8 * BASE.mfu), planning.certain(told)).year[0]
    assert found.at["MFU", "at_low"] == pytest.approx(at)
    more = [driver | ({"gpu_hours_per_month": 1.3 * 600} if driver["project"] == "a" else {}) for driver in DRIVERS]
    assert found.at["Demand of a", "at_high"] == pytest.approx(lines(model(more), BASE)["amount"].sum(), abs=0.02)
    assert "Demand of c" not in found.index and found.at["Rate", "at_low"] > found.at["Rate", "at_high"]


# Trends and templates.


def test_trend_of_steady_growth():
    """2 % a month, the level the mean of the last three months, nothing uncertain."""
    monthly = 100 * 1.02 ** np.arange(12)
    found = trend(monthly, 0.5)
    assert found.level == pytest.approx(monthly[-3:].mean())
    assert found.growth_per_month == pytest.approx(0.02)
    assert (found.low, found.high) == pytest.approx((1, 1))


def test_a_step_is_no_trend_and_a_gap_tells_none():
    assert trend([1, 1, 1, 1, 1, 1000, 1000, 1000, 1000, 1000, 1000, 1000], 0.5).growth_per_month == pytest.approx(
        2 ** (1 / 12) - 1)  # fmt: skip
    assert trend([0, 0, 5, 5], 0.5) == planning.Trend(10 / 3, 0.0, 1.0, 1.0)
    assert trend([], 0.5).level == 0 and trend([5, 6], 0.5, growth_per_year=1.0).growth_per_month == pytest.approx(
        2 ** (1 / 12) - 1)  # fmt: skip


def test_the_further_ahead_the_wider_a_trend():
    monthly = 100 * np.exp(0.05 * np.random.default_rng(1).standard_normal(12))
    near, far = trend(monthly, 0.1), trend(monthly, 1.5)
    assert far.low < near.low < 1 < near.high < far.high
    assert near.low * near.high == pytest.approx(1)


def test_template_scales_what_goes_by_the_scale():
    rows = pd.DataFrame([
        ("t", "run", "training", "parameters", "7e9", None), ("t", "run", "training", "runs", "2", "x"),
        ("t", "run", "training", "gpu_model", "H100", None), ("t", "disk", "storage", "tb", "10", "x"),
    ], columns=["template", "part", "driver", "field", "value", "scales"])  # fmt: skip
    run, disk = planning.from_template(rows, "t", "new", MONTHS[1], 3)
    assert (run["parameters"], run["runs"], run["gpu_model"], run["start"]) == (7e9, 6, "H100", "2027-02")
    assert (disk["driver"], disk["tb"], disk["project"]) == ("storage", 30, "new")
    with pytest.raises(OutOfRange, match="template must be one of t, not 'x'"):
        planning.from_template(rows, "x", "new", MONTHS[0])


# What cannot be.


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"allocation_rate": 1.2}, "allocation_rate must be"), ({"pue": 0.9}, "pue must be"),
        ({"mfu": float("nan")}, "mfu must be"), ({"risk": 1.0}, "risk must be"),
        ({"power_price_per_kwh": -0.1}, "power_price_per_kwh must be"), ({"spot_share": "much"}, "spot_share must be"),
    ],
)  # fmt: skip
def test_settings_out_of_range(change, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        replace(BASE, **change)


@pytest.mark.parametrize(
    "driver, sentence",
    [
        ({"driver": "trainings"}, "driver must be one of gpu_hours, training"),
        ({"driver": "gpu_hours", "gpu_hours_per_month": 1, "gpu_model": "H999"}, "must be one of H100, L4, not 'H999'"),
        ({"driver": "epochs", "epochs": 1, "hours_per_epoch": 1, "gpus": 0, "gpu_model": "L4"}, "gpus of epochs of a"),
        ({"driver": "storage", "tb": -1}, "tb of storage of a must be at least 0"),
        ({"driver": "storage"}, "tb of storage of a must be given"),
        ({"driver": "storage", "tb": 1, "low": 1.5}, "low of storage of a"),
        ({"driver": "storage", "tb": 1, "tib": 2}, "storage of a has no field 'tib'"),
        ({"driver": "storage", "tb": 1, "start": "soon"}, "start of storage of a must be a month"),
        ({"driver": "staff", "heads": 1, "cost_per_month": float("inf")}, "cost_per_month of staff of a"),
    ],
)
def test_drivers_that_cannot_be(driver, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        demand([{"project": "a", **driver}], MONTHS, BASE, TFLOPS)


def test_supply_and_shares_that_cannot_be():
    with pytest.raises(OutOfRange, match="on_demand_price must be at least 0"):
        supply(on_demand_price=np.array([-1.0]))
    with pytest.raises(OutOfRange, match="foreign_share"):
        model(foreign_share=1.5)
    with pytest.raises(OutOfRange, match="draws"):
        draws(model(), 0, 1)
    with pytest.raises(OutOfRange, match="project of the driver storage must be given"):
        demand([{"driver": "storage", "tb": 1}], MONTHS, BASE, {})


def test_a_price_that_nobody_knows_must_be_given():
    unknown = model(supply={"storage_price_per_tb_month": float("nan")})
    with pytest.raises(OutOfRange, match="price_per_tb_month of storage of b must be given"):
        lines(unknown, BASE)
    told = [driver | ({"price_per_tb_month": 20} if driver["driver"] == "storage" else {}) for driver in DRIVERS]
    known = model(told, supply={"storage_price_per_tb_month": float("nan")})
    assert lines(known, BASE).equals(lines(model(), BASE))


def test_a_plan_without_gpus():
    bare = {"gpu_models": (), **dict.fromkeys(("allocation_rate", "spot_share", "on_demand_price", "committed_price",
                                               "spot_price"), np.zeros(0)),
            **dict.fromkeys(("owned_gpu_hours", "full_commitment_gpu_hours"), np.zeros((0, 3))),
            **dict.fromkeys(("owned_hardware", "facility_and_staff", "owned_kwh"), np.ones((1, 3)))}  # fmt: skip
    found = amounts(lines(model(DRIVERS[2:], supply=bare), BASE))
    assert found[IDLE, "Owned hardware"] == 1 and found["c", "Other services"] == 100


def test_a_plan_of_nothing():
    empty = model([], supply={"owned": 0.0, "owned_hardware": np.zeros((2, 3)), "owned_kwh": np.zeros((2, 3)),
                              "facility_and_staff": np.zeros((2, 3)),
                              "full_commitment_gpu_hours": np.zeros((1, 3))})  # fmt: skip
    assert lines(empty, BASE).empty and tornado(empty, BASE).empty
    assert simulate(empty, BASE, draws(empty, 10, 1)).year.sum() == 0


def test_growth_makes_up_for_the_bias_of_forecasts():
    """A tenth of what came too low half a year ahead: demand is divided by 0.9 twice a year."""
    assert planning.growth_without_bias(0.2, -0.1, 6) == pytest.approx(1.2 / 0.81 - 1)
    assert planning.growth_without_bias(0.2, 0.1, 3) == pytest.approx(1.2 / 1.1**4 - 1)
    assert planning.growth_without_bias(0.2, 0.0, 6) == pytest.approx(0.2)
    assert planning.growth_without_bias(0.0, -0.9, 3) == 3.0 and planning.growth_without_bias(0.0, 900.0, 3) == -0.9
    with pytest.raises(OutOfRange, match="bias must be at least -0"):
        planning.growth_without_bias(0.2, -1.0, 6)
