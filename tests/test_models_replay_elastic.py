"""Elastic jobs and clusters, reservations, load balancing, money of waiting: by hand, at their limits, conserved."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models.replay import FIFO, Cluster, Pool, replay
from dcbudget.models.replay.balance import balance
from dcbudget.models.replay.elastic import Renting, replay_elastic, replay_renting, speed_up
from dcbudget.models.replay.reservation import Reservation, gained, replay_reserved
from dcbudget.models.replay.waiting import cheapest, with_money

FOUR = Pool("four", nodes=1, gpus_per_node=4, price_per_gpu_hour=2.0)


def log(*rows, **columns) -> pd.DataFrame:
    """Jobs of (submit, gpus, elapsed)."""
    submit, gpus, elapsed = zip(*rows, strict=True)
    return pd.DataFrame({"submit_time": submit, "gpus": gpus, "elapsed_seconds": elapsed} | columns)


def random_log(seed: int, n: int = 80) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({
        "submit_time": np.append(0.0, random.integers(0, 6 * n, n - 1)), "gpus": random.integers(1, 5, n),
        "elapsed_seconds": random.integers(1, 30, n).astype(float), "project": random.choice(list("ab"), n),
    })  # fmt: skip


# Jobs that shrink and grow.


def test_a_job_takes_what_is_free_and_gives_it_back_by_hand():
    """At perfect scaling: 0 has 40 GPU-seconds and all four GPUs; at 4 it gives two to 1, which has 8 GPU-seconds.

    0 has done 16 by then, has 24 left; from 4 to 8 it does 8 on two; alone again it does the last 16 in 4 s.
    """
    found = replay_elastic(log((0, 4, 10), (4, 2, 4)), FOUR, least=[1, 2], most=[4, 2], exponent=1.0)
    assert found.jobs["start_seconds"].tolist() == [0, 4] and found.jobs["end_seconds"].tolist() == [12, 8]
    assert found.jobs["resizes"].tolist() == [2, 0] and found.utilisation == 1
    assert found.jobs["gpu_hours"].tolist() == pytest.approx([40 / 3600, 8 / 3600])


def test_a_resize_holds_gpus_without_progress():
    """As above, but each of the two resizes of 0 takes 1 s on two and on four GPUs: 2 and 4 GPU-seconds are lost."""
    found = replay_elastic(log((0, 4, 10), (4, 2, 4)), FOUR, least=[1, 2], most=[4, 2], exponent=1.0, resize_seconds=1)
    assert found.jobs["end_seconds"].tolist() == [13.5, 8]
    assert found.jobs["gpu_hours"].sum() == pytest.approx((48 + 6) / 3600)


def test_gpus_go_where_they_speed_up_most():
    """At exponent 0.5 the third GPU of one job gains less than the second of another: two each."""
    found = replay_elastic(log((0, 1, 10), (0, 1, 10)), FOUR, least=1, most=4, exponent=0.5)
    assert found.jobs["mean_gpus"].tolist() == [2, 2]
    assert found.jobs["end_seconds"].tolist() == pytest.approx([10 / speed_up(2, 0.5)] * 2)


@pytest.mark.parametrize("seed", range(3))
def test_rigid_jobs_are_first_come_first_served(seed):
    jobs = random_log(seed)
    found = replay_elastic(jobs, FOUR, least="gpus", most="gpus", exponent=0.8)
    assert found.jobs["start_seconds"].to_numpy() == pytest.approx(replay(jobs, Cluster(FOUR), FIFO).start)
    assert found.jobs["gpu_hours"].to_numpy() == pytest.approx(jobs["gpus"] * jobs["elapsed_seconds"] / 3600)


@pytest.mark.parametrize("seed", range(3))
def test_work_is_conserved_at_perfect_scaling_and_never_waits_longer(seed):
    jobs = random_log(seed)
    rigid = replay(jobs, Cluster(FOUR), FIFO)
    found = replay_elastic(jobs, FOUR, least=1, most=4, exponent=1.0)
    assert found.jobs["gpu_hours"].sum() == pytest.approx((jobs["gpus"] * jobs["elapsed_seconds"]).sum() / 3600)
    assert found.utilisation <= 1 + 1e-9 and found.makespan_seconds <= rigid.end.max() + 1e-6
    assert found.jobs["wait_seconds"].mean() <= rigid.jobs["wait_seconds"].mean()


# Clusters that rent.


def test_a_node_is_rented_and_given_back_by_hand():
    """1 needs two GPUs beyond the four: a node of two comes 5 s after 1 was submitted, at 6, and is idle from 16 on."""
    renting = Renting(1, 2, 10.0, startup_seconds=5, minimum_seconds=8, idle_seconds=3)
    found = replay_renting(log((0, 4, 100), (1, 2, 10)), FOUR, renting)
    assert found.jobs["start_seconds"].tolist() == [0, 6]
    assert found.nodes[["from_seconds", "to_seconds", "billed_seconds"]].values.tolist() == [[6, 19, 13]]
    assert found.rented_gpu_hours == pytest.approx(26 / 3600) and found.rented_cost == pytest.approx(260 / 3600)
    assert found.own_cost == pytest.approx(4 * 100 / 3600 * 2)


def test_the_least_billing_is_paid():
    renting = Renting(1, 2, 10.0, minimum_seconds=60)
    found = replay_renting(log((0, 4, 100), (1, 2, 10)), FOUR, renting)
    assert found.jobs["start_seconds"].tolist() == [0, 1] and found.nodes["billed_seconds"].tolist() == [60]


def test_no_more_nodes_than_allowed_are_rented_and_each_is_billed_until_it_goes():
    jobs = random_log(1)
    found = replay_renting(jobs, FOUR, Renting(2, 2, 1.0, 3, 10, 5))
    edges = [(t, 1) for t in found.nodes["from_seconds"]] + [(t, -1) for t in found.nodes["to_seconds"]]
    assert max(np.cumsum([step for _, step in sorted(edges, key=lambda edge: (edge[0], edge[1]))])) <= 2
    assert (found.nodes["to_seconds"] - found.nodes["from_seconds"] >= 10).all()
    assert found.rented_cost == pytest.approx(found.nodes["billed_seconds"].sum() * 2 / 3600)
    # never more GPUs in use than own and rented ones
    for moment in found.jobs["start_seconds"]:
        running = (found.jobs["start_seconds"] <= moment) & (found.jobs["end_seconds"] > moment)
        nodes = ((found.nodes["from_seconds"] <= moment) & (found.nodes["to_seconds"] > moment)).sum()
        assert jobs["gpus"][running].sum() <= 4 + 2 * nodes


@pytest.mark.parametrize("seed", range(3))
def test_without_renting_it_is_first_come_first_served(seed):
    jobs = random_log(seed)
    found = replay_renting(jobs, FOUR, Renting(0, 8, 1.0))
    assert (found.jobs["start_seconds"].to_numpy() == replay(jobs, Cluster(FOUR), FIFO).start).all()
    assert found.nodes.empty and found.rented_cost == 0
    more = replay_renting(jobs, FOUR, Renting(3, 4, 1.0))
    assert more.jobs["wait_seconds"].mean() < found.jobs["wait_seconds"].mean()


# Reservations.


@pytest.mark.parametrize("seed", range(3))
def test_without_a_reservation_it_is_first_come_first_served(seed):
    jobs = random_log(seed)
    fifo = replay(jobs, Cluster(FOUR), FIFO).start
    for none in (None, Reservation(["a"], 0), Reservation(["a"], 4, [(1e6, 2e6)])):
        assert (replay_reserved(jobs, FOUR, none)["start_seconds"].to_numpy() == fifo).all()


def test_a_share_is_held_by_hand():
    """Two GPUs are a's: b's second job waits beside two free ones, a's job starts at once."""
    jobs = log((0, 2, 10), (1, 2, 10), (2, 2, 10), project=["b", "b", "a"])
    assert replay_reserved(jobs, FOUR, Reservation(["a"], 2))["start_seconds"].tolist() == [0, 10, 2]
    assert replay_reserved(jobs, FOUR, None)["start_seconds"].tolist() == [0, 1, 10]


