"""Why spend differs: the variance bridge in volume, mix, efficiency, price and exchange rate; earned value of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial, fsum, nan

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.allocation import whole_cents
from dcbudget.models.ranges import positive, within

FACTORS = ("volume", "mix", "efficiency", "price", "exchange_rate")
# What is told by itself: items of one side only, and money that nothing counts.
EFFECTS = (*FACTORS, "new", "retired", "amount")


def shapley(before: Sequence, after: Sequence) -> np.ndarray:
    """What each factor of a product adds to its change: Shapley values, which know no order of the factors.

    Parameters
    ----------
    before, after : arrays (factors, ...) of the same shape, any units.

    Returns
    -------
    array of the same shape; over the factors it sums to prod(after) - prod(before). With two factors it is Bennet's
    mean of both orders, (q0 + q1) / 2 * (p1 - p0).

    Notes
    -----
    Source: Shapley, "A value for n-person games" (1953); Sun, "Changes in energy consumption and energy intensity: a
    complete decomposition model", Energy Economics 20 (1998); Bennet, "The theory of measurement of changes in cost
    of living", J. Royal Statistical Society 83 (1920).
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape != after.shape or not before.ndim:
        raise OutOfRange(f"before and after must have one shape, not {before.shape} and {after.shape}")
    count = len(before)
    found = np.zeros_like(before)
    for chosen in range(2**count):
        moved = np.array([chosen >> at & 1 for at in range(count)], bool)
        size = int(moved.sum())
        if size == count:
            continue
        weight = factorial(size) * factorial(count - size - 1) / factorial(count)
        sides = np.where(moved.reshape(-1, *[1] * (before.ndim - 1)), after, before)
        for at in np.flatnonzero(~moved):
            others = np.prod(np.delete(sides, at, axis=0), axis=0)
            found[at] += weight * others * (after[at] - before[at])
    return found


@dataclass(frozen=True)
class Bridge:
    """The way from one amount to another.

    Attributes
    ----------
    items : the keys, `before`, `after` [money, whole cents] and one column an effect of EFFECTS [money, whole cents];
        in every row they sum to after - before.
    keys : columns that name an item.
    """

    items: pd.DataFrame
    keys: tuple[str, ...]

    @property
    def before(self) -> float:
        return _cents(self.items["before"])

    @property
    def after(self) -> float:
        return _cents(self.items["after"])

    @property
    def effects(self) -> pd.Series:
        """Effect -> money, in the order of EFFECTS; they sum to after - before to the cent."""
        return pd.Series({name: _cents(self.items[name]) for name in EFFECTS})

    def by(self, *keys: str) -> pd.DataFrame:
        """The same summed by some of the keys, with `change`; the largest change first."""
        frame = self.items.groupby(list(keys), as_index=False, dropna=False)[["before", "after", *EFFECTS]].sum()
        frame = frame.round(2).assign(change=lambda sums: (sums["after"] - sums["before"]).round(2))
        return frame.sort_values("change", key=lambda change: -change.abs(), kind="stable", ignore_index=True)


