"""What a plan of workloads stands on: who wants how much by when, what there is, and what limits it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, share, within

GOALS = ("value", "net", "money")
PAID = ("fixed", "use")
OPTIONAL = {"value": 0.0, "earliest": pd.NaT, "deadline": pd.NaT, "divisible": True, "minimum_service": 0.0,
            "most_gpus": np.nan}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Workloads, capacity and limits, checked and as arrays: W workloads, K kinds, T months, C cells, P projects.

    A cell is a workload in a month on a kind, where it may run.

    Attributes
    ----------
    goal : value, net or money (see `plan`).
    workloads, projects, kinds, months : their names.
    project : of each workload, place in `projects` (W).
    need : reference GPU-hours (W).
    value : of all of them (W).
    first, last : places of the first and last month that each may run in (W).
    divisible, minimum, most_gpus : whether a part may run; the share that must; the most GPUs at once (W).
    hours : of each month (T) [hours].
    gpu_hours, price, kw : capacity, its price [money per GPU-hour] and draw [kW per GPU] (K x T).
    fixed : whether capacity is paid for used or not (K x T).
    cell_workload, cell_kind, cell_month : places (C), by workload.
    cell_gpu_hours : GPU-hours that all of the workload's need takes in the cell (C).
    budgets : one row a budget: `project` (place, -1 for all), `first`, `last` (places of months), `amount` [money],
        from which the fixed money that it pays is taken off.
    reserved : one row a reservation: `project`, `kind`, `month` (places), `share` (decimal).
    power_kw : cap of each month, infinite where there is none (T) [kW].
    """

    goal: str
    workloads: list[str]
    projects: list[str]
    kinds: list[str]
    months: pd.DatetimeIndex
    project: np.ndarray
    need: np.ndarray
    value: np.ndarray
    first: np.ndarray
    last: np.ndarray
    divisible: np.ndarray
    minimum: np.ndarray
    most_gpus: np.ndarray
    hours: np.ndarray
    gpu_hours: np.ndarray
    price: np.ndarray
    kw: np.ndarray
    fixed: np.ndarray
    cell_workload: np.ndarray
    cell_kind: np.ndarray
    cell_month: np.ndarray
    cell_gpu_hours: np.ndarray
    budgets: pd.DataFrame
    reserved: pd.DataFrame
    power_kw: np.ndarray

    @property
    def cell_money(self) -> np.ndarray:
        """Money paid by use for all of the workload's need in the cell (C)."""
        place = self.cell_kind, self.cell_month
        return np.where(self.fixed[place], 0.0, self.price[place] * self.cell_gpu_hours)

    @property
    def cell_kw(self) -> np.ndarray:
        """Mean draw in the month where all of the workload's need runs in the cell (C) [kW]."""
        return self.kw[self.cell_kind, self.cell_month] * self.cell_gpu_hours / self.hours[self.cell_month]

    def pays(self, budget) -> np.ndarray:
        """Whether the use of each cell is paid from a row of `budgets` (C)."""
        ours = (budget.project < 0) | (self.project[self.cell_workload] == budget.project)
        return ours & (self.cell_month >= budget.first) & (self.cell_month <= budget.last)

    def under(self, *, minimum_service: float, budgets: pd.DataFrame | None = None, power_kw=None) -> "Case":
        """The same workloads and capacity under other limits (see `plan`), one minimum service for every workload."""
        told = np.full(len(self.need), share("minimum_service", minimum_service))
        there_is = {"gpu_hours": self.gpu_hours, "price": self.price, "fixed": self.fixed}
        return replace(
            self, minimum=_minimum(told, self.divisible, self.goal), power_kw=_power(power_kw, self.months),
            budgets=_budgets(budgets, self.projects, self.months, there_is),
        )  # fmt: skip

    def only(self, workloads: np.ndarray) -> "Case":
        """The same with the cells of some workloads alone, and no minimum service of the others (W, whether kept)."""
        kept = workloads[self.cell_workload]
        cells = {name: getattr(self, name)[kept]
                 for name in ("cell_workload", "cell_kind", "cell_month", "cell_gpu_hours")}  # fmt: skip
        return replace(self, minimum=np.where(workloads, self.minimum, 0.0), **cells)


