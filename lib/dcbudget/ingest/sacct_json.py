"""Slurm accounting as `sacct --json` writes it, Slurm 21.08 to 24.11, whole, as a list or as one job a line.

Schemas: the dbv job of https://slurm.schedmd.com/rest_api.html, data_parser v0.0.37 to v0.0.42. They differ in how a
number says that it is none (0, null or {"set": false}), in whether a state is a word or a list, and in which fields
there are. A job becomes the fields that sacct prints of it, so that both logs of a cluster name a job alike and mean
the same.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from io import TextIOWrapper

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.jobs import job_rules
from dcbudget.ingest.plan import BadRecord, Options, Plan, Reader, Records, ref
from dcbudget.ingest.sacct import job_columns
from dcbudget.ingest.source import Source

FIELDS = (
    "jobid", "jobname", "cluster", "partition", "qos", "account", "user", "submit", "start", "end", "elapsedraw",
    "timelimitraw", "state", "nnodes", "ncpus", "reqmem", "alloctres", "consumedenergyraw", "tresusageinave",
    "restarts", "nodelist",
)  # fmt: skip
CHUNK = 4 * 1024 * 1024
# An element that is still open after this many characters is damage.
MAX_CHARACTERS = 64 * 1024 * 1024
SHOWN = 4000
# Slurm's numbers for "none" and "without a limit", of 32 and 64 bits.
NO_NUMBER = {0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFE, 0xFFFFFFFFFFFFFFFF}
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,]*")
_JOBS = re.compile(r'"jobs"\s*:\s*\[')
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')


def detect(source: Source) -> bool:
    """A JSON text whose first job has the parts that every edition of a Slurm job has."""
    if source.kind != "text" or source.head.lstrip()[:1] not in ("{", "["):
        return False
    return all(f'"{name}"' in source.head for name in ("job_id", "tres", "submission", "state", "association"))


def plan(source: Source, options: Options) -> Plan:
    if source.kind != "text":
        raise UnreadableFile(f"{source.path.name}: no sacct JSON but a {source.kind} file")

    def field(*names: str) -> str:
        known = [f"nullif({ref(name)}, '')" for name in names if name in FIELDS]
        return f"coalesce({', '.join(known)})" if known else "null::varchar"

    return Plan(
        format="sacct_json",
        dataset="jobs",
        fields=list(FIELDS),
        columns=job_columns(field, ref("jobid"), options.keep_names),
        rules=job_rules(options),
        finish=(_UTILISATION_OF_A_GPU,),
        convert=convert,
    )


def convert(source: Source) -> Records:
    """The jobs of a file, numbered from 1; what is no job is a bad record."""
    for number, job in enumerate(elements(source), 1):
        if isinstance(job, str):
            yield BadRecord(number, "no JSON" if job else "the file is cut off: its list of jobs does not end", job)
            continue
        try:
            yield number, _fields(job)
        except KeyError as error:
            yield BadRecord(number, f"a job without {error}", json.dumps(job)[:SHOWN])
        except (AttributeError, TypeError):
            yield BadRecord(number, "no job of Slurm: a part is not what it should be", json.dumps(job)[:SHOWN])
        except (ValueError, OverflowError):
            yield BadRecord(number, "no job of Slurm: a number or time is none", json.dumps(job)[:SHOWN])


def elements(source: Source) -> Iterator[dict | str]:
    """Each element of the list `jobs`, of a bare list, or of JSON lines; the text of one that is no JSON, "" for the
    end that a list lacks.

    Read in pieces, so that a file of any length takes the memory of its longest element. After a damaged element
    reading goes on where the next one begins: with the key that the first began with, behind a closed brace.
    """
    with source.open_bytes() as stream:
        piece = _Piece(TextIOWrapper(stream, encoding=source.encoding, errors="replace", newline=""))
        while piece.more():
            yield piece.take()
        if piece.in_list:
            yield ""


class _Piece:
    """The part of a text that is being read, and where in it reading stands."""

    def __init__(self, text: TextIOWrapper):
        self._text = text
        self._buffer = text.read(CHUNK).lstrip("\ufeff")
        self._at = 0
        self._next: re.Pattern | None = None
        self.in_list = True
        if found := _JOBS.search(self._buffer):
            self._at = found.end()
        elif self._buffer.lstrip()[:1] == "[":
            self._at = self._buffer.index("[") + 1
        else:
            self.in_list = False

    def more(self) -> bool:
        """Whether another element follows, in this list or in that of a further document."""
        while True:
            self._at = _BETWEEN.match(self._buffer, self._at).end()
            if self._at == len(self._buffer):
                if not self._read():
                    return False
            elif self._buffer[self._at] != "]":
                return True
            elif not self._enter_next_list():
                return False

    def _enter_next_list(self) -> bool:
        self.in_list = False
        while not (found := _JOBS.search(self._buffer, self._at)):
            self._at = max(self._at, len(self._buffer) - SHOWN)
            if not self._read():
                return False
        self._at, self.in_list = found.end(), True
        return True

    def take(self) -> dict | str:
        """The element here, or the text of a damaged one; stands behind it afterwards."""
        if self._next is None and (key := _FIRST_KEY.match(self._buffer, self._at)):
            self._next = re.compile(r"\}[\s,]*(?=\{\s*" + re.escape(key[1]) + r"\s*:)")
        while True:
            try:
                element, self._at = _DECODER.raw_decode(self._buffer, self._at)
                return element
            except RecursionError:
                return self._skip()
            except json.JSONDecodeError as error:
                cut_off = error.pos >= len(self._buffer) - 16 or error.msg.startswith("Unterminated string")
                if not (cut_off and len(self._buffer) - self._at < MAX_CHARACTERS and self._read()):
                    return self._skip()

    def _skip(self) -> str:
        shown = self._buffer[self._at : self._at + SHOWN]
        while self._next:
            if found := self._next.search(self._buffer, self._at):
                self._at = found.end()
                return shown
            self._at = max(self._at, len(self._buffer) - SHOWN)
            if not self._read():
                break
        self._at, self.in_list = len(self._buffer), False
        return shown

    def _read(self) -> bool:
        """Append what follows to what is left; false at the end."""
        more = self._text.read(CHUNK)
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        return bool(more)


# What is over 100 % is a sum over the job's GPUs, as in sacct's text.
_UTILISATION_OF_A_GPU = """
    update {table}
    set gpu_utilisation = least(gpu_utilisation / case when gpu_utilisation > 1 and gpus > 0 then gpus else 1 end, 1)
    where gpu_utilisation is not null"""


def _fields(job: dict) -> list[str | None]:
    """A job as sacct prints it, in the order of FIELDS."""
    time, tres, required = job["time"], job["tres"], job.get("required") or {}
    nodes = job.get("allocation_nodes")
    steps = job.get("steps") or []
    return [
        _job_id(job),
        job.get("name"),
        job.get("cluster") or job["association"].get("cluster"),
        job.get("partition"),
        job.get("qos"),
        job.get("account") or job["association"].get("account"),
        job.get("user") or job["association"].get("user"),
        _time(time["submission"]),
        _time(time["start"]),
        _time(time["end"]),
        _text(_number(time["elapsed"])),
        _text(_number(time.get("limit"))),
        _state(job["state"]),
        _text(_number(nodes)),
        _text(_number(required.get("CPUs"))),
        _memory(required),
        _tres(tres.get("allocated")),
        _energy(tres.get("allocated"), steps),
        _utilisation(steps),
        _text(_number(job.get("restart_cnt"))),
        job.get("nodes"),
    ]


def _job_id(job: dict) -> str:
    """12, 10_3 of an array, 10_[4-9] of its tasks that wait, 10+1 of a heterogeneous job, as sacct names them."""
    array, het = job.get("array") or {}, job.get("het") or {}
    if of_array := _number(array.get("job_id")):
        task = _number(array.get("task_id"))
        if task is not None:
            return f"{of_array}_{task}"
        if array.get("task"):
            return f"{of_array}_[{str(array['task']).strip('[]')}]"
    if of_het := _number(het.get("job_id")):
        return f"{of_het}+{_number(het.get('job_offset')) or 0}"
    return str(int(job["job_id"]))


def _number(value: object) -> int | float | None:
    """A number in any of Slurm's ways; None where it says that there is none."""
    if isinstance(value, dict):
        if not value.get("set") or value.get("infinite"):
            return None
        value = value.get("number")
    if value is None or value == "" or value in NO_NUMBER:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no number")
    return value


