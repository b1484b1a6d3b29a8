"""What is paid and not used, and what is odd about bills: idle commitments, capacity down, prices that changed, months
that were restated, and bills that stopped arriving."""

from collections.abc import Iterator

import pandas as pd

from dcbudget.models.anomaly import Finding
from dcbudget.models.ranges import share, within

DAY = pd.Timedelta(days=1)
MONTH = pd.DateOffset(months=1)
# Days before a gap of which a bill must have charged this share, to be one that is missed.
REGULAR_DAYS, REGULAR_SHARE = 28, 0.8


def idle_commitments(
    months: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0, used_below: float = 0.5
) -> Iterator[Finding]:
    """Reservations and other commitments of which most is not used, month after month.

    Parameters
    ----------
    months : one row a month and commitment: `month`, `commitment`, `used_effective_cost`, `unused_effective_cost`.
    used_below : commitment utilisation of a month below which it is idle (decimal).
    """
    within("least_money", least_money, 0)
    share("used_below", used_below)
    known = months[months["month"] + MONTH <= as_of].fillna({"used_effective_cost": 0.0, "unused_effective_cost": 0.0})
    for commitment, rows in known.sort_values("month").groupby("commitment", sort=True):
        paid = rows["used_effective_cost"] + rows["unused_effective_cost"]
        idle = (rows["used_effective_cost"] < used_below * paid) & (paid > 0)
        for spell, until in in_a_row(rows, idle, as_of):
            unused = float(spell["unused_effective_cost"].sum())
            if unused < least_money:
                continue
            used = 1 - unused / (unused + spell["used_effective_cost"].sum())
            yield Finding(
                "idle reservation", "", commitment, spell["month"].iloc[0], until, unused, "effective",
                f"{used:.0%} of the commitment was used in {told_months(len(spell))}",
                f"commitment utilisation below {used_below:.0%}; what was not used cost {unused:,.0f}",
            )  # fmt: skip


def capacity_down(spans: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0) -> Iterator[Finding]:
    """GPUs that could not run jobs.

    Parameters
    ----------
    spans : `cluster`, `gpu_model`, `gpus`, `start_time`, `end_time` (null while it lasts), `reason`,
        `cost_per_gpu_hour`.
    """
    within("least_money", least_money, 0)
    for span in spans[spans["start_time"] < as_of].sort_values(["start_time", "cluster"]).itertuples():
        lasts = pd.isna(span.end_time) or span.end_time >= as_of
        hours = ((as_of if lasts else span.end_time) - span.start_time) / pd.Timedelta(hours=1) * span.gpus
        money = hours * span.cost_per_gpu_hour
        if money < least_money:
            continue
        where = ", ".join(part for part in (span.cluster, span.gpu_model) if isinstance(part, str))
        reason = f": {span.reason}" if isinstance(span.reason, str) and span.reason else ""
        yield Finding(
            "capacity down", "", where, span.start_time, pd.NaT if lasts else span.end_time, float(money),
            "effective", f"{span.gpus:g} GPUs could not run jobs for {hours:,.0f} GPU-hours{reason}",
            f"downtime at the pool's {span.cost_per_gpu_hour:,.2f} a GPU-hour",
        )  # fmt: skip


