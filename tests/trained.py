"""A small database of training runs whose numbers can be worked out by hand, beside the two clusters of `tiny`.

East costs 10 an hour. `big` trains on 4 GPUs: its first attempt fails after 4.5 h at step 400, the second goes on from
step 300 and completes; `wild` diverges; `old` ran in April; `undated` tells no time and no job.
"""

from pathlib import Path

from dcbudget.ingest.load import load
from tiny import BUDGET, CHARGES, JOBS, charge, job, make, write

DAY = "2026-05-20T"
TRAINED = [
    job(11, "a-x", "east", "h100", 4, f"{DAY}00:00:00", f"{DAY}00:00:00", f"{DAY}04:30:00", state="NODE_FAIL", used=90),
    job(12, "a-x", "east", "h100", 4, f"{DAY}04:30:00", f"{DAY}05:00:00", f"{DAY}08:30:00", used=90),
    job(13, "b-x", "east", "h100", 2, f"{DAY}00:00:00", f"{DAY}10:00:00", f"{DAY}15:00:00"),
    job(14, "b-x", "east", "h100", 1, "2026-04-20T00:00:00", "2026-04-20T01:00:00", "2026-04-20T03:00:00"),
]  # fmt: skip
APRIL = charge(
    "east in April", "500", gpus=("H100", 1, 50), tags='{"cluster":"east"}', start="2026-04-01", end="2026-05-01"
)


def logged(run, job_id, project, hours, steps, day=DAY, **metrics):
    """One row a value: metric=values."""
    return [{"run_id": run, "job_id": job_id, "cluster": "east", "project": project, "model": "lm", "step": step,
             "time": f"{day}{hour:02}:00:00Z", "metric": metric, "value": value}
            for metric, values in metrics.items()
            for hour, step, value in zip(hours, steps, values, strict=True)]  # fmt: skip


LOGS = [
    *logged("big-1", "11", "alpha", [1, 2, 3, 4], [100, 200, 300, 400], loss=[4.0, 3.0, 2.0, 1.5], mfu=[0.4] * 4,
            tokens_per_second=[1000.0] * 4),
    *logged("big-2", "12", "alpha", [6, 7, 8], [400, 500, 600], loss=[1.6, 1.2, 1.0], mfu=[0.4] * 3,
            tokens_per_second=[1000.0] * 3, accuracy=[0.5, 0.7, 0.8], f1=[0.4, 0.5, 0.6]),
    *logged("wild", "13", "beta", [11, 12, 13, 14, 15], [1, 2, 3, 4, 5], loss=[2.0, 1.0, 9.0, 90.0, 900.0]),
    *logged("old", "14", "beta", [1, 2, 3], [1, 2, 3], day="2026-04-20T", loss=[3.0, 2.0, 1.0], mfu=[0.2] * 3),
    {"run_id": "undated", "step": 1, "metric": "loss", "value": 1.0},
    {"run_id": "undated", "step": 2, "metric": "loss", "value": 0.5},
]  # fmt: skip


def make_trained(folder: Path, plan=BUDGET) -> Path:
    """The two clusters with these runs."""
    db = make(folder, charges=[*CHARGES, APRIL], jobs=[*JOBS, *TRAINED], plan=plan)
    (found,) = load([write(folder / "runs.csv", LOGS)], db)
    assert found.status == "loaded" and not found.rows_rejected
    return db
