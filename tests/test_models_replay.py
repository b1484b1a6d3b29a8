"""Replays: traces worked by hand, closed forms, brute force, and a slow replay that agrees to the last digit."""

import math
from dataclasses import replace
from itertools import accumulate, pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as sampling
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.replay import (
    CONSERVATIVE,
    EASY,
    FAIR_SHARE,
    FIFO,
    GIVEN_ORDER,
    PRIORITY,
    SHORTEST_FIRST,
    SMALLEST_FIRST,
    Checkpoint,
    Cluster,
    Policy,
    Pool,
    grid,
    replay,
    sweep,
)
from replay_reference import Job, Promises, PromisesOnNodes, Reference

ONE = Cluster(Pool("one", nodes=1, gpus_per_node=1))
FOUR_TIMES_THREE = Cluster(Pool("twelve", nodes=3, gpus_per_node=4))
FOUR = Cluster(Pool("four", nodes=1, gpus_per_node=4, price_per_gpu_hour=2, busy_watts_per_gpu=1000,
                    idle_watts_per_gpu=100, pue=1.5))  # fmt: skip


def log(*rows, **columns) -> pd.DataFrame:
    """Jobs of (submit, gpus, elapsed)."""
    submit, gpus, elapsed = zip(*rows, strict=True)
    return pd.DataFrame({"submit_time": submit, "gpus": gpus, "elapsed_seconds": elapsed} | columns)


def starts(jobs, policy, cluster=FOUR, **more) -> list[float]:
    return replay(jobs, cluster, policy, **more).start.tolist()


# On four GPUs: 0 runs on 3 until 10; 1 needs all 4; 2 fits beside 0 and ends by 10; 3 fits too but lasts until 21.
TRACE = log((0, 3, 10), (1, 4, 5), (2, 1, 8), (3, 1, 18))


@pytest.mark.parametrize(
    "policy, expected",
    [
        (FIFO, [0, 10, 15, 15]),
        # 2 starts on the free GPU at 2, 3 waits for it until 10, and 1 until 3 has ended at 28
        (SMALLEST_FIRST, [0, 28, 2, 10]),
        (SHORTEST_FIRST, [0, 10, 15, 15]),
        (EASY, [0, 10, 2, 15]),
        (replace(EASY, order="smallest"), [0, 28, 2, 10]),
    ],
)
def test_by_hand(policy, expected):
    assert starts(TRACE, policy, requested="elapsed_seconds") == expected


# An independent answer: the reference.


def random_log(draw_or_seed, n=None) -> pd.DataFrame:
    random = np.random.default_rng(draw_or_seed)
    n = n or int(random.integers(1, 40))
    elapsed = random.integers(0, 60, n).astype(float)
    submit = random.integers(0, 5 * n + 1, n).astype(float)
    return pd.DataFrame({
        "submit_time": submit - submit.min(),
        "gpus": random.choice([1, 1, 2, 3, 4, 6, 8, 9, 12], n).astype(float), "elapsed_seconds": elapsed,
        "requested_seconds": np.maximum(elapsed + random.integers(-9, 40, n) * random.integers(0, 2, n), 1.0),
        "project": random.choice(list("abc"), n), "klass": random.integers(0, 3, n), "key": random.integers(0, 9, n),
    })  # fmt: skip


POLICIES = {
    "fifo": (FIFO, {}),
    "smallest": (SMALLEST_FIRST, {}),
    "shortest": (SHORTEST_FIRST, {}),
    "given": (GIVEN_ORDER, {"order": "key"}),
    "easy": (EASY, {}),
    "easy 2 deep": (replace(EASY, depth=2, order="shortest"), {}),
    "priority": (PRIORITY, {"priority": "klass", "checkpoint": Checkpoint()}),
    "priority easy": (replace(PRIORITY, backfill="easy"), {"priority": "klass", "checkpoint": Checkpoint(7, 3)}),
    "classes": (FIFO, {"priority": "klass"}),
    "conservative": (CONSERVATIVE, {}),
    "fair": (replace(FAIR_SHARE, half_life_seconds=50), {}),
    "fair easy": (
        replace(FAIR_SHARE, half_life_seconds=50, backfill="easy"), {"shares": {"a": 1, "b": 2, "c": 5}},
    ),
}  # fmt: skip
PLACED = {"count": {"placement": "count"}, "pack": {"placement": "pack"}, "spread": {"placement": "spread"},
          "anywhere": {"placement": "pack", "whole_nodes": False}}  # fmt: skip