def test_a_window_is_kept_free_by_planned_times():
    """From 10 to 20 all GPUs are a's. b's job of 9 s ends before, that of 12 s starts after, though GPUs are free."""
    jobs = log((0, 4, 9), (0, 4, 12), (10, 4, 5), project=["b", "b", "a"])
    assert replay_reserved(jobs, FOUR, Reservation(["a"], 4, [(10, 20)]))["start_seconds"].tolist() == [0, 20, 10]


@pytest.mark.parametrize("seed", range(3))
def test_nobody_else_uses_what_is_reserved(seed):
    jobs = random_log(seed).assign(gpus=lambda frame: frame["gpus"].clip(upper=2))
    found = replay_reserved(jobs, FOUR, Reservation(["a"], 2))
    for moment in found["start_seconds"]:
        running = (found["start_seconds"] <= moment) & (found["end_seconds"] > moment)
        assert jobs["gpus"][running].sum() <= 4
        assert jobs["gpus"][running & ~found["important"]].sum() <= 2
    table = gained(replay_reserved(jobs, FOUR, None), found, jobs["project"])
    assert (
        table["group"].tolist() == ["a", "b"] and table["change_seconds"].iloc[0] < 0 < table["change_seconds"].iloc[1]
    )
    assert table["jobs"].sum() == len(jobs)


