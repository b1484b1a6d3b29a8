"""Standard Workload Format of the Parallel Workloads Archive: 18 numbers a line, -1 for unknown, ; comments."""

import re

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.jobs import job_rules
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule
from dcbudget.ingest.source import Source
from dcbudget.quoting import literal

LINE = "line"
FIELDS = 18
NUMBERS = r"(-?\d+(\.\d+)?([eE][+-]?\d+)?\s*)+"
STATES = {
    "0": "FAILED",
    "1": "COMPLETED",
    "2": "COMPLETED",
    "3": "COMPLETED",
    "4": "FAILED",
    "5": "CANCELLED",
}


def detect(source: Source) -> bool:
    if source.kind != "text":
        return False
    for line in source.head_lines[:2000]:
        if line.strip() and not line.startswith(";"):
            return len(line.split()) == FIELDS and all(re.fullmatch(r"-?\d+(\.\d+)?", word) for word in line.split())
    return False


def plan(source: Source, options: Options) -> Plan:
    """Times are seconds after the header's UnixStartTime; an unknown wait counts as none, as the archive says."""
    if not detect(source):
        raise UnreadableFile(f"{source.path.name}: no SWF, its first line beside comments is not {FIELDS} numbers")
    comments = dict(
        match.groups() for line in source.head_lines if (match := re.match(r";\s*(\w+):\s*(.*?)\s*$", line)) is not None
    )
    try:
        epoch = int(float(comments.get("UnixStartTime") or 0))
    except (ValueError, OverflowError):
        raise UnreadableFile(
            f"{source.path.name}: UnixStartTime is no number but {comments['UnixStartTime']!r}"
        ) from None
    # splitting at a pattern takes four times as long
    words = f"list_filter(string_split(translate(\"f:{LINE}\", chr(9) || chr(13), '  '), ' '), lambda w: w <> '')"

    def number(position: int) -> str:
        """A field's text, null where it is unknown."""
        return f"nullif(nullif({words}[{position}], '-1'), '')"

    def seconds(position: int) -> str:
        return f"try_cast({number(position)} as double)"

    start = f"{seconds(2)} + coalesce({seconds(3)}, 0)"
    states = " ".join(f"when {literal(code)} then {literal(state)}" for code, state in STATES.items())
    return Plan(
        format=f"swf {comments['Version']}" if "Version" in comments else "swf",
        dataset="jobs",
        fields=[LINE],
        columns={
            "job_id": Column(number(1), required=True),
            "cluster": Column(literal(comments.get("Computer", ""))),
            "partition": Column(number(16)),
            "qos": Column(number(15)),
            "account": Column(number(13)),
            "user_id": Column(number(12)),
            "submit_time": Column(_time(epoch, seconds(2))),
            "start_time": Column(f"case when {seconds(4)} is not null then {_time(epoch, start)} end"),
            "end_time": Column(_time(epoch, f"{start} + {seconds(4)}")),
            "elapsed_seconds": Column(seconds(4)),
            "requested_seconds": Column(seconds(9)),
            "state": Column(f"case {words}[11] {states} end"),
            "gpus": Column("0"),
            "cpus": Column(f"coalesce({number(5)}, {number(8)})", "number"),
            "memory_gb": Column(f"{seconds(7)} / 1048576 * {seconds(5)}"),
        },
        dialect=Dialect("\x1f", header=False, quoted=False),
        rules=[
            Rule("job_id", f"len({words}) <> {FIELDS}", f"a line must have {FIELDS} fields", f"len({words})"),
            Rule(
                "job_id", f'not regexp_full_match(trim("f:{LINE}"), {literal(NUMBERS)})', "every field must be a number"
            ),
            *job_rules(options),
        ],
        records=f"trim(\"f:{LINE}\") <> '' and not starts_with(\"f:{LINE}\", ';')",
    )


def _time(epoch: int, seconds: str) -> str:
    """SQL for a time; null for one beyond all calendars."""
    return f"try(timezone('UTC', to_timestamp({epoch} + {seconds})))"


READER = Reader("swf", "jobs", "Standard Workload Format of the Parallel Workloads Archive", detect, plan)