def by_reference(jobs, policy: Policy, pool: Pool, *, placement, whole_nodes=True, priority=None, checkpoint=None,
                 order=None, shares=None) -> list[Job]:  # fmt: skip
    keys = {"smallest": jobs["gpus"], "shortest": jobs["requested_seconds"]}.get(policy.order)
    keys = jobs[order] if order else [0] * len(jobs) if keys is None else keys
    told = [
        Job(n, row.submit_time, row.elapsed_seconds, row.requested_seconds, int(row.gpus),
            row.klass if priority else 0, key, row.project)
        for n, (row, key) in enumerate(zip(jobs.itertuples(index=False), keys, strict=True))
    ]  # fmt: skip
    nodes, per_node = (1, pool.gpus) if placement == "count" else (pool.nodes, pool.gpus_per_node)
    checkpoint = checkpoint or Checkpoint()
    if policy.backfill == "conservative":
        if placement == "count":
            return Promises(told, pool.gpus).run()
        return PromisesOnNodes(told, nodes, per_node, placement == "spread", whole_nodes).run()
    return Reference(
        told, nodes, per_node, backfill=policy.backfill, depth=policy.depth, preemptive=policy.preemptive,
        half_life=policy.half_life_seconds if policy.order == "fair_share" else None, shares=shares,
        interval=checkpoint.interval_seconds, restart=checkpoint.restart_seconds, spread=placement == "spread",
        whole=whole_nodes,
    ).run()  # fmt: skip


@pytest.mark.parametrize("placed", PLACED)
@pytest.mark.parametrize("name", POLICIES)
def test_agrees_with_the_reference(name, placed):
    policy, more = POLICIES[name]
    pool = Pool("p", nodes=4, gpus_per_node=4)
    for seed in range(25):
        jobs = random_log(seed)
        found = replay(jobs, Cluster(pool), policy, requested="requested_seconds", **PLACED[placed], **more)
        expected = by_reference(jobs, policy, pool, **PLACED[placed], **more)
        assert found.start.tolist() == [job.start for job in expected], seed
        assert found.end.tolist() == [job.end for job in expected], seed
        assert found.by_job("preemptions").tolist() == [job.preemptions for job in expected], seed
        assert found.by_job("lost").tolist() == [job.lost for job in expected], seed


@pytest.mark.parametrize("placed", PLACED)
@pytest.mark.parametrize("order", ["fifo", "shortest", "smallest"])
@pytest.mark.parametrize("requested", ["requested_seconds", "elapsed_seconds", "enough"])
def test_conservative_agrees_with_the_reference(order, requested, placed):
    policy, pool = replace(CONSERVATIVE, order=order), Pool("p", nodes=4, gpus_per_node=4)
    for seed in range(40 if placed == "count" else 12):
        jobs = random_log(seed)
        jobs["requested_seconds"] = np.maximum(jobs["requested_seconds"], 1)
        if requested != "requested_seconds":
            more = jobs["requested_seconds"] % 17 if requested == "enough" else 0
            jobs["requested_seconds"] = jobs["elapsed_seconds"].clip(lower=1) + more
        found = replay(jobs, Cluster(pool), policy, requested="requested_seconds", **PLACED[placed])
        expected = by_reference(jobs, policy, pool, **PLACED[placed])
        assert found.start.tolist() == [job.start for job in expected], seed
        assert found.end.tolist() == [job.end for job in expected], seed
        if placed != "count":
            held = found.placements.groupby("row")[["node", "gpus"]]
            assert {row: dict(some.to_numpy().tolist()) for row, some in held} == {
                job.row: job.held for job in expected
            }
        if requested != "requested_seconds":
            # nobody starts later than was promised, and some start sooner
            assert (found.start <= found.by_job("promised")).all()


