"""MLflow: its tracking database (SQLite), and the `metrics/<name>` and `meta.yaml` files of an `mlruns` folder.

The database's tables are those of MLflow's SQLAlchemy store
(https://github.com/mlflow/mlflow/blob/master/mlflow/store/tracking/dbmodels/models.py), the files those of its file
store (https://github.com/mlflow/mlflow/blob/master/mlflow/store/tracking/file_store.py): one line
`timestamp_ms value step` a value. Runs that were deleted in MLflow did run and are read. A run's job, host and the
like are taken from its tags and parameters.
"""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.metrics import CALLED
from dcbudget.ingest.plan import BadRecord, Options, Plan, Reader, Records
from dcbudget.ingest.run_logs import OF_RUN, Run, metric_names, run_plan, utc_of_ms
from dcbudget.ingest.source import Source

MAGIC = b"SQLite format 3\x00"
# The store keeps infinities as the largest double.
LARGEST = 1.7976931348623157e308
LINE = re.compile(r"(\d{10,14}) (\S+)(?: (-?\d+))?(?: .*)?")
# What `meta.yaml` calls a status (mlflow.entities.RunStatus).
STATUS = {"1": "running", "2": "scheduled", "3": "finished", "4": "failed", "5": "killed"}
# Told by a tag or parameter, as those of a wide log, with or without a namespace before it.
TOLD = {field: CALLED[field] for field in ("cluster", "job_id", "project", "model", "host", "gpus")}


def detect_database(source: Source) -> bool:
    return source.kind == "binary" and source.first_bytes.startswith(MAGIC) and _is_mlflow(source)


def plan_database(source: Source, options: Options) -> Plan:
    return run_plan("mlflow", convert_database, options)


