"""What is known to come: a commitment that begins, a price that changes, a planned run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import within

COLUMNS = ("project", "start", "end", "change", "value", "known", "about")
DAYS = ("start", "end", "known")
ADD, MULTIPLY = "add", "multiply"
EVERY = "every project"


def read(events: pd.DataFrame | None) -> pd.DataFrame:
    """Events with their types, checked.

    Parameters
    ----------
    events : `project` (or "every project"), `start` and optionally `end` (days or months, half-open), `change` ("add"
        money a month, or "multiply" what is spent), `value`, and optionally `known` (the day on which it was known:
        backtests from that day on take it into account, and none that has no such day) and `about`. None for no events.

    Raises
    ------
    OutOfRange : a column that there is not, or is missing; no day; another change; a value out of range.
    """
    if events is None or not len(events):
        types = dict.fromkeys(DAYS, "datetime64[us]") | {"value": float}
        return pd.DataFrame({name: pd.Series(dtype=types.get(name, object)) for name in COLUMNS})
    frame = pd.DataFrame(events)
    if unknown := sorted(set(frame) - set(COLUMNS)):
        raise OutOfRange(f"an event has no {unknown[0]!r}; it has {', '.join(COLUMNS)}")
    if missing := [name for name in ("project", "start", "change", "value") if name not in frame]:
        raise OutOfRange(f"{missing[0]} of an event must be given")
    frame = frame.reindex(columns=list(COLUMNS)).reset_index(drop=True)
    frame["about"] = frame["about"].astype(object).where(frame["about"].notna(), "")
    rows = [_checked(row) for row in frame.to_dict("records")]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(DAYS, "datetime64[us]"))


def _checked(event: dict) -> dict:
    name = f"of the event of {event['project']}"
    if event["change"] not in (ADD, MULTIPLY):
        raise OutOfRange(f"change {name} must be add or multiply, not {event['change']!r}")
    low, high = (0, 1000) if event["change"] == MULTIPLY else (-1e15, 1e15)
    start, end, known = (_day(f"{part} {name}", event[part]) for part in DAYS)
    if pd.isna(start):
        raise OutOfRange(f"start {name} must be given")
    if end <= start:
        raise OutOfRange(f"end {name} must be after its start {start:%Y-%m-%d}, not {end:%Y-%m-%d}")
    return event | {
        "start": start,
        "end": end,
        "known": known,
        "value": within(f"value {name}", event["value"], low, high),
    }


def _day(name: str, value) -> pd.Timestamp:
    if value is None or value is pd.NaT or value == "" or value != value:
        return pd.NaT
    day = pd.to_datetime(value, errors="coerce")
    if pd.isna(day):
        raise OutOfRange(f"{name} must be a day such as 2026-07-01 or a month such as 2026-07, not {value!r}")
    return day.normalize()


def effect(events: pd.DataFrame, projects: Sequence[str], days: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
    """What events multiply and add on every day.

    Parameters
    ----------
    events : as `read` gives them; those that began before the first day are in what was measured and count no more,
        but an end that is ahead undoes them.
    projects : P names.
    days : D days.

    Returns
    -------
    factor, amount : arrays (D, P); spend becomes spend * factor + amount [money a day].
    """
    factor, amount = np.ones((len(days), len(projects))), np.zeros((len(days), len(projects)))
    for event in events.itertuples():
        at = [n for n, name in enumerate(projects) if event.project in (name, EVERY)]
        within_ = (days >= event.start) & ~(days >= event.end)
        # One that runs already is in the history: it changes nothing until it ends.
        changed, sign = (within_, 1) if event.start >= days[0] else (days >= event.end, -1)
        rows = np.ix_(changed, at)
        if event.change == ADD:
            amount[rows] += sign * event.value / days.days_in_month.to_numpy()[changed, None]
        elif event.value > 0 or sign > 0:
            factor[rows] *= event.value**sign
    return factor, amount


def applied(events: pd.DataFrame, daily: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Spend of every day with what is known to come.

    Parameters
    ----------
    events : as `read` gives them.
    daily : days of whole months by project [money].

    Returns
    -------
    The same days, and what each month was multiplied by, (months, projects): the mean of its days' factors.
    """
    days = pd.DatetimeIndex(daily.index)
    factor, amount = effect(events, list(daily), days)
    factors = pd.DataFrame(factor).groupby(days.to_period("M")).mean().to_numpy()
    return daily * factor + amount, factors
