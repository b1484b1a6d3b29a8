"""Earned value of training programmes: how far they are, by tokens trained, for what they have cost."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, whole
from dcbudget.models.variance import earned_value
from dcbudget.stages.reading import Reading
from dcbudget.tables import COUNT, MONEY, SIGNED, Table

FIELDS = ("project", "tokens", "budget", "start", "months")


def earned(programmes: Sequence[Mapping], month: pd.Timestamp, reading: Reading) -> Table:
    """Earned value of every programme at the end of a month.

    Parameters
    ----------
    programmes : mappings with `project`, `tokens` (that it is to train), `budget` [money], `start` ("YYYY-MM") and
        `months`, over which the tokens are planned evenly.
    month : the last month that counts.
    reading : of the database.

    Raises
    ------
    OutOfRange : a field is missing, unknown or outside its range.

    Notes
    -----
    Tokens are those of the project's run logs: tokens a second, from one value to the next. Actual cost is what the
    project's GPU-hours cost in these months, failed ones included; where the project also does other work, its budget
    must hold that too.
    """
    rows = []
    for given in programmes:
        told = _checked(given)
        span = pd.date_range(told["start"], periods=told["months"], freq="MS")
        gone = span[span <= month]
        done = _tokens(told["project"], gone, reading)
        found = earned_value(told["budget"], told["tokens"], told["tokens"] * len(gone) / len(span), done,
                             _spent(told["project"], gone, reading))  # fmt: skip
        rows.append((told["project"], done / 1e9, told["tokens"] / 1e9, found.budget, found.planned, found.earned,
                     found.actual, found.cost_index, found.schedule_index, found.at_completion, found.to_complete,
                     found.variance_at_completion))  # fmt: skip
    names = {"project": "Programme", "done": "Billion tokens trained", "tokens": "of", "budget": "Budget (BAC)",
             "planned": "Planned value", "earned": "Earned value", "actual": "Actual cost", "cpi": "CPI", "spi": "SPI",
             "eac": "EAC", "etc": "ETC", "vac": "BAC - EAC"}  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(names))
    formats = dict.fromkeys(("budget", "planned", "earned", "actual", "eac", "etc"), MONEY)
    formats |= {"done": COUNT, "tokens": COUNT, "cpi": "{:.2f}", "spi": "{:.2f}", "vac": SIGNED}
    late = int((frame["spi"] < 1).sum())
    dear = int((frame["cpi"] < 1).sum())
    title = f"{late} of {len(frame)} programmes are late, {dear} cost more than they earned"
    if frame.empty:
        title = "No programme is told (parameter programmes)"
    return Table(frame, names, f"{title} (effective cost, {reading.currency}, to {month:%B %Y})", formats)


def _checked(given: Mapping) -> dict:
    if missing := [name for name in FIELDS if name not in given]:
        raise OutOfRange(f"a programme must have {', '.join(FIELDS)}; {missing[0]} is missing")
    if strange := sorted(set(given) - set(FIELDS)):
        raise OutOfRange(f"a programme has no {strange[0]!r}; it has {', '.join(FIELDS)}")
    start = pd.to_datetime(str(given["start"]), format="%Y-%m", errors="coerce")
    if pd.isna(start):
        raise OutOfRange(f"start of a programme must be a month such as 2026-01, not {given['start']!r}")
    return {"project": str(given["project"]), "tokens": positive("tokens", given["tokens"]),
            "budget": positive("budget", given["budget"]), "start": start,
            "months": whole("months", given["months"], 1, 120)}  # fmt: skip


def _tokens(project: str, months: pd.DatetimeIndex, reading: Reading) -> float:
    """Tokens that the project's runs trained in these months."""
    if not len(months):
        return 0.0
    found = warehouse.query(
        "select coalesce(sum(value * seconds), 0) as tokens from ("
        " select run_id, time, value, epoch(time - lag(time) over (partition by run_id order by time, step)) as seconds"
        " from run_metrics where metric = 'tokens_per_second' and isfinite(value) and project = $1)"
        " where seconds > 0 and time >= $2 and time < $3",
        reading.db,
        [project, months[0].to_pydatetime(), (months[-1] + pd.DateOffset(months=1)).to_pydatetime()],
    )
    return float(found["tokens"].iloc[0])


def _spent(project: str, months: pd.DatetimeIndex, reading: Reading) -> float:
    frame = reading.convert(warehouse.mart("unit_cost_monthly", reading.db, project=project), ["gpu_effective_cost"])
    return float(frame.loc[frame["month"].isin(months), "gpu_effective_cost"].astype(float).sum())
