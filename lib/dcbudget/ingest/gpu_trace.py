"""GPU job traces as CSV or Parquet: a small mapping says which column is what; published traces are built in."""

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.jobs import job_rules
from dcbudget.ingest.plan import MACROS, Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.sacct import STATES
from dcbudget.ingest.source import Source
from dcbudget.quoting import literal

# What a mapping may name; `duration` is in seconds and gives the end where the trace has none; `gpu_milli` are the
# thousandths that a job has of each of its GPUs, `cpu_milli` those of a core.
TARGETS = (
    "job_id", "cluster", "partition", "account", "user_id", "submit_time", "start_time", "end_time", "duration",
    "state", "gpus", "gpu_milli", "gpu_model", "nodes", "host", "cpus", "cpu_milli", "memory_mib", "qos",
    "requested_seconds",
)  # fmt: skip
NEEDED = ("submit_time", "gpus")

# Column names of published traces: Philly (Jeon et al. 2019, as AdaptDL ships it), Helios (Hu et al. 2021),
# Acme (Hu et al. 2024), Alibaba's shared GPUs (github.com/alibaba/clusterdata, cluster-trace-gpu-v2023).
TRACES: dict[str, dict[str, str]] = {
    "philly": {"submit_time": "timestamp", "duration": "duration", "gpus": "num_gpus", "cluster": "cluster"},
    "acme": {
        "job_id": "job_id", "user_id": "user", "nodes": "node_num", "gpus": "gpu_num", "cpus": "cpu_num",
        "account": "type", "state": "state", "submit_time": "submit_time", "start_time": "start_time",
        "end_time": "end_time", "duration": "duration",
    },
    "helios": {
        "job_id": "job_id", "user_id": "user", "partition": "vc", "nodes": "node_num", "gpus": "gpu_num",
        "cpus": "cpu_num", "state": "state", "submit_time": "submit_time", "start_time": "start_time",
        "end_time": "end_time", "duration": "duration",
    },
    "alibaba": {
        "job_id": "name", "cpu_milli": "cpu_milli", "memory_mib": "memory_mib", "gpus": "num_gpu",
        "gpu_milli": "gpu_milli", "gpu_model": "gpu_spec", "qos": "qos", "state": "pod_phase",
        "submit_time": "creation_time", "end_time": "deletion_time", "start_time": "scheduled_time",
    },
    "plain": {name: name for name in TARGETS},
}  # fmt: skip
# Traces whose times are seconds after a start that they do not tell: they are counted from 1970.
OF_SECONDS = {"alibaba": ("submit_time", "start_time", "end_time")}
# What tells a table of averages from a trace.
SUMMARY = {"job_num", "avg_run_time_gpu", "avg_que_time_gpu"}


def detect(source: Source) -> bool:
    return _is_summary(source) or _known_trace(_header(source)[1]) is not None


def plan(source: Source, options: Options) -> Plan:
    """The user's mapping goes over a built-in one."""
    if _is_summary(source):
        raise UnreadableFile(
            f"{source.path.name}: these are averages over whole clusters and no jobs; load the traces that they sum up"
        )
    delimiter, header = _header(source, set(options.mapping.values()))
    trace = _known_trace(header)
    if unknown := [target for target in options.mapping if target not in TARGETS]:
        raise UnreadableFile(
            f"{source.path.name}: a mapping cannot name {unknown[0]!r}; it may name {', '.join(TARGETS)}"
        )
    mapping = {**(TRACES[trace] if trace else {}), **options.mapping}
    by_name = {name.lower(): name for name in reversed(header)}
    if absent := [column for column in options.mapping.values() if column.lower() not in by_name]:
        raise UnreadableFile(f"{source.path.name}: has no column {absent[0]!r}, which the mapping names")
    known = {target: ref(by_name[column.lower()]) for target, column in mapping.items() if column.lower() in by_name}
    for target in OF_SECONDS.get(trace, ()):
        known[target] = _time_of_seconds(known[target])
    if missing := [target for target in NEEDED if target not in known]:
        raise UnreadableFile(f"{source.path.name}: no GPU trace, nothing says which column is {', '.join(missing)}")
    if not known.keys() & {"duration", "end_time"}:
        raise UnreadableFile(f"{source.path.name}: no GPU trace, neither duration nor end_time is there")
    name = f"gpu_trace {trace}" if trace and not options.mapping else "gpu_trace"
    return Plan(
        format=name,
        dataset="jobs",
        fields=header,
        columns=_columns(known, options),
        dialect=Dialect(delimiter),
        rules=[*_typing_rules(known, options), *job_rules(options)],
        finish=(f"update {{table}} set job_id = {literal(source.path.name.split('.')[0])} || '-' || x_source_row"
                " where job_id is null",),
        timezone=options.timezone,
    )  # fmt: skip


