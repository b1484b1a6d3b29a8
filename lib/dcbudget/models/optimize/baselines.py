"""Plans that prove nothing, to compare the best one with: by rule, and by a genetic search over orders."""

import time
from functools import cache

import numpy as np
import pandas as pd

from dcbudget.models.optimize.inputs import Case, case
from dcbudget.models.optimize.optimum import Plan, answer
from dcbudget.models.optimize.programme import SOME, profit
from dcbudget.models.ranges import whole


def greedy(
    workloads: pd.DataFrame, able: pd.DataFrame, capacity: pd.DataFrame, *, goal: str = "value", **limits
) -> Plan:
    """The plan by rule: minimum services first, then what is worth most.

    Workloads go by their value a reference GPU-hour, each to where it pays least and takes fewest GPU-hours, as early
    as it may; what does not fit as a whole stays away.

    Where money is minimised, those with the fewest places to run go first. It may leave minimum services short
    (`Plan.short`).

    Parameters
    ----------
    workloads, able, capacity, goal, limits : as for `plan`; limits are `budgets`, `reserved` and `power_kw`.
    """
    return greedy_of(case(workloads, able, capacity, goal=goal, **limits))


def greedy_of(found: Case) -> Plan:
    """The same of inputs that are checked already."""
    begun = time.perf_counter()
    shares, _ = _fill_of(found)(_by_rule(found))
    return answer(found, shares, "greedy", np.nan, None, time.perf_counter() - begun)


def genetic(
    workloads: pd.DataFrame,
    able: pd.DataFrame,
    capacity: pd.DataFrame,
    *,
    goal: str = "value",
    population: int = 40,
    generations: int = 60,
    seed: int = 0,
    **limits,
) -> Plan:
    """The best of the plans that a genetic search finds over the order in which workloads are placed.

    Each plan is a key for every workload; the greedy rule places them by their keys. The search begins with the greedy
    order among random ones, and the same seed gives the same plan.

    Source: Bean 1994, "Genetic algorithms and random keys for sequencing and optimization", ORSA Journal on
    Computing 6; pymoo's genetic algorithm.

    Parameters
    ----------
    population, generations : of the search; it fills population x generations plans.
    workloads, able, capacity, goal, limits : as for `plan`; limits are `budgets`, `reserved` and `power_kw`.
    """
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    begun = time.perf_counter()
    population, generations = whole("population", population, 2), whole("generations", generations)
    found = case(workloads, able, capacity, goal=goal, **limits)
    fill, count = _fill_of(found), len(found.need)

    class Orders(Problem):
        def __init__(self):
            super().__init__(n_var=count, n_obj=1, xl=0.0, xu=1.0)

        def _evaluate(self, keys, out, *args, **kwargs):
            out["F"] = np.array([-fill(np.argsort(one, kind="stable"))[1] for one in keys])

    first = np.random.default_rng(seed).uniform(size=(population, count))
    first[0, _by_rule(found)] = np.arange(count) / count
    best = minimize(Orders(), GA(pop_size=population, sampling=first), ("n_gen", generations), seed=seed)
    shares, _ = fill(np.argsort(best.X, kind="stable"))
    return answer(found, shares, "genetic", np.nan, None, time.perf_counter() - begun)


def _by_rule(found: Case) -> np.ndarray:
    if found.goal == "money":
        return np.argsort(np.bincount(found.cell_workload, minlength=len(found.need)), kind="stable")
    return np.argsort(-found.value / found.need, kind="stable")