# Load balancing.


def test_balanced_by_load_by_hand():
    """Each goes where it ends first: 0 to east (both are free), 1 to west, 2 to east at 10, 3 to west at 20."""
    pools = Cluster([Pool("east", nodes=1, gpus_per_node=1), Pool("west", nodes=1, gpus_per_node=1)])
    jobs = log((0, 1, 10), (0, 1, 20), (1, 1, 15), (2, 1, 3))
    sent = balance(jobs, pools, planned="elapsed_seconds")
    assert sent["pool"].tolist() == ["east", "west", "east", "west"]
    assert sent["expected_wait_seconds"].tolist() == [0, 0, 9, 18]
    found = replay(jobs, pools, FIFO, pool=sent["pool"].to_numpy(), elapsed=sent["elapsed_seconds"].to_numpy())
    assert (found.start - jobs["submit_time"]).tolist() == [0, 0, 9, 18]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_expected_with_perfect_knowledge_comes(seed):
    jobs = random_log(seed)
    pools = Cluster([Pool("east", nodes=1, gpus_per_node=4), Pool("west", nodes=1, gpus_per_node=6)])
    sent = balance(jobs, pools, planned="elapsed_seconds")
    found = replay(jobs, pools, FIFO, pool=sent["pool"].to_numpy())
    assert (found.start - jobs["submit_time"]).to_numpy() == pytest.approx(sent["expected_wait_seconds"].to_numpy())
    assert set(sent["pool"]) == {"east", "west"}


def test_cheap_pools_are_waited_for_as_long_as_patience_lasts():
    pools = Cluster([Pool("dear", nodes=1, gpus_per_node=1, price_per_gpu_hour=3),
                     Pool("cheap", nodes=1, gpus_per_node=1, price_per_gpu_hour=1)])  # fmt: skip
    jobs = log((0, 1, 10), (0, 1, 10), (0, 1, 10))
    how = {"rule": "price", "planned": "elapsed_seconds"}
    sent = {wait: balance(jobs, pools, **how, patience_seconds=wait)["pool"].tolist() for wait in (0, 10, 20)}
    assert sent == {0: ["cheap", "dear", "cheap"], 10: ["cheap", "cheap", "dear"], 20: ["cheap", "cheap", "cheap"]}


