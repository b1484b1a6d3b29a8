"""The job log as text: what `sacct --parsable2` prints, one gzip file a month of submission.

Every job that started has a second row, its batch step, which alone carries the measured usage; a reader
that counts steps as jobs counts twice.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from .catalog import GPU_MEMORY_MB, GPU_WATTS_IDLE, GPU_WATTS_MAX, INFERENCE, PARTITIONS, PROJECTS, TEAMS
from .jobs import STATES
from .window import Window

HEADER = (
    "JobID|JobName|User|Account|Cluster|Partition|QOS|State|Submit|Start|End|Elapsed|Timelimit|NNodes|"
    "NCPUS|ReqMem|ReqTRES|AllocTRES|ConsumedEnergyRaw|TRESUsageInAve|NodeList"
)
JOB_NAMES = ("train", "finetune", "sweep", "eval", "embed", "preprocess", "debug", "notebook")
SERVING_NAMES = ("serve", "batch-infer", "embed", "eval", "canary", "loadtest", "debug", "index")
CPU_ONLY_CPUS, CPU_ONLY_MEMORY_GB = 16, 64
FIRST_UID = 1200
# What the batch step of a job reports where it differs from the job's own end state.
STEP_STATES = {"TIMEOUT": "CANCELLED", "NODE_FAIL": "CANCELLED", "PREEMPTED": "CANCELLED"}
GZIP_LEVEL = 5


def clock_text(seconds: int) -> str:
    """Return a duration as Slurm writes it: [D-]HH:MM:SS."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{days}-{text}" if days else text


@cache
def node_list(prefix: str, mask: int) -> str:
    """Return a node mask as a Slurm host list, such as h100-[001-004,007]."""
    numbers = [n + 1 for n in range(mask.bit_length()) if mask >> n & 1]
    if len(numbers) == 1:
        return f"{prefix}-{numbers[0]:03d}"
    ranges, first = [], numbers[0]
    for left, right in zip(numbers, [*numbers[1:], 0], strict=True):
        if right != left + 1:
            ranges.append(f"{first:03d}" if first == left else f"{first:03d}-{left:03d}")
            first = right
    return f"{prefix}-[{','.join(ranges)}]"