def _fill_of(found: Case):
    """A function from an order of workloads to shares by cell and what they bring, short minimum services taken off."""
    # rounded, so that cells that are alike go by their months
    dear, long = found.cell_money.round(6), found.cell_gpu_hours.round(6)
    cells = np.lexsort((found.cell_month, long, dear, found.cell_workload))
    start = np.searchsorted(found.cell_workload, np.arange(len(found.need) + 1))
    held = np.zeros((len(found.projects), *found.gpu_hours.shape))
    for row in found.reserved.itertuples():
        held[row.project, row.kind, row.month] = row.share * found.gpu_hours[row.kind, row.month]
    by_cell, by_workload = profit(found)
    budgets = found.budgets[["project", "first", "last"]].to_numpy(dtype=np.int64).reshape(-1, 3)
    amounts, power = (np.array(one, dtype=float) for one in (found.budgets["amount"], found.power_kw))
    fixed = (
        cells, start, found.project, found.divisible, found.minimum, found.most_gpus, found.hours, found.gpu_hours,
        found.cell_kind, found.cell_month, found.cell_gpu_hours, found.cell_money, found.cell_kw,
        by_cell, by_workload, held, budgets,
    )  # fmt: skip
    # copies: one layout, one type, so that it is compiled once
    fixed = tuple(np.array(one, order="C") for one in fixed)
    kernel = _compiled()
    most = np.abs(found.value).sum() + found.cell_money.sum() + 1.0

    def fill(order: np.ndarray) -> tuple[np.ndarray, float]:
        shares = kernel(np.array(order), *fixed, amounts.copy(), power.copy())
        served = np.bincount(found.cell_workload, shares, len(found.need))
        short = np.maximum(found.minimum - served - SOME, 0.0).sum()
        return shares, float((by_cell * shares).sum() + (by_workload * served).sum() - most * short)

    return fill


@cache
def _compiled():
    """The filling, compiled on first use and kept for later runs."""
    from numba import njit

    return njit(cache=True)(_fill)


def _fill(
    order, cells, start, project, divisible, minimum, most_gpus, hours, gpu_hours, cell_kind, cell_month,
    cell_gpu_hours, cell_money, cell_kw, by_cell, by_workload, held, budgets, money, power,
):  # fmt: skip
    """Shares by cell: workloads in their order take what is left of each of their cells, minimum services first."""
    shares = np.zeros(len(cell_kind))
    used = np.zeros(held.shape)
    claimed = held.sum(axis=0)
    taken = np.zeros(len(shares))
    for must in (True, False):
        for w in order:
            if must and minimum[w] == 0:
                continue
            wanted = minimum[w] if must else 1.0
            served = 0.0
            for c in range(start[w], start[w + 1]):
                served += shares[c]
            there = np.zeros(len(hours))
            for c in range(start[w], start[w + 1]):
                there[cell_month[c]] += shares[c] * cell_gpu_hours[c]
                taken[c] = 0.0
            for at in range(start[w], start[w + 1]):
                c = cells[at]
                if served >= wanted - 1e-12:
                    break
                if not must and by_cell[c] + by_workload[w] <= 0:
                    continue
                k, t, p = cell_kind[c], cell_month[c], project[w]
                own = max(used[p, k, t], held[p, k, t])
                left = gpu_hours[k, t] - claimed[k, t] + own - used[p, k, t]
                left = min(left, most_gpus[w] * hours[t] - there[t])
                part = min(wanted - served, left / cell_gpu_hours[c])
                if cell_kw[c] > 0:
                    part = min(part, power[t] / cell_kw[c])
                if cell_money[c] > 0:
                    for b in range(len(money)):
                        if (budgets[b, 0] < 0 or budgets[b, 0] == p) and budgets[b, 1] <= t <= budgets[b, 2]:
                            part = min(part, money[b] / cell_money[c])
                if part <= 0:
                    continue
                taken[c] += part
                served += part
                there[t] += part * cell_gpu_hours[c]
                used[p, k, t] += part * cell_gpu_hours[c]
                claimed[k, t] += max(used[p, k, t], held[p, k, t]) - own
                power[t] -= part * cell_kw[c]
                for b in range(len(money)):
                    if (budgets[b, 0] < 0 or budgets[b, 0] == p) and budgets[b, 1] <= t <= budgets[b, 2]:
                        money[b] -= part * cell_money[c]
            kept = divisible[w] or served >= 1 - 1e-9
            for c in range(start[w], start[w + 1]):
                if kept:
                    shares[c] += taken[c]
                elif taken[c] > 0:
                    k, t, p = cell_kind[c], cell_month[c], project[w]
                    claimed[k, t] -= max(used[p, k, t], held[p, k, t])
                    used[p, k, t] -= taken[c] * cell_gpu_hours[c]
                    claimed[k, t] += max(used[p, k, t], held[p, k, t])
                    power[t] += taken[c] * cell_kw[c]
                    for b in range(len(money)):
                        if (budgets[b, 0] < 0 or budgets[b, 0] == p) and budgets[b, 1] <= t <= budgets[b, 2]:
                            money[b] += taken[c] * cell_money[c]
    return shares