def bridge(before: pd.DataFrame, after: pd.DataFrame, keys: Sequence[str]) -> Bridge:
    """The change from one side to the other, by item and effect, exact to the cent.

    An item that is counted on both sides is work of all items x its share of that x quantity per work x price in its
    own currency x exchange rate; its change is cut into these by Shapley values. Their effects: `volume`, `mix`,
    `efficiency`, `price`, `exchange_rate`. An item of one side only is `new` or `retired` as a whole; money that no
    quantity counts on both sides changes by `amount` and by exchange rate.

    Parameters
    ----------
    before, after : `keys`, `amount` [money of the report] and, where they are known, `own_amount` [money of the item's
        currency], `quantity` (GPU-hours paid for, or another unit that can be added up), `work` (what came of them,
        such as useful GPU-hours) and `idle` (True: the quantity serves the work of other items, which `work` tells,
        and is not counted again). Rows of one item are summed.

    Returns
    -------
    Bridge : amounts are cut to cents by largest remainders, so that either side sums to its rounded total.

    Raises
    ------
    OutOfRange : a column is missing, or an amount or quantity is no finite number or a quantity or work below 0.

    Notes
    -----
    Where `work` is missing or 0 on either side of an item, quantity takes its place on both, and the item has no
    effect of efficiency.
    """
    keys = list(keys)
    kept = pd.concat(
        [_side(before, keys, "before").assign(after=False), _side(after, keys, "after").assign(after=True)]
    )
    kept["item"] = kept.groupby(keys, dropna=False).ngroup()
    every = kept.drop_duplicates("item").set_index("item")[keys].sort_index()
    old, new = (_summed(kept[kept["after"] == later], every.index) for later in (False, True))
    here, there = (((side["amount"] != 0) | (side["quantity"] != 0)).to_numpy() for side in (old, new))
    counted = here & there & (old["quantity"] > 0).to_numpy() & (new["quantity"] > 0).to_numpy()
    rates = _rates(old, new)
    effects = pd.DataFrame(0.0, index=every.index, columns=list(EFFECTS))
    amounts = np.array([old["amount"], new["amount"]])
    change = amounts[1] - amounts[0]
    effects.loc[there & ~here, "new"] = change[there & ~here]
    effects.loc[here & ~there, "retired"] = change[here & ~there]
    factors = _factors(old[counted], new[counted])
    effects.loc[counted, list(FACTORS)] = shapley(
        *([*factor, rate[counted]] for factor, rate in zip(factors, rates, strict=True))
    ).T
    plain = here & there & ~counted
    effects.loc[plain, ["amount", "exchange_rate"]] = shapley(
        *([side["own_amount"][plain], rate[plain]] for side, rate in zip((old, new), rates, strict=True))
    ).T
    cents = [whole_cents(amount[:, None])[:, 0] for amount in amounts]
    found = every.assign(before=cents[0] / 100, after=cents[1] / 100)
    found[list(EFFECTS)] = _tied(effects.to_numpy(), cents[1] - cents[0])
    return Bridge(found.reset_index(drop=True), tuple(keys))


def _side(frame: pd.DataFrame, keys: list[str], name: str) -> pd.DataFrame:
    if missing := [column for column in [*keys, "amount"] if column not in frame]:
        raise OutOfRange(f"{name} must have the columns {', '.join([*keys, 'amount'])}; {missing[0]} is missing")
    own = frame["own_amount"] if "own_amount" in frame else frame["amount"]
    return frame[keys].assign(
        amount=within("amount", frame["amount"]),
        own_amount=within("own_amount", own),
        **{column: within(column, frame[column].astype(float).fillna(0.0) if column in frame else 0.0, 0)
           for column in ("quantity", "work")},
        idle=frame["idle"].astype(float) if "idle" in frame else 0.0,
    )  # fmt: skip


def _summed(rows: pd.DataFrame, items: pd.Index) -> pd.DataFrame:
    """One side by item, 0 where it has none; sums do not depend on the order of the rows."""
    sums = {column: fsum for column in ("amount", "own_amount", "quantity", "work")}
    return rows.groupby("item").agg(sums | {"idle": "max"}).reindex(items, fill_value=0.0).astype(float)


def _factors(old: pd.DataFrame, new: pd.DataFrame) -> list[list]:
    """Work of all, share of it, quantity per work and price of every item, four arrays of either side."""
    worked = (old["work"] > 0) & (new["work"] > 0)
    counts = ~((old["idle"] > 0) | (new["idle"] > 0)) | ~worked
    if not counts.any():
        counts |= True
    found = []
    for side in (old, new):
        work = side["work"].where(worked, side["quantity"])
        whole = fsum(work[counts])
        price = side["own_amount"] / side["quantity"]
        found.append([np.full(len(side), whole), work / whole if whole else work, side["quantity"] / work, price])
    return found


