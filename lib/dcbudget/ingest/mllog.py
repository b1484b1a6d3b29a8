"""MLPerf Training logs: `:::MLLOG {...}` lines among whatever else a training job printed.

Keys and events are those of MLPerf's logging rules
(https://github.com/mlcommons/training_policies/blob/master/training_rules.adoc,
https://github.com/mlcommons/logging). A log has no run id: a run is named by its benchmark, who ran it and when it
began, all of which the log tells; the name of the file is not looked at.
"""

import io
import json
import re

from dcbudget.ingest.plan import BadRecord, Options, Plan, Reader, Records
from dcbudget.ingest.run_logs import Run, metric_names, run_plan, utc_of_ms
from dcbudget.ingest.source import Source

ENTRY = re.compile(r":::MLLOG\s*(\{.*)")
BEGINNINGS = ("cache_clear", "init_start", "submission_benchmark", "run_start")
# `eval_accuracy` is whatever a benchmark is judged by: an accuracy of these, the loss of those.
JUDGED_BY_ACCURACY = ("resnet", "bert")
JUDGED_BY_LOSS = ("llama2_70b_lora", "llama31_405b", "llama31_8b", "gpt3")


def detect(source: Source) -> bool:
    return source.kind == "text" and ":::MLLOG {" in source.head


def plan(source: Source, options: Options) -> Plan:
    return run_plan("mllog", convert, options)


def convert(source: Source) -> Records:
    """Each number of each run; `elapsed_seconds` is 0 where the run starts and its length where it stops."""
    entries: list[tuple[int, dict]] = []
    ended = False
    with source.open_bytes() as stream:
        for line, text in enumerate(io.TextIOWrapper(stream, source.encoding, errors="replace"), 1):
            found = ENTRY.search(text)
            if not found:
                continue
            try:
                entry = _entry(found[1])
            except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError) as error:
                yield BadRecord(line, f"no MLLOG entry ({type(error).__name__})", text.rstrip())
                continue
            if ended and entry["key"] in BEGINNINGS:
                yield from _records_of_run(entries)
                entries, ended = [], False
            entries.append((line, entry))
            ended = ended or entry["key"] == "run_stop"
    yield from _records_of_run(entries)


def _entry(text: str) -> dict:
    """The entry that a text begins with: `key`, `value`, `time_ms` as a whole number, `metadata` as an object."""
    entry, _ = json.JSONDecoder().raw_decode(text)
    entry = {"key": str(entry["key"]), "value": entry["value"], "time_ms": int(entry["time_ms"]),
             "metadata": dict(entry.get("metadata") or {})}  # fmt: skip
    utc_of_ms(entry["time_ms"])
    return entry


def _records_of_run(entries: list[tuple[int, dict]]) -> Records:
    if not entries:
        return
    told: dict = {}
    for _, entry in entries:
        told.setdefault(entry["key"], entry["value"])
    times = {entry["key"]: entry["time_ms"] for _, entry in reversed(entries)}
    began = times.get("run_start", entries[0][1]["time_ms"])
    benchmark = told.get("submission_benchmark")
    run = Run("/".join(str(part) for part in (told.get("submission_org"), benchmark, utc_of_ms(began)) if part))
    run.model = benchmark
    stops = [entry["metadata"] for _, entry in entries if entry["key"] == "run_stop"]
    run.status = next((str(stop["status"]) for stop in stops if "status" in stop), None)
    samples_a_step = told.get("global_batch_size")
    samples_a_step = samples_a_step if isinstance(samples_a_step, int) and samples_a_step > 0 else None
    samples = max((s for _, entry in entries if (s := _samples(entry)) is not None), default=None)
    seen = set()
    for line, entry in entries:
        time = utc_of_ms(entry["time_ms"])
        step = _step(entry, samples_a_step, samples)
        values = _values(entry, benchmark, began)
        if not values:
            yield line, run.record(entry["key"], None, step, time)
        for metric, value in values.items():
            # every rank of a job may print the same
            repeated = (metric, step, time, value) in seen
            seen.add((metric, step, time, value))
            yield line, run.record(metric, None if repeated else value, step, time)


def _values(entry: dict, benchmark: str | None, began_ms: int) -> dict[str, float]:
    """The numbers of an entry by metric."""
    key, value = entry["key"], entry["value"]
    if key == "run_start":
        return {"elapsed_seconds": 0}
    if key == "run_stop":
        return {"elapsed_seconds": (entry["time_ms"] - began_ms) / 1000}
    if key == "eval_accuracy":
        key = "accuracy" if benchmark in JUDGED_BY_ACCURACY else key
        key = "eval_loss" if benchmark in JUDGED_BY_LOSS else key
        values = {key: value}
    elif isinstance(value, dict):
        values = dict(value)
    else:
        values = {key: value}
    if "lr" in entry["metadata"]:
        values["learning_rate"] = entry["metadata"]["lr"]
    names = {**metric_names(values), "eval_accuracy": "eval_accuracy"}
    if key == "tracked_stats":  # MLPerf's throughput counts samples
        names["throughput"] = "samples_per_second"
    return {names[name]: number for name, number in values.items()
            if isinstance(number, int | float) and not isinstance(number, bool)}  # fmt: skip


def _step(entry: dict, samples_a_step: int | None, samples_of_run: int | None) -> int | None:
    """The step that the entry names, or follows from the samples seen.

    A step beyond those that the run's samples make is itself a count of samples.
    """
    about = entry["metadata"]
    named = next((about[name] for name in ("step", "curr_global_step") if isinstance(about.get(name), int)), None)
    seen = _samples(entry) if named is None else None
    if named is not None and samples_a_step and samples_of_run and named * samples_a_step > samples_of_run:
        named, seen = None, named
    return seen // samples_a_step if seen is not None and samples_a_step else named


def _samples(entry: dict) -> int | None:
    """The samples that a run has seen; a block and its statistics tell their own."""
    samples = entry["metadata"].get("samples_count")
    own = entry["key"] in ("tracked_stats", "block_start", "block_stop")
    return samples if isinstance(samples, int) and not own else None


READER = Reader("mllog", "run_metrics", "MLPerf Training log (:::MLLOG lines)", detect, plan)
