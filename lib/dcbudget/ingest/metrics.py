"""Plain training-run logs: long CSV or Parquet, wide CSV or Parquet with a column a metric, and JSON lines.

The long form has the columns of `run_metrics`. In the wide form and in JSON lines the columns that name the run, its
job, step and time are known by the names that trainers give them; every other number is a metric. An empty field is
no value; NaN and Infinity are values: a loss that diverged says so. Two published tables, Zeus's training and power
summaries (https://github.com/ml-energy/zeus, trace/), are known by their headers: a run there is a combination of
settings.
"""

import io
import re
from collections.abc import Callable
from itertools import chain, islice

import duckdb

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import damage
from dcbudget.ingest.plan import BadRecord, Dialect, Options, Plan, Reader, Records, ref
from dcbudget.ingest.run_logs import NULLS, OF_RUN, Run, metric_names, name_of_run, run_columns, run_plan, utc
from dcbudget.ingest.source import Source, duckdb_path, flat_object

LONG_NEEDED = ("run_id", "metric", "value")
LONG = (*OF_RUN, "step", "time", "metric", "value")
# What a column or key of a wide log may be called, lower case; the first that is there counts.
CALLED = {
    "run_id": ("run_id", "run", "run_name", "run_uuid"),
    "cluster": ("cluster", "slurm_cluster_name"),
    "job_id": ("job_id", "slurm_job_id", "slurm_jobid"),
    "project": ("project", "project_name"),
    "model": ("model", "model_name"),
    "host": ("host", "hostname", "node"),
    "gpus": ("gpus", "num_gpus", "n_gpus", "gpu_count", "ngpus"),
    "status": ("status", "state"),
    "step": ("step", "global_step", "_step", "iteration", "iter"),
    "time": ("time", "timestamp", "_timestamp", "datetime", "date", "wall_time"),
}
STEPS = {*CALLED["step"], "epoch"}
NAMES = {name for names in CALLED.values() for name in names} | {"epoch"}
MEASURES = re.compile(
    r"(^|[_/ .-])(loss|acc|accuracy|f1|perplexity|ppl|mfu|lr|learning_rate|grad_norm|(tokens|samples)_per_sec(ond)?)"
    r"($|[_/ .-])", re.I
)  # fmt: skip
NOT_A_NUMBER = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
SAMPLE_ROWS = 1000
SECONDS, MILLISECONDS, MICROSECONDS = 1e8, 1e11, 1e14

# Zeus: header -> what names a run, and the metric of a row with its value's column.
ZEUS: dict[tuple[str, ...], Callable[[dict], tuple[str, dict[str, str]]]] = {
    ("dataset", "network", "batch_size", "optimizer", "learning_rate", "run", "target_metric", "target_epoch"):
        lambda row: ("/".join(row[name] or "" for name in list(row)[:6]),
                     {f"epochs_to_{row['target_metric']}": row["target_epoch"]}),
    ("dataset", "network", "batch_size", "optimizer", "power_limit", "time_per_epoch", "average_power"):
        lambda row: ("/".join(row[name] or "" for name in list(row)[:5]) + "W",
                     {"epoch_time": row["time_per_epoch"], "average_power_watts": row["average_power"]}),
}  # fmt: skip


def _detect_long(source: Source) -> bool:
    return {name.lower() for name in source.best_delimiter(set(LONG))[1]} >= set(LONG_NEEDED)


def _plan_long(source: Source, options: Options) -> Plan:
    delimiter, header = source.best_delimiter(set(LONG))
    by_name = {column.lower(): column for column in reversed(header)}
    if missing := [column for column in LONG_NEEDED if column not in by_name]:
        raise UnreadableFile(f"{source.path.name}: no run_metrics file, column {', '.join(missing)} is missing")
    columns = run_columns({name: ref(by_name[name]) for name in LONG if name in by_name})
    return Plan("run_metrics", "run_metrics", header, columns, Dialect(delimiter), timezone=options.timezone,
                nulls=NULLS)  # fmt: skip


def _wide_header(source: Source) -> tuple[str, list[str]]:
    zeus = next((set(names) for names in ZEUS if set(source.best_delimiter(set(names))[1]) == set(names)), set())
    return source.best_delimiter(zeus or NAMES)


def _detect_wide(source: Source) -> bool:
    """A step or a time beside a named run, or a step beside something that only training measures."""
    if source.kind == "binary":
        return False
    header = _wide_header(source)[1]
    if tuple(header) in ZEUS:
        return True
    names = [name.lower() for name in header]
    if not STEPS & set(names) and not (set(CALLED["run_id"]) & set(names) and set(CALLED["time"]) & set(names)):
        return False
    return any(MEASURES.search(name) for name in names if name not in NAMES)


