"""What 5_monitor tells: a small database by hand, the planted runs of the sample, and errors as sentences."""

import numpy as np
import pytest

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.models.performance.failures import PUBLISHED_MTBF_GPU_HOURS
from dcbudget.stages.checkpointing import Checkpointing
from dcbudget.stages.monitor import Monitor
from dcbudget.stages.performance import Performance
from tiny import budget, make_world
from trained import make_trained

PLANS = [{"run": "big", "hours": 5, "tokens": 4 * 3600e3, "accuracy": 0.9}]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    line = budget("2026-05", "alpha", "Rented GPUs", "1") | {"driver": "run big: 40 GPU-hours"}
    return str(make_trained(tmp_path_factory.mktemp("trained"), [line]))


@pytest.fixture(scope="module")
def may(world):
    return Monitor("2026-05", world, plans=PLANS, least_group=1)


@pytest.fixture(scope="module")
def sample(sample_db):
    return {month: Monitor(month, str(sample_db)) for month in ("2026-05", "2026-06")}


def row(table, run):
    found = table.frame[table.frame["run"] == run]
    assert len(found) == 1
    return found.iloc[0]


# By hand.


def test_runs_of_the_month(may):
    """`old` ended in April, and no month knows of `undated`; both can be drawn or are told of."""
    assert list(may.runs["run"]) == ["big", "wild"] and may.run_names == ["big", "wild", "undated"]
    big = row(may.runs_table(), "big")
    assert (big["attempts"], big["restarts"], big["status"], big["gpus"]) == (2, 1, "COMPLETED", 4)
    assert big["goodput"] == pytest.approx(6 / 8) and big["mfu"] == pytest.approx(0.4)
    assert row(may.runs_table(), "wild")["status"] == "DIVERGED"
    assert "wild diverged: its loss ends at 900" in may.runs_table().title


def test_money_of_all_attempts(may):
    """8 h on 4 GPUs at 10, over 80 points of accuracy, 60 of F1 and 6 h of 1,000 tokens a second."""
    big = row(may.results_table(), "big")
    assert big["cost"] == pytest.approx(320) and big["cost_per_accuracy_point"] == pytest.approx(4)
    assert big["cost_per_f1_point"] == pytest.approx(320 / 60)
    assert big["cost_per_million_tokens"] == pytest.approx(320 / (6 * 3.6))
    assert "effective cost, USD" in may.results_table().title
    success = may.success_table().frame.set_index("project")
    assert success.loc["alpha", "cost_per_successful_run"] == pytest.approx(320)
    assert np.isnan(success.loc["beta", "cost_per_successful_run"])
    assert success.loc["beta", "cost_of_failed"] == pytest.approx(100)


def test_headline(may):
    figures = {label: (value, remark) for label, value, remark in may.headline().figures}
    assert figures["Succeeded"][0] == "1 of 2 runs" and figures["Cost so far"][0] == "420 USD"
    assert figures["Cost per successful run"][0] == "420 USD"
    # 24 of 32 GPU-hours and, of wild, 2 of 5 h on 2 GPUs
    assert figures["Goodput"] == (f"{28 / 42:.1%}", "useful time over the time that GPUs were held; MFU 40.0%")
    assert {label for label, *_ in may.headline(["big"]).figures} == figures.keys()


def test_time_against_plan(may):
    """8 h held, 5 planned; 6 h of 1,000 tokens a second kept, 4 planned."""
    found = row(may.plan_table(), "big")
    assert (found["source"], found["planned_hours"], found["overrun"]) == ("plan", 5, pytest.approx(0.6))
    assert found["progress"] == pytest.approx(1.5) and found["planned_accuracy"] == 0.9
    assert may.plan_table().title == "big held its GPUs 8 h, 5 h were planned"
    assert row(may.plan_table(), "wild")["source"] == "not known"


def test_time_against_a_budget_line(world):
    found = row(Monitor("2026-05", world, least_group=1).plan_table(), "big")
    assert (found["source"], found["planned_hours"]) == ("budget", 10)


def test_bottlenecks(may):
    frame = may.bottlenecks_table().frame.set_index("run")
    assert frame.loc["big", "finding"] == "repeated or lost work: goodput 75%"
    assert frame.loc["wild", "finding"].startswith("diverged")
    assert (frame.loc["big", "step_seconds"], frame.loc["big", "gpu_utilisation"]) == ("36", "90%")
    assert frame.loc["wild", "gpu_utilisation"] == "not measured"
    assert (
        "not measured by any: waiting for data, waiting for other GPUs, GPU memory, disk"
        in may.bottlenecks_table().title
    )


