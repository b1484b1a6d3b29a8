"""The linear programme of a case, solved by HiGHS.

Variables are shares of each workload's need: how much of it runs in each cell, how much of it in all. Every row is
divided by its limit, so that workloads of an hour and of a million stand side by side.
"""

from dataclasses import dataclass

import numpy as np

from dcbudget.models.optimize.inputs import Case
from dcbudget.models.optimize.solver import Rows, maximise

# What counts as some, among shares.
SOME = 1e-9


@dataclass(frozen=True)
class Solved:
    """An answer of the solver.

    Attributes
    ----------
    found : whether there is a plan; False where the demands conflict.
    deciding : whether something is decided as a whole; there are no duals then.
    share : of each workload's need in each cell (C); served : in all (W).
    objective, bound : of the goal, to be maximised, and what no plan can exceed.
    duals : of the rows, per unit of what limits them, by their `about`.
    reduced : what one more unit of each cell's share would bring (C).
    """

    found: bool
    deciding: bool
    share: np.ndarray
    served: np.ndarray
    objective: float
    bound: float
    duals: dict
    reduced: np.ndarray


def profit(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """What a share of 1 brings to the goal, by cell (C) and by workload (W)."""
    nothing = np.zeros(len(case.cell_workload))
    cells = nothing if case.goal == "value" else -case.cell_money
    return cells, case.value if case.goal != "money" else np.zeros(len(case.need))


def rows_of(case: Case, whole: np.ndarray, tight: bool) -> tuple[Rows, int]:
    """The rows of a case, and how many further columns, after cells and workloads, its reservations take.

    Parameters
    ----------
    whole : workloads that run as a whole or not at all (W).
    tight : with the bounds of each cell and month, times what is decided, that follow from the others where that is
        0 or 1, but not where it is between.
    """
    cells, count = np.arange(len(case.cell_workload)), len(case.need)
    rows = Rows(len(cells) + count)
    for w in range(count):
        own = cells[np.searchsorted(case.cell_workload, w) : np.searchsorted(case.cell_workload, w + 1)]
        decided = len(cells) + w
        rows.add(("work", w, 0), [*own, decided], [*np.ones(len(own)), -1.0], 0, 0)
        for t in np.unique(case.cell_month[own]) if np.isfinite(case.most_gpus[w]) else ():
            there = own[case.cell_month[own] == t]
            most = case.most_gpus[w] * case.hours[t]
            if most >= case.cell_gpu_hours[there].max():
                continue
            if whole[w]:
                rows.add(("most_gpus", w, t), [*there, decided], [*case.cell_gpu_hours[there], -most], -np.inf, 0, most)
            else:
                rows.add(("most_gpus", w, t), there, case.cell_gpu_hours[there], -np.inf, most, most)
    further = _capacity_rows(rows, case, cells)
    for t in np.flatnonzero(np.isfinite(case.power_kw)):
        there = cells[case.cell_month == t]
        limit = case.power_kw[t]
        rows.add(("power", t, 0), there, case.cell_kw[there], -np.inf, limit, max(limit, 1.0))
    money = case.cell_money
    for at, budget in enumerate(case.budgets.itertuples()):
        there = cells[case.pays(budget) & (money > 0)]
        rows.add(("budget", at, 0), there, money[there], -np.inf, budget.amount, max(abs(budget.amount), 1.0))
    if tight:
        room = case.gpu_hours[case.cell_kind, case.cell_month] / case.cell_gpu_hours
        for cell in cells[whole[case.cell_workload] & (room < 1)]:
            rows.add(("room", cell, 0), [cell, len(cells) + case.cell_workload[cell]], [1.0, -room[cell]], -np.inf, 0)
    return rows, further


def _capacity_rows(rows: Rows, case: Case, cells: np.ndarray) -> int:
    """All that runs on a kind in a month fits; what is reserved for a project is used by nobody else.

    Where hours are reserved, each such project uses its own first, and a further column tells what it uses of the rest.
    """
    further = 0
    order = np.lexsort((case.cell_month, case.cell_kind))
    place = case.cell_kind[order] * len(case.months) + case.cell_month[order]
    project = case.project[case.cell_workload]
    held: dict[tuple, list] = {}
    for one in case.reserved.itertuples():
        held.setdefault((one.kind, one.month), []).append(one)
    for at in np.unique(place):
        there = order[np.searchsorted(place, at) : np.searchsorted(place, at + 1)]
        k, t = divmod(int(at), len(case.months))
        there_is = case.gpu_hours[k, t]
        if not np.isfinite(there_is):
            continue
        rest, free, beyond = there, there_is, []
        for one in held.get((k, t), []):
            own = there[project[there] == one.project]
            rest = np.setdiff1d(rest, own)
            free -= one.share * there_is
            beyond.append(rows.columns + further)
            further += 1
            rows.add(("reserved", one.Index, at), [*own, beyond[-1]], [*case.cell_gpu_hours[own], -there_is],
                     -np.inf, one.share * there_is, there_is)  # fmt: skip
        rows.add(("capacity", k, t), [*rest, *beyond], [*case.cell_gpu_hours[rest], *[there_is] * len(beyond)],
                 -np.inf, max(free, 0.0), there_is)  # fmt: skip
    return further


def solve(
    case: Case,
    *,
    decided: np.ndarray | None = None,
    gap: float = 0.0,
    seconds: float = np.inf,
    at_least: float | None = None,
    elastic: bool = False,
    relaxed: bool = False,
    tight: bool = True,
) -> Solved:
    """The best plan of a case.

    Parameters
    ----------
    decided : 0 or 1 for each workload that runs as a whole or not at all; None to decide them here (W).
    gap, seconds : where to stop: share between the plan and its bound, time of the clock.
    at_least : value that is kept while the money paid by use is minimised instead of the goal.
    elastic : what cannot be served of the minimum services is minimised instead of the goal.
    relaxed : a share of what is all or nothing may run.
    tight : see `rows_of`.
    """
    whole = ~case.divisible & (case.minimum < 1)
    deciding = decided is None and not relaxed and whole.any()
    rows, further = rows_of(case, whole, tight and decided is None)
    count, cells = len(case.need), len(case.cell_workload)
    low, high = np.zeros(rows.columns + further), np.full(rows.columns + further, np.inf)
    served = slice(cells, cells + count)
    low[served], high[served] = case.minimum, 1.0
    if decided is not None:
        low[served], high[served] = np.where(whole, decided, low[served]), np.where(whole, decided, high[served])
    cost = np.concatenate([*profit(case), np.zeros(further)])
    if at_least is not None:
        size = max(abs(at_least), 1.0)
        rows.add(("value", 0, 0), np.arange(cells, cells + count), case.value, at_least, np.inf, size)
        cost[:cells], cost[served] = -case.cell_money, 0.0
    if elastic:
        cost[:] = 0.0
        cost[served] = case.minimum > 0
        low[served], high[served] = 0.0, case.minimum
    integer = np.zeros(len(cost), bool)
    integer[served] = whole & bool(deciding)
    best = maximise(rows, cost, low, high, integer, gap, seconds)
    return Solved(
        best.found, bool(deciding), np.maximum(best.values[:cells], 0.0), best.values[served], best.objective,
        best.bound, best.duals, best.reduced[:cells],
    )  # fmt: skip
