"""What every job record must keep, whatever log it comes from."""

from dcbudget.ingest.plan import Options, Rule
from dcbudget.quoting import literal

# A job that met a failing node may never have started; these did run.
ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "PREEMPTED", "RUNNING")


def job_rules(options: Options) -> list[Rule]:
    """Rules over the columns of `jobs`."""
    as_of = options.as_of.strftime("%Y-%m-%d")
    ended = ", ".join(literal(state) for state in ENDED)
    return [
        Rule("submit_time", "submit_time is null", "a job without a submit time"),
        Rule("start_time", f"start_time is null and state in ({ended})", "the job ran but has no start", "state"),
        Rule("end_time", "end_time < start_time", "the job ends before it starts", "end_time::varchar"),
        Rule("submit_time", f"submit_time > timestamp {literal(as_of)} + interval 2 day",
             f"lies in the future (seen from {as_of})", "submit_time::varchar"),
        Rule("gpus", "gpus < 0", "must not be negative", "gpus::varchar"),
        Rule("cpus", "cpus < 0", "must not be negative", "cpus::varchar"),
        Rule("elapsed_seconds", "elapsed_seconds < 0", "must not be negative", "elapsed_seconds::varchar"),
    ]  # fmt: skip
