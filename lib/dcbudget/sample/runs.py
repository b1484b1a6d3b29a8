"""Training-run logs in long form: what the trainers printed while their jobs ran.

Throughput follows from model size and MFU by the 6 N rule (training costs about 6 floating-point operations
a parameter a token: Kaplan et al. 2020), so that a reader who computes MFU from tokens a second finds the
one that is logged. Loss falls as a power of the step.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from .catalog import EVENTS, GPU_PEAK_FLOPS, INFERENCE, PARTITIONS, PROJECTS, events_in
from .jobs import STATES
from .plan import write_rows
from .window import DAY, HOUR, Window, epoch, iso

HEADER = ("run_id", "job_id", "project", "model", "step", "time", "metric", "value")
RUNS_A_MONTH = 8
# project: model name, parameters in 1e9, loss at the start and its floor
MODELS = {
    "search": ("ranker-1.3b", 1.3, 3.2, 0.42),
    "recommendation": ("recommender-3b", 3.0, 2.6, 0.55),
    "vision": ("encoder-2b", 2.0, 6.9, 1.10),
    "language": ("lm-7b", 7.0, 10.8, 1.75),
    "research": ("prototype-1b", 1.0, 8.0, 1.60),
    "platform": ("assistant-3b", 3.0, 9.5, 1.90),
}
FOUNDATION = ("recommender-foundation-13b", 13.0, 9.0, 1.2)
SCORED = ("search", "recommendation", "vision")  # classifiers, which also log F1
BATCH_TOKENS = 2_097_152
# What `dcbudget measure --seeds 5` logged on a CPU machine of two cores, and its columns that hold no metric.
RECORDED = files(__package__).joinpath("measured_strategies.csv")
ABOUT_RUN = {"run_id", "model", "gpus", "status", "step", "time"}


def _logged(
    rng: np.random.Generator,
    job: pd.Series,
    run_id: str,
    model: tuple[str, float, float, float],
    first_step: int = 0,
    diverges: bool = False,
) -> tuple[list[tuple], int]:
    """Return the rows of one run, and the last step that it reached."""
    name, billions, loss_start, floor = model
    project, gpu = PROJECTS[job["project"]], PARTITIONS[job["partition"]].gpu_model
    points = int(rng.integers(20, 61))
    elapsed = np.linspace(0.02, 0.985, points) * job["elapsed"]
    base = rng.normal(0.43 if gpu == "A100" else 0.40, 0.035) * (1 - 0.015 * np.log2(max(1, job["gpus"])))
    mfu = np.clip(base * rng.normal(1, 0.02, points), 0.08, 0.62)
    tokens = mfu * job["gpus"] * GPU_PEAK_FLOPS[gpu] / (6 * billions * 1e9)
    trained = np.cumsum(tokens * np.diff(elapsed, prepend=0)) // BATCH_TOKENS
    step = first_step + np.maximum(trained.astype(int), np.arange(1, points + 1))
    progress = step / (step[-1] * rng.uniform(0.9, 1.3))
    loss = (floor + (loss_start - floor) * (1 + 60 * progress) ** -0.55) * rng.normal(1, 0.012, points)
    score = np.clip(0.93 - 0.55 * (1 + 25 * progress) ** -0.6 + rng.normal(0, 0.006, points), 0, 1)
    if diverges:
        turn = int(0.6 * points)
        growth = np.arange(points - turn)
        loss[turn:] = loss[turn] * np.exp(0.28 * growth)
        score[turn:] = np.clip(score[turn] - 0.03 * growth, 0.01, 1)
    cosine = 0.1 + 0.45 * (1 + np.cos(np.pi * np.clip(progress, 0, 1)))
    metrics = {
        "loss": loss,
        "learning_rate": 3e-4 * np.minimum(1, progress / 0.03) * cosine,
        "tokens_per_second": tokens,
        "mfu": mfu,
        "accuracy": score,
    }
    if project in SCORED:
        metrics["f1"] = np.clip(score - 0.02 + rng.normal(0, 0.004, points), 0, 1)
    rows = []
    for i in range(points):
        moment = iso(job["start"] + int(elapsed[i]))
        for metric, values in metrics.items():
            if metric in ("accuracy", "f1") and i % 3:
                continue  # evaluated at every third logging step only
            value = f"{values[i]:.6g}"
            rows.append((run_id, job["job_id"], project, name, int(step[i]), moment, metric, value))
    return rows, int(step[-1])


def pick_jobs(rng: np.random.Generator, log: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Return the jobs whose trainers kept a log: at least an hour on at least four training GPUs."""
    ended = log["state"] < STATES.index("RUNNING")
    fit = log[
        (log["gpus"] >= 4)
        & (log["elapsed"] >= HOUR)
        & (log["start"] >= 0)
        & ended
        & (log["partition"] != INFERENCE)
        & (log["retry"] < 0)
    ]
    months = window.month_of(fit["start"].to_numpy())
    chosen = []
    for m in range(len(window.months)):
        here = fit.index[months == m].to_numpy()
        chosen += sorted(rng.choice(here, min(RUNS_A_MONTH, len(here)), replace=False))
    return log.loc[chosen]