def _text(number: int | float | None) -> str | None:
    return None if number is None else str(number)


def _time(value: object) -> str | None:
    """Seconds since 1970 as a time; 0 is not set."""
    seconds = _number(value)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def _state(state: dict | list | str) -> str | None:
    """The state; where flags such as COMPLETING follow it, it comes first."""
    if isinstance(state, dict):
        state = state["current"]
    return (state[0] if state else None) if isinstance(state, list) else state


def _tres(entries: list[dict] | None) -> str | None:
    """A TRES list as sacct prints it, memory in megabytes: cpu=4,mem=40960,gres/gpu:a100=2."""
    printed = []
    for entry in entries or ():
        kind, name, count = entry["type"], entry.get("name"), _number(entry["count"])
        if count is not None:
            printed.append(f"{kind}/{name}={count}" if name else f"{kind}={count}")
    return ",".join(printed) or None


def _memory(required: dict) -> str | None:
    """Requested memory in megabytes: for each core (c), for each node (n), or of the job."""
    for name, unit in (("memory_per_cpu", "Mc"), ("memory_per_node", "Mn"), ("memory", "M")):
        if megabytes := _number(required.get(name)):
            return f"{megabytes}{unit}"
    return None


def _energy(allocated: list[dict] | None, steps: list[dict]) -> str | None:
    """Joules: the job's own, else its largest step's; steps overlap on a node, so that their sum would count twice."""
    joules = [_number(entry["count"]) for entry in allocated or () if entry["type"] == "energy"]
    if not any(joules):
        joules = [_number(((step.get("statistics") or {}).get("energy") or {}).get("consumed")) for step in steps]
    return _text(max((value for value in joules if value), default=None))


def _utilisation(steps: list[dict]) -> str | None:
    """GPU utilisation of the busiest step in per cent, as sacct's TRESUsageInAve has it."""
    used = []
    for step in steps:
        consumed = (step.get("tres") or {}).get("consumed") or {}
        usage = consumed.get("average") or consumed.get("total") or ()
        used += [_number(entry["count"]) for entry in usage if entry.get("name") == "gpuutil"]
    best = max((value for value in used if value is not None), default=None)
    return None if best is None else f"gres/gpuutil={best}"


READER = Reader("sacct_json", "jobs", "Slurm accounting as JSON (sacct --json), Slurm 21.08-24.11", detect, plan)
