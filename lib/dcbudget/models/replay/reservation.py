"""Reservations: GPUs held for important projects, always or in a window; what that protects, and whom it delays."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import within
from dcbudget.models.replay.cluster import Cluster, Pool
from dcbudget.models.replay.log import read


@dataclass(frozen=True)
class Reservation:
    """GPUs that are held for some projects.

    Attributes
    ----------
    projects : whose jobs may use them.
    gpus : how many.
    windows : (begin, end) in seconds since the first submission, half-open, one after another; empty: always.
    """

    projects: tuple[str, ...]
    gpus: float
    windows: tuple[tuple[float, float], ...] = ()

    def __init__(self, projects: Collection[str], gpus: float, windows: Sequence[tuple[float, float]] = ()):
        object.__setattr__(self, "projects", tuple(sorted(projects)))
        object.__setattr__(self, "gpus", within("gpus of the reservation", gpus, 0))
        object.__setattr__(self, "windows", tuple((float(begin), float(end)) for begin, end in windows))
        last = 0.0
        for begin, end in self.windows:
            if not last <= begin < end:
                raise OutOfRange(
                    f"windows must begin at or after 0, end later, and not overlap, not {begin:g} to {end:g}"
                )
            last = end


def replay_reserved(
    jobs: pd.DataFrame, pool: Pool, reservation: Reservation | None, *, planned="elapsed_seconds", project="project"
) -> pd.DataFrame:
    """Replay a log, first come, first served, with GPUs held for the jobs of some projects.

    Others start where what is reserved and not used by those projects stays free; before a window only if by planned
    times its GPUs are free at its begin. The projects' jobs pass others within what is reserved; beyond it they wait
    their turn. Nobody is preempted.

    Parameters
    ----------
    jobs : as `replay` takes them, and `project`.
    pool : where all of them run; nodes are not told apart.
    reservation : None for none, which is first come, first served.
    planned : seconds that a job is planned for: a column, or values by job.
    project : a column, or values by job.

    Returns
    -------
    DataFrame with the log's index: `important` (may use what is reserved), `start_seconds`, `end_seconds` (since the
    first submission), `wait_seconds`, `jct_seconds`, `gpu_hours`.

    Raises
    ------
    OutOfRange : the log cannot be replayed, more is reserved than there is, an unknown project, or a job that fits in
        no window beside what is reserved for others.
    """
    log = read(jobs, Cluster(pool), pool=pool.name)
    total = float(pool.gpus)
    reserved = 0.0 if reservation is None else reservation.gpus
    if reserved > total:
        raise OutOfRange(f"gpus of the reservation must be at most the {total:g} of pool {pool.name}, not {reserved:g}")
    owners = jobs[project] if isinstance(project, str) else pd.Series(project)
    chosen = () if reservation is None else reservation.projects
    if unknown := [name for name in chosen if not (owners == name).any()]:
        raise OutOfRange(f"projects of the reservation must be those of jobs; no job is of {unknown[0]}")
    important = owners.isin(chosen).to_numpy()
    windows = np.array(reservation.windows if reservation else (), dtype=float).reshape(-1, 2)
    too_large = ~important & (log.gpus > total - reserved)
    if too_large.any() and not len(windows):
        at = np.flatnonzero(too_large)[0]
        raise OutOfRange(
            f"gpus of the reservation must leave room for every job of others; row {at + 1} needs {log.gpus[at]:g} of"
            f" {total:g}, {reserved:g} are reserved"
        )
    if not len(windows):
        windows = np.array([[0.0, np.inf]])
    plan = log.numbers("planned", planned, 0, 1e12)
    order = np.lexsort((np.arange(len(jobs)), log.submit))
    start = _reserved(log.submit, log.elapsed, plan, log.gpus, important, order, total, reserved, windows)
    return pd.DataFrame(
        {
            "important": important, "start_seconds": start, "end_seconds": start + log.elapsed,
            "wait_seconds": start - log.submit, "jct_seconds": start + log.elapsed - log.submit,
            "gpu_hours": log.gpus * log.elapsed / 3600,
        },
        index=jobs.index,
    )  # fmt: skip


def gained(before: pd.DataFrame, after: pd.DataFrame, by) -> pd.DataFrame:
    """Who waits less and who more, from one replay of a log to another.

    Parameters
    ----------
    before, after : `wait_seconds`, `gpu_hours` by job, with one index.
    by : values to group by, one a job, such as projects.

    Returns
    -------
    One row a value: `group`, `jobs`, `gpu_hours`, `mean_wait_seconds_before`, `mean_wait_seconds_after`,
    `change_seconds` (negative: waits less) and `waited_hours_change` (sum over its jobs), most gained first.
    """
    table = pd.DataFrame({
        "group": np.asarray(by), "gpu_hours": before["gpu_hours"].to_numpy(),
        "before": before["wait_seconds"].to_numpy(), "after": after["wait_seconds"].to_numpy(),
    })  # fmt: skip
    found = table.groupby("group", as_index=False, dropna=False).agg(
        jobs=("gpu_hours", "size"), gpu_hours=("gpu_hours", "sum"), mean_wait_seconds_before=("before", "mean"),
        mean_wait_seconds_after=("after", "mean"),
    )  # fmt: skip
    found["change_seconds"] = found["mean_wait_seconds_after"] - found["mean_wait_seconds_before"]
    found["waited_hours_change"] = found["change_seconds"] * found["jobs"] / 3600
    return found.sort_values("change_seconds", kind="stable", ignore_index=True)


@njit(cache=True)
def _reserved(submit, elapsed, plan, gpus, important, order, total, reserved, windows):
    """Starts of jobs."""
    n = len(submit)
    start = np.full(n, np.nan)
    ends, expected, who = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
    running, arrived, time, free, used = 0, 0, 0.0, total, 0.0
    waits = np.zeros((2, n), np.int64)
    size, first = np.zeros(2, np.int64), np.zeros(2, np.int64)
    window = 0
    # every pass takes an arrival, an end or a window's begin or end
    for _ in range(2 * n + 2 * len(windows) + 2):
        while window < len(windows) and windows[window, 1] <= time:
            window += 1
        within = window < len(windows) and windows[window, 0] <= time
        # what waits may start
        while True:
            held = max(reserved - used, 0.0) if within else 0.0
            moved = False
            mine, others = first[0] < size[0], first[1] < size[1]
            if mine:
                job = waits[0, first[0]]
                inside = within and used + gpus[job] <= reserved
                before = not others or _comes_first(submit, job, waits[1, first[1]])
                if gpus[job] <= free and (inside or before):
                    moved, kind = True, 0
            if not moved and others:
                job = waits[1, first[1]]
                # one of the projects' jobs that came first keeps its turn, but where it is only the reserved part
                turn = not mine or _comes_first(submit, job, waits[0, first[0]])
                if turn and gpus[job] <= free - held and _clears(
                    job, time, plan, gpus, important, expected, who, running, total, reserved, windows, window, within
                ):  # fmt: skip
                    moved, kind = True, 1
            if not moved:
                break
            first[kind] += 1
            start[job] = time
            ends[running], expected[running], who[running] = time + elapsed[job], time + plan[job], job
            running += 1
            free -= gpus[job]
            if kind == 0:
                used += gpus[job]
        after = np.inf
        if arrived < n:
            after = submit[order[arrived]]
        for k in range(running):
            after = min(after, ends[k])
        if window < len(windows) and (first[0] < size[0] or first[1] < size[1]):
            after = min(after, windows[window, 1] if within else windows[window, 0])
        if after == np.inf:
            break
        time = after
        kept = 0
        for k in range(running):
            if ends[k] <= time:
                free += gpus[who[k]]
                if important[who[k]]:
                    used -= gpus[who[k]]
            else:
                ends[kept], expected[kept], who[kept] = ends[k], expected[k], who[k]
                kept += 1
        running = kept
        while arrived < n and submit[order[arrived]] <= time:
            kind = 0 if important[order[arrived]] else 1
            waits[kind, size[kind]] = order[arrived]
            size[kind] += 1
            arrived += 1
    return start


@njit(cache=True)
def _comes_first(submit, job, other):
    return submit[job] < submit[other] or (submit[job] == submit[other] and job < other)


@njit(cache=True)
def _clears(job, time, plan, gpus, important, expected, who, running, total, reserved, windows, window, within):
    """Whether a job of others leaves the GPUs of the next window free at its begin, by planned times."""
    following = window + 1 if within else window
    if following >= len(windows) or time + plan[job] <= windows[following, 0]:
        return True
    beyond = gpus[job]
    for k in range(running):
        if not important[who[k]] and max(expected[k], time) > windows[following, 0]:
            beyond += gpus[who[k]]
    return beyond <= total - reserved