def _plan_wide(source: Source, options: Options) -> Plan:
    delimiter, header = _wide_header(source)
    file = Plan("run_metrics wide", "run_metrics", header, {}, Dialect(delimiter))

    def convert(source: Source) -> Records:
        rows = _parquet_rows(source) if source.kind == "parquet" else damage.whole_records(source, file)
        first = list(islice(rows, SAMPLE_ROWS))
        words = _columns_of_words(header, [record[1] for record in first if isinstance(record, tuple)])
        for record in chain(first, rows):
            if isinstance(record, BadRecord):
                yield record
                continue
            line, fields = record
            row = {name: None if text in NULLS else text for name, text in zip(header, fields, strict=True)}
            if tuple(header) in ZEUS:
                run_id, values = ZEUS[tuple(header)](row)
                for metric, value in values.items():
                    yield line, Run(run_id).record(metric, value)
            else:
                yield from _spread(line, row, source, words)

    return run_plan("run_metrics wide", convert, options)


def _columns_of_words(header: list[str], rows: list[list[str | None]]) -> set[str]:
    """The columns that hold words and not one number: what they say is no metric."""
    columns = {name: [text for text in texts if text is not None and text not in NULLS]
               for name, texts in zip(header, zip(*rows, strict=True), strict=False)}  # fmt: skip
    return {name for name, texts in columns.items() if texts and not any(map(_is_number, texts))}


def _detect_json(source: Source) -> bool:
    if source.kind != "text" or not source.head.lstrip().startswith("{"):
        return False
    row = flat_object(source.head.lstrip().split("\n", 1)[0], "/")
    if row is None:
        return False
    names = {name.lower() for name in row}
    measured = [name for name in row if name.lower() not in NAMES and _is_number(row[name])]
    return bool(STEPS & names) and bool(measured) and (
        bool(set(CALLED["run_id"]) & names) or any(MEASURES.search(name) for name in measured)
    )  # fmt: skip


def _plan_json(source: Source, options: Options) -> Plan:
    def convert(source: Source) -> Records:
        with source.open_bytes() as stream:
            for line, text in enumerate(io.TextIOWrapper(stream, source.encoding, errors="replace"), 1):
                if not text.strip():
                    continue
                row = flat_object(text, "/")
                if row is None:
                    yield BadRecord(line, "no JSON object", text.rstrip())
                else:
                    words = {name for name, value in row.items() if not _is_number(value)}
                    yield from _spread(line, row, source, words)

    return run_plan("run_metrics json", convert, options)


def _spread(line: int, row: dict, source: Source, words: set[str]) -> Records:
    """A record for every metric of a row; columns in `words` measure nothing."""
    lower = {name.lower(): name for name in reversed(list(row))}
    column = {field: next((lower[name] for name in names if name in lower), None) for field, names in CALLED.items()}

    def told(field: str) -> str | None:
        value = row[column[field]] if column[field] else None
        return None if value is None else str(value)

    run = Run(told("run_id") or name_of_run(source.path), **{name: told(name) for name in OF_RUN[1:]})
    time, step = _moment(told("time")), told("step")
    used = {name for field, name in column.items() if field != "time" or time is not None}
    epoch = lower.get("epoch")
    if step is None and epoch and str(row[epoch]).isdigit():
        step, used = str(row[epoch]), used | {epoch}
    metrics = {name: value for name, value in row.items() if name not in used and name not in words}
    names = metric_names(metrics)
    for name, value in metrics.items():
        yield line, run.record(names[name], value, step, time)


def _moment(text: str | None) -> str | None:
    """A time as text; seconds, milliseconds or microseconds since 1970 by their size; a smaller number is none."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return text
    for scale, least in ((1e6, MICROSECONDS), (1e3, MILLISECONDS), (1, SECONDS)):
        if least <= number < least * 1000:
            return utc(number / scale)
    return None


def _is_number(value) -> bool:
    if isinstance(value, str):
        return value.lower() in NOT_A_NUMBER or bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parquet_rows(source: Source) -> Records:
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        rows = con.execute("select * from read_parquet(?, hive_partitioning = false)", [duckdb_path(source.path)])
        number = 0
        while batch := rows.fetchmany(10_000):
            for row in batch:
                number += 1
                yield number, [None if value is None else str(value) for value in row]


READERS = (
    Reader("run_metrics", "run_metrics", "Training-run log in long form: one value of one metric at one step",
           _detect_long, _plan_long),
    Reader("run_metrics_wide", "run_metrics", "Training-run log in wide form: a column a metric",
           _detect_wide, _plan_wide),
    Reader("run_metrics_json", "run_metrics", "Training-run log as JSON lines: a key a metric",
           _detect_json, _plan_json),
)  # fmt: skip