def test_waits_beside_last_month(may):
    frame = may.waits_table().frame.set_index("cluster")
    assert frame.loc["east", "jobs"] == 5 and frame.loc["west", "jobs"] == 1
    assert frame.loc["east", "p95_before"] == pytest.approx(1) and np.isnan(frame.loc["west", "p95_before"])


def test_checkpoints_from_what_restarts_repeated(may):
    """One restart repeated an hour: checkpoints two hours apart, less the minute that one takes; it took 30 min."""
    found = Checkpointing(may)
    assert found.interval("big") == (pytest.approx(119), "twice what its 1 restarts repeated on average")
    assert found.failing == "big" and found.names == ["big", "wild"]
    assert found._restart("big")[0] == pytest.approx(30)
    # one failure of its own is too few, and the pool has no other
    assert found.mtbf("big")[0] == PUBLISHED_MTBF_GPU_HOURS
    other = found.found("big", 30)
    assert other.interval_seconds == 1800 and other.present_seconds == pytest.approx(119 * 60)
    figures = found.headline(other).lines()
    assert figures[0].startswith("Checkpoint every: 119 min") and any("Every 30 min" in line for line in figures)
    given = Checkpointing(may, {"interval_minutes": 45, "seconds": 10, "restart_minutes": 5})
    assert given.interval("big")[0] == 45 and given._restart("big")[0] == 5


def test_curves(may):
    frame = may.curve(["big", "undated"]).to_dict()
    points = [point for rows in frame["datasets"].values() for point in rows]
    assert {point["run"] for point in points} == {"big", "undated"}
    assert frame["title"]["text"] == "loss of big went from 4 to 1"
    assert may.curve(["wild"]).to_dict()["title"]["text"] == "wild diverged: its loss ends at 900"
    assert "f1 by cost so far, USD" in may.curve(["big"], "f1", "cost", 0.5).to_dict()["title"]["subtitle"]
    assert may.curve(["wild"], "f1").to_dict()["title"]["text"] == "None of these runs logs f1"


def test_parts_of_the_gpu_hours(may):
    """Of wild's 10 GPU-hours 4 are useful; of big's 32 are 4 repeated and 4 after the last log of both attempts."""
    spec = may.parts_chart().to_dict()
    hours = {(point["run"], point["part"]): point["gpu_hours"] for rows in spec["datasets"].values() for point in rows}
    assert hours["big", "useful"] == pytest.approx(24) and hours["big", "repeated or lost"] == pytest.approx(4)
    assert hours["big", "after the last log"] == pytest.approx(4)
    assert hours["wild", "useful"] == pytest.approx(4) and hours["wild", "repeated or lost"] == pytest.approx(6)
    assert spec["title"]["text"].startswith("24% of the GPU-hours")


def test_other_months(world):
    """In April nothing of May is known, and in June nothing ran."""
    april = Monitor("2026-04", world, least_group=1)
    assert list(april.runs["run"]) == ["old"] and april.runs["cost"].iloc[0] == pytest.approx(20)
    june = Monitor("2026-06", world, least_group=1)
    assert june.runs.empty and "0" in june.headline().lines()[0]
    assert Checkpointing(june).names == [] and "no run" in Checkpointing(june).headline().lines()[0]
    for table in (june.runs_table(), june.results_table(), june.success_table(), june.plan_table(),
                  june.bottlenecks_table()):  # fmt: skip
        assert table.frame.empty and "nothing to show" in table._repr_html_()


def test_performance_of_two_months(may):
    """In April beta alone held east, for 2 h; in May alpha held 42 GPU-hours of it, 18 of a job that failed."""
    found = Performance(may)
    frame = found.table().frame.set_index(["of", "group"])
    assert frame.loc[("Project", "alpha"), "gpu_hours"] == pytest.approx(42)
    assert frame.loc[("Project", "alpha"), "failed_share"] == pytest.approx(18 / 42)
    assert frame.loc[("GPU", "H100"), "cost_per_gpu_hour"] == pytest.approx(10)
    changes = found.changes.set_index(["group", "measure"])
    assert changes.loc[("H100", "failed_share"), "meaning"] == "worse"
    assert changes.loc[("alpha", "gpu_hours"), "meaning"] == "new"
    assert changes.loc[("H100", "mfu"), ["before", "now"]].tolist() == pytest.approx([0.2, 0.4])
    assert "effective cost, USD" in found.changes_table().title and found.chart().to_dict()["title"]["text"]