@cache
def resources(partition: int, gpus: int) -> tuple[int, int, str, str, str, str]:
    """Return nodes, CPUs, requested memory, ReqTRES, the job's AllocTRES and its batch step's."""
    spec = PARTITIONS[partition]
    nodes = max(1, gpus // 8)
    cpus = gpus * spec.cpus_per_gpu or CPU_ONLY_CPUS
    memory = gpus * spec.memory_gb_per_gpu or CPU_ONLY_MEMORY_GB

    def tres(count: int, host: int, typed: bool) -> str:
        kind = f"gres/gpu:{spec.gpu_model.lower()}={count}," if typed else ""
        gres = f"{kind}gres/gpu={count}," if count else ""
        return f"cpu={max(1, cpus * host // nodes)},{gres}mem={memory * host // nodes}G,node={host}"

    wanted = f"billing={cpus},{tres(gpus, nodes, False)}"
    given = f"billing={cpus},{tres(gpus, nodes, True)}"
    return nodes, cpus, f"{memory}G", wanted, given, tres(min(gpus, 8), 1, True)


def energy_joules(log: pd.DataFrame) -> np.ndarray:
    """Return the energy of each job's GPUs and a fifth on top for the rest of its node, in joules.

    Power of a GPU is taken as linear in utilisation between its idle and its maximum board power.
    """
    idle = np.array([GPU_WATTS_IDLE[p.gpu_model] for p in PARTITIONS])[log["partition"]]
    most = np.array([GPU_WATTS_MAX[p.gpu_model] for p in PARTITIONS])[log["partition"]]
    watts = log["gpus"] * (idle + (most - idle) * log["util"]) * 1.2 + np.where(log["gpus"] == 0, 90, 0)
    return (watts * log["elapsed"]).round().astype(np.int64).to_numpy()


def _times(seconds: pd.Series) -> list[str]:
    return np.datetime_as_string(seconds.to_numpy().clip(0).astype("M8[s]")).tolist()


def _names(rng: np.random.Generator, log: pd.DataFrame) -> list[str]:
    pick = rng.integers(0, len(JOB_NAMES), len(log))
    serving = (log["partition"] == INFERENCE).to_numpy()
    names = np.where(serving, np.array(SERVING_NAMES)[pick], np.array(JOB_NAMES)[pick])
    # The tasks of an array share one name.
    array = log["array"].to_numpy()
    first = np.arange(len(log))
    first[array >= 0] = pd.Series(first).groupby(array).transform("min")[array >= 0]
    names = names[first]
    names[(log["retry"] >= 0).to_numpy()] = "recommendation-foundation"
    return names.tolist()


def lines(rng: np.random.Generator, log: pd.DataFrame) -> list[str]:
    """Return one text a job: its row, and the row of its batch step where it started."""
    memory_share = rng.uniform(0.25, 0.95, len(log)).tolist()
    names, joules = _names(rng, log), energy_joules(log).tolist()
    submits, starts, ends = _times(log["submit"]), _times(log["start"]), _times(log["end"])
    teams = [TEAMS[p] for p in PROJECTS]
    rows = log[
        [
            "job_id",
            "partition",
            "project",
            "state",
            "gpus",
            "user",
            "limit",
            "elapsed",
            "mask",
            "util",
            "start",
            "end",
        ]
    ].itertuples(index=False, name=None)
    out = []
    for i, (job, part, project, code, gpus, user, limit, elapsed, mask, util, start, end) in enumerate(rows):
        spec, state = PARTITIONS[part], STATES[code]
        nodes, cpus, memory, wanted, given, step_given = resources(part, gpus)
        account = teams[project][user % len(teams[project])]
        qos = "preemptible" if spec.name == "cloud-spot" else "high" if nodes >= 8 else "normal"
        missing = "None" if state == "CANCELLED" else "Unknown"
        begin = starts[i] if start >= 0 else missing
        stop = ends[i] if end >= 0 else "Unknown"
        spent = clock_text(elapsed)
        # A CPU-only job holds no GPU, so the scheduler gave it no node: it sits on the partition's first.
        hosts = node_list(spec.node_name, mask or 1) if start >= 0 else "None assigned"
        word = f"CANCELLED by {FIRST_UID + user}" if state == "CANCELLED" else state
        energy = joules[i] if start >= 0 else ""
        out.append(
            f"{job}|{names[i]}|u{user:03d}|{account}|{spec.cluster}|{spec.name}|{qos}|{word}|{submits[i]}|"
            f"{begin}|{stop}|{spent}|{clock_text(limit)}|{nodes}|{cpus}|{memory}|{wanted}|"
            f"{given if start >= 0 else ''}|{energy}||{hosts}\n"
        )
        if start < 0:
            continue
        used = int(int(memory[:-1]) * memory_share[i] / nodes * 2**20)
        usage = f"cpu={clock_text(elapsed * cpus * 0.4 // nodes)},mem={used}K"
        if gpus:
            held = GPU_MEMORY_MB[spec.gpu_model] * memory_share[i] * min(gpus, 8)
            usage += f",gres/gpumem={held:.0f}M,gres/gpuutil={100 * util:.0f}"
        out.append(
            f"{job}.batch|batch||{account}|{spec.cluster}|||{STEP_STATES.get(state, state)}|{begin}|{begin}|"
            f"{stop}|{spent}||1|{max(1, cpus // nodes)}|||{step_given}|{energy}|"
            f"{'' if state == 'RUNNING' else usage}|{node_list(spec.node_name, mask & -mask or 1)}\n"
        )
    return out


def write_gzip(path: Path, text: str) -> None:
    """Write text to a gzip file whose bytes depend on the text alone."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed:
        packed.write(text.encode())


def write_jobs(rng: np.random.Generator, folder: Path, log: pd.DataFrame, window: Window) -> list[Path]:
    """Write the job log by month of submission; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = lines(rng, log)
    started = (log["start"] >= 0).to_numpy()
    last_line = np.cumsum(1 + started)
    months, paths = window.month_of(log["submit"].to_numpy()), []
    for m, name in enumerate(window.months):
        here = np.flatnonzero(months == m)
        first = last_line[here[0]] - 1 - started[here[0]] if len(here) else 0
        body = text[first : last_line[here[-1]]] if len(here) else []
        path = folder / f"sacct_{name}.txt.gz"
        write_gzip(path, HEADER + "\n" + "".join(body))
        paths.append(path)
    return paths
