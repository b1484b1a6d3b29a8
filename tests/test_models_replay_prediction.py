"""Run times predicted from the past alone."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models.replay import EASY, FIFO, SHORTEST_FIRST, Cluster, Pool, replay
from dcbudget.models.replay.prediction import predict, prediction_error, replay_predicted

FOUR = Cluster(Pool("four", nodes=1, gpus_per_node=4))


def jobs(*rows) -> pd.DataFrame:
    """Of (submit, gpus, elapsed, user, project)."""
    return pd.DataFrame(rows, columns=["submit_time", "gpus", "elapsed_seconds", "user_id", "project"])


def random_jobs(seed: int, n: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    user = random.integers(0, 5, n)
    return pd.DataFrame({
        "submit_time": np.sort(random.integers(0, 4 * n, n)).astype(float), "gpus": random.choice([1, 2, 4], n),
        "elapsed_seconds": (random.integers(1, 20, n) * (1 + user)).astype(float),
        "user_id": np.array(list("abcde"), dtype=object)[user], "project": np.where(user < 2, "p", "q"),
    })  # fmt: skip


def test_by_hand():
    log = jobs(
        (0, 1, 10, "ann", "p"),   # nothing has ended: unknown
        (20, 1, 30, "ann", "p"),  # ann's one job of one GPU
        (60, 1, 50, "ann", "p"),  # the mean of 10 and 30
        (200, 1, 99, "ann", "p"),  # of the last two, 30 and 50
        (400, 2, 8, "ann", "p"),  # no job of two GPUs, but her last two: 50 and 99
        (500, 2, 5, "bob", "p"),  # the project's one job of two GPUs
        (600, 4, 5, "bob", "p"),  # bob's own, of any size
        (700, 4, 5, "eve", "q"),  # nothing of eve and q: all jobs of four GPUs
        (800, 3, 5, "una", "r"),  # all
        (900, 3, 5, None, "p"),   # a user that is not known has no history: the project's, none of 3 GPUs: the project
    )  # fmt: skip
    told = predict(log, log["submit_time"] + log["elapsed_seconds"], unknown_seconds=7)
    of_all = (10 + 30 + 50 + 99 + 8 + 5 + 5 + 5) / 8
    of_p = (10 + 30 + 50 + 99 + 8 + 5 + 5) / 7
    assert told["predicted_seconds"].tolist() == [7, 10, 20, 40, 74.5, 8, 5, 5, of_all, of_p]
    assert told["basis"].tolist() == [
        "unknown", "user and size", "user and size", "user and size", "user", "project and size", "user", "size",
        "everybody", "project",
    ]  # fmt: skip


def test_nothing_exceeds_what_was_requested():
    log = jobs((0, 1, 10, "ann", "p"), (20, 1, 30, "ann", "p"))
    told = predict(log, log["submit_time"] + log["elapsed_seconds"], requested=[50, 6])
    assert told["predicted_seconds"].tolist() == [50, 6] and told["basis"].tolist() == ["requested", "user and size"]


def test_the_future_changes_no_prediction():
    log = random_jobs(1)
    ended = log["submit_time"] + log["elapsed_seconds"]
    before = predict(log, ended, unknown_seconds=9)
    changed = log.copy()
    moment = log["submit_time"].iloc[30]
    changed.loc[ended > moment, "elapsed_seconds"] *= 3
    after = predict(changed, np.maximum(ended, changed["submit_time"] + changed["elapsed_seconds"]), unknown_seconds=9)
    early = log["submit_time"] <= moment
    assert early.sum() >= 30
    pd.testing.assert_frame_equal(before[early], after[early])


@pytest.mark.parametrize("policy", [EASY, SHORTEST_FIRST])
def test_a_replay_believes_only_in_what_had_ended_in_it(policy):
    log = random_jobs(2)
    found = replay_predicted(log, FOUR, policy, unknown_seconds=9)
    assert found.rounds >= 2 and (found.ended >= found.replay.end).all()
    told = predict(log, found.ended + log["submit_time"].min(), unknown_seconds=9)
    pd.testing.assert_frame_equal(told, found.predictions)
    again = replay(log, FOUR, policy, requested=found.predictions["predicted_seconds"].to_numpy())
    assert (again.start == found.replay.start).all()


def test_times_with_a_clock_are_the_same():
    log = random_jobs(3)
    clock = log.assign(submit_time=pd.Timestamp("2026-05-01") + pd.to_timedelta(log["submit_time"], unit="s"))
    plain, stamped = (replay_predicted(each, FOUR, EASY, unknown_seconds=9) for each in (log, clock))
    pd.testing.assert_frame_equal(plain.predictions, stamped.predictions)


def test_who_repeats_is_predicted_exactly_and_ordered_as_with_perfect_knowledge():
    log = random_jobs(4).assign(
        elapsed_seconds=lambda frame: frame["user_id"].map({"a": 3, "b": 9, "c": 27, "d": 5, "e": 2})
    )
    told = predict(log, log["submit_time"] + log["elapsed_seconds"], unknown_seconds=9)
    own = told["basis"].str.startswith("user")
    assert own.sum() > 40 and (told["predicted_seconds"] == log["elapsed_seconds"])[own].all()


def test_error_by_hand():
    error = prediction_error([10, 20, 30], [20, 20, 10])
    assert error == pytest.approx({
        "mean_absolute_error_seconds": 10, "median_absolute_error_seconds": 10, "bias": 0.2,
        "underestimated_share": 1 / 3, "accuracy": (0.5 + 1 + 1 / 3) / 3,
    })  # fmt: skip


def test_predictions_tell_more_than_requests_in_the_sample(sample_db):
    """What users ask for is mostly too much; their last jobs are nearer."""
    from dcbudget import warehouse

    log = warehouse.query(
        "select submit_time, start_time, end_time, gpus, elapsed_seconds, requested_seconds, user_id, project from jobs"
        " where partition = 'a100' and start_time >= '2026-06-01' and end_time is not null"
        " order by submit_time, job_id",
        sample_db,
    )
    told = predict(log, log["end_time"], requested="requested_seconds")
    errors = [prediction_error(seconds, log["elapsed_seconds"]) for seconds in
              (told["predicted_seconds"], log["requested_seconds"])]  # fmt: skip
    assert errors[0]["mean_absolute_error_seconds"] < errors[1]["mean_absolute_error_seconds"]
    assert told["basis"].eq("user and size").mean() > 0.5


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "unknown_seconds must be given"),
        ({"unknown_seconds": 0}, "unknown_seconds must be above 0"),
        ({"requested": [0, 1]}, "requested must be above 0, not 0"),
        ({"requested": "no_column"}, "there is no 'no_column'"),
        ({"requested": [np.nan, 1]}, "neither a history nor a requested time"),
    ],
)
def test_what_cannot_be_predicted(given, message):
    log = jobs((0, 1, 10, "ann", "p"), (1, 1, 30, "ann", "p"))
    with pytest.raises(OutOfRange, match=message):
        predict(log, log["submit_time"] + log["elapsed_seconds"], **given)


def test_fifo_needs_no_prediction_and_is_as_without():
    log = random_jobs(5)
    found = replay_predicted(log, FOUR, FIFO, unknown_seconds=9)
    assert (found.replay.start == replay(log, FOUR, FIFO).start).all()