def _rates(old: pd.DataFrame, new: pd.DataFrame) -> list[np.ndarray]:
    """Exchange rates of either side; 1, and amounts for own amounts, where charges and credits tell none."""
    told = pd.Series(True, old.index)
    for side in (old, new):
        told &= ((side["own_amount"] != 0) == (side["amount"] != 0)) & (side["own_amount"] * side["amount"] >= 0)
    for side in (old, new):
        side["own_amount"] = side["own_amount"].where(told, side["amount"])
    # less than half a cent tells no rate
    first, second = (side["amount"] / side["own_amount"].where(side["own_amount"].abs() >= 0.005)
                     for side in (old, new))  # fmt: skip
    return [first.fillna(second).fillna(1.0).to_numpy(), second.fillna(first).fillna(1.0).to_numpy()]


def _tied(effects: np.ndarray, cents: np.ndarray) -> np.ndarray:
    """Effects (items, effects) in whole cents that sum to each item's change [cents]; largest remainders."""
    exact = effects * 100
    if not len(exact):
        return exact
    largest = np.abs(exact).argmax(axis=1)
    exact[np.arange(len(exact)), largest] += cents - exact.sum(axis=1)
    return whole_cents(exact.T / 100).T / 100


def _cents(amounts: pd.Series) -> float:
    return round(fsum(amounts), 2)


@dataclass(frozen=True)
class EarnedValue:
    """How far a programme is for what it has cost; money in one currency, indices decimals (1: as planned).

    Attributes
    ----------
    budget : budget at completion.
    planned, earned, actual : planned value, earned value and actual cost to date.
    """

    budget: float
    planned: float
    earned: float
    actual: float

    @property
    def cost_variance(self) -> float:
        """Below 0: what was done cost more than was budgeted for it."""
        return self.earned - self.actual

    @property
    def schedule_variance(self) -> float:
        """Below 0: less was done than was planned to date."""
        return self.earned - self.planned

    @property
    def cost_index(self) -> float:
        """CPI = earned / actual, NaN where nothing was spent."""
        return self.earned / self.actual if self.actual else nan

    @property
    def schedule_index(self) -> float:
        """SPI = earned / planned, NaN where nothing was planned yet."""
        return self.earned / self.planned if self.planned else nan

    @property
    def at_completion(self) -> float:
        """EAC = budget / CPI: all of it at the cost of what was done; NaN where nothing was done yet."""
        return self.budget * self.actual / self.earned if self.earned else nan

    @property
    def to_complete(self) -> float:
        """ETC = EAC - actual."""
        return self.at_completion - self.actual

    @property
    def variance_at_completion(self) -> float:
        """VAC = budget - EAC; below 0: over budget."""
        return self.budget - self.at_completion


def earned_value(
    budget: float, planned_quantity: float, planned_to_date: float, done: float, actual: float
) -> EarnedValue:
    """Earned value on physical progress: what was done is worth its share of the budget.

    Parameters
    ----------
    budget : budget at completion [money].
    planned_quantity : what the whole programme does, such as tokens to train.
    planned_to_date : how much of it the plan has done by now [same unit]; at most all.
    done : how much was done [same unit]; at most all counts, since work beyond the plan earns nothing.
    actual : actual cost to date [money].

    Raises
    ------
    OutOfRange : an amount or quantity is below 0, or nothing is planned.

    Notes
    -----
    Source: PMI, "The Standard for Earned Value Management" (2019).
    """
    budget, actual = within("budget", budget, 0), within("actual", actual, 0)
    whole = positive("planned_quantity", planned_quantity)
    planned, done = (
        min(within(name, value, 0) / whole, 1.0)
        for name, value in (("planned_to_date", planned_to_date), ("done", done))
    )
    return EarnedValue(budget, budget * planned, budget * done, actual)
