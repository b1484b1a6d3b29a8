"""What 4_optimize tells of a log: by hand on a few jobs, and on the sample."""

import pandas as pd
import pytest

from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models.replay.occupancy import mean_gpus
from dcbudget.stages.frontier import Frontier
from dcbudget.stages.job_log import JobLog
from dcbudget.stages.replays import POLICIES, Replays


@pytest.fixture(scope="module")
def replays(sample_db):
    return Replays(JobLog("2026-06", database=str(sample_db)))


def test_mean_gpus_by_hand():
    """Two GPUs from 5 to 15 and one from 10 to 40, in steps of ten seconds."""
    assert mean_gpus([5, 10], [15, 40], [2, 1], [0, 10, 20, 30]) == pytest.approx([1.0, 2.0, 1.0])


def test_sample_pool_is_the_busiest_owned_one(replays):
    log = replays.log
    assert (log.name, log.nodes, log.gpus_per_node) == ("h100", 32, 8)
    held = log.jobs.loc[log.jobs["carried"], "gpus"].sum()
    assert 0 < held <= log.gpus  # what ran at the month's begin fits, as it did


def test_policies_differ_only_through_the_policy(replays):
    frame = replays.policies().set_index("policy")
    assert set(frame.index) == set(POLICIES)
    assert frame.loc["EASY backfill", "mean_wait_seconds"] < frame.loc["FIFO", "mean_wait_seconds"]
    held = frame["allocated_gpu_hours"] - frame["lost_gpu_hours"]
    assert held.to_numpy() == pytest.approx(held.iloc[0])


def test_wrong_values_are_sentences(replays, sample_db):
    with pytest.raises(OutOfRange, match="policy must be one of FIFO, Smallest first"):
        Replays(replays.log, "LIFO")
    with pytest.raises(OutOfRange, match="partition must be one of the owned pools h100, a100, inference"):
        JobLog("2026-06", "cloud-h100", str(sample_db))
    with pytest.raises(OutOfRange, match="gpus must be at most the 8 of pool h100"):
        replays.headline(replays.with_changes(nodes=1))
    with pytest.raises(OutOfRange, match="nodes must lie between 1 and"):
        replays.with_changes(nodes=0)


def test_frontier_agrees_with_single_replays_and_is_kept(replays):
    frontier = Frontier(replays)
    told = []
    frontier.points(lambda done, count, name: told.append((done, count)))
    assert told == [] or told[-1] == (frontier.count, frontier.count)
    frame = frontier.money("FIFO")
    row = frame[frame["gpus"] == replays.log.gpus].iloc[0]
    figures = replays.figures(replays.now)
    assert row["total_cost"] == pytest.approx(figures["money"])
    assert Frontier(replays).known()


def test_stopped_sweep_keeps_nothing(replays):
    frontier = Frontier(Replays(replays.log, placement="spread"))
    with pytest.raises(DcbudgetError, match="stopped after 0 of"):
        frontier.points(cancelled=lambda: True)
    assert not frontier.known()


def test_week_holds_what_the_jobs_held(replays):
    frame = replays.week(replays.now)
    in_use = frame[frame["what"] == "in use"]
    assert in_use["gpus"].max() <= replays.log.gpus + 0.01
    assert pd.Series(in_use["hour"]).nunique() == 7 * 24
