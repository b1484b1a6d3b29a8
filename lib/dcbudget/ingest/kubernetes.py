"""Usage of pods and their GPUs on OpenShift, as the Cost Management metrics operator uploads it (CSV).

Columns: `GPU_USAGE_COLUMNS` and the pod usage columns of github.com/project-koku/koku, koku/masu/util/ocp/common.py.

A row is an hour of a pod (pod usage), or of a pod on a GPU or a slice of one (GPU usage). A job is the unbroken
presence of a pod on GPUs of one model: it begins with its first interval and ends with its last, so that its bounds are
known to the hour, and its `gpus` are the mean over that time, so that its GPU-hours are those of its rows
(`gpu_pod_uptime` in seconds, times the part of a card where it is a MIG slice). A job stands for its first row; its
further rows are counted as skipped. Neither file tells its cluster, how a pod ended, nor whose it is beyond its
namespace.

Both files tell of the same pods. A pod of the one that is loaded from the other with the same start is the same job: it
has the GPUs of the one and the cores and memory of the other, whichever comes first.
"""

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.jobs import job_rules
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.source import Source

COMMON = ("interval_start", "interval_end", "node", "namespace", "pod")
GPU = (*COMMON, "gpu_uuid", "gpu_model_name", "gpu_pod_uptime")
POD = (*COMMON, "pod_request_cpu_core_seconds", "pod_request_memory_byte_seconds")
# Of newer operators.
SLICES = ("mig_instance_id", "mig_profile", "mig_slice_count", "parent_gpu_max_slices")


def detect_gpus(source: Source) -> bool:
    return _names(source)[1].keys() >= set(GPU)


def detect_pods(source: Source) -> bool:
    return _names(source)[1].keys() >= set(POD)


def plan_gpus(source: Source, options: Options) -> Plan:
    """Jobs on GPUs; a row of a slice counts as its part of the card."""
    header, delimiter, field = _fields(source, GPU)
    profile, model = field("mig_profile"), field("gpu_model_name")
    part = (
        f"coalesce(to_double({field('mig_slice_count')}) / nullif(to_double({field('parent_gpu_max_slices')}), 0),"
        f" mig_part({model} || ' ' || {profile}))"
    )
    columns = {
        **_columns(field, options),
        # until the rows are folded, what tells one GPU or slice of it from another, and the seconds on it
        "job_name": Column(f"concat_ws(' ', {field('gpu_uuid')}, {field('mig_instance_id')})"),
        "elapsed_seconds": Column(field("gpu_pod_uptime"), "number", required=True),
        "gpus": Column(f"case when {profile} is null then 1 else {part} end"),
        "gpu_model": Column(f"accelerator_model({model})"),
        "gpu_slice": Column(f"lower({profile})"),
    }
    rules = [
        Rule("elapsed_seconds", "elapsed_seconds > epoch(end_time - start_time)", "is longer than its interval",
             "elapsed_seconds::varchar"),
        Rule("gpu_slice", "gpus is null", "not a profile such as 1g.10gb", profile),
    ]  # fmt: skip
    return _plan("kubernetes_gpus", header, delimiter, columns, rules, options, _FOLD_GPUS)


def plan_pods(source: Source, options: Options) -> Plan:
    """Jobs without GPUs, with the cores and memory that they request."""
    header, delimiter, field = _fields(source, POD)
    columns = {
        **_columns(field, options),
        # until the rows are folded, core-seconds and GiB-seconds
        "cpus": Column(field("pod_request_cpu_core_seconds"), "number"),
        "memory_gb": Column(f"to_double({field('pod_request_memory_byte_seconds')}) / 1073741824"),
        "gpus": Column("0"),
    }
    memory = field("pod_request_memory_byte_seconds")
    rules = [Rule("memory_gb", f"{memory} is not null and memory_gb is null", "not a number", memory)]
    return _plan("kubernetes_pods", header, delimiter, columns, rules, options, _FOLD_PODS)


def _columns(field, options: Options) -> dict[str, Column]:
    """What both files tell; pods may be called after people.

    An interval ends with its last second (00:59:59), a job when that is over.
    """
    start, end = _time(field("interval_start")), _time(field("interval_end"))
    pod = field("pod") if options.keep_names else f"under_pseudonym('p', {field('pod')})"
    over = f"date_trunc('second', to_utc({end}, 'UTC')) + interval 1 second"
    return {
        "job_id": Column(f"{field('namespace')} || '/' || {pod}", required=True),
        "cluster": Column("''"),
        "account": Column(field("namespace")),
        "submit_time": Column(start, "time", required=True),
        "start_time": Column(start, "time"),
        "end_time": Column(f"coalesce(({over})::varchar, {end})", "time", required=True),
        "nodes": Column("1"),
        "host": Column(f"lower(split_part({field('node')}, '.', 1))"),
    }


def _plan(name: str, header: list[str], delimiter: str, columns: dict, rules: list, options: Options, fold) -> Plan:
    rules = [*rules, *job_rules(options)]
    pod = "regexp_extract(job_id, '^[^/]*/([^/]*)', 1)" if options.keep_names else "null"
    finish = (*fold, f"update {{table}} set job_name = {pod}", *_SETTLE)
    return Plan(name, "jobs", header, columns, Dialect(delimiter), rules, finish=finish)


def _time(field: str) -> str:
    """`2026-08-01 00:00:00 +0000 UTC`, as Go prints a time, without the name of its zone."""
    return f"regexp_replace({field}, ' ([+-]\\d{{4}})( [A-Z]+)?$', '\\1')"


def _names(source: Source) -> tuple[str, dict[str, str], list[str]]:
    """The delimiter, the fields by their name in lower case, and the fields."""
    delimiter, header = source.best_delimiter({*GPU, *POD})
    return delimiter, {name.lower(): name for name in reversed(header)}, header