# Errors.


@pytest.mark.parametrize(
    "parameters, sentence",
    [
        ({"runs": ["small"]}, "no run 'small' in 2026-05; there are big, wild, undated"),
        ({"plans": [{"hours": 3}]}, "a plan must name its run"),
        ({"plans": [{"run": "big", "hours": -3}]}, "hours of big must be at least 0"),
        ({"least_group": 0}, "least_group must lie between 1 and 1000"),
        ({"month": "2031-01"}, "no charges in 2031-01"),
    ],
)
def test_parameters_that_cannot_be(world, parameters, sentence):
    with pytest.raises(DcbudgetError, match=sentence):
        assert Monitor(**{"month": "2026-05", "database": world, **parameters}).chosen


def test_values_that_cannot_be(may):
    for call, sentence in (
        (lambda: may.curve(["big"], "perplexity"), "no run logs 'perplexity'; there are loss"),
        (lambda: may.curve(["big"], "loss", "days"), "x must be one of step, hours, gpu_hours, cost, not 'days'"),
        (lambda: may.curve(["big"], smoothing=2), "smoothing must lie between 0 and 0.99, not 2"),
        (lambda: may.curve([]), "no run is chosen"),
        (lambda: Checkpointing(may).found("old"), "no run 'old' in 2026-05"),
        (lambda: Checkpointing(may).found("big", 0), "interval_minutes must lie between 0.1"),
        (lambda: Checkpointing(may, {"minutes": 1}), "checkpoint has no 'minutes'; it has interval_minutes"),
        (lambda: Checkpointing(may, {"seconds": -1}), "seconds must lie between 0"),
    ):
        with pytest.raises(DcbudgetError, match=sentence):
            call()


def test_database_without_runs(tmp_path):
    empty = Monitor("2026-05", str(make_world(tmp_path)), least_group=1)
    assert empty.chosen == [] and "no log is of this month" in empty.headline().lines()[0]


# The sample.


def test_diverging_run_of_the_sample(sample):
    run = row(sample["2026-05"].runs_table(), "run-diverging")
    assert (run["status"], run["loss"], run["gpus"]) == ("DIVERGED", pytest.approx(1892.83), 32)
    assert sample["2026-05"].chosen[0] == "run-diverging"  # the dearest of its month
    assert "run-diverging diverged" in sample["2026-05"].runs_table().title


def test_failing_run_of_the_sample(sample, sample_db):
    """Its 17 attempts are one run; its money is that of its jobs as the ledger has it."""
    run = row(sample["2026-06"].runs_table(), "run-foundation")
    assert (run["attempts"], run["status"], run["succeeded"]) == (17, "NODE_FAIL", False)
    assert run["gpu_hours"] == pytest.approx(4368.2844, abs=0.001) and 0.55 < run["goodput"] < 0.68
    rate = warehouse.query(
        "select sum(effective_cost)::double / sum(gpu_hours)::double as rate from gpu_ledger_monthly"
        " where month = '2026-06-01' and cluster = 'hall-1' and gpu_model = 'H100' and bucket <> 'reserved but unused'",
        str(sample_db),
    )["rate"].iloc[0]
    assert run["cost"] == pytest.approx(run["gpu_hours"] * rate, rel=1e-6)
    checkpoints = Checkpointing(sample["2026-06"])
    assert checkpoints.failing == "run-foundation" and checkpoints.found().best_saved > 500


def test_model_finds_the_parameters_of_the_sample(sample):
    """The sample's trainers log tokens a second of 7e9 parameters: a check of 6 N D against what made it."""
    monitor = sample["2026-06"]
    run = monitor.runs.set_index("run").loc["run-0141"]
    implied = run["mfu"] * run["gpus"] * monitor.log.tflops["H100"] * 1e12 / (6 * run["tokens_per_second"])
    assert implied == pytest.approx(7e9, rel=0.01)


def test_every_attempt_of_the_sample_is_in_one_run(sample):
    for monitor in sample.values():
        attempts = monitor.log.attempts
        assert not attempts.duplicated(["run_id", "attempt"]).any()
        assert (attempts["useful_seconds"] <= attempts["held_seconds"] + 1).all()
        assert monitor.runs["goodput"].between(0, 1).all()
        chained = attempts.groupby("run").size()
        assert set(chained[chained > 1].index) <= {"run-foundation"}
