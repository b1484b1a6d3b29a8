"""Orders that are searched for, against all orders there are and a proven bound."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models.replay import FIFO, GIVEN_ORDER, SHORTEST_FIRST, Cluster, Pool, replay
from dcbudget.models.replay.search import brute_force, evaluator, exact, programmed, searched

POOL = Pool("four", nodes=1, gpus_per_node=4)


def log(seed: int, n: int = 6) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({
        "submit_time": np.append(0.0, random.integers(0, 8, n - 1)), "gpus": random.integers(1, 5, n),
        "elapsed_seconds": random.integers(1, 12, n).astype(float),
    })  # fmt: skip


def mean_wait(jobs: pd.DataFrame, policy, **more) -> float:
    return replay(jobs, Cluster(POOL), policy, **more).metrics()["mean_wait_seconds"]


def test_the_evaluator_is_the_replay():
    jobs, keys = log(0, 30), np.random.default_rng(1).random(30)
    assert evaluator(jobs, POOL)(keys) == pytest.approx(mean_wait(jobs, GIVEN_ORDER, order=keys), abs=1e-9)


def test_weights_by_hand():
    """On one GPU: 3 s and 1 s, both there at 0; the second waits 3 s in the order of the log."""
    jobs = pd.DataFrame({"submit_time": [0.0, 0.0], "gpus": [1, 1], "elapsed_seconds": [3.0, 1.0]})
    one = Pool("one", nodes=1, gpus_per_node=1)
    assert evaluator(jobs, one, [1, 3])(np.array([0.0, 1.0])) == 9 / 4
    assert brute_force(jobs, one).mean_wait_seconds == 0.5
    assert brute_force(jobs, one, weights=[9, 1]).mean_wait_seconds == 3 / 10


@pytest.mark.parametrize("seed", range(3))
def test_searches_find_the_best_of_all_orders_of_small_logs(seed):
    jobs = log(seed)
    best = brute_force(jobs, POOL)
    assert best.mean_wait_seconds == mean_wait(jobs, GIVEN_ORDER, order=best.order)
    assert best.mean_wait_seconds <= mean_wait(jobs, FIFO)
    for method in ("genetic", "swarm"):
        found = searched(jobs, POOL, method, evaluations=600)
        assert found.mean_wait_seconds == pytest.approx(best.mean_wait_seconds), method
        assert mean_wait(jobs, GIVEN_ORDER, order=found.order) == pytest.approx(found.mean_wait_seconds)
        assert found.evaluations >= 600


@pytest.mark.parametrize("seed", range(3))
def test_no_order_waits_less_than_the_proven_bound(seed):
    jobs = log(seed)
    proven = exact(jobs, POOL, slot_seconds=1)
    assert proven.bound_seconds == pytest.approx(proven.mean_wait_seconds, abs=1e-6)
    assert proven.mean_wait_seconds <= brute_force(jobs, POOL).mean_wait_seconds + 1e-6


def test_the_bound_is_reached_where_all_are_there_on_one_gpu():
    """Shortest first is best then (Smith's rule), for the programme, for all orders and for the rolling horizon."""
    random = np.random.default_rng(3)
    jobs = pd.DataFrame({"submit_time": 0.0, "gpus": 1, "elapsed_seconds": random.permutation(6) + 1.0})
    one = Pool("one", nodes=1, gpus_per_node=1)
    shortest = replay(jobs, Cluster(one), SHORTEST_FIRST, requested="elapsed_seconds").metrics()["mean_wait_seconds"]
    assert exact(jobs, one, slot_seconds=1).mean_wait_seconds == pytest.approx(shortest)
    assert brute_force(jobs, one).mean_wait_seconds == pytest.approx(shortest)
    rolling = programmed(jobs, one, planned="elapsed_seconds", every_seconds=50, slot_seconds=1, slots=25)
    assert rolling.mean_wait_seconds == pytest.approx(shortest) and rolling.evaluations == 1


def test_a_rolling_horizon_beats_first_come_first_served_and_knows_no_job_to_come():
    jobs = log(5, 16)
    how = {"planned": "elapsed_seconds", "every_seconds": 2, "slot_seconds": 1, "slots": 20, "window": 6, "gap": 0.0}
    found = programmed(jobs, POOL, **how)
    assert found.mean_wait_seconds < 0.9 * mean_wait(jobs, FIFO)
    # a crowd that comes later changes nothing of what was started before
    later = pd.DataFrame({"submit_time": 30.0, "gpus": 4, "elapsed_seconds": [1.0] * 5})
    more = programmed(pd.concat([jobs, later], ignore_index=True), POOL, **how)
    before = found.order < 30
    assert before.sum() >= 5 and np.allclose(found.order[before], more.order[: len(jobs)][before], atol=1e-6)


def test_the_same_seed_finds_the_same_order():
    jobs = log(7, 20)
    first, again, other = (searched(jobs, POOL, "genetic", evaluations=300, seed=seed) for seed in (1, 1, 2))
    assert (first.order == again.order).all() and (first.order != other.order).any()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: searched(log(0), POOL, "guess"), "method must be one of genetic, swarm"),
        (lambda: searched(log(0), POOL, "swarm", evaluations=1), "evaluations must be"),
        (lambda: brute_force(log(0, 9), POOL), "number of jobs that are tried in all orders"),
        (lambda: exact(log(0), POOL, slot_seconds=5), "slot_seconds must divide"),
        (lambda: evaluator(log(0), POOL, weights=[0] * 6), "weights must be above 0"),
        (lambda: programmed(log(0), POOL, planned="elapsed_seconds", every_seconds=1, slot_seconds=2),
         "every_seconds must be at least slot_seconds"),
        (lambda: searched(log(0).head(0), POOL, "swarm"), "at least one job"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched(call, message):
    with pytest.raises(OutOfRange, match=message):
        call()
