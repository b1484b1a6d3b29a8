"""What an adjustment of the budget does: lines with money moved, and what it saved against what would have been."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.allocation import whole_cents
from dcbudget.models.ranges import within

# Quantiles that every range is told at.
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True)
class Saving:
    """What was saved, and how sure that is.

    Attributes
    ----------
    expected : what would have been spent without the adjustment [money].
    actual : what was spent [money].
    saving, low, high : expected - actual, and its P10 and P90 [money].
    """

    expected: float
    actual: float
    saving: float
    low: float
    high: float


def moved(
    lines: pd.DataFrame,
    amount: float,
    months: Sequence[pd.Timestamp],
    source: tuple[str | None, str | None],
    target: tuple[str | None, str | None],
) -> pd.DataFrame:
    """Budget lines with an amount taken from some and given to others.

    It is taken from the lines of the source in these months, in proportion to what they hold, and given to those of
    the target in the same way; where the target has none, to one line of its category in equal parts. Whole cents.

    Parameters
    ----------
    lines : `month`, `project`, `category`, `amount` [money] and any further columns, null in new lines.
    amount : money to move, at least 0.
    months : first days of the months in which it moves.
    source, target : project and category; a category of None is all of the project's, a project of None is none: the
        whole budget gains or loses the amount.

    Raises
    ------
    OutOfRange : the source holds less than the amount, or nothing tells in which lines the target gets it.
    """
    amount = within("amount", amount, 0)
    found = lines.copy()
    cents = (found["amount"].to_numpy(float) * 100).round()
    if source[0] is not None:
        here = _of(found, months, source) & (cents > 0)
        held = cents[here].sum() / 100
        if held < amount - 0.005:
            raise OutOfRange(
                f"amount must be at most {held:,.2f}, which {_named(source)} has in {_span(months)}, not {amount:,.2f}"
            )
        cents[here] -= _shares(amount, cents[here])
    if target[0] is not None:
        here = _of(found, months, target) & (cents > 0)
        if here.any():
            cents[here] += _shares(amount, cents[here])
        elif target[1] is None:
            raise OutOfRange(f"to_category must be given, because {target[0]} has no lines in {_span(months)}")
        else:
            return _with_new(found, cents, amount, months, target)
    return found.assign(amount=cents / 100)


def _with_new(found: pd.DataFrame, cents: np.ndarray, amount: float, months, target) -> pd.DataFrame:
    parts = _shares(amount, np.ones(len(months)))
    empty = _of(found, months, target)
    place = {pd.Timestamp(month): at for at, month in enumerate(months)}
    for row in np.flatnonzero(empty):
        cents[row] += parts[place.pop(pd.Timestamp(found["month"].iloc[row]))]
    new = pd.DataFrame({"month": list(place), "project": target[0], "category": target[1],
                        "amount": [parts[at] / 100 for at in place.values()]})  # fmt: skip
    if "currency" in found:
        new["currency"] = found["currency"].iloc[0]
    return pd.concat([found.assign(amount=cents / 100), new], ignore_index=True)


def _of(lines: pd.DataFrame, months, side: tuple[str | None, str | None]) -> np.ndarray:
    here = lines["month"].isin(pd.DatetimeIndex(months)) & (lines["project"] == side[0])
    return (here & ((lines["category"] == side[1]) if side[1] is not None else True)).to_numpy()


def _shares(amount: float, weights: np.ndarray) -> np.ndarray:
    """An amount in cents that are cut by weights (largest remainders)."""
    return whole_cents((amount * weights / weights.sum())[:, None])[:, 0] if len(weights) else weights


def _named(side: tuple[str | None, str | None]) -> str:
    return ", ".join(part for part in side if part is not None)


def _span(months) -> str:
    first, last = pd.Timestamp(min(months)), pd.Timestamp(max(months))
    return f"{first:%Y-%m}" if first == last else f"{first:%Y-%m} to {last:%Y-%m}"


def run_rate(before: Sequence[float], others_before: Sequence[float], others: Sequence[float]) -> pd.DataFrame:
    """What would have been spent at the run rate before, moved as the spend of others did.

    Expected is mean(before) * others / mean(others_before): a difference of differences in ratios. Its range is that
    of one further month of a normal variable, by Student's t.

    Parameters
    ----------
    before : spend of the line in the last months before the adjustment, at least two [money].
    others_before : spend of everything else in the same months [money].
    others : the same in the months since [money].

    Returns
    -------
    DataFrame : `expected`, `low`, `high` [money], a row a month since.

    Raises
    ------
    OutOfRange : fewer than two months before, or the others spent nothing.
    """
    from scipy.special import stdtrit  # Student's quantiles; scipy.stats takes a second to import

    before, others_before = np.asarray(before, float), within("others_before", others_before)
    if len(before) < 2 or len(before) != len(others_before):
        raise OutOfRange(f"a run rate must stand on two months or more of both, not on {len(before)}")
    if not others_before.mean() > 0:
        raise OutOfRange("a run rate must be matched with others that spent something")
    level = others_before / others_before.mean()
    rate = np.divide(before, level, out=np.zeros(len(before)), where=level > 0)
    moved_by = np.asarray(others, float) / others_before.mean()
    width = stdtrit(len(rate) - 1, HIGH) * rate.std(ddof=1) * sqrt(1 + 1 / len(rate))
    mean = rate.mean()
    return pd.DataFrame({name: value * moved_by for name, value in
                         (("expected", mean), ("low", max(mean - width, 0.0)), ("high", mean + width))})  # fmt: skip


def realised(expectations: pd.DataFrame, actual: Sequence[float]) -> Saving:
    """What was saved against what was expected without the adjustment.

    The range is the widest: months are taken to miss in the same direction.

    Parameters
    ----------
    expectations : `expected`, `low`, `high` [money], a row a month.
    actual : what was spent in the same months [money].
    """
    spent = float(np.sum(within("actual", actual)))
    expected, low, high = (float(expectations[name].sum()) for name in ("expected", "low", "high"))
    return Saving(expected, spent, expected - spent, low - spent, high - spent)


def overrun_avoided(spend: np.ndarray, before: np.ndarray, after: np.ndarray) -> Saving:
    """How much less of the same spend is beyond its budget after money was moved.

    Parameters
    ----------
    spend : draws of the year's spend, (n, lines) [money].
    before, after : budget of the lines, (lines,) [money].

    Returns
    -------
    Saving : `expected` and `actual` are the mean overruns of all lines under the budgets before and after.
    """
    over = [np.maximum(spend - budget, 0.0).sum(axis=1) for budget in (before, after)]
    saving = over[0] - over[1]
    low, high = np.quantile(saving, [LOW, HIGH])
    return Saving(float(over[0].mean()), float(over[1].mean()), float(saving.mean()), float(low), float(high))


def by_line(paths: np.ndarray, projects: Sequence[str], spent: pd.DataFrame, recent: pd.DataFrame) -> np.ndarray:
    """Draws of a year's spend by line, from draws of what projects will spend.

    What a project will spend falls on its lines as its last months did; on all of them alike where these had nothing.

    Parameters
    ----------
    paths : draws x projects, still to come [money].
    projects : their names.
    spent : `project`, `actual` [money], a row a line: what it spent so far.
    recent : `actual` of the last months, a row a line of `spent` [money].

    Returns
    -------
    array (draws, lines), whose sums by project are those of the paths and of what was spent.
    """
    held = recent["actual"].clip(lower=0).to_numpy()
    of = spent["project"].to_numpy()
    found = np.tile(spent["actual"].to_numpy(float), (len(paths), 1))
    for at, name in enumerate(projects):
        here = of == name
        weight = held[here] if held[here].sum() > 0 else np.ones(here.sum())
        found[:, here] += paths[:, [at]] * (weight / weight.sum())
    return found
