"""Measures the optimisers: the gap they prove and the seconds that takes, against looser and simpler ways.

The loose formulation has a binary for every workload, month and kind: it runs there on all the GPUs that it may have,
or not at all. It gets the same limits, solver, threads and gap, and a time limit. Seconds are of the clock, CPU of the
processors; a missed target is printed, not an error, because the machine may be busy.
"""

import argparse
import os
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from dcbudget.models.optimize import genetic, greedy, plan, reallocate
from dcbudget.models.optimize.inputs import case
from dcbudget.models.optimize.programme import profit, rows_of
from dcbudget.models.optimize.solver import THREADS, maximise

KINDS = pd.DataFrame(
    [("V100 owned", 0.5, 0.25, 0.5, "fixed", 0.35), ("A100 owned", 1.0, 0.3, 1.0, "fixed", 0.5),
     ("H100 reserved", 2.0, 0.15, 2.0, "fixed", 0.9), ("H100 on-demand", 2.0, 0.3, 6.88, "use", 0.9),
     ("H100 spot", 1.8, 0.2, 2.6, "use", 0.9), ("TPU", 1.5, 0.2, 3.2, "use", 0.3)],
    columns=["kind", "speed", "part", "price_per_gpu_hour", "paid", "kw_per_gpu"],
)  # fmt: skip


def generated(seed: int, scarcity: float, workloads: int = 500, months: int = 12, projects: int = 10) -> dict:
    """A case that nobody could plan by hand: `scarcity` is the part of the demand that the capacity could serve."""
    rng = np.random.default_rng(seed)
    ahead = pd.date_range("2027-01-01", periods=months, freq="MS")
    need = np.round(rng.lognormal(9, 1.2, workloads))
    wanted = pd.DataFrame({
        "workload": [f"w{at}" for at in range(workloads)],
        "project": [f"p{at}" for at in rng.integers(0, projects, workloads)],
        "gpu_hours": need, "value": need * rng.lognormal(1.4, 0.5, workloads),
        "earliest": ahead[rng.integers(0, 3, workloads)], "deadline": ahead[months - 1 - rng.integers(0, 3, workloads)],
        "divisible": rng.random(workloads) < 0.3, "minimum_service": np.where(rng.random(workloads) < 0.05, 0.5, 0.0),
        "most_gpus": rng.integers(8, 257, workloads),
    })  # fmt: skip
    can = rng.random((workloads, len(KINDS))) < 0.8
    can[:, :4] = True
    w, k = np.nonzero(can)
    there_is = KINDS.merge(pd.DataFrame({"month": ahead}), how="cross")
    there_is["gpu_hours"] = np.round(there_is["part"] * need.sum() / months * scarcity / there_is["speed"])
    fixed = (there_is["gpu_hours"] * there_is["price_per_gpu_hour"])[there_is["paid"] == "fixed"].sum()
    money = need.sum() * 0.08
    return {
        "workloads": wanted,
        "able": pd.DataFrame({"workload": wanted["workload"].to_numpy()[w], "kind": KINDS["kind"].to_numpy()[k],
                              "speed": KINDS["speed"].to_numpy()[k] * rng.uniform(0.85, 1.15, len(w))}),
        "capacity": there_is,
        "budgets": pd.DataFrame({"project": [*(f"p{at}" for at in range(projects)), None],
                                 "amount": [3 * money / projects] * projects + [fixed + 2 * money]}),
        "reserved": pd.DataFrame({"project": ["p1"], "kind": ["A100 owned"], "share": [0.2]}),
        "power_kw": (there_is["gpu_hours"] * there_is["kw_per_gpu"]).sum() / months / 730 * 0.8,
    }  # fmt: skip