def test_conservative_backfill_on_nodes_by_hand():
    """Two nodes of four, with one GPU free on each: the fourth job of two needs them on one node."""
    cluster = Cluster(Pool("p", nodes=2, gpus_per_node=4))
    jobs = log((0, 3, 10), (0, 3, 6), (1, 4, 5), (2, 2, 4), (2, 1, 20))
    found = {name: replay(jobs, cluster, CONSERVATIVE, requested="elapsed_seconds", placement=name)
             for name in ("count", "pack")}  # fmt: skip
    # counted, the fourth job takes both of them at once, and the last waits for those that come free at 6
    assert found["count"].start.tolist() == [0, 0, 6, 2, 6]
    assert found["pack"].start.tolist() == [0, 0, 6, 10, 2]
    assert found["pack"].placements.set_index("row")["node"].to_dict() == {0: 0, 1: 1, 2: 1, 3: 0, 4: 0}


# Closed forms.


def test_one_gpu_is_lindleys_recursion():
    random = np.random.default_rng(3)
    n = 500
    submit, elapsed = np.floor(np.cumsum(random.exponential(10, n))), np.ceil(random.exponential(9, n))
    submit -= submit[0]
    wait = [0.0]
    for k in range(1, n):
        wait.append(max(0.0, wait[-1] + elapsed[k - 1] - (submit[k] - submit[k - 1])))
    found = replay(log(*zip(submit, np.ones(n), elapsed, strict=True)), ONE, FIFO)
    assert found.jobs["wait_seconds"].tolist() == wait
    assert max(wait) > 50


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival waits (Erlang 1917); load in Erlang."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def test_many_gpus_are_erlang_c():
    servers, load, n, runs = 4, 3.0, 20_000, 12
    means, waiting = [], []
    for seed in range(runs):
        random = np.random.default_rng(seed)
        jobs = log(*zip(np.cumsum(random.exponential(1 / load, n)), np.ones(n), random.exponential(1, n), strict=True))
        wait = replay(jobs, FOUR, FIFO).jobs["wait_seconds"].to_numpy()[2000:]
        means.append(wait.mean())
        waiting.append((wait > 0).mean())
    chance = erlang_c(servers, load)
    for values, expected in ((means, chance / (servers - load)), (waiting, chance)):
        error = np.std(values, ddof=1) / math.sqrt(runs)
        assert abs(np.mean(values) - expected) < 3 * error
        assert error < 0.03 * expected


