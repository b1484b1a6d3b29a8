"""Measures the replay: a million jobs on 2,048 GPUs under each policy, how its cost grows, and accasim beside it.

Each measurement is a process of its own with one thread, so that its peak memory is its own; the compiled cache is
filled before. Seconds are those of the processor, within `replay`. A missed target is printed, not an error.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import pandas as pd

from dcbudget.models.replay import (
    CONSERVATIVE,
    EASY,
    FIFO,
    SHORTEST_FIRST,
    SMALLEST_FIRST,
    Cluster,
    Pool,
    replay,
    search,
)

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("DCBUDGET_REAL_DATA", ROOT.parent / "shared" / "real"))
SWF = REAL / "jobs/NASA-iPSC-1993-3.1-cln.swf.gz"
JOBS, SMALL, GPUS, LOAD = 1_000_000, 10_000, 2048, 0.97
POLICIES = {"fifo": FIFO, "easy": EASY, "conservative": CONSERVATIVE}
# Policy and placement -> seconds for a million jobs; on nodes, twice those of counted GPUs.
TARGETS = {("fifo", "count"): 2.0, ("fifo", "pack"): 4.0, ("easy", "count"): 10.0, ("easy", "pack"): 20.0,
           ("conservative", "count"): 60.0, ("conservative", "pack"): 120.0}  # fmt: skip
TARGET_MIB, TARGET_TIMES_ACCASIM = 2048, 500
ACCASIM, ACCASIM_JOBS = "accasim==1.1.3", 5_000
# Its own environment runs this: simulate a log under FIFO, print seconds and the mean wait.
SIMULATE = """
import collections, collections.abc, json, sys, time
for name in ("Mapping", "MutableMapping", "Sequence", "MutableSequence", "Iterable", "Callable", "Set", "Hashable"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
from accasim.base.simulator_class import Simulator
from accasim.base.scheduler_class import FirstInFirstOut
from accasim.base.allocator_class import FirstFit
log, system, folder = sys.argv[1:]
simulator = Simulator(log, system, FirstInFirstOut(FirstFit()), RESULTS_FOLDER_PATH=folder, statistics_output=False,
                      show_statistics=False)
begun = time.process_time()
simulator.start_simulation()
print("seconds", time.process_time() - begun)"""


def random_jobs(n: int) -> pd.DataFrame:
    """Jobs of 1 to 64 GPUs with lognormal run times, asking for 1 to 4 times what they need; the load is offered."""
    random = np.random.default_rng(1)
    gpus = random.choice([1, 1, 1, 2, 4, 8, 8, 16, 32, 64], n).astype(float)
    elapsed = np.ceil(random.lognormal(7, 1.2, n))
    gap = (gpus * elapsed).mean() / (GPUS * LOAD)
    submit = np.floor(np.cumsum(random.exponential(gap, n)))
    requested = np.ceil(elapsed * random.uniform(1, 4, n))
    return pd.DataFrame(
        {"submit_time": submit, "gpus": gpus, "elapsed_seconds": elapsed, "requested_seconds": requested}
    )


def measure(policy: str, placement: str, n: int) -> dict:
    """One replay, in this process."""
    cluster = Cluster(Pool("p", nodes=GPUS // 8, gpus_per_node=8))
    told = {"requested": "requested_seconds", "placement": placement}
    replay(random_jobs(50), cluster, POLICIES[policy], **told)
    jobs = random_jobs(n)
    begun = time.process_time()
    found = replay(jobs, cluster, POLICIES[policy], **told)
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return {"seconds": seconds, "mib": peak, "wait": found.metrics()["mean_wait_seconds"]}


def in_process(policy: str, placement: str, n: int) -> dict:
    """The same in a process of its own."""
    threads = {name: "1" for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", policy, placement, str(n)],
        env=os.environ | threads, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def verdict(met: bool) -> str:
    """As the other benchmarks print it."""
    return "ok" if met else "MISSED"


def policies(n: int) -> None:
    """A million jobs under each policy, and how the cost grew to that."""
    print(f"\n{n:,} jobs on {GPUS:,} GPUs at load {LOAD}, one thread; processor seconds")
    print(f"{'policy':14}{'placement':>10}{'seconds':>9}{'target':>8}{'':>8}{'/ count':>9}{'MiB':>7}"
          f"{'':>8}{'jobs/s':>11}{'exponent':>10}{'n log n':>9}")  # fmt: skip
    counted = {}
    for (policy, placement), target in TARGETS.items():
        small, found = in_process(policy, placement, SMALL), in_process(policy, placement, n)
        if placement == "count":
            counted[policy] = found["seconds"]
        target *= n / JOBS
        steps = math.log(n / SMALL)
        exponent = math.log(found["seconds"] / small["seconds"]) / steps if steps else math.nan
        bound = 1 + math.log(math.log(n) / math.log(SMALL)) / steps if steps else math.nan
        print(
            f"{policy:14}{placement:>10}{found['seconds']:9.2f}{target:8.2f}{verdict(found['seconds'] <= target):>8}"
            f"{found['seconds'] / counted[policy]:9.1f}"
            f"{found['mib']:7.0f}{verdict(found['mib'] < TARGET_MIB):>8}{n / found['seconds']:11,.0f}"
            f"{exponent:10.2f}{bound:9.2f} {verdict(exponent <= bound)}"
        )


def side_by_side() -> None:
    """The NASA log under FIFO here and in accasim, which gets an environment of its own."""
    print("\nthe NASA iPSC/860 log under FIFO, beside accasim")
    if not SWF.exists():
        print("skipped: no real inputs; set DCBUDGET_REAL_DATA to their folder")
        return
    fields = pd.read_csv(SWF, sep=r"\s+", comment=";", header=None)
    # denser than it was, so that jobs wait; accasim sleeps on after jobs of no time, so they take a second
    jobs = pd.DataFrame({"submit_time": fields[1] // 2, "elapsed_seconds": fields[3].clip(lower=1), "gpus": fields[4]})
    cluster = Cluster(Pool("iPSC/860", nodes=128, gpus_per_node=1))
    replay(jobs.head(50), cluster, FIFO)
    times = []
    for _ in range(5):
        begun = time.process_time()
        found = replay(jobs, cluster, FIFO)
        times.append(time.process_time() - begun)
    ours = len(jobs) / min(times)
    print(f"dcbudget  {ours:12,.0f} jobs/s   mean wait {found.metrics()['mean_wait_seconds']:.3f} s")
    first = jobs.head(ACCASIM_JOBS)
    wait = replay(first, cluster, FIFO).metrics()["mean_wait_seconds"]
    print(f"of the first {len(first):,} jobs: mean wait {wait:.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        try:
            theirs, their_wait = accasim(first, Path(folder))
        except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines() or ["nothing"]
            print(f"skipped: accasim does not run here, it says {said[-1]!r}")
            return
    print(f"accasim   {theirs:12,.0f} jobs/s   mean wait {their_wait:.3f} s")
    print(f"{ours / theirs:,.0f} x, target {TARGET_TIMES_ACCASIM} x {verdict(ours >= TARGET_TIMES_ACCASIM * theirs)}; "
          f"same mean wait: {verdict(abs(wait - their_wait) < 1e-3)}")  # fmt: skip


def accasim(jobs: pd.DataFrame, folder: Path) -> tuple[float, float]:
    """Jobs per second and the mean wait [seconds]."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ACCASIM, "setuptools<81"]
    subprocess.run(pip, check=True, capture_output=True, text=True, timeout=600)
    lines = [
        f"{n} {row.submit_time} -1 {row.elapsed_seconds} {row.gpus} -1 -1 {row.gpus} {row.elapsed_seconds} 0 1"
        " 1 1 1 1 1 -1 -1"
        for n, row in enumerate(jobs.itertuples(), 1)
    ]
    (folder / "log.swf").write_text("; UnixStartTime: 0\n" + "\n".join(lines) + "\n", encoding="utf-8")
    # one node of 128 cores: on 128 nodes of one core accasim takes many times as long
    system = {"groups": {"g0": {"core": 128, "mem": 128}}, "resources": {"g0": 1},
              "equivalence": {"processor": {"core": 1}}, "start_time": 0}  # fmt: skip
    (folder / "system.json").write_text(json.dumps(system), encoding="utf-8")
    (folder / "simulate.py").write_text(SIMULATE, encoding="utf-8")
    done = subprocess.run(
        [python, "simulate.py", "log.swf", "system.json", str(folder)],
        cwd=folder, check=True, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    seconds = float(done.stdout.split("seconds")[-1].split()[0])
    return len(jobs) / seconds, mean_wait(folder)


def mean_wait(folder: Path) -> float:
    """Of the schedule that accasim wrote: job;user;submitted__nodes__started;ended;..."""
    written = next(folder.glob("sched-*")).read_text(encoding="utf-8").splitlines()
    moments = [(line.split("__")[0].split(";")[2], line.split("__")[-1].split(";")[0]) for line in written if line]
    submitted, started = (pd.to_datetime(pd.Series(values)) for values in zip(*moments, strict=True))
    return float((started - submitted).dt.total_seconds().mean())


def orderings() -> None:
    """What searches for an order find on small cases, beside the proven bound; and what they take."""
    print("\norders of 12 jobs on 8 GPUs, means of five cases: mean wait above the proven bound, seconds")
    pool = Pool("p", nodes=1, gpus_per_node=8)
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(5):
        random = np.random.default_rng(seed)
        jobs = pd.DataFrame({"submit_time": np.append(0.0, random.integers(0, 8, 11)),
                             "gpus": random.integers(1, 9, 12),
                             "elapsed_seconds": random.integers(1, 13, 12).astype(float)})  # fmt: skip
        bound = search.exact(jobs, pool, slot_seconds=1)
        told = {"planned": "elapsed_seconds", "every_seconds": 1, "slot_seconds": 1}
        for each in (
            bound, search.searched(jobs, pool, "genetic"), search.searched(jobs, pool, "swarm"),
            search.programmed(jobs, pool, **told),
        ):  # fmt: skip
            gap = each.mean_wait_seconds / bound.bound_seconds - 1
            found.setdefault(each.method, []).append((gap, each.seconds))
        for policy in (FIFO, SHORTEST_FIRST, SMALLEST_FIRST, EASY):
            begun = time.perf_counter()
            replayed = replay(jobs, Cluster(pool), policy, requested="elapsed_seconds").metrics()
            gap = replayed["mean_wait_seconds"] / bound.bound_seconds - 1
            found.setdefault(policy.name, []).append((gap, time.perf_counter() - begun))
    for method, results in found.items():
        gap, seconds = np.mean(results, axis=0)
        print(f"{method:24}{gap:9.1%}{seconds:9.3f}")


def main() -> None:
    """All measurements, or one for `in_process`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=JOBS, help="jobs of the largest log")
    parser.add_argument("--measure", nargs=3, metavar=("POLICY", "PLACEMENT", "JOBS"), help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("policies", "accasim", "orderings"))
    told = parser.parse_args()
    if told.measure:
        print(json.dumps(measure(told.measure[0], told.measure[1], int(told.measure[2]))))
        return
    if told.only in (None, "policies"):
        policies(told.jobs)
    if told.only in (None, "accasim"):
        side_by_side()
    if told.only in (None, "orderings"):
        orderings()


if __name__ == "__main__":
    main()