def loose(given: dict, gap: float, seconds: float) -> tuple[float, float, int]:
    """Objective, bound and number of binaries of the formulation with one for every cell."""
    found = case(**given)
    whole = ~found.divisible & (found.minimum < 1)
    room = found.gpu_hours[found.cell_kind, found.cell_month]
    most = found.most_gpus[found.cell_workload] * found.hours[found.cell_month]
    block = np.minimum(np.minimum(room, most) / found.cell_gpu_hours, 1.0)
    blocks = replace(found, cell_gpu_hours=found.cell_gpu_hours * block)
    rows, further = rows_of(blocks, whole, tight=False)
    cells = len(block)
    for at, about in enumerate(rows.about):
        if about[0] == "work":
            # what runs beyond the need is lost
            rows.value[at] = np.append(block[rows.column[at][:-1]], -1.0)
            rows.high[at] = np.inf
    cost = np.concatenate([*profit(blocks), np.zeros(further)])
    low, high = np.zeros(len(cost)), np.full(len(cost), np.inf)
    served = slice(cells, rows.columns)
    low[served], high[: rows.columns] = found.minimum, 1.0
    integer = np.zeros(len(cost), bool)
    integer[:cells], integer[served] = True, whole
    best = maximise(rows, cost, low, high, integer, gap, seconds)
    return best.objective, best.bound, int(integer.sum())


def timed(run):
    begun, worked = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - begun, time.process_time() - worked


def row(
    what: str, seconds: float, cpu: float, objective: float, gap: float, target: str = "", met: bool = True
) -> None:
    shown = "-" if np.isnan(gap) else f"{100 * gap:.3f} %"
    verdict = f"{target:>18}  {'pass' if met else 'miss'}" if target else ""
    print(f"{what:<44}{seconds:>8.2f}{cpu:>8.2f}{objective:>16,.0f}{shown:>11}{verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of the loose formulation (%(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="cases of each scarcity (%(default)s)")
    given = parser.parse_args()
    print(f"\nplans of 500 workloads x 12 months x 6 kinds, {THREADS} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<44}{'s':>8}{'CPU s':>8}{'value':>16}{'gap':>11}{'target':>18}")
    for scarcity in (0.3, 0.6):
        for seed in range(given.seeds):
            asked = generated(seed, scarcity)
            best, seconds, cpu = timed(lambda asked=asked: plan(**asked))
            met = best.gap <= 0.005 and seconds <= 20
            what = f"scarcity {scarcity:g}, seed {seed}: tight, with its duals"
            row(what, seconds, cpu, best.objective, best.gap, "0.5 % in 20 s", met)
            if seed == 0:
                (objective, bound, binaries), seconds, cpu = timed(lambda asked=asked: loose(asked, 0.005, given.limit))
                gap = (bound - objective) / max(abs(objective), 1e-9) if np.isfinite(objective) else np.nan
                row(f"  loose, {binaries:,} binaries", seconds, cpu, max(objective, 0.0), gap)
                for way in (greedy, genetic):
                    found, seconds, cpu = timed(lambda asked=asked, way=way: way(**asked))
                    row(f"  {found.way}", seconds, cpu, found.objective, found.gap)
    rng = np.random.default_rng(0)
    lines = pd.DataFrame({"project": [f"p{at // 4}" for at in range(40)], "category": list("wxyz") * 10,
                          "budget": rng.lognormal(11, 0.8, 40).round(2), "value": rng.uniform(0.5, 2, 40)})  # fmt: skip
    lines["floor"], lines["most_moved"] = lines["budget"] * 0.5, lines["budget"] * 0.3
    spend = lines["budget"].to_numpy() * rng.uniform(0.7, 1.25, 40) * rng.lognormal(0, 0.15, (2000, 40))
    print(f"\nmoves between 40 budget lines over 2,000 draws\n{'':<44}{'s':>8}{'CPU s':>8}{'overrun after':>16}")
    for goal in ("overrun", "chance", "value"):
        found, seconds, cpu = timed(lambda goal=goal: reallocate(lines, spend, goal=goal, reserve=50_000.0))
        after = found.projects["expected_overrun_after"].sum()
        row(f"{goal}", seconds, cpu, after, np.nan, "2 s", seconds <= 2)


if __name__ == "__main__":
    main()
