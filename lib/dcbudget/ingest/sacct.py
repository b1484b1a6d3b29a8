"""Slurm accounting text as `sacct --parsable2` writes it: with or without a header, any delimiter, steps left out."""

import re
from collections.abc import Callable

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.jobs import job_rules
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.source import Source, name_fields
from dcbudget.quoting import literal

JOB_ID = r"\d+(?:_\d+|_\[[^\]]*\]|\+\d+)?(?:\.\w+)?"
# Words that Slurm writes where a time is not known.
NO_TIME = ("Unknown", "None", "INVALID", "N/A")
NO_DURATION = (*NO_TIME, "UNLIMITED", "Partition_Limit", "NOT_SET")
NO_NAME = ("None assigned", "Unknown", "(null)")
# Slurm's job states, short and long, as the workbook names them.
STATES = {
    "COMPLETED": ("CD", "COMPLETED"),
    "FAILED": ("F", "FAILED", "LAUNCH_FAILED"),
    "CANCELLED": ("CA", "CANCELLED", "REVOKED", "RV"),
    "TIMEOUT": ("TO", "TIMEOUT", "DEADLINE", "DL"),
    "NODE_FAIL": ("NF", "NODE_FAIL", "BOOT_FAIL", "BF", "RECONFIG_FAIL"),
    "PREEMPTED": ("PR", "PREEMPTED"),
    "OUT_OF_MEMORY": ("OOM", "OUT_OF_MEMORY", "OUT_OF_ME"),
    "RUNNING": ("R", "RUNNING", "COMPLETING", "CG", "SUSPENDED", "S", "STOPPED", "RESIZING", "RS", "SIGNALING",
                "STAGE_OUT"),
    "PENDING": ("PD", "PENDING", "CONFIGURING", "CF", "REQUEUED", "RQ", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"),
}  # fmt: skip


def detect(source: Source) -> bool:
    if source.kind != "text":
        return False
    lines = source.head_lines
    names = {name.lower() for name in re.split(r"[^\w%]+", lines[0])}
    if {"jobid", "state"} <= names or {"jobidraw", "state"} <= names:
        return True
    return bool(re.match(JOB_ID + r"\W", lines[0]) and re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d", lines[0]))


def plan(source: Source, options: Options) -> Plan:
    """Names of fields come from the header, else from `--fields`."""
    if source.kind != "text":
        raise UnreadableFile(f"{source.path.name}: no sacct text but a Parquet file")
    first = source.head_lines[0]
    header = not re.match(JOB_ID + r"\W", first)
    if header:
        separator = re.match(r"[\w%]+?([^\w%]+)(?=\w)", first)
        delimiter = separator[1] if separator else "|"
        fields = name_fields(first.split(delimiter))
    else:
        if not options.fields:
            raise UnreadableFile(
                f"{source.path.name}: sacct text without a header; name its fields by --fields a,b,..."
            )
        fields = list(options.fields)
        delimiter = _delimiter(first, len(fields))
    by_name = {re.sub(r"%.*", "", name).strip().lower(): name for name in reversed(fields)}
    if not {"jobid", "jobidraw"} & by_name.keys():
        raise UnreadableFile(f"{source.path.name}: no sacct text, field JobID is missing")

    def field(*names: str) -> str:
        known = [f"nullif({ref(by_name[name])}, '')" for name in names if name in by_name]
        return f"coalesce({', '.join(known)})" if known else "null::varchar"

    job_id = field("jobid", "jobidraw")
    return Plan(
        format="sacct",
        dataset="jobs",
        fields=fields,
        columns=job_columns(field, job_id, options.keep_names),
        dialect=Dialect(delimiter, header, quoted=False),
        rules=[*_duration_rules(field), *job_rules(options)],
        records=f"not coalesce(contains({job_id}, '.'), false)",
        finish=(_UTILISATION_OF_STEPS,),
        timezone=options.timezone,
    )


def job_columns(field: Callable[..., str], job_id: str, keep_names: bool) -> dict[str, Column]:
    """The columns of a job; `field` gives SQL for the first of some sacct fields (in lower case) that is there."""

    def time(*names: str) -> Column:
        words = ", ".join(literal(word) for word in NO_TIME)
        return Column(f"case when {field(*names)} not in ({words}) then {field(*names)} end", "time")

    def name(*names: str) -> str:
        words = ", ".join(literal(word) for word in NO_NAME)
        return f"case when {field(*names)} not in ({words}) then {field(*names)} end"

    alloc, cpus, nodes = field("alloctres"), field("alloccpus", "ncpus"), field("nnodes", "allocnodes")
    energy = f"nullif(try_cast({field('consumedenergyraw')} as double), 0) / 3.6e6"
    utilisation = f"tres({field('tresusageinave', 'tresusageintot')}, 'gres/gpuutil') / 100"
    return {
        "job_id": Column(job_id, required=True),
        "job_name": Column(field("jobname") if keep_names else "null"),
        "cluster": Column(f"coalesce({field('cluster')}, '')"),
        "partition": Column(field("partition")),
        "qos": Column(field("qos")),
        "account": Column(field("account")),
        "user_id": Column(name("user", "uid")),
        "submit_time": time("submit"),
        "start_time": time("start"),
        "end_time": time("end"),
        "elapsed_seconds": Column(f"coalesce(slurm_seconds({field('elapsed')}), to_double({field('elapsedraw')}))"),
        "requested_seconds": Column(
            f"coalesce(slurm_seconds({field('timelimit')}), 60 * to_double({field('timelimitraw')}))"
        ),
        "state": Column(_state(field("state")), required=True),
        "gpus": Column(f"tres_gpus(coalesce({alloc}, {field('allocgres')}, ''))"),
        "gpu_model": Column(f"tres_gpu_model({alloc})"),
        "gpu_slice": Column(f"tres_gpu_slice({alloc})"),
        "nodes": Column(nodes, "number"),
        "cpus": Column(f"coalesce(tres({alloc}, 'cpu')::varchar, {cpus})", "number"),
        "memory_gb": Column(
            f"slurm_gib(coalesce(nullif(regexp_extract(',' || {alloc}, ',mem=([^,]+)', 1), ''), {field('reqmem')}),"
            f" try_cast({cpus} as double), try_cast({nodes} as double))"
        ),
        "gpu_utilisation": Column(utilisation),
        "energy_kwh": Column(energy),
        "restarts": Column(field("restarts", "restartcnt"), "number"),
        "host": Column(f"first_node({name('nodelist')})"),
    }


def _duration_rules(field) -> list[Rule]:
    """A duration is one, or a word that says that there is none."""
    words = ", ".join(literal(word) for word in NO_DURATION)
    return [
        Rule(column, f"{column} is null and {text} not in ({words})", "not a duration such as 1-02:03:04", text)
        for column, text in (
            ("elapsed_seconds", field("elapsed", "elapsedraw")),
            ("requested_seconds", field("timelimit", "timelimitraw")),
        )
    ]


# Slurm keeps usage on steps: the busiest step speaks for its job. Over 100 % means a sum over the job's GPUs.
_UTILISATION_OF_STEPS = """
    update {table} as job
    set gpu_utilisation = least(step.used / case when step.used > 1 and job.gpus > 0 then job.gpus else 1 end, 1)
    from (
        select split_part(job_id, '.', 1) as job_id, max(gpu_utilisation) as used
        from {table} where x_reject = '' and gpu_utilisation is not null group by 1
    ) step
    where step.job_id = job.job_id and job.x_reject is null"""


def _state(text: str) -> str:
    """SQL for the workbook's state; a state that Slurm does not have gives null and so rejects the row."""
    word = f"upper(regexp_extract({text}, '^[A-Za-z_]+'))"
    branches = " ".join(
        f"when {word} in ({', '.join(literal(word_) for word_ in words)}) then {literal(state)}"
        for state, words in STATES.items()
    )
    return f"case {branches} end"


def _delimiter(line: str, width: int) -> str:
    """What stands after the job id, as long as it splits the line into as many fields as were named."""
    after = re.match(JOB_ID + r"(\W{1,4})", line)
    candidates = [after[1][:length] for length in range(1, len(after[1]) + 1)] if after else []
    fitting = [delimiter for delimiter in candidates if line.count(delimiter) + 1 == width]
    return (fitting or candidates or ["|"])[0]


READER = Reader("sacct", "jobs", "Slurm accounting text (sacct --parsable2), with a header or --fields", detect, plan)