def convert_database(source: Source) -> Records:
    """Each value of each run, and its start and end as `elapsed_seconds`; the line is the row's number."""
    number = 0
    try:
        with _database(source) as con:
            about = _tags_and_parameters(con)
            columns = "run_uuid, status, start_time, end_time from runs order by run_uuid"
            for run_id, status, start, end in con.execute(f"select {columns}").fetchall():
                run = _run(run_id, about.get(run_id, {}))
                run.status = status
                for fields in _span(run, start, end):
                    number += 1
                    yield number, fields
                names = con.execute("select distinct key from metrics where run_uuid = ?", [run_id]).fetchall()
                ours = metric_names([name for (name,) in names])
                values = con.execute(
                    "select key, value, timestamp, step, is_nan from metrics where run_uuid = ?"
                    " order by key, timestamp, step", [run_id]
                )  # fmt: skip
                for key, value, timestamp, step, is_nan in values:
                    number += 1
                    try:
                        time = None if timestamp is None else utc_of_ms(timestamp)
                    except (ValueError, OverflowError, OSError):
                        yield BadRecord(number, f"no time in milliseconds: {timestamp}", f"{run_id} {key} {value}")
                        continue
                    yield number, run.record(ours[key], "nan" if is_nan else _infinite(value), step, time)
    except (sqlite3.Error, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableFile(f"{source.path.name}: damaged MLflow database ({error})") from None


def detect_metric(source: Source) -> bool:
    lines = [line for line in source.head_lines[:20] if line] if source.kind == "text" else []
    whole = lines[:-1] if len(lines) > 1 else lines
    told = sum(1 for line in whole if LINE.fullmatch(line))  # a damaged line takes no neighbour with it
    return _place(source.path) is not None and told >= max(len(whole) / 2, 1)


def plan_metric(source: Source, options: Options) -> Plan:
    return run_plan("mlruns metric", convert_metric, options)


def convert_metric(source: Source) -> Records:
    """Each line of a metric's file."""
    place = _place(source.path)
    if place is None:
        raise UnreadableFile(f"{source.path.name}: no metric of an mlruns folder, it lies in no folder `metrics`")
    folder, name = place
    run, ours = Run(folder.name), metric_names([name])[name]
    with source.open_bytes() as stream:
        for line, text in enumerate(stream.read().decode("utf-8", errors="replace").splitlines(), 1):
            found = LINE.fullmatch(text)
            if found:
                time = utc_of_ms(int(found[1]) * (1000 if len(found[1]) == 10 else 1))
                yield line, run.record(ours, found[2], found[3], time)
            elif text:
                yield BadRecord(line, "no `timestamp value step`", text)


def detect_run(source: Source) -> bool:
    return source.kind == "text" and {"artifact_uri", "run_id", "start_time", "status"} <= _yaml(source.head).keys()


def plan_run(source: Source, options: Options) -> Plan:
    return run_plan("mlruns run", convert_run, options)


def convert_run(source: Source) -> Records:
    """A run's start and end as `elapsed_seconds`, with its status and what its tags tell."""
    meta = _yaml(source.head)
    about = {}
    for kind in ("params", "tags"):
        folder = source.path.parent / kind
        about |= {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8", errors="replace").strip()
                 for file in sorted(folder.rglob("*")) if file.is_file()}  # fmt: skip
    run = _run(meta["run_id"], about)
    run.status = STATUS.get(meta["status"], meta["status"])
    told = [meta.get(name, "") for name in ("start_time", "end_time")]
    try:
        records = list(_span(run, *(int(text) if text.isdigit() else None for text in told)))
    except (ValueError, OverflowError, OSError):
        yield BadRecord(1, "a start or end that is no time in milliseconds", " ".join(told))
        return
    yield from enumerate(records, 1)


def _run(run_id: str, told: dict[str, str]) -> Run:
    """A run with what its tags and parameters tell, whatever their case and namespace."""
    lower = {re.split(r"[./]", name.lower())[-1]: value for name, value in told.items()}
    fields = {field: next((lower[name] for name in names if lower.get(name)), None) for field, names in TOLD.items()}
    if fields["gpus"] and not re.fullmatch(r"\d+(\.\d+)?", fields["gpus"]):
        fields["gpus"] = None
    return Run(run_id, **{name: fields.get(name) for name in OF_RUN[1:]})


def _span(run: Run, start: int | None, end: int | None) -> Iterator[list[str | None]]:
    if start:
        yield run.record("elapsed_seconds", 0, None, utc_of_ms(start))
    if start and end:
        yield run.record("elapsed_seconds", (end - start) / 1000, None, utc_of_ms(end))


def _tags_and_parameters(con: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Run -> its parameters, and its tags over them."""
    about: dict[str, dict[str, str]] = {}
    for table in ("params", "tags"):
        for run_id, key, value in con.execute(f"select run_uuid, key, value from {table} order by key").fetchall():
            about.setdefault(run_id, {})[key] = value
    return about


def _infinite(value: float) -> float:
    return value if abs(value) < LARGEST else value * 10


def _is_mlflow(source: Source) -> bool:
    try:
        with _database(source) as con:
            tables = {name for (name,) in con.execute("select name from sqlite_master where type = 'table'")}
    except (sqlite3.Error, ValueError):  # of a damaged file even the message may be no text
        return False
    return {"experiments", "runs", "metrics", "tags", "params"} <= tables


@contextmanager
def _database(source: Source) -> Iterator[sqlite3.Connection]:
    """A SQLite file, opened for reading only; a compressed one is unpacked beside."""
    with TemporaryDirectory(prefix="dcbudget-") as folder:
        path = source.path.resolve()
        if source.compression != "none":
            path = Path(folder) / "mlflow.db"
            with source.open_bytes() as stream, path.open("wb") as out:
                shutil.copyfileobj(stream, out)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as con:
            con.text_factory = lambda data: data.decode("utf-8", errors="replace")
            yield con


def _place(path: Path) -> tuple[Path, str] | None:
    """The run's folder and the metric's name, of `<run>/metrics/<name>`; a name may hold slashes."""
    for folder in path.resolve().parents:
        if folder.name == "metrics":
            return folder.parent, path.resolve().relative_to(folder).as_posix()
    return None


def _yaml(text: str) -> dict[str, str]:
    """The plain `key: value` lines of a YAML file."""
    found = re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", text, re.M)
    return {key: value.strip("'\"") for key, value in found}


READERS = (
    Reader("mlflow", "run_metrics", "MLflow tracking database (SQLite)", detect_database, plan_database),
    Reader("mlruns_metric", "run_metrics", "MLflow mlruns folder: metrics/<name>", detect_metric, plan_metric),
    Reader("mlruns_run", "run_metrics", "MLflow mlruns folder: a run's meta.yaml", detect_run, plan_run),
)