def case(
    workloads: pd.DataFrame,
    able: pd.DataFrame,
    capacity: pd.DataFrame,
    *,
    budgets: pd.DataFrame | None = None,
    reserved: pd.DataFrame | None = None,
    power_kw=None,
    goal: str = "value",
) -> Case:
    """Inputs, checked; `plan` says what they are.

    Raises
    ------
    OutOfRange : a column is missing, a name is unknown or told twice, a value lies outside its range.
    """
    if goal not in GOALS:
        raise OutOfRange(f"goal must be one of {', '.join(GOALS)}, not {goal!r}")
    months, kinds, there_is = _capacity(capacity)
    wanted = _workloads(workloads, months, goal)
    names, projects = list(wanted["workload"]), sorted(set(wanted["project"]))
    speed = _speeds(able, names, kinds)
    place = np.arange(len(months))
    first, last = wanted["first"].to_numpy(), wanted["last"].to_numpy()
    within_time = (place >= first[:, None]) & (place <= last[:, None])
    may = (speed > 0)[:, :, None] & within_time[:, None, :] & (there_is["gpu_hours"] > 0)
    of, kind, month = np.nonzero(may)
    need = wanted["gpu_hours"].to_numpy()
    return Case(
        goal, names, projects, kinds, months,
        wanted["project"].map({name: at for at, name in enumerate(projects)}).to_numpy(dtype=np.int64),
        need, wanted["value"].to_numpy(), first, last, wanted["divisible"].to_numpy(),
        wanted["minimum_service"].to_numpy(), wanted["most_gpus"].to_numpy(),
        months.days_in_month.to_numpy() * 24.0, **there_is,
        cell_workload=of, cell_kind=kind, cell_month=month, cell_gpu_hours=need[of] / speed[of, kind],
        budgets=_budgets(budgets, projects, months, there_is),
        reserved=_reserved(reserved, projects, kinds, months),
        power_kw=_power(power_kw, months),
    )  # fmt: skip


def _columns(frame: pd.DataFrame, what: str, required: Sequence[str]) -> None:
    for name in required:
        if name not in frame:
            raise OutOfRange(f"{what} must have a column {name}, not only {', '.join(map(str, frame.columns))}")


def _month(values, what: str) -> pd.Series:
    """Months as timestamps at their beginning."""
    given = pd.Series(values)
    found = pd.to_datetime(given, format="ISO8601", errors="coerce")
    odd = given[found.isna() & given.notna()]
    if len(odd):
        raise OutOfRange(f"{what} must be a month such as 2027-01, not {odd.iloc[0]!r}")
    return found.dt.tz_localize(None).dt.to_period("M").dt.to_timestamp()


def _place(values: pd.Series, names: Sequence, what: str) -> np.ndarray:
    """Where each value stands among the names."""
    found = values.map({name: at for at, name in enumerate(names)})
    if found.isna().any():
        odd = values[found.isna()].iloc[0]
        if isinstance(odd, pd.Timestamp):
            raise OutOfRange(f"{what} must be from {names[0]:%Y-%m} to {names[-1]:%Y-%m}, not {odd:%Y-%m}")
        known = ", ".join(map(str, names[:8])) + (" ..." if len(names) > 8 else "")
        raise OutOfRange(f"{what} must be one of {known}, not {odd!r}")
    return found.to_numpy(dtype=np.int64)


def _once(frame: pd.DataFrame, keys: list[str], what: str) -> None:
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        shown = ", ".join(f"{value:%Y-%m}" if isinstance(value, pd.Timestamp) else str(value)
                          for value in twice.iloc[0][keys])  # fmt: skip
        raise OutOfRange(f"{what} must have each {' and '.join(keys)} once, not {shown} twice")