def test_no_order_beats_the_best_of_all():
    """Brute force: the least total JCT over all orders of jobs that are there from the start."""
    random = np.random.default_rng(5)
    for n in range(2, 8):
        jobs = log(*zip(np.zeros(n), random.integers(1, 5, n), random.integers(1, 20, n), strict=True))
        gpus, elapsed = jobs["gpus"].tolist(), jobs["elapsed_seconds"].tolist()
        orders = list(permutations(range(n)))
        serial = [sum(accumulate(elapsed[job] for job in order)) for order in orders]
        for order, total in list(zip(orders, serial, strict=True))[:: max(len(orders) // 50, 1)]:
            found = replay(jobs, FOUR, GIVEN_ORDER, order=np.argsort(order)).end
            free, begun = [0.0] * 4, 0.0
            for job in order:
                free.sort()
                begun = max(begun, free[gpus[job] - 1])
                free[: gpus[job]] = [begun + elapsed[job]] * gpus[job]
                assert found[job] == begun + elapsed[job]
            assert replay(jobs.assign(gpus=1), ONE, GIVEN_ORDER, order=np.argsort(order)).end.sum() == total
        shortest = replay(jobs.assign(gpus=1), ONE, SHORTEST_FIRST, requested="elapsed_seconds").end.sum()
        assert min(serial) == shortest


# Invariants, over random logs.


def idle_while_waiting(found, jobs, gpus):
    """Share of the GPUs' time that was free while a job that had come and not ended held none, from what was held."""
    held = found.placements
    moments = np.unique(np.concatenate([held["from_seconds"], held["to_seconds"], jobs["submit_time"]]))
    free_seconds = 0.0
    for moment, after in pairwise(moments):
        holding = held[(held["from_seconds"] <= moment) & (held["to_seconds"] > moment)]
        there = np.flatnonzero((jobs["submit_time"] <= moment) & (found.end > moment))
        if not set(there) <= set(holding["row"]):
            free_seconds += (gpus - holding["gpus"].sum()) * (after - moment)
    return free_seconds / (gpus * found.end.max())


@sampling(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(POLICIES)), st.sampled_from(sorted(PLACED)))
def test_gpu_hours_are_conserved_and_no_gpu_is_used_twice(seed, name, placed):
    jobs, (policy, more) = random_log(seed), POLICIES[name]
    pool = Pool("p", nodes=4, gpus_per_node=4)
    found = replay(jobs, Cluster(pool), policy, requested="requested_seconds", **PLACED[placed], **more)
    held = found.placements
    seconds = (held["to_seconds"] - held["from_seconds"]) * held["gpus"]
    by_row = seconds.groupby(held["row"]).sum().reindex(range(len(jobs)), fill_value=0)
    extra = found.by_job("lost") + found.by_job("restarted")
    assert by_row.to_numpy() == pytest.approx((jobs["elapsed_seconds"] + extra) * jobs["gpus"])
    assert found.metrics()["allocated_gpu_hours"] == pytest.approx(seconds.sum() / 3600)
    for _, node in held.groupby("node"):
        changes = pd.concat([node.set_index("from_seconds")["gpus"], -node.set_index("to_seconds")["gpus"]])
        used = changes.groupby(level=0).sum().sort_index().cumsum()
        assert used.between(0, pool.gpus if placed == "count" else 4).all()
    assert (found.start >= jobs["submit_time"]).all()
    assert (found.jobs["wait_seconds"] >= -1e-9).all()
    assert found.metrics()["idle_while_waiting"] == pytest.approx(idle_while_waiting(found, jobs, pool.gpus))


@sampling(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_easy_never_delays_the_head(seed):
    """With perfect knowledge, no job starts later than where nobody that came after it had been."""
    jobs = random_log(seed).sort_values("submit_time", kind="stable", ignore_index=True)
    cluster = Cluster(Pool("p", nodes=2, gpus_per_node=8))
    found = replay(jobs, cluster, EASY, requested="elapsed_seconds")
    started = found.start
    for row in range(len(jobs)):
        # what ran or waited when the job came to the head: all before it, and those that had started by then
        came = max([started[k] for k in range(row)] + [jobs["submit_time"][row]])
        among = [k for k in range(len(jobs)) if k <= row or started[k] < came]
        pinned = np.where(np.arange(len(jobs)) == row, came, started)[among]
        alone = jobs.iloc[among].assign(submit_time=pinned)
        earliest = replay(alone, cluster, GIVEN_ORDER, order=(np.array(among) == row).astype(int))
        assert started[row] <= earliest.start[among.index(row)] + earliest.log.origin + 1e-9


# What cannot be replayed.


@pytest.mark.parametrize(
    "jobs, more, message",
    [
        (log((0, 1, 1)).iloc[:0], {}, "the log must hold at least one job"),
        (log((0, 1, 1)).drop(columns="gpus"), {}, "must have a column gpus; it has submit_time, elapsed_seconds"),
        (log((0, 1, 1)).drop(columns="elapsed_seconds"), {}, "a column elapsed_seconds, or start_time and end_time"),
        (log((0, 1, 1), (0, 5, 1)), {}, "at most the 4 of pool four; 1 of 2 jobs ask for more, the first, row 2, for"),
        (log((0, 1, 1), (0, 0, 1), job_id=["a", "b"]), {}, "gpus must be a number above 0.*the first, job b, has 0"),
        (log((0, 1, 1), (0, 1, -1)), {}, "elapsed_seconds must be a number at least 0.* row 2, has -1"),
        (log((0, 1, 1), (0, 1, math.nan)), {}, "elapsed_seconds must .* row 2, has none"),
        (log((0, 1, 1), (math.nan, 1, 1)), {}, "submit_time must be told for every job, row 2 has none"),
        (log((0, 1, 1), start_time=[5], end_time=[3]), {}, "end_time must not be before start_time; row 1 ends 2 s"),
        (log((0, 1, 1)), {"policy": EASY}, "requested must be given: EASY backfill plans by it"),
        (log((0, 1, 1)), {"policy": EASY, "requested": 0}, "requested must be a number above 0"),
        (log((0, 1, 1)), {"policy": EASY, "requested": "limit"}, "requested must be a column.* there is no 'limit'"),
        (log((0, 1, 1)), {"policy": EASY, "requested": [1, 2]}, "one value for each of the 1 jobs"),
        (log((0, 1, 1)), {"policy": PRIORITY, "priority": 1}, "checkpoint must be given"),
        (log((0, 1, 1)), {"policy": PRIORITY, "checkpoint": Checkpoint()}, "priority must be given"),
        (log((0, 1, 1)), {"policy": GIVEN_ORDER}, "order must be given"),
        (log((0, 1, 1)), {"policy": FAIR_SHARE}, "account must be a column"),
        (log((0, 1, 1)), {"placement": "tight"}, "placement must be one of count, pack, spread"),
        (log((0, 1, 1)), {"pool": "five"}, "pool must be one of four; row 1 has five"),
    ],
)  # fmt: skip
def test_bad_input_is_named(jobs, more, message):
    with pytest.raises(OutOfRange, match=message):
        replay(jobs, more.pop("cluster", FOUR), more.pop("policy", FIFO), **more)


# What was published, money and energy, and many replays at once.


@pytest.fixture(scope="module")
def nasa(real) -> pd.DataFrame:
    """The NASA iPSC/860 log: job, submit, run time, processors."""
    path = real / "jobs/NASA-iPSC-1993-3.1-cln.swf.gz"
    fields = pd.read_csv(path, sep=r"\s+", comment=";", header=None)
    return pd.DataFrame({"submit_time": fields[1], "elapsed_seconds": fields[3], "gpus": fields[4]})


@pytest.mark.real
@pytest.mark.parametrize("policy", [FIFO, EASY, CONSERVATIVE, SMALLEST_FIRST], ids=lambda policy: policy.name)
def test_nasa_log_holds_its_published_processor_hours(nasa, policy):
    found = replay(nasa, Cluster(Pool("iPSC/860", nodes=128, gpus_per_node=1)), policy, requested="elapsed_seconds")
    metrics = found.metrics()
    assert metrics["jobs"] == 18_239
    assert metrics["allocated_gpu_hours"] == pytest.approx(131_732.78, abs=0.005)
    # the log's times of submission are those of its starts, so that on the same machine hardly anybody waits
    assert metrics["median_wait_seconds"] == 0 and metrics["utilisation"] == pytest.approx(0.4667, abs=0.002)


def test_money_energy_and_deadlines_by_hand():
    jobs = log((0, 3, 3600), (0, 2, 1800), project=["a", None])
    found = replay(jobs, FOUR, FIFO, deadlines=[3600, 4600])
    metrics = found.metrics()
    # 3 GPUs for an hour and then 2 for half an hour, of 4 GPUs for 1.5 hours at 2; 1 kW busy, 0.1 kW idle, PUE 1.5
    assert metrics["makespan_seconds"] == 5400
    assert (metrics["capacity_gpu_hours"], metrics["allocated_gpu_hours"]) == (6, 4)
    assert (metrics["capacity_cost"], metrics["allocated_cost"], metrics["idle_cost"]) == (12, 8, 4)
    assert metrics["energy_kwh"] == pytest.approx((4 * 1 + 2 * 0.1) * 1.5)
    assert metrics["utilisation"] == pytest.approx(4 / 6)
    assert metrics["idle_while_waiting"] == pytest.approx(1 / 6)
    assert (metrics["deadlines"], metrics["deadlines_missed"], metrics["mean_tardiness_seconds"]) == (2, 1, 400)
    assert metrics["mean_slowdown"] == (1 + 5400 / 1800) / 2
    assert found.by("project")["gpu_hours"].tolist() == [3, 1]
    assert found.by("project")["deadlines_missed"].tolist() == [0, 1]


def test_fragments_of_nodes_by_hand():
    """Two nodes of four: two jobs of one GPU, and one of a whole node and a half."""
    cluster, jobs = Cluster(Pool("p", nodes=2, gpus_per_node=4)), log((0, 1, 10), (0, 1, 10), (0, 6, 10))
    found = {name: replay(jobs, cluster, FIFO, placement=name) for name in ("count", "pack", "spread")}
    assert [found[name].start[2] for name in found] == [0, 0, 10]
    assert found["pack"].placements.query("row == 2")[["node", "gpus"]].to_numpy().tolist() == [[1, 4], [0, 2]]
    spread = found["spread"].metrics()
    # from 0 to 10 six GPUs are free, all on nodes in part use; then two beside the larger job
    assert spread["held_by_nodes"] == pytest.approx(6 / 16) and spread["fragmentation"] == pytest.approx(1.0)


def test_a_preempted_job_keeps_its_work_up_to_the_last_checkpoint():
    jobs = log((0, 4, 100), (37, 4, 10))
    found = replay(jobs, FOUR, PRIORITY, priority=[0, 1], checkpoint=Checkpoint(10, 5))
    # 30 of 37 seconds are kept: from 47 on 5 seconds of restart and 70 of work
    assert found.end.tolist() == [122, 47]
    assert found.by_job("lost").tolist() == [7, 0] and found.by_job("restarted").tolist() == [5, 0]
    assert found.jobs["wait_seconds"].tolist() == [10, 0] and found.jobs["preemptions"].tolist() == [1, 0]
    assert found.metrics()["lost_gpu_hours"] == pytest.approx(4 * 12 / 3600)


def test_pools_serve_their_models_and_times_stay_timestamps():
    pools = Cluster([Pool("old", "A100", 1, 4), Pool("new", "H100", 1, 4)])
    jobs = log((0, 4, 60), (0, 4, 60), (0, 0.5, 60), gpu_model=["A100", "H100", "H100"])
    jobs["submit_time"] = pd.to_datetime(jobs["submit_time"], unit="s", origin="2026-01-01")
    found = replay(jobs, pools, FIFO).jobs
    assert found["pool"].tolist() == ["old", "new", "new"]
    assert found["start_time"].dt.second.tolist() == [0, 0, 0] and found["start_time"].dt.minute.tolist() == [0, 0, 1]
    with pytest.raises(OutOfRange, match=r"gpu_model must be that of a pool \(A100, H100\); 1 of 3 .* row 2, L4"):
        replay(jobs.assign(gpu_model=["A100", "L4", "H100"]), pools, FIFO)


def test_policies_on_one_log_differ_by_the_policy_alone():
    jobs = random_log(2, 60)
    cluster = Cluster(Pool("p", nodes=2, gpus_per_node=8))
    ran = [replay(jobs, cluster, policy, requested="elapsed_seconds") for policy in (FIFO, EASY, CONSERVATIVE)]
    assert len({one.metrics()["allocated_gpu_hours"] for one in ran}) == 1
    assert len({tuple(one.start) for one in ran}) == 3
    same = replay(jobs, cluster, FIFO.named("Other"), requested="elapsed_seconds")
    assert same.jobs.equals(ran[0].jobs) and same.placements.equals(ran[0].placements)


@pytest.mark.parametrize("processes", [1, 2])
def test_sweep_is_its_single_runs(processes):
    jobs = random_log(2, 60)
    clusters = {f"{nodes} nodes": Cluster(Pool("p", nodes=nodes)) for nodes in (2, 3)}
    seen = []
    cases = grid(clusters, [FIFO, EASY], requested="requested_seconds")
    found = sweep(jobs, cases, processes=processes, on_progress=lambda *told: seen.append(told))
    assert [(done, of) for done, of, _ in seen] == [(n, 4) for n in range(1, 5)]
    assert sorted(name for *_, name in seen) == sorted(found["case"])
    for (_, row), case in zip(found.iterrows(), cases, strict=True):
        alone = replay(jobs, case.cluster, case.policy, **case.arguments).metrics()
        assert row["case"] == case.name
        assert {name: row[name] for name in alone} == pytest.approx(alone, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("processes", [1, 2])
def test_sweep_can_be_cancelled(processes):
    clusters = {f"{nodes} nodes": Cluster(Pool("p", nodes=nodes)) for nodes in range(2, 12)}
    seen = []
    found = sweep(random_log(2, 20), grid(clusters, [FIFO]), processes=processes,
                  on_progress=lambda *told: seen.append(told), cancelled=lambda: len(seen) >= 2)  # fmt: skip
    assert 2 <= len(found) <= 2 + 2 * processes
    assert len(found) == len(seen)


@pytest.mark.parametrize("seed", range(5))
def test_the_quick_way_in_order_is_the_engine(seed):
    """One class that preempts nobody is first come, first served, by the event loop."""
    jobs = random_log(seed, 40)
    quick = replay(jobs, FOUR_TIMES_THREE, FIFO)
    slow = replay(jobs, FOUR_TIMES_THREE, PRIORITY, priority=0, checkpoint=Checkpoint())
    pd.testing.assert_frame_equal(quick.jobs, slow.jobs)
    held = ["row", "from_seconds"]
    pd.testing.assert_frame_equal(
        *(each.placements.sort_values(held, ignore_index=True) for each in (quick, slow)), check_dtype=False
    )
    assert quick.metrics() == pytest.approx(slow.metrics(), nan_ok=True)
