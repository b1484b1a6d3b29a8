"""Attempts, goodput, tokens and costs of training runs: cases by hand, limits, what must hold, and a slow count."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models import training_runs as model

DAY = pd.Timestamp("2026-06-01")
NAN = float("nan")


def at(hours):
    return DAY + pd.Timedelta(hours=hours)


def points(run_id, steps, hours, metric="loss", values=None, attempt=1):
    values = np.ones(len(steps)) if values is None else values
    return pd.DataFrame({"run_id": run_id, "attempt": attempt, "step": steps, "time": [at(h) for h in hours],
                         "metric": metric, "value": values})  # fmt: skip


def attempt(run_id, start, end, state="COMPLETED", gpus=2.0, cost=NAN, number=1, **more):
    row = {"run_id": run_id, "attempt": number, "project": "p", "model": "m", "state": state, "gpus": gpus,
           "gpu_model": "H100", "start_time": at(start), "end_time": at(end), "gpu_hours": gpus * (end - start),
           "cost": cost, "restarts": NAN}  # fmt: skip
    return row | more


def looked_at(rows, values, named=None):
    frame = pd.DataFrame(rows).merge(model.spans(values), on=model.ATTEMPT, how="left")
    return model.useful(model.families(frame, named), values)


def seconds(frame, column):
    return [pytest.approx(value, nan_ok=True) for value in frame[column] / 3600]


# A run of 100 steps an hour that fails after 4.5 hours at step 400 and goes on from its checkpoint at step 300.
FIRST = points("big-01", [100, 200, 300, 400], [1, 2, 3, 4])
SECOND = points("big-02", [400, 500, 600], [6, 7, 8])
CHAIN = pd.concat([FIRST, SECOND])
ATTEMPTS = [attempt("big-01", 0, 4.5, "NODE_FAIL", cost=90.0), attempt("big-02", 5, 8.5, cost=70.0)]


def test_a_log_that_goes_on_from_a_failed_one_is_its_next_attempt():
    found = looked_at(ATTEMPTS, CHAIN)
    assert list(found["run"]) == ["big", "big"] and list(found["number"]) == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"state": "COMPLETED"},  # of the first: nothing to go on from
        {"end_time": at(6)},  # it still ran
        {"model": "other"},
        {"project": "other"},
    ],
)
def test_a_log_that_does_not_go_on_is_a_run_of_its_own(change):
    found = looked_at([ATTEMPTS[0] | change, ATTEMPTS[1]], CHAIN)
    assert list(found["run"]) == ["big-01", "big-02"]


def test_a_run_that_begins_at_its_first_steps_is_no_attempt_of_another():
    for earlier in (300, 200):
        fresh = SECOND.assign(step=SECOND["step"] - earlier)
        assert list(looked_at(ATTEMPTS, pd.concat([FIRST, fresh]))["run"]) == ["big-01", "big-02"]
    beyond = SECOND.assign(step=SECOND["step"] + 1000)
    assert list(looked_at(ATTEMPTS, pd.concat([FIRST, beyond]))["run"]) == ["big-01", "big-02"]


def test_attempts_that_are_named_belong_together():
    fresh = SECOND.assign(step=SECOND["step"] - 300)
    found = looked_at(ATTEMPTS, pd.concat([FIRST, fresh]), {"large": ["big-*"]})
    assert list(found["run"]) == ["large", "large"]
    # it began anew: nothing of the first attempt was kept
    assert seconds(found, "useful_seconds") == [0, 3]


def test_chain_does_not_take_the_name_of_another_run():
    other = points("big", [1, 2], [20, 21])
    found = looked_at([*ATTEMPTS, attempt("big", 19, 22)], pd.concat([CHAIN, other]))
    assert list(found["run"]) == ["big", "big-01", "big-01"]


def test_useful_is_what_was_kept():
    """The first log's steps begin at 0 h and count to step 300, at 3 h; the second's begin at 5 h and end at 8 h."""
    found = looked_at(ATTEMPTS, CHAIN)
    assert seconds(found, "held_seconds") == [4.5, 3.5]
    assert seconds(found, "startup_seconds") == [0, 0]
    assert seconds(found, "useful_seconds") == [3, 3]
    assert seconds(found, "lost_seconds") == [1, 0]
    (run,) = model.summary(found, CHAIN).itertuples()
    assert (run.attempts, run.restarts, run.status, run.succeeded) == (2, 1, "COMPLETED", True)
    assert run.goodput == pytest.approx(6 / 8) and run.held_hours == 8 and run.elapsed_hours == 8.5
    assert (run.gpu_hours, run.cost) == (16, 160)


def test_failure_that_nothing_follows_has_no_use():
    found = looked_at([ATTEMPTS[0]], FIRST)
    assert seconds(found, "useful_seconds") == [0] and seconds(found, "lost_seconds") == [4]
    (run,) = model.summary(found, FIRST).itertuples()
    assert run.goodput == 0 and not run.succeeded


def test_whole_run_is_useful_but_for_start_and_end():
    """Limit: steps from the first second to the last."""
    found = looked_at([attempt("r", 0, 4)], points("r", [100, 200, 300, 400], [1, 2, 3, 4]))
    assert model.summary(found, FIRST)["goodput"].iloc[0] == 1
    late = looked_at([attempt("r", 0, 10)], points("r", [100, 200, 300], [3, 4, 5]))
    assert seconds(late, "startup_seconds") == [2] and seconds(late, "useful_seconds") == [3]


def test_log_of_evaluations_alone_began_long_before_its_first():
    """Steps 400 and 500 at 4 and 5 h: the first 400 took 4 h too, and nothing was start."""
    found = looked_at([attempt("r", 0, 5)], points("r", [400, 500], [4, 5]))
    assert seconds(found, "startup_seconds") == [0] and seconds(found, "useful_seconds") == [5]


def test_later_attempt_from_an_earlier_checkpoint_undoes_the_one_between():
    """The third goes on from step 150: of the first 1.5 h count, of the second nothing."""
    third = points("big-03", [250, 350], [10, 11])
    rows = [ATTEMPTS[0], attempt("big-02", 5, 8.5, "FAILED"), attempt("big-03", 9, 11)]
    found = looked_at(rows, pd.concat([CHAIN, third]), {"big": ["big-*"]})
    assert seconds(found, "useful_seconds") == [1.5, 0, 2]


def test_diverged_run_counts_up_to_its_lowest_loss():
    log = points("r", [100, 200, 300, 400, 500], [1, 2, 3, 4, 5], values=[2.0, 1.0, 9.0, 90.0, 900.0])
    found = looked_at([attempt("r", 0, 5)], log)
    assert seconds(found, "useful_seconds") == [2] and bool(found["diverged"].iloc[0])
    (run,) = model.summary(found, log).itertuples()
    assert run.status == "DIVERGED" and not run.succeeded and run.loss == 900


@pytest.mark.parametrize(
    "loss, said",
    [
        ([3, 2, 1], False), ([3, 2, NAN], True), ([3, 2, np.inf], True), ([3, 1, 7, 8, 9], True),
        ([3, 1, 1, 1, 99], False), ([3, 1, 5, 5, 5], False), ([], False), ([NAN], True), ([-1, -2, -3, -4], False),
    ],
)  # fmt: skip
def test_diverged(loss, said):
    """One peak is none, nor is a loss that is below twice its first."""
    assert model.diverged(loss) is said


def test_tokens_of_kept_steps():
    """1,000 tokens/s over the first 3 h that were kept, 2,000 over the 3 h after."""
    rates = pd.concat([
        points("big-01", [100, 200, 300, 400], [1, 2, 3, 4], "tokens_per_second", [1000.0] * 4),
        points("big-02", [400, 500, 600], [6, 7, 8], "tokens_per_second", [2000.0] * 3),
    ])  # fmt: skip
    values = pd.concat([CHAIN, rates])
    found = looked_at(ATTEMPTS, values)
    assert list(found["tokens"]) == [pytest.approx(3 * 3600e3), pytest.approx(6 * 3600e3)]
    (run,) = model.summary(found, values).itertuples()
    assert run.cost_per_million_tokens == pytest.approx(160 / (9 * 3600e3 / 1e6))
    assert run.tokens_per_second == pytest.approx((1000 * 4.5 + 2000 * 3.5) / 8)


def test_cost_per_point_is_of_the_last_result_and_all_attempts():
    first = points("big-01", [400], [4], "accuracy", [0.9])
    scores = pd.concat([first, *(points("big-02", [600], [8], *of) for of in (("accuracy", [0.8]), ("f1", [0.5])))])
    values = pd.concat([CHAIN, scores])
    (run,) = model.summary(looked_at(ATTEMPTS, values), values).itertuples()
    assert run.cost_per_accuracy_point == pytest.approx(160 / 80) and run.cost_per_f1_point == pytest.approx(160 / 50)


def test_mfu_in_per_cent_is_a_share():
    values = pd.concat([CHAIN, points("big-02", [500], [7], "mfu", [40.0])])
    assert model.summary(looked_at(ATTEMPTS, values), values)["mfu"].iloc[0] == pytest.approx(0.4)


def test_log_without_times_has_no_goodput():
    values = points("r", [1, 2], [1, 2]).assign(time=pd.NaT)
    rows = [attempt("r", 0, 1) | {"start_time": pd.NaT, "end_time": pd.NaT, "gpu_hours": NAN}]
    (run,) = model.summary(looked_at(rows, values), values).itertuples()
    assert np.isnan(run.goodput) and np.isnan(run.held_hours) and run.loss == 1


def test_cost_per_success_counts_failures():
    runs = pd.DataFrame({"project": ["a", "a", "b"], "succeeded": [True, False, False], "attempts": [1, 3, 1],
                         "status": ["COMPLETED", "FAILED", "RUNNING"], "gpu_hours": [10.0, 5.0, 1.0],
                         "cost": [100.0, 50.0, 10.0], "tokens": [1e6, NAN, 0.0]})  # fmt: skip
    found = model.cost_per_success(runs, "project").set_index("project")
    assert list(found.loc["a", ["runs", "succeeded", "attempts", "cost", "cost_of_failed"]]) == [2, 1, 4, 150, 50]
    assert found.loc["a", "cost_per_successful_run"] == 150 and np.isnan(found.loc["b", "cost_per_successful_run"])
    assert found.loc["b", "cost_of_failed"] == 0  # it goes on
    assert found.loc["a", "cost_per_million_tokens"] == 100  # of the run that tells tokens


def test_smoothed_by_hand_and_at_its_limits():
    assert model.smoothed([1, 2, 4], 0.5) == pytest.approx([1, (0.5 + 2) / 1.5, (0.25 + 1 + 4) / 1.75])
    assert list(model.smoothed([1, 2, NAN], 0))[:2] == [1, 2]
    assert model.smoothed([5.0] * 9, 0.9) == pytest.approx([5.0] * 9)
    with pytest.raises(OutOfRange, match="smoothing must be"):
        model.smoothed([1], 1.5)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_smoothed_is_the_weighted_mean_of_pandas(values, smoothing):
    independent = pd.Series(values).ewm(alpha=1 - smoothing, adjust=True).mean()
    assert model.smoothed(values, smoothing) == pytest.approx(independent.to_numpy(), abs=1e-6)


def test_curve_along_hours_and_money():
    """The second attempt begins where the first ended: after 4.5 h and 90."""
    found = looked_at(ATTEMPTS, CHAIN)
    hours = model.curve(found, CHAIN, "loss", "hours")
    assert list(hours["x"]) == pytest.approx([1, 2, 3, 4, 5.5, 6.5, 7.5])
    money = model.curve(found, CHAIN, "loss", "cost")
    assert money["x"].iloc[-1] == pytest.approx(90 + 70 * 3 / 3.5)
    assert list(model.curve(found, CHAIN, "loss")["x"]) == [100, 200, 300, 400, 400, 500, 600]
    assert model.curve(found.iloc[:0], CHAIN, "loss").empty and model.curve(found, CHAIN, "f1").empty


@given(st.integers(1, 5), st.integers(0, 2**31 - 1))
@settings(max_examples=8, deadline=None)
def test_parts_of_the_time_sum_to_what_was_held_and_tokens_to_a_slow_count(attempts, seed):
    """Invariant: no part is negative and none is more than the whole; tokens as counted second by second."""
    rng = np.random.default_rng(seed)
    rows, logs, start, step = [], [], 0.0, 0
    for number in range(1, attempts + 1):
        length = int(rng.integers(3, 9))
        steps = step + np.arange(1, length + 1)
        hours = start + np.arange(1, length + 1)
        rows.append(attempt(f"r-{number}", start, start + length + 0.5, "FAILED" if number < attempts else "COMPLETED"))
        logs.append(points(f"r-{number}", steps, hours, "tokens_per_second", rng.uniform(1, 9, length)))
        step, start = int(steps[-1] - rng.integers(0, length)), start + length + 1
    values = pd.concat(logs)
    found = looked_at(rows, values, {"r": ["r-*"]})
    parts = found[["useful_seconds", "lost_seconds", "startup_seconds"]]
    assert (parts >= 0).all(axis=None) and (parts.sum(axis=1) <= found["held_seconds"] + 1e-6).all()
    kept = np.minimum.accumulate([np.inf, *[log["step"].iloc[0] - 1 for log in reversed(logs[1:])]])[::-1]
    slow = [log.loc[log["step"] <= until, "value"].sum() * 3600 for log, until in zip(logs, kept, strict=True)]
    assert list(found["tokens"]) == pytest.approx(slow)
