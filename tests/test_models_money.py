"""Currencies, the sharing of idle money, the GPU ledger and small groups, by hand."""

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import MixedCurrencies, OutOfRange
from dcbudget.models import allocation, ledger
from dcbudget.models.currency import convert, monthly_rates
from dcbudget.models.privacy import small_groups
from tiny import shown


def rates(*rows):
    return pd.DataFrame(rows, columns=["date", "from_currency", "to_currency", "rate"])


def amounts(*rows):
    frame = pd.DataFrame(rows, columns=["month", "currency", "cost"])
    return frame.assign(month=pd.to_datetime(frame["month"]))


RATES = rates(
    ("2026-01-30", "EUR", "USD", 1.10), ("2026-02-02", "EUR", "USD", 1.20), ("2026-02-16", "EUR", "USD", 1.30),
    ("2026-02-02", "EUR", "CHF", 0.90),
)  # fmt: skip


def test_rate_of_a_month_is_the_mean_of_its_days_else_the_last_before():
    table = monthly_rates(RATES, pd.DatetimeIndex(["2025-12-01", "2026-01-01", "2026-02-01", "2026-05-01"]), "USD")
    assert table["EUR"].isna().tolist() == [True, False, False, False]
    assert table["EUR"].tolist()[1:] == pytest.approx([1.10, 1.25, 1.25])


def test_amounts_go_straight_backwards_and_over_a_third_currency():
    """February: 1 EUR = 1.25 USD = 0.90 CHF, so that 1 CHF = 1.25 / 0.90 USD."""
    frame = amounts(("2026-02-01", "EUR", 100), ("2026-02-01", "CHF", 9), ("2026-02-01", "USD", 7))
    assert convert(frame, RATES, "USD", ["cost"])["cost"].tolist() == pytest.approx([125, 12.5, 7])
    assert convert(frame, RATES, "EUR", ["cost"])["cost"].tolist() == pytest.approx([100, 10, 5.6])
    assert convert(frame, RATES, "CHF", ["cost"])["cost"].tolist() == pytest.approx([90, 9, 5.04])
    assert set(convert(frame, RATES, "CHF", ["cost"])["currency"]) == {"CHF"}
    assert frame["cost"].tolist() == [100, 9, 7]


def test_missing_rate_is_named():
    with pytest.raises(MixedCurrencies, match="no rate from JPY to USD in or before 2026-02"):
        convert(amounts(("2026-02-01", "JPY", 1)), RATES, "USD", ["cost"])
    with pytest.raises(MixedCurrencies, match="no rate from EUR to USD in or before 2025-12"):
        convert(amounts(("2025-12-01", "EUR", 1)), RATES, "USD", ["cost"])


def test_one_currency_needs_no_rate_and_a_row_without_one_stays():
    frame = amounts(("2026-02-01", "USD", 1), ("2026-02-01", None, 2))
    assert convert(frame, rates(), "USD", ["cost"])["cost"].tolist() == [1, 2]
    foreign = amounts(("2026-02-01", "EUR", 1), ("2026-02-01", None, 2))
    assert shown(convert(foreign, RATES, "USD", ["cost"]), "currency", "cost") == [("USD", 1.25), (None, 2)]


def costs(*rows):
    return pd.DataFrame([("2026-05", *row) for row in rows], columns=["month", "project", "category", "cost"])


COSTS = costs(
    ("a", "GPU", 30.0), ("b", "GPU", 60.0), ("b", "Disk", 10.0), ("Idle capacity", "GPU", 100.0),
    ("Idle capacity", "Power", 10.01), ("Unallocated", "GPU", 5.0),
)  # fmt: skip


@pytest.mark.parametrize(
    "way, weights, want",
    [
        ("none", None, {}),
        # GPU by 30 to 60; power, which nobody else bears, by all costs, 30 to 70
        ("proportional", None, {("a", "GPU"): 63.33, ("b", "GPU"): 126.67, ("a", "Power"): 3.0, ("b", "Power"): 7.01}),
        ("even", None, {("a", "GPU"): 80, ("b", "GPU"): 110, ("a", "Power"): 5.01, ("b", "Power"): 5}),
        ("fixed", {"a": 4, "b": 1}, {("a", "GPU"): 110, ("b", "GPU"): 80, ("a", "Power"): 8.01, ("b", "Power"): 2}),
        ("fixed", {"a": 1, "b": 0}, {("a", "GPU"): 130, ("b", "GPU"): 60, ("a", "Power"): 10.01}),
    ],
)
def test_idle_is_shared_on_request(way, weights, want):
    frame = allocation.share_idle(COSTS, way, weights)
    found = {(row.project, row.category): row.cost for row in frame.itertuples()}
    if way == "none":
        want = {(row.project, row.category): row.cost for row in COSTS.itertuples()}
    else:
        want = {("b", "Disk"): 10, ("Unallocated", "GPU"): 5, **want}
    assert found == pytest.approx(want)


