"""The best plan of workloads over months and kinds of capacity, and what a little more of everything is worth."""

import time
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from dcbudget.models.allocation import parts_of
from dcbudget.models.optimize.conflicts import check_feasible
from dcbudget.models.optimize.inputs import Case, case
from dcbudget.models.optimize.programme import SOME, Solved, solve
from dcbudget.models.ranges import positive, share

IDLE = "Idle capacity"


@dataclass(frozen=True)
class Plan:
    """What runs when and on what.

    Attributes
    ----------
    way : optimised, greedy or genetic.
    goal : see `plan`.
    rows : `workload`, `project`, `month`, `kind`, `paid`, `gpu_hours` [GPU-hours of the kind], `money` [in cents, as
        they sum to the price of the hours used, or of the capacity where it is fixed]. What of fixed capacity nobody
        uses is the workload and the project `Idle capacity`.
    workloads : `workload`, `project`, `served` (share of its need), `value`, `money` of it.
    value, money_by_use, money_fixed : their sums; all money is that of `rows`.
    objective : value, value less the money paid by use, or the money paid by use, as the goal says.
    bound : what no plan can exceed (or go below, where money is minimised); nan of a way that proves nothing.
    gap : between the two, as a share of the objective.
    short : what minimum services lack [reference GPU-hours]; none in an optimised plan.
    worth : one row for one more unit of `resource`: a GPU running for a `month` on a `kind`, a kW over a month, or 1
        of money, for the use of a `project` alone, null for all; `worth` in the unit of the objective, beyond the
        price of the unit. It holds for a little more, with what runs as a whole as it was decided. None of a way
        that proves nothing.
    seconds : that it took, by the clock.
    """

    way: str
    goal: str
    rows: pd.DataFrame
    workloads: pd.DataFrame
    value: float
    money_by_use: float
    money_fixed: float
    objective: float
    bound: float
    gap: float
    short: float
    worth: pd.DataFrame | None
    seconds: float = field(compare=False, default=0.0)


def plan(
    workloads: pd.DataFrame,
    able: pd.DataFrame,
    capacity: pd.DataFrame,
    *,
    budgets: pd.DataFrame | None = None,
    reserved: pd.DataFrame | None = None,
    power_kw=None,
    goal: str = "value",
    gap: float = 0.005,
    seconds: float = 60.0,
) -> Plan:
    """Which workloads run in which months on which kinds of capacity, at best.

    A mixed-integer linear programme: hours are continuous, and only whether an indivisible workload runs is decided as
    a whole; its hours in a month and on a kind are bounded by that decision times what there is. HiGHS solves it. With
    the decisions fixed, the linear programme of the rest is solved again: its duals are what a little more is worth.
    Of plans of equal value the one that pays least is taken.

    Parameters
    ----------
    workloads : a row each: `workload`, `project`, `gpu_hours` (GPU-hours of a reference kind, as in `able`), `value`
        (of all of them; may be left out where money is minimised); and, where they are told, `earliest` and `deadline`
        (first and last month), `divisible` (False: all of it runs or nothing), `minimum_service` (share that must
        run), `most_gpus` (at once). What is served every month, at least in part, is a workload a month.
    able : where a workload can run: `workload`, `kind`, `speed` (reference GPU-hours of work in a GPU-hour, less what
        spot loses to interruptions).
    capacity : a row a `kind` and `month`: `gpu_hours` that there are, `price_per_gpu_hour` [money], `paid` (fixed:
        used or not; use: by the hours used), `kw_per_gpu` (while it runs) [kW]. Its months are those of the plan.
    budgets : `project` (null for all), `first_month` and `last_month` (null for the plan's), `amount` [money]. A
        project's bounds what its workloads pay by use; one for all pays the fixed money too.
    reserved : `project`, `kind`, `share` of its hours that nobody else may use, `month` (null or left out for every).
    power_kw : most mean draw of all that runs, in all months or month by month [kW].
    goal : `value` is maximised; `net` is value less the money paid by use, for value in money; `money` paid by use is
        minimised while all workloads are served in full.
    gap : share of the objective within which the plan is proven best, in [0, 1].
    seconds : after which the best plan that was found is taken, whatever its gap.

    Raises
    ------
    OutOfRange : a value outside its range.
    ConflictingDemands : no plan meets all; it names demands that conflict, none of which can be spared.
    """
    found = case(workloads, able, capacity, budgets=budgets, reserved=reserved, power_kw=power_kw, goal=goal)
    return plan_of(found, gap, seconds)


def plan_of(found: Case, gap: float = 0.005, seconds: float = 60.0) -> Plan:
    """The same of inputs that are checked already, so that plans under several limits check them once."""
    begun = time.perf_counter()
    share("gap", gap)
    positive("seconds", seconds)
    check_feasible(found)
    first = solve(found, gap=gap, seconds=seconds)
    decided = np.round(first.served)
    fixed = solve(found, decided=decided) if first.found and first.deciding else first
    bound = max(first.bound, fixed.objective)
    best = fixed
    if found.goal == "value":
        cheapest = solve(found, decided=decided, at_least=fixed.objective * (1 - SOME))
        best = cheapest if cheapest.found else fixed
    worth = shadow_prices(found, fixed, decided)
    return answer(found, best.share, "optimised", bound, worth, time.perf_counter() - begun)


