"""Serving logs: one request a row or a line, its columns known by the names that gateways and servers give them.

The Azure LLM inference traces (https://github.com/Azure/AzurePublicDataset, TIMESTAMP, ContextTokens,
GeneratedTokens) are such logs. A latency without a unit in its name is in seconds. Users are not kept.
"""

import io
import re

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.plan import BadRecord, Column, Dialect, Options, Plan, Reader, Records, Rule, ref
from dcbudget.ingest.source import Source, flat_object
from dcbudget.quoting import literal

# Lower case, with `_` for what parts the words.
CALLED = {
    "time": ("time", "timestamp", "start_time", "request_time", "created_at", "created", "datetime", "starttime"),
    "project": ("project", "tenant", "team", "project_id", "project_name", "tenant_id", "team_alias", "team_id"),
    "model": ("model", "model_name", "model_id", "deployment"),
    "input_tokens": ("input_tokens", "prompt_tokens", "contexttokens", "context_tokens", "request_tokens",
                     "num_prefill_tokens", "usage_prompt_tokens", "usage_input_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "generatedtokens", "generated_tokens", "response_tokens",
                      "num_decode_tokens", "usage_completion_tokens", "usage_output_tokens"),
    "latency_seconds": ("latency_seconds", "latency_s", "latency", "duration_seconds", "duration_s", "duration",
                        "elapsed_seconds", "elapsed_time", "e2e_latency"),
    "latency_ms": ("latency_ms", "duration_ms", "response_time_ms", "elapsed_ms"),
}  # fmt: skip
NEEDED = ("time", "input_tokens", "output_tokens")
# A row that counts requests is a sum over them.
COUNTS = {"requests", "num_requests", "n_requests", "request_count", "num_model_requests"}


def _detect_table(source: Source) -> bool:
    return _is_of_requests(_header(source)[1])


def _plan_table(source: Source, options: Options) -> Plan:
    delimiter, header = _header(source)
    found = _columns(header)
    if missing := [name for name in NEEDED if name not in found]:
        raise UnreadableFile(f"{source.path.name}: no serving log, nothing says which column is {', '.join(missing)}")
    return _plan("serving", header, found, options, Dialect(delimiter), None)


def _detect_json(source: Source) -> bool:
    head = source.head.lstrip()
    first = flat_object(head.split("\n", 1)[0], "_") if source.kind == "text" and head.startswith("{") else None
    return first is not None and _is_of_requests(list(first))


def _plan_json(source: Source, options: Options) -> Plan:
    def convert(source: Source) -> Records:
        with source.open_bytes() as stream:
            for line, text in enumerate(io.TextIOWrapper(stream, source.encoding, errors="replace"), 1):
                if not text.strip():
                    continue
                row = flat_object(text, "_")
                if row is None:
                    yield BadRecord(line, "no JSON object", text.rstrip())
                    continue
                found = _columns(list(row))
                yield line, [_text(row[found[name]]) if name in found else None for name in CALLED]

    return _plan("serving json", list(CALLED), {name: name for name in CALLED}, options, Dialect(), convert)


def _plan(format_name: str, fields: list[str], found: dict[str, str], options: Options, dialect, convert) -> Plan:
    columns = {name: Column(ref(found[name])) for name in ("project", "model") if name in found}
    time = ref(found["time"])
    since_1970 = f"make_timestamp((try_cast({time} as double) * 1000000)::bigint)::varchar"
    columns["time"] = Column(
        f"case when regexp_full_match({time}, '\\d{{9,10}}(\\.\\d+)?') then {since_1970} else {time} end", "time", True
    )
    for name in ("input_tokens", "output_tokens"):
        columns[name] = Column(ref(found[name]), "integer")
    rules = _rules(options)
    units = {"latency_seconds": 1, "latency_ms": 1000}
    if latencies := {ref(found[name]): unit for name, unit in units.items() if name in found}:
        seconds = ", ".join(f"to_double({text}) / {unit}" for text, unit in latencies.items())
        told = f"coalesce({', '.join(latencies)})"
        columns["latency_seconds"] = Column(f"coalesce({seconds})")
        rules.append(Rule("latency_seconds", f"latency_seconds is null and {told} is not null", "not a number", told))
    return Plan(format_name, "requests", fields, columns, dialect, rules, timezone=options.timezone, convert=convert)


def _rules(options: Options) -> list[Rule]:
    as_of = options.as_of.strftime("%Y-%m-%d")
    return [
        Rule("input_tokens", "input_tokens is null and output_tokens is null", "neither input nor output tokens"),
        Rule("input_tokens", "input_tokens < 0", "must not be negative", "input_tokens::varchar"),
        Rule("output_tokens", "output_tokens < 0", "must not be negative", "output_tokens::varchar"),
        Rule("time", f"time > timestamp {literal(as_of)} + interval 2 day", f"lies in the future (seen from {as_of})",
             "time::varchar"),
    ]  # fmt: skip


def _header(source: Source) -> tuple[str, list[str]]:
    if source.kind == "binary":
        return ",", []
    return max(((delimiter, source.header(delimiter)) for delimiter in (",", ";", "\t", "|")),
               key=lambda candidate: len(_columns(candidate[1])))  # fmt: skip


def _is_of_requests(header: list[str]) -> bool:
    return set(NEEDED) <= _columns(header).keys() and COUNTS.isdisjoint(_plain(header))


def _plain(header: list[str]) -> dict[str, str]:
    return {re.sub(r"\W+", "_", name.strip().lower()): name for name in reversed(header)}


def _columns(header: list[str]) -> dict[str, str]:
    """Which field of the file is what."""
    plain = _plain(header)
    return {field: plain[next(name for name in names if name in plain)]
            for field, names in CALLED.items() if not plain.keys().isdisjoint(names)}  # fmt: skip


def _text(value) -> str | None:
    return None if value is None else str(value)


READERS = (
    Reader("serving", "requests", "Serving log: one request a row, with input and output tokens",
           _detect_table, _plan_table),
    Reader("serving_json", "requests", "Serving log as JSON lines: one request a line", _detect_json, _plan_json),
)  # fmt: skip
