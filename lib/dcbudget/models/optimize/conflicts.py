"""Which demands of a case cannot be met together, in words."""

from dataclasses import replace

import numpy as np

from dcbudget.errors import ConflictingDemands
from dcbudget.models.optimize.inputs import Case
from dcbudget.models.optimize.programme import solve

# What of a minimum service may be missing for reasons of rounding, as a share.
TOLERANCE = 1e-7
# A dual below this is none.
NO_DUAL = 1e-9


def check_feasible(case: Case) -> None:
    """An error that names an irreducible set of demands where a case has no plan.

    All that is free to run can stay away, so that only minimum services conflict with limits, and a linear programme
    tells. The duals of its elastic form, which serves as much as it can, prove what cannot be and name who takes part
    in that; a deletion filter then takes out one demand after the other and leaves it out where the rest still
    conflicts. No demand that remains can be spared: without any one of them the others can be met.

    Source: Chinneck and Dravnieks 1991, "Locating minimal infeasible constraint sets in linear programs", ORSA Journal
    on Computing 3.

    Raises
    ------
    ConflictingDemands : there is no plan.
    """
    if any(budget.amount < -TOLERANCE for budget in case.budgets.itertuples()):
        low = case.budgets["amount"].idxmin()
        raise ConflictingDemands([f"{_budget(case, low)} after the fixed money that it pays, and it is below that"])
    best = solve(case, elastic=True, tight=False)
    if not _short(case, best):
        return
    every = _demands(case)
    taking = [demand for demand in every if _takes_part(case, demand, best.duals)]
    kept = taking if _conflict(case, taking) else every
    for demand in list(kept):
        fewer = [other for other in kept if other != demand]
        if _conflict(case, fewer):
            kept = fewer
    raise ConflictingDemands(_words(case, kept))


def _short(case: Case, best) -> bool:
    return bool((best.served < case.minimum - TOLERANCE).any())


def _demands(case: Case) -> list[tuple]:
    """Every minimum service and every limit, by what it is and its place."""
    must = np.flatnonzero(case.minimum > 0)
    cells = np.isin(case.cell_workload, must)
    used = sorted(set(zip(case.cell_kind[cells], case.cell_month[cells], strict=True)))
    held = [row.Index for row in case.reserved.itertuples() if (row.kind, row.month) in used]
    return [
        *(("reserved", row) for row in held),
        *(("power", t) for t in np.flatnonzero(np.isfinite(case.power_kw))),
        *(("budget", row) for row in range(len(case.budgets))),
        *(("most_gpus", w) for w in must if np.isfinite(case.most_gpus[w])),
        *(("capacity", k, t) for k, t in used),
        *(("workload", w) for w in must),
    ]  # fmt: skip


def _takes_part(case: Case, demand: tuple, duals: dict) -> bool:
    """Whether the elastic form's duals make use of a demand."""

    def dual(about: tuple) -> float:
        return abs(duals.get(about, 0.0))

    what, *place = demand
    if what == "workload":
        return dual(("work", place[0], 0)) > NO_DUAL
    if what == "most_gpus":
        return any(dual((what, place[0], t)) > NO_DUAL for t in range(len(case.months)))
    if what == "reserved":
        row = case.reserved.loc[place[0]]
        k, t = int(row["kind"]), int(row["month"])
        return dual(("capacity", k, t)) > dual((what, place[0], k * len(case.months) + t)) + NO_DUAL
    return dual((what, *place, *[0] * (2 - len(place)))) > NO_DUAL


def _conflict(case: Case, demands: list[tuple]) -> bool:
    """Whether these demands, and no others, cannot be met together."""

    def places(what: str) -> list:
        return [place[0] for one, *place in demands if one == what]

    must = np.isin(np.arange(len(case.need)), places("workload"))
    gpu_hours, power = np.full(case.gpu_hours.shape, np.inf), np.full(len(case.months), np.inf)
    for place in (tuple(place) for what, *place in demands if what == "capacity"):
        gpu_hours[place] = case.gpu_hours[place]
    power[places("power")] = case.power_kw[places("power")]
    most = np.where(np.isin(np.arange(len(case.need)), places("most_gpus")), case.most_gpus, np.inf)
    fewer = replace(
        case.only(must), gpu_hours=gpu_hours, power_kw=power, most_gpus=most,
        budgets=case.budgets.loc[places("budget")], reserved=case.reserved.loc[places("reserved")],
    )  # fmt: skip
    return _short(fewer, solve(fewer, elastic=True, tight=False))


def _budget(case: Case, row: int) -> str:
    budget = case.budgets.loc[row]
    who = case.projects[int(budget["project"])] if budget["project"] >= 0 else "all projects"
    months = f"{case.months[int(budget['first'])]:%Y-%m} to {case.months[int(budget['last'])]:%Y-%m}"
    return f"the budget of {who} from {months} has {budget['amount']:,.2f} for use"


def _words(case: Case, demands: list[tuple]) -> list[str]:
    """Demands as sentences, the months of a limit together."""
    found: dict[tuple, list] = {}
    for what, *place in sorted(demands, key=lambda demand: (demand[0] != "workload", demand)):
        of = {"capacity": place[:1], "power": []}.get(what, place)
        if what == "reserved":
            row = case.reserved.loc[place[0]]
            of = [int(row["project"]), int(row["kind"]), float(row["share"])]
        found.setdefault((what, *of), []).append(place)
    return [_sentence(case, what, of, places) for (what, *of), places in found.items()]


def _sentence(case: Case, what: str, of: list, places: list) -> str:
    def on(months) -> str:
        return "in " + ", ".join(f"{case.months[int(t)]:%Y-%m}" for t in months)

    if what == "workload":
        w = of[0]
        months = f"{case.months[case.first[w]]:%Y-%m} to {case.months[case.last[w]]:%Y-%m}"
        nowhere = "" if (case.cell_workload == w).any() else ", and nothing that it can run on is there"
        return f"{case.workloads[w]} needs {case.need[w] * case.minimum[w]:,.0f} GPU-hours from {months}{nowhere}"
    if what == "capacity":
        hours = sum(case.gpu_hours[k, t] for k, t in places)
        return f"{case.kinds[of[0]]} has {hours:,.0f} GPU-hours {on(t for _, t in places)}"
    if what == "power":
        caps = ", ".join(f"{cap:,.1f}" for cap in dict.fromkeys(case.power_kw[t] for (t,) in places))
        return f"power is capped at {caps} kW {on(t for (t,) in places)}"
    if what == "reserved":
        project, kind, part = of
        months = on(case.reserved.loc[row, "month"] for (row,) in places)
        return f"{100 * part:g} % of {case.kinds[kind]} is reserved for {case.projects[project]} {months}"
    if what == "budget":
        return _budget(case, of[0])
    return f"{case.workloads[of[0]]} runs on at most {case.most_gpus[of[0]]:g} GPUs at once"