def _columns(known: dict[str, str], options: Options) -> dict[str, Column]:
    """Without a start of its own a job starts when it is submitted; without an end it lasts its duration."""
    zone = literal(options.timezone)
    start = known.get("start_time", known["submit_time"])
    duration = f"to_double({known['duration']})" if "duration" in known else "null::double"
    end = f"to_utc({known['end_time']}, {zone})" if "end_time" in known else "null::timestamp"
    begun = f"to_utc({start}, {zone})"
    texts = ("job_id", "partition", "account", "user_id", "qos", "host")
    columns = {name: Column(known[name]) for name in texts if name in known}
    columns |= {name: Column(known[name], "number") for name in ("nodes", "cpus", "requested_seconds") if name in known}
    columns |= {
        "cluster": Column(f"coalesce({known.get('cluster', 'null')}, '')"),
        "submit_time": Column(known["submit_time"], "time", required=True),
        "start_time": Column(start, "time"),
        "end_time": Column(f"coalesce({end}, {begun} + try(to_microseconds(({duration} * 1000000)::bigint)))"),
        "elapsed_seconds": Column(known["duration"], "number") if "duration" in known
        else Column(f"epoch({end} - {begun})"),
        "state": Column(_state(known["state"]) if "state" in known else "null"),
        "gpus": _gpus(known),
        "gpu_model": Column(_one_model(known["gpu_model"]) if "gpu_model" in known else "null"),
        "gpu_slice": Column(_share(known["gpu_milli"]) if "gpu_milli" in known else "null"),
    }  # fmt: skip
    if "cpu_milli" in known:
        columns["cpus"] = Column(f"to_double({known['cpu_milli']}) / 1000")
    if "memory_mib" in known:
        columns["memory_gb"] = Column(f"to_double({known['memory_mib']}) / 1024")
    return columns


def _gpus(known: dict[str, str]) -> Column:
    if "gpu_milli" not in known:
        return Column(known["gpus"], "number", required=True)
    return Column(f"to_double({known['gpus']}) * to_double({known['gpu_milli']}) / 1000")


def _share(milli: str) -> str:
    """SQL for the name of a part of a GPU, in Kubernetes' thousandths: 460m."""
    return f"case when to_double({milli}) between 1 and 999 then {milli} || 'm' end"


def _one_model(text: str) -> str:
    """SQL for a model; a job that may have any of several (`V100M16|V100M32`) has one where they are the same."""
    models = f"list_distinct(list_transform(string_split({text}, '|'), lambda name: accelerator_model(name)))"
    return f"case when len({models}) = 1 then {models}[1] end"


def _time_of_seconds(field: str) -> str:
    """SQL for the text of a time; a text that is no whole number stays what it is."""
    return f"coalesce((timestamp '1970-01-01' + to_seconds(try_cast({field} as bigint)))::varchar, {field})"


def _typing_rules(known: dict[str, str], options: Options) -> list[Rule]:
    """Texts that are no column as they stand are judged here: the end may come of two, shared GPUs are a product."""
    parts = (("gpus", "gpus"), ("gpus", "gpu_milli"), ("cpus", "cpu_milli"), ("memory_gb", "memory_mib"))
    rules = [
        Rule(column, f"{known[name]} is not null and to_double({known[name]}) is null", "not a number", known[name])
        for column, name in parts
        if name in known
    ]
    rules.append(Rule("gpus", "gpus is null", "is empty"))
    if (end := known.get("end_time")) is not None:
        wrong = f"{end} is not null and to_utc({end}, {literal(options.timezone)}) is null"
        rules.append(Rule("end_time", wrong, f"not {MACROS['time'][1]}", end))
    return rules


def _state(text: str) -> str:
    """Slurm's names and the plain words that traces use; anything else stays unknown."""
    words = {state: {*names, state} for state, names in STATES.items()}
    words["COMPLETED"] |= {"PASS", "SUCCESS", "SUCCEEDED"}
    words["FAILED"] |= {"FAIL", "ERROR"}
    words["CANCELLED"] |= {"KILLED", "CANCELED"}
    branches = " ".join(
        f"when upper({text}) in ({', '.join(literal(name) for name in sorted(names))}) then {literal(state)}"
        for state, names in words.items()
    )
    return f"case {branches} end"


def _is_summary(source: Source) -> bool:
    """Acme's `cluster_summary.csv` (Hu et al. 2024) has one row a cluster."""
    names = {name.lower() for name in source.best_delimiter(SUMMARY)[1]}
    return names >= SUMMARY


def _header(source: Source, more: set[str] = frozenset()) -> tuple[str, list[str]]:
    names = {column.lower() for mapping in TRACES.values() for column in mapping.values()}
    return source.best_delimiter(names | {name.lower() for name in more})


def _known_trace(header: list[str]) -> str | None:
    names = {name.lower() for name in header}
    for trace, mapping in TRACES.items():
        columns = set(mapping.values()) if trace != "plain" else {"submit_time", "duration", "gpus"}
        if columns <= names:
            return trace
    return None


READER = Reader(
    "gpu_trace",
    "jobs",
    "GPU job trace, CSV or Parquet, by a mapping of columns (Philly built in)",
    detect,
    plan,
)