def _capacity(capacity: pd.DataFrame) -> tuple[pd.DatetimeIndex, list[str], dict]:
    required = ["kind", "month", "gpu_hours", "price_per_gpu_hour", "paid", "kw_per_gpu"]
    _columns(capacity, "capacity", required)
    if capacity.empty:
        raise OutOfRange("capacity must have at least one row, not none")
    frame = capacity[required].reset_index(drop=True)
    frame["month"] = _month(frame["month"], "month of capacity")
    if frame[["kind", "month"]].isna().any().any():
        raise OutOfRange("kind and month of capacity must be told in every row, not left empty")
    _once(frame, ["kind", "month"], "capacity")
    if odd := set(frame["paid"]) - set(PAID):
        raise OutOfRange(f"paid of capacity must be fixed or use, not {sorted(map(str, odd))[0]!r}")
    months, kinds = pd.DatetimeIndex(sorted(set(frame["month"]))), list(dict.fromkeys(frame["kind"]))
    place = _place(frame["kind"], kinds, "kind"), _place(frame["month"], list(months), "month")

    def table(values) -> np.ndarray:
        found = np.zeros((len(kinds), len(months)))
        found[place] = values
        return found

    return months, kinds, {
        "gpu_hours": table(within("gpu_hours of capacity", frame["gpu_hours"].to_numpy(), 0)),
        "price": table(within("price_per_gpu_hour", frame["price_per_gpu_hour"].to_numpy(), 0)),
        "kw": table(within("kw_per_gpu", frame["kw_per_gpu"].to_numpy(), 0)),
        "fixed": table((frame["paid"] == "fixed").to_numpy()).astype(bool),
    }  # fmt: skip


def _workloads(workloads: pd.DataFrame, months: pd.DatetimeIndex, goal: str) -> pd.DataFrame:
    _columns(workloads, "workloads", ["workload", "project", "gpu_hours", *(["value"] if goal != "money" else [])])
    if workloads.empty:
        raise OutOfRange("workloads must have at least one row, not none")
    frame = workloads.reset_index(drop=True).copy()
    for name, usual in OPTIONAL.items():
        frame[name] = frame[name].where(frame[name].notna(), usual) if name in frame else usual
    if frame[["workload", "project"]].isna().any().any():
        raise OutOfRange("workload and project must be told in every row of workloads, not left empty")
    _once(frame, ["workload"], "workloads")
    frame["gpu_hours"] = positive("gpu_hours of a workload", frame["gpu_hours"].to_numpy())
    frame["value"] = within("value of a workload", frame["value"].to_numpy(), 0)
    frame["minimum_service"] = share("minimum_service", frame["minimum_service"].to_numpy())
    most = frame["most_gpus"].astype(float)
    positive("most_gpus", most.dropna().to_numpy())
    frame["most_gpus"] = most.fillna(np.inf)
    frame["divisible"] = frame["divisible"].astype(bool)
    for name, usual, place in (("earliest", months[0], "first"), ("deadline", months[-1], "last")):
        frame[place] = _place(_month(frame[name], name).fillna(usual), list(months), f"{name} of a workload")
    late = frame[frame["first"] > frame["last"]]
    if len(late):
        odd = late.iloc[0]
        raise OutOfRange(f"deadline of {odd['workload']} must be at least its earliest month "
                         f"{months[odd['first']]:%Y-%m}, not {months[odd['last']]:%Y-%m}")  # fmt: skip
    frame["minimum_service"] = _minimum(frame["minimum_service"].to_numpy(), frame["divisible"].to_numpy(), goal)
    return frame