def test_energy_goes_by_the_hours_of_the_day():
    """At 22:00 UTC a job of four hours: east is cheap by day, west by night."""
    pools = Cluster([Pool(name, nodes=1, gpus_per_node=1, busy_watts_per_gpu=500) for name in ("east", "west")])
    jobs = pd.DataFrame({"submit_time": pd.to_datetime(["2026-05-01 22:00", "2026-05-02 09:00"]), "gpus": 1,
                         "elapsed_seconds": 4 * 3600.0})  # fmt: skip
    hour = np.arange(24)
    prices = {"east": np.where((hour >= 8) & (hour < 20), 0.1, 0.3), "west": np.full(24, 0.2)}
    sent = balance(jobs, pools, "energy", planned="elapsed_seconds", energy_price=prices)
    assert sent["pool"].tolist() == ["west", "east"]


def test_who_can_run_where_and_how_fast():
    pools = Cluster([Pool("slow", nodes=1, gpus_per_node=2), Pool("fast", nodes=1, gpus_per_node=2)])
    jobs = log((0, 1, 10), (0, 1, 10), (0, 2, 10))
    speed = pd.DataFrame({"slow": 1.0, "fast": 2.0}, index=jobs.index)
    able = pd.DataFrame({"slow": [True, True, True], "fast": [True, False, True]})
    sent = balance(jobs, pools, planned="elapsed_seconds", speed=speed, able=able)
    assert sent["pool"].tolist() == ["fast", "slow", "fast"] and sent["elapsed_seconds"].tolist() == [5, 10, 5]


# The money of waiting.

FRONTIER = pd.DataFrame({"gpus": [8, 16, 24, 32], "waited_hours": [1000.0, 200, 150, 149]})


def test_money_of_waiting_by_hand():
    table = with_money(FRONTIER, "gpus", gpu_price_per_hour=2, hours=10, waiting_price_per_hour=50, people_share=0.1)
    assert table["capacity_cost"].tolist() == [160, 320, 480, 640]
    assert table["waiting_cost"].tolist() == pytest.approx([5000, 1000, 750, 745])
    found = cheapest(table, "gpus", tolerance=0.1)
    assert (found.at, found.cost, found.low, found.high) == (24, 1230, 16, 24) and not found.at_edge
    assert table["pareto"].all()
    worse = with_money(FRONTIER.assign(waited_hours=[9, 9, 10, 8]), "gpus", gpu_price_per_hour=2, hours=10,
                       waiting_price_per_hour=0)  # fmt: skip
    assert worse["pareto"].tolist() == [True, False, False, True] and cheapest(worse, "gpus").at_edge


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: replay_elastic(log((0, 1, 1)), FOUR, least=5, most=9, exponent=1), "least must be at most"),
        (lambda: replay_elastic(log((0, 1, 1)), FOUR, least=1, most=4, exponent=2), "exponent must be above 0"),
        (lambda: replay_renting(log((0, 9, 1)), FOUR, Renting(1, 4, 1.0)), "gpus must be at most the 8"),
        (lambda: Renting(1, 0, 1.0), "gpus_per_node must be"),
        (lambda: replay_reserved(log((0, 1, 1), project=["a"]), FOUR, Reservation(["a"], 5)), "at most the 4 of pool"),
        (lambda: replay_reserved(log((0, 1, 1), project=["a"]), FOUR, Reservation(["z"], 1)), "no job is of z"),
        (lambda: replay_reserved(log((0, 4, 1), (0, 1, 1), project=["a", "b"]), FOUR, Reservation(["b"], 1)),
         "leave room for every job of others; row 1 needs 4"),
        (lambda: Reservation(["a"], 1, [(5, 3)]), "windows must begin"),
        (lambda: balance(log((0, 9, 1)), Cluster(FOUR), planned="elapsed_seconds"), "row 1 has none"),
        (lambda: balance(log((0, 1, 1)), Cluster(FOUR), "luck", planned="elapsed_seconds"), "rule must be one of"),
        (lambda: balance(log((0, 1, 1)), Cluster(FOUR), "energy", planned="elapsed_seconds"), "24 prices for pool"),
        (lambda: with_money(FRONTIER, "gpus", gpu_price_per_hour=-1, hours=1, waiting_price_per_hour=1),
         "gpu_price_per_hour must be at least 0"),
    ],
)  # fmt: skip
def test_bad_values_are_sentences(call, message):
    with pytest.raises(OutOfRange, match=message):
        call()