def diverging_job(log: pd.DataFrame) -> pd.Series | None:
    """Return the job of the planted diverging run: the longest fitting one of its project and month."""
    event = EVENTS["diverging-run"]
    fit = log[
        (log["project"] == PROJECTS.index(event.project))
        & (log["start"] >= epoch(event.start))
        & (log["end"] > 0)
        & (log["end"] < epoch(event.end))
        & (log["gpus"].isin([4, 8, 16, 32]))
        & (log["partition"] != INFERENCE)
        & (log["elapsed"] >= 2 * HOUR)
    ]
    if fit.empty:
        return None
    weight = (fit["elapsed"].clip(upper=DAY) * fit["gpus"]).to_numpy()
    return fit.iloc[int(weight.argmax())]


def make_runs(rng: np.random.Generator, log: pd.DataFrame, window: Window) -> dict[str, list[tuple]]:
    """Return the rows of each run by run id; the attempts of the failing run are runs of their own."""
    runs: dict[str, list[tuple]] = {}
    found = events_in(window)
    special = diverging_job(log) if "diverging-run" in found else None
    for number, (index, job) in enumerate(pick_jobs(rng, log, window).iterrows(), 1):
        if special is not None and index == special.name:
            continue
        name = f"run-{number:04d}"
        runs[name], _ = _logged(rng, job, name, MODELS[PROJECTS[job["project"]]])
    if special is not None:
        runs["run-diverging"], _ = _logged(rng, special, "run-diverging", MODELS["language"], diverges=True)
    if "failing-run" in found:
        step = 0
        for number, (_, job) in enumerate(log[log["retry"] >= 0].iterrows(), 1):
            name = f"run-foundation-{number:02d}"
            runs[name], reached = _logged(rng, job, name, FOUNDATION, first_step=step)
            step = reached - (reached - step) // 3  # the last checkpoint lies behind the failure
    return runs


def write_runs(folder: Path, runs: dict[str, list[tuple]], window: Window) -> dict[str, int]:
    """Write runs by the month in which they began; return the rows of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for month in window.months:
        rows = [row for entries in runs.values() if entries[0][5].startswith(month) for row in entries]
        if rows:
            counts[f"runs/runs_{month}.csv"] = write_rows(folder / f"runs_{month}.csv", HEADER, rows)
    return counts


def recorded_runs() -> list[dict]:
    """Return the epochs of the measured runs."""
    return list(csv.DictReader(RECORDED.read_text(encoding="utf-8").splitlines()))


def write_recorded(folder: Path) -> dict[str, int]:
    """Copy the log of the measured runs as it was recorded; return its rows."""
    (folder / RECORDED.name).write_bytes(RECORDED.read_bytes())
    return {f"runs/{RECORDED.name}": len(recorded_runs())}