def price_changes(
    prices: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0, least_change: float = 0.01
) -> Iterator[Finding]:
    """Unit prices that changed, by what the change costs in the month in which it came.

    Parameters
    ----------
    prices : one row a day, SKU and price: `day`, `sku`, `unit_price`, `list_price` [money per unit], `quantity`.
    least_change : smaller changes, of rounding or tiers, are none (decimal).
    """
    within("least_money", least_money, 0)
    share("least_change", least_change)
    known = prices[prices["day"] < as_of]
    for sku, rows in known.groupby("sku", sort=True):
        # a SKU with tiers has several prices a day; of these the one of most units counts
        daily = rows.sort_values(["day", "quantity"]).groupby("day").last()
        change = daily["unit_price"] / daily["unit_price"].shift() - 1
        for day in daily.index[change.abs() >= least_change]:
            place = daily.index.get_loc(day)
            old, new = daily.iloc[place - 1], daily.iloc[place]
            end = day.to_period("M").to_timestamp() + MONTH
            since = rows[(rows["day"] >= day) & (rows["day"] < end) & (rows["unit_price"] == new["unit_price"])]
            money = float(since["quantity"].sum() * (new["unit_price"] - old["unit_price"]))
            if abs(money) < least_money:
                continue
            listed = new["list_price"] / old["list_price"] - 1
            yield Finding(
                "price change", "", sku, day, end if end < as_of else pd.NaT, money, "contracted",
                f"the price went {'up' if money > 0 else 'down'} by {abs(change[day]):.1%} to {new['unit_price']:,.4g}"
                f" a unit",
                f"it was {old['unit_price']:,.4g} until {daily.index[place - 1]:%Y-%m-%d}; the list price changed by"
                f" {listed:+.1%}; {since['quantity'].sum():,.0f} units in that month",
            )  # fmt: skip


def restated(periods: pd.DataFrame, as_of: pd.Timestamp, least_money: float = 1000.0) -> Iterator[Finding]:
    """Billing periods that a provider stated anew.

    Parameters
    ----------
    periods : one row a restated period: `provider`, `month`, `file`, `cost_replaced`, `cost_loaded` [money].
    """
    within("least_money", least_money, 0)
    for row in periods[periods["month"] + MONTH <= as_of].sort_values(["month", "provider"]).itertuples():
        money = float(row.cost_loaded - row.cost_replaced)
        if abs(money) < least_money:
            continue
        end = row.month + MONTH
        yield Finding(
            "restated bill", "", row.provider, row.month, end if end < as_of else pd.NaT, money, "billed",
            f"the bill of {row.month:%Y-%m} was stated anew, {abs(money):,.0f} {'higher' if money > 0 else 'lower'}",
            f"{row.cost_replaced:,.0f} before, {row.cost_loaded:,.0f} in {row.file}",
        )  # fmt: skip


def missing_bills(days: pd.DataFrame, as_of: pd.Timestamp, least_days: int = 3) -> Iterator[Finding]:
    """Bills that charged almost every day, and then did not.

    The money is what the days without a bill would have cost at the mean of the four weeks before; it is not in any
    other number.

    Parameters
    ----------
    days : one row a day and provider with charges: `day`, `provider`, `cost` [money].
    least_days : shorter gaps are none.
    """
    within("least_days", least_days, 1)
    for provider, rows in days[days["day"] < as_of].groupby("provider", sort=True):
        costs = rows.groupby("day")["cost"].sum().sort_index()
        ends = [*costs.index[1:], as_of]
        for last, again in zip(costs.index, ends, strict=True):
            missing = int((again - last) / DAY) - 1
            recent = costs.loc[last - (REGULAR_DAYS - 1) * DAY : last]
            if missing < least_days or len(recent) < REGULAR_SHARE * REGULAR_DAYS:
                continue
            lasts = again == as_of
            yield Finding(
                "bill stopped arriving", "", provider, last + DAY, pd.NaT if lasts else again,
                float(recent.mean() * missing), "effective",
                f"no charges for {missing} days{'' if lasts else f', until {again:%Y-%m-%d}'}",
                f"it charged on {len(recent)} of the {REGULAR_DAYS} days before, {recent.mean():,.0f} a day",
            )  # fmt: skip


def in_a_row(rows: pd.DataFrame, true: pd.Series, as_of: pd.Timestamp) -> Iterator[tuple[pd.DataFrame, pd.Timestamp]]:
    """Months in a row of which something is true, and when that ended; NaT where it lasts to the last whole month."""
    if not true.any():
        return
    together = rows["month"] == rows["month"].shift() + MONTH
    number = (~(true & true.shift(fill_value=False) & together)).cumsum()
    for _, spell in rows[true].groupby(number[true]):
        end = spell["month"].iloc[-1] + MONTH
        yield spell, pd.NaT if end + MONTH > as_of else end


def told_months(count: int) -> str:
    return "one month" if count == 1 else f"{count} months"