def _minimum(told: np.ndarray, divisible: np.ndarray, goal: str) -> np.ndarray:
    """Share of each workload that must run: of what is all or nothing all, and all of it where money is minimised."""
    return np.where((~divisible & (told > 0)) | (goal == "money"), 1.0, told)


def _speeds(able: pd.DataFrame, workloads: list[str], kinds: list[str]) -> np.ndarray:
    """Reference GPU-hours of work in a GPU-hour, 0 where a workload cannot run (W x K)."""
    _columns(able, "able", ["workload", "kind", "speed"])
    _once(able, ["workload", "kind"], "able")
    found = np.zeros((len(workloads), len(kinds)))
    at = _place(able["workload"], workloads, "workload of able"), _place(able["kind"], kinds, "kind of able")
    found[at] = positive("speed", able["speed"].to_numpy())
    return found


def _budgets(budgets: pd.DataFrame | None, projects: list[str], months, there_is: dict) -> pd.DataFrame:
    if budgets is None or budgets.empty:
        return pd.DataFrame({"project": [], "first": [], "last": [], "amount": []})
    _columns(budgets, "budgets", ["project", "amount"])
    frame = budgets.reset_index(drop=True)
    known = frame["project"].notna()
    project = np.full(len(frame), -1)
    if known.any():
        project[known] = _place(frame["project"][known], projects, "project of budgets")
    places = {}
    for name, usual in (("first_month", 0), ("last_month", len(months) - 1)):
        places[name] = np.full(len(frame), usual)
        if name in frame:
            told = _month(frame[name], name).fillna(months[usual])
            places[name] = _place(told, list(months), f"{name} of budgets")
    amount = np.array(within("amount of a budget", frame["amount"].to_numpy(), 0))
    fixed = np.where(there_is["fixed"], there_is["price"] * there_is["gpu_hours"], 0.0).sum(axis=0)
    before = np.concatenate([[0.0], np.cumsum(fixed)])
    amount -= np.where(known, 0.0, before[places["last_month"] + 1] - before[places["first_month"]])
    return pd.DataFrame(
        {"project": project, "first": places["first_month"], "last": places["last_month"], "amount": amount}
    )


def _reserved(reserved: pd.DataFrame | None, projects: list[str], kinds: list[str], months) -> pd.DataFrame:
    if reserved is None or reserved.empty:
        return pd.DataFrame({"project": [], "kind": [], "month": [], "share": []})
    _columns(reserved, "reserved", ["project", "kind", "share"])
    frame = pd.DataFrame({
        "project": _place(reserved["project"], projects, "project of reserved"),
        "kind": _place(reserved["kind"], kinds, "kind of reserved"),
        "share": share("share of reserved", reserved["share"].to_numpy()),
        "month": _month(reserved["month"], "month of reserved").to_numpy() if "month" in reserved else pd.NaT,
    })  # fmt: skip
    every = frame[frame["month"].isna()].drop(columns="month").merge(pd.DataFrame({"month": months}), how="cross")
    frame = pd.concat([frame[frame["month"].notna()], every], ignore_index=True)
    frame["month"] = _place(frame["month"], list(months), "month of reserved")
    frame = frame.groupby(["kind", "month", "project"], as_index=False)["share"].sum()
    total = frame.groupby(["kind", "month"])["share"].sum()
    if (total > 1 + 1e-9).any():
        kind, month = total.idxmax()
        raise OutOfRange(f"share of reserved must be at most 1 in all, not {total.max():g} of {kinds[kind]} "
                         f"in {months[month]:%Y-%m}")  # fmt: skip
    return frame


def _power(power_kw, months: pd.DatetimeIndex) -> np.ndarray:
    if power_kw is None:
        return np.full(len(months), np.inf)
    told = np.atleast_1d(within("power_kw", power_kw, 0))
    if len(told) not in (1, len(months)):
        raise OutOfRange(f"power_kw must be one number or {len(months)}, one a month, not {len(told)}")
    return np.broadcast_to(told, len(months)).copy()
