"""What the readers of training-run logs share: the fields of a record, one name for one metric, and a run's name."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dcbudget.ingest.native import choose
from dcbudget.ingest.plan import Column, Options, Plan, Records, ref
from dcbudget.ingest.source import NULL_WORDS, Source

# Of a run: what stands on every record of it.
OF_RUN = ("run_id", "cluster", "job_id", "project", "model", "host", "gpus", "status")
FIELDS = (*OF_RUN, "step", "time", "metric", "value")
# NaN is a value here.
NULLS = tuple(word for word in NULL_WORDS if word.lower() != "nan")

# Ours for what several tools call otherwise; rates are a second's, step_time is in seconds.
SAME_METRIC = {
    "loss": ("train_loss", "train/loss", "training_loss", "training/loss", "loss/train"),
    "accuracy": ("acc", "eval_accuracy", "eval/accuracy"),
    "f1": ("f1_score", "eval_f1", "eval/f1"),
    "learning_rate": ("lr", "lrate", "learning-rate", "train/learning_rate", "train/lr"),
    "tokens_per_second": ("tokens_per_sec", "tokens/sec", "tokens/s", "tok/s", "train/tokens_per_second"),
    "samples_per_second": ("samples_per_sec", "samples/sec", "samples/s", "throughput/samples_per_sec"),
    "step_time": ("step_time_seconds", "step_time_s", "train_step_time", "seconds_per_step", "step_seconds",
                  "iter_time", "iteration-time", "iteration_time", "batch_time", "time_metrics/end_to_end(s)"),
    "mfu": ("train/mfu", "mfu(%)"),
    "grad_norm": ("gradient_norm", "train/grad_norm"),
}  # fmt: skip
_OURS = {name: ours for ours, names in SAME_METRIC.items() for name in names}
# Of a run's end, as the tools name it, in the words that jobs have.
STATUS = {
    "COMPLETED": ("success", "finished", "completed", "complete", "done"),
    "FAILED": ("failed", "failure", "aborted", "crashed", "error"),
    "CANCELLED": ("killed", "cancelled", "canceled"),
    "TIMEOUT": ("timeout",),
    "RUNNING": ("running",),
    "PENDING": ("scheduled", "pending", "queued"),
}
# A name that every run's file or folder has.
COMMON = re.compile(
    r"events\.out\.tfevents\..*|(trainer_state|metrics|log|logs|train|training|history|results?|output)(\.\w+)*"
    r"|checkpoint-\d+|version_\d+|val|validation|eval|test", re.I
)  # fmt: skip
# A checkpoint belongs to the run that its folder is of.
INSIDE_A_RUN = re.compile(r"checkpoint-\d+")


@dataclass
class Run:
    """What a log tells of the run that it is of."""

    run_id: str
    cluster: str | None = None
    job_id: str | None = None
    project: str | None = None
    model: str | None = None
    host: str | None = None
    gpus: str | None = None
    status: str | None = None

    def record(self, metric: str, value, step=None, time: str | None = None) -> list[str | None]:
        """The fields of one value; a `value` of None makes it no record, but one that is counted as skipped."""
        about = [getattr(self, name) for name in OF_RUN]
        return [*about, None if step is None else str(step), time, metric, None if value is None else str(value)]


def run_plan(format_name: str, convert: Callable[[Source], Records], options: Options) -> Plan:
    """The plan of a reader whose `convert` gives records with FIELDS."""
    return Plan(
        format=format_name,
        dataset="run_metrics",
        fields=list(FIELDS),
        columns=run_columns({name: ref(name) for name in FIELDS}),
        records=f"{ref('value')} is not null",
        timezone=options.timezone,
        nulls=NULLS,
        convert=convert,
    )


def run_columns(field: dict[str, str]) -> dict[str, Column]:
    """The columns of `run_metrics` from SQL for those of its fields that there are."""
    kinds = {"gpus": "number", "step": "integer", "time": "time", "value": "measure"}
    required = ("run_id", "metric", "value")
    columns = {name: Column(sql, kinds.get(name, "text"), name in required) for name, sql in field.items()}
    if "host" in columns:  # as Slurm names it, without its domain
        name = field["host"]
        short = f"case when regexp_full_match({name}, '[\\d.:]+') then {name} else split_part({name}, '.', 1) end"
        columns["host"] = Column(short)
    if "status" in columns:
        columns["status"] = Column(choose(field["status"], {ours: (ours, *words) for ours, words in STATUS.items()}))
    return columns


def metric_names(names: Collection[str]) -> dict[str, str]:
    """The workbook's names for the metrics of one record or file; where two would be one, they keep their own."""
    ours = {name: _OURS.get(name.lower(), name) for name in names}
    taken = list(ours.values())
    return {name: new if taken.count(new) == 1 else name for name, new in ours.items()}


def name_of_run(path: Path) -> str:
    """The last resort for a log that does not name its run: the file's name, or its folder's where all are alike."""
    path = path.resolve()
    stem = re.sub(r"\.(gz|zst)$", "", path.name)
    if not COMMON.fullmatch(stem):
        return re.sub(r"(?<=.)\.\w+$", "", stem)
    parts: list[str] = []
    for folder in path.parents:
        if INSIDE_A_RUN.fullmatch(folder.name):
            continue
        parts.insert(0, folder.name)
        if not COMMON.fullmatch(folder.name):
            break
    return "/".join(part for part in parts if part)


def utc(seconds: float) -> str:
    """A time from seconds since 1970, to the microsecond."""
    return f"{datetime(1970, 1, 1) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


def utc_of_ms(milliseconds: int) -> str:
    """A time from milliseconds since 1970."""
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"