def test_idle_that_nobody_can_bear_stays_idle():
    alone = costs(("Idle capacity", "GPU", 7.0), ("Unallocated", "GPU", 1.0))
    for way in ("proportional", "even"):
        assert shown(allocation.share_idle(alone, way), "project", "cost") == [("Idle capacity", 7), ("Unallocated", 1)]


@pytest.mark.parametrize(
    "way, weights, message",
    [("half", None, "is shared by none, proportional, even, fixed"), ("fixed", {}, "weights must be given"),
     ("fixed", {"a": -1, "b": 2}, "none negative"), ("fixed", {"a": 0}, "one above 0"),
     ("fixed", {"z": 1}, "'z', which has no costs")],
)  # fmt: skip
def test_wrong_sharing(way, weights, message):
    with pytest.raises(OutOfRange, match=message):
        allocation.share_idle(COSTS, way, weights)


@settings(max_examples=200, deadline=None)
@given(cents=st.integers(-(10**11), 10**11), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_split_sums_to_the_cent_and_is_fair(cents, weights):
    if not sum(weights):
        weights[0] = 1
    parts = allocation.split(cents / 100, pd.Series(weights, dtype=float))
    assert sum(Decimal(str(round(part, 2))) for part in parts) == Decimal(cents) / 100
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - cents / 100 * weight / sum(weights)) < 0.011


def test_ledger_by_bucket_and_project():
    frame = pd.DataFrame(
        [("down", None, 10, 1.0, 0.0), ("useful", "a", 60, 6.0, 2.0), ("useful", "b", 30, 4.0, 2.0),
         ("failed or restarted", "b", 100, 9.0, 2.0)],
        columns=["bucket", "project", "gpu_hours", "effective_cost", "billed_cost"],
    )  # fmt: skip
    assert shown(ledger.by_bucket(frame), "bucket", "gpu_hours", "hours_share", "effective_cost", "cost_share") == [
        ("useful", 90, 0.45, 10, 0.5), ("failed or restarted", 100, 0.5, 9, 0.45), ("down", 10, 0.05, 1, 0.05)
    ]  # fmt: skip
    table = ledger.by_project(frame)
    assert list(table) == ["project", "useful", "failed or restarted", "down", "total"]
    assert shown(table, *table) == [("b", 4, 9, 0, 13), ("a", 6, 0, 0, 6), ("No project", 0, 0, 1, 1)]


@pytest.mark.parametrize(
    "people, least, merged",
    [
        ({"a": 9, "b": 7, "c": 5}, 5, ""),
        # one small group alone would be the total less the others: the next smallest joins it
        ({"a": 9, "b": 7, "c": 4}, 5, "bc"),
        ({"a": 9, "b": 2, "c": 1, "d": 6}, 5, "bcd"),
        ({"a": 9, "b": 3, "c": 4}, 5, "bc"),
        ({"a": 2, "b": 1}, 5, "ab"),
        # a group without people is no secret
        ({"a": 9, "b": 0}, 5, ""),
        ({"a": 30, "b": 12, "c": 10}, 11, "bc"),
        ({"a": 1}, 1, ""),
    ],
)
def test_small_groups_are_merged_with_another(people, least, merged):
    assert small_groups(pd.Series(people, dtype="int64"), least) == set(merged)


def test_no_group_is_smaller_than_nobody():
    with pytest.raises(OutOfRange, match="at least 1 person"):
        small_groups(pd.Series({"a": 1}), 0)


@settings(max_examples=200, deadline=None)
@given(people=st.dictionaries(st.integers(0, 9), st.integers(0, 12)), least=st.integers(1, 12))
def test_no_small_group_can_be_worked_out(people, least):
    """What is shown alone is large enough, and so is what is shown together, unless there is nobody else."""
    merged = small_groups(pd.Series(people, dtype="int64"), least)
    alone = [count for group, count in people.items() if group not in merged and count]
    assert all(count >= least for count in alone)
    if merged:
        together = [people[group] for group in merged]
        assert not alone or (sum(together) >= least and len(together) >= 2)
