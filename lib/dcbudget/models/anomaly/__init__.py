"""What is out of the ordinary, and worth somebody's attention: findings about spend, runs, capacity, bills and budgets.

Every judgement is causal: what is judged on a day stands on that day and those before it, so that a later day adds to
what was found and changes nothing of it. Times are UTC; `as_of` is the first moment that is not known yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from hashlib import blake2s

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange


@dataclass(frozen=True)
class Finding:
    """One thing that is out of the ordinary.

    Attributes
    ----------
    kind : what sort of thing, such as "spend above expected".
    project : whose, "" for the whole.
    subject : of what: a category, a commitment, a run; may be "".
    since : when it began.
    until : when it ended (exclusive), NaT while it lasts.
    money : what it is worth so far [money], positive where it costs; NaN where that is not known.
    basis : of the money: billed, effective, contracted, budgeted.
    what : what happened, in one sentence.
    why : what was compared, against what, and by how much it was passed.
    """

    kind: str
    project: str
    subject: str
    since: pd.Timestamp
    until: pd.Timestamp
    money: float
    basis: str
    what: str
    why: str

    @property
    def alert_id(self) -> str:
        """The same for the same kind, scope and begin, whenever it is found."""
        text = "\n".join((self.kind, self.project, self.subject, f"{self.since:%Y-%m-%dT%H:%M}"))
        return blake2s(text.encode(), digest_size=4).hexdigest()


COLUMNS = ["alert_id", *(field.name for field in fields(Finding))]


def frame_of(findings: Iterable[Finding]) -> pd.DataFrame:
    """The findings as a frame of COLUMNS, most money first; each alert_id once."""
    rows = [(found.alert_id, *(getattr(found, name) for name in COLUMNS[1:])) for found in findings]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for name in ("since", "until"):
        frame[name] = pd.to_datetime(frame[name]).astype("datetime64[us]")
    frame["money"] = frame["money"].astype(float)
    frame = frame.drop_duplicates("alert_id")
    order = frame["money"].abs().sort_values(ascending=False, kind="stable", na_position="last").index
    return frame.loc[order].reset_index(drop=True)


def overlapping(findings: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Those that lasted at some time in [start, end)."""
    lasted = findings["until"].isna() | (findings["until"] > start)
    return findings[(findings["since"] < end) & lasted].reset_index(drop=True)


def moment(name: str, value) -> pd.Timestamp:
    """A time from a text or a time.

    Raises
    ------
    OutOfRange : it is none.
    """
    try:
        time = pd.Timestamp(value)
    except (ValueError, TypeError):
        time = pd.NaT
    if pd.isna(time):
        raise OutOfRange(f"{name} must be a date such as 2026-06-30, not {value!r}")
    return time


def spells(times: pd.Series, ends: pd.Series, gap: pd.Timedelta) -> np.ndarray:
    """The number of the spell of each span: a span that begins within `gap` of the end of all before it goes on.

    Parameters
    ----------
    times, ends : begins, in order, and ends of the spans.
    """
    latest = ends.cummax().shift()
    return (~(times - latest <= gap)).cumsum().to_numpy()
