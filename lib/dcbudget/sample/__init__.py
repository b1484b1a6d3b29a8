"""A generated data centre: eighteen months of bills, jobs, fleet, budgets, prices, training runs and requests.

Everything follows from a seed: the same seed writes the same bytes. No real account, host, person or job is in it; the
shapes of its distributions come from published traces, named where they are used. One file is not generated but
recorded: a log of `dcbudget measure`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bill import make_bill
from .catalog import PROJECTS, events_in
from .focus import ORGANISATION, PROVIDER, write_charges
from .jobs import draw_demand, monthly_gpu_hours, schedule
from .plan import budget, project_costs, write_plan
from .runs import make_runs, recorded_runs, write_recorded, write_runs
from .sacct import write_jobs
from .serving import make_requests, write_requests
from .truth import planted, totals, write_truth
from .window import Window

__all__ = ["Summary", "write_sample"]

FAMILIES = ("billing", "fleet", "jobs", "rules", "budget", "prices", "runs", "serving")
RESTATED = "2026-03"


@dataclass(frozen=True)
class Summary:
    """What was written: the folder, and the rows of each file (job files count jobs, not their steps)."""

    folder: Path
    rows: dict[str, int]

    @property
    def files(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        total = sum(self.rows.values())
        return f"{self.files} generated files with {total:,} rows in {self.folder}"


def write_sample(out: Path, seed: int = 7, months: int = 18, jobs: int = 200_000) -> Summary:
    """Write the generated sample.

    Parameters
    ----------
    out : Path
        Folder to write to; the sample's own subfolders in it are replaced.
    seed : int
        Seed of every random draw.
    months : int
        Calendar months, 1 to 18, of which the last is 2026-06.
    jobs : int
        About how many jobs to write. Fewer jobs ask for fewer GPU-hours, though less than in proportion.

    Returns
    -------
    Summary
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, found {jobs}")
    out, window = Path(out), Window.ending(months)
    for family in FAMILIES:
        shutil.rmtree(out / family, ignore_errors=True)
    (out / "billing").mkdir(parents=True)
    streams = ("jobs", "text", "bill", "plan", "runs", "serving")
    draws = {name: np.random.default_rng([seed, i]) for i, name in enumerate(streams)}

    log = schedule(draws["jobs"], draw_demand(draws["jobs"], window, jobs), window)
    counts = np.bincount(window.month_of(log["submit"].to_numpy()), minlength=months)
    paths = write_jobs(draws["text"], out / "jobs", log, window)
    rows = {f"jobs/{path.name}": count for path, count in zip(paths, counts.tolist(), strict=True)}

    charges, restated, lines = make_bill(draws["bill"], log, window)
    parts = {name: charges[charges["month"] == m] for m, name in enumerate(window.months)}
    if restated is not None:
        parts[f"{RESTATED}_restated"] = restated
    for name, part in parts.items():
        path = out / "billing" / f"focus_{name}.csv"
        rows[f"billing/{path.name}"] = write_charges(path, part, lines, name[:7])

    hours = monthly_gpu_hours(log, window)
    plan = budget(draws["plan"], project_costs(charges, lines, hours, window, planned=True), window)
    rows |= write_plan(out, plan, window)
    runs = make_runs(draws["runs"], log, window)
    rows |= write_runs(out / "runs", runs, window) | write_recorded(out / "runs")
    requests = make_requests(draws["serving"], window)
    rows |= write_requests(out / "serving", requests, window)

    costs = project_costs(charges, lines, hours, window, planned=False)
    events = planted(window, lines, charges, costs=costs, budget=plan, log=log, runs=runs, restated=restated)
    counted = totals(window, charges, restated, log, plan, runs, recorded_runs(), requests)
    write_truth(out / "truth.json", seed, events, counted)
    (out / "README.txt").write_text(readme(window, seed), encoding="utf-8")
    rows |= {"truth.json": 1, "README.txt": 1}
    return Summary(out, rows)


def readme(window: Window, seed: int) -> str:
    """Return the text that says what the folder holds."""
    listed = "\n".join(
        f"- {event.start} to {event.end} (end excluded), {event.kind}: {event.about}"
        for event in sorted(events_in(window).values(), key=lambda e: (e.start, e.key))
    )
    quiet = "\n2025-09 is a quiet month with none of these." if "2025-09" in window.months else ""
    return f"""GENERATED DATA
Everything in this folder but runs/measured_strategies.csv is generated (seed {seed}). No account, host, person,
job or price in it is real; the shapes of the distributions follow published traces of GPU clusters and public
price lists.

{ORGANISATION} runs a hall of GPU servers and rents GPUs from {PROVIDER}, an invented provider.
Months: {window.months[0]} to {window.months[-1]}. Currency: USD. Times: UTC.
Projects: {", ".join(PROJECTS)}.

Files
- billing/focus_YYYY-MM.csv    the cloud bill, FOCUS 1.2, one file a month, one row a resource and day;
                               a file ending in _restated replaces its month. Unit prices are the list
                               prices of prices.csv; the contract takes 5 % off all but spot and reserved.
- fleet/fleet.csv              owned hardware, one row a batch of like units; prices and power are per unit
- fleet/tariffs.csv            prices of power by hour of the day, weekday or weekend, each from a date on
- fleet/power_readings.csv     energy of one of the batches, off its meter, by month
- jobs/sacct_YYYY-MM.txt.gz    sacct --parsable2 by month of submission; a job that started has a second row,
                               its batch step. Jobs that still ran when the last month closed have no end.
- fleet/downtime.csv           spans in which owned GPUs could not run jobs
- rules/projects.csv           the project or cluster of a charge, a job or an asset; the first match wins
- budget/budget_YYYY.csv       approved budgets by month, project and category; 2026 runs to December
- prices/prices.csv            list prices, each from the date on which it took effect
- runs/runs_YYYY-MM.csv        training-run logs, one row a run, step and metric; job_id is a job of the log
- runs/measured_strategies.csv a real measurement, not generated: what `dcbudget measure --seeds 5` logged on a
                               CPU machine of two cores, one row an epoch
- serving/requests_YYYY-MM.csv.gz  requests to the model that one project serves, of the last three months
- truth.json                   the planted events and the totals that a loader must find

How a project's cost is meant: its own charges, and of each shared pool (owned GPUs by model, the rented
cluster by model) the pool's cost times the project's share of the pool's capacity in GPU-hours. The rest of
a pool, and commitments that nobody used, are idle capacity. Charges with neither a project nor a cluster are
unallocated.

Planted events
{listed or "- none in these months"}{quiet}
"""