def answer(found: Case, shares: np.ndarray, way: str, bound: float, worth, seconds: float) -> Plan:
    """A plan of the share of each workload's need in each cell (C); `bound` is of the goal as maximised."""
    served = np.bincount(found.cell_workload, shares, len(found.need))
    served = np.where(served > 1 - 1e-6, 1.0, np.minimum(served, 1.0))
    rows = _rows(found, shares)
    value = float(found.value @ served)
    paid = rows.groupby("paid")["money"].sum().round(2)
    by_use, fixed = float(paid.get("use", 0.0)), float(paid.get("fixed", 0.0))
    objective = {"value": value, "net": value - by_use, "money": by_use}[found.goal]
    bound = -bound if found.goal == "money" else bound
    apart = (objective - bound) if found.goal == "money" else (bound - objective)
    gap = np.maximum(apart, 0.0) / max(abs(objective), 1e-9)
    short = float(found.need @ np.where(served < found.minimum - 1e-6, found.minimum - served, 0.0))
    money = rows.groupby("workload")["money"].sum()
    workloads = pd.DataFrame({
        "workload": found.workloads, "project": [found.projects[p] for p in found.project], "served": served,
        "value": found.value * served,
        "money": [round(float(money.get(name, 0.0)), 2) for name in found.workloads],
    })  # fmt: skip
    return Plan(
        way, found.goal, rows, workloads, value, by_use, fixed, objective, bound, float(gap), short, worth, seconds
    )


def _rows(found: Case, shares: np.ndarray) -> pd.DataFrame:
    """The cells that hold some hours, and what of fixed capacity is idle, with money in cents."""
    hours = np.where(shares > SOME, shares * found.cell_gpu_hours, 0.0)
    held = np.flatnonzero(hours > 0)
    w, k, t, hours = found.cell_workload[held], found.cell_kind[held], found.cell_month[held], hours[held]
    left = found.gpu_hours.copy()
    np.subtract.at(left, (k, t), hours)
    idle_k, idle_t = np.nonzero(found.fixed & (left > SOME * found.gpu_hours))
    w, k, t = (np.append(*both) for both in ((w, np.full(len(idle_k), -1)), (k, idle_k), (t, idle_t)))
    hours = np.append(hours, left[idle_k, idle_t])
    order = np.lexsort((w, k, t))
    w, k, t, hours = w[order], k[order], t[order], hours[order]
    money, whose = np.zeros(len(w)), t * len(found.kinds) + k
    for begin, end in pairwise([*np.flatnonzero(np.diff(whose, prepend=-1)), len(whose)]):
        part = hours[begin:end]
        money[begin:end] = parts_of(round(found.price[k[begin], t[begin]] * part.sum(), 2), part)
    names, projects = [*found.workloads, IDLE], [*found.projects, IDLE]
    of = np.append(found.project, len(found.projects))
    return pd.DataFrame({
        "workload": [names[at] for at in w],
        "project": [projects[at] for at in of[w]],
        "month": found.months[t],
        "kind": [found.kinds[at] for at in k],
        "paid": np.where(found.fixed[k, t], "fixed", "use"),
        "gpu_hours": hours,
        "money": money.round(2),
    })  # fmt: skip


def shadow_prices(found: Case, solved: Solved, decided: np.ndarray) -> pd.DataFrame:
    """What one more unit is worth, from the duals of the plan with its decisions fixed (`Plan.worth`).

    A unit for one project alone is a new column of the programme that only the project's cells can use: it is worth
    the most that any such cell brings per unit, the cell's own price in that limit left off.
    """
    running = found.divisible | (decided > 0.5)
    can = running[found.cell_workload]
    projects = found.project[found.cell_workload]

    def most(resource: str, takes: np.ndarray, dual: np.ndarray, names: dict, where: np.ndarray) -> list[dict]:
        """Worth by project of a unit that cells of `where` can use, each `takes` units for a share of 1."""
        gain = np.where(can & where & (takes > 0), solved.reduced + dual * takes, 0.0) / np.where(takes > 0, takes, 1)
        return [{"resource": resource, "project": name, **names, "worth": float(gain[projects == at].max(initial=0.0))}
                for at, name in enumerate(found.projects)]  # fmt: skip

    rows = []
    reserved = {(int(row.project), int(row.kind), int(row.month)): row.Index for row in found.reserved.itertuples()}
    for k, t in sorted(set(zip(found.cell_kind, found.cell_month, strict=True))):
        there = (found.cell_kind == k) & (found.cell_month == t)
        pool = solved.duals.get(("capacity", k, t), 0.0)
        dual = np.full(len(can), pool)
        for p in range(len(found.projects)):
            if (p, k, t) in reserved:
                dual[projects == p] = solved.duals[("reserved", reserved[p, k, t], k * len(found.months) + t)]
        names = {"kind": found.kinds[k], "month": found.months[t]}
        a_month = most("GPU-month", found.cell_gpu_hours, dual, names, there)
        rows += [row | {"worth": row["worth"] * found.hours[t]} for row in a_month]
        rows.append({"resource": "GPU-month", "project": None, **names, "worth": pool * found.hours[t]})
    for t in np.flatnonzero(np.isfinite(found.power_kw)):
        pool, names = solved.duals[("power", t, 0)], {"kind": None, "month": found.months[t]}
        rows += most("kW", found.cell_kw, np.full(len(can), pool), names, found.cell_month == t)
        rows.append({"resource": "kW", "project": None, **names, "worth": pool})
    dual = np.zeros(len(can))
    for at, budget in enumerate(found.budgets.itertuples()):
        dual += solved.duals[("budget", at, 0)] * found.pays(budget)
    if len(found.budgets):
        rows += most("money", found.cell_money, dual, {"kind": None, "month": pd.NaT}, np.ones(len(can), bool))
    frame = pd.DataFrame(rows, columns=["resource", "project", "kind", "month", "worth"])
    # what the solver's rounding leaves of nothing is nothing
    some = frame["worth"] > SOME * frame.groupby("resource")["worth"].transform("max").clip(lower=1.0)
    return frame.assign(month=pd.to_datetime(frame["month"]), worth=frame["worth"].where(some, 0.0))