def _fields(source: Source, needed: tuple[str, ...]):
    delimiter, by_name, header = _names(source)
    if missing := [name for name in needed if name not in by_name]:
        raise UnreadableFile(f"{source.path.name}: no usage of pods, column {', '.join(missing)} is missing")

    def field(name: str) -> str:
        return f"nullif({ref(by_name[name])}, '')" if name in by_name else "null::varchar"

    return header, delimiter, field


# The presence of a pod that a row belongs to: a new one where the row before it, of the pod on that node (and model),
# had ended earlier.
_PRESENCES = """
    create or replace temp table presences as
    select row_id, {{key}}, min(row_id) over presence as first_row, min(start_time) over presence as begun,
        max(end_time) over presence as ended, {{sums}}
    from (
        select *, sum(broken) over (partition by {{key}} order by start_time, row_id) as nth from (
            select rowid as row_id, *, case when start_time > max(end_time) over (
                partition by {{key}} order by start_time, rowid rows between unbounded preceding and 1 preceding)
                then 1 else 0 end as broken
            from {table} where x_reject is null))
    window presence as (partition by {{key}}, nth)"""


def _presences(key: str, sums: str) -> str:
    return _PRESENCES.replace("{{key}}", key).replace("{{sums}}", sums)


_REJECT_REPEATED = """
    update {table} as t set x_reject = json_object('column', 'interval_start',
        'reason', 'the same pod and interval as line ' || twin.first_line)::varchar
    from (
        select rowid as row_id, x_source_row,
            min(x_source_row) over (partition by job_id, host, job_name, start_time) as first_line
        from {table} where x_reject is null
    ) twin where t.rowid = twin.row_id and twin.x_source_row > twin.first_line"""
_SKIP_FOLDED = """
    update {table} as t set x_reject = ''
    from presences as p where t.rowid = p.row_id and p.row_id <> p.first_row"""
_FOLD_GPUS = (
    _REJECT_REPEATED.replace("interval_start", "gpu_uuid").replace("pod and", "GPU and"),
    _presences(
        "job_id, host, gpu_model",
        "fsum(gpus * elapsed_seconds) over presence as gpu_seconds, list(gpu_slice) over presence as slices",
    ),
    """
    update {table} as t set submit_time = p.begun, start_time = p.begun, end_time = p.ended,
        elapsed_seconds = epoch(p.ended - p.begun), gpus = p.gpu_seconds / epoch(p.ended - p.begun),
        gpu_slice = nullif(array_to_string(list_sort(list_distinct(p.slices)), '+'), '')
    from presences as p where t.rowid = p.row_id and p.row_id = p.first_row""",
    _SKIP_FOLDED,
    # a pod on GPUs of several models, or on several nodes, is several jobs: all but the first are named for the model,
    # those of a further node by its number
    """
    update {table} as t set job_id = job_id || '/' || named.other
    from (
        select rowid as row_id, concat_ws('/', case when nth_host > 1 then nth_host end, case when other_model
            then coalesce(gpu_model, 'GPU') end) as other
        from (
            select rowid, gpu_model, dense_rank() over (partition by job_id, start_time order by host) as nth_host,
                gpu_model is distinct from first(gpu_model) over (partition by job_id, start_time
                    order by host, gpu_model rows between unbounded preceding and unbounded following) as other_model
            from {table} where x_reject is null)
        where nth_host > 1 or other_model
    ) named where t.rowid = named.row_id""",
    """
    update {table} as t set cpus = old.cpus, memory_gb = old.memory_gb
    from jobs as old where t.x_reject is null and old.cluster = t.cluster and old.job_id = t.job_id
        and old.submit_time = t.submit_time""",
)
_FOLD_PODS = (
    _REJECT_REPEATED,
    _presences(
        "job_id, host", "fsum(cpus) over presence as core_seconds, fsum(memory_gb) over presence as gib_seconds"
    ),
    """
    update {table} as t set submit_time = p.begun, start_time = p.begun, end_time = p.ended,
        elapsed_seconds = epoch(p.ended - p.begun), cpus = p.core_seconds / epoch(p.ended - p.begun),
        memory_gb = p.gib_seconds / epoch(p.ended - p.begun)
    from presences as p where t.rowid = p.row_id and p.row_id = p.first_row""",
    _SKIP_FOLDED,
    # its GPU-hours are those of the GPU file, over the time of the pod
    """
    update {table} as t set gpus = old.gpus * old.elapsed_seconds / t.elapsed_seconds, gpu_model = old.gpu_model,
        gpu_slice = old.gpu_slice, gpu_utilisation = old.gpu_utilisation
    from jobs as old where t.x_reject is null and old.gpus > 0 and old.cluster = t.cluster and old.job_id = t.job_id
        and old.submit_time = t.submit_time""",
)
_SETTLE = (
    # a file that begins within a loaded job would count its hours twice
    """
    update {table} as t set x_reject = json_object('column', 'interval_start', 'found', t.start_time::varchar,
        'reason', 'the pod is loaded already from ' || old.start_time || ' to ' || old.end_time)::varchar
    from jobs as old
    where t.x_reject is null and old.cluster = t.cluster and old.job_id = t.job_id and old.submit_time <> t.submit_time
        and old.start_time < t.end_time and old.end_time > t.start_time""",
)

READERS = (
    Reader(
        "kubernetes_gpus", "jobs", "GPU usage of pods on OpenShift (Cost Management operator)", detect_gpus, plan_gpus
    ),
    Reader("kubernetes_pods", "jobs", "Usage of pods on OpenShift (Cost Management operator)", detect_pods, plan_pods),
)
