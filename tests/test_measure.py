"""Training strategies that are measured: what is compared, what is logged, and what the mart makes of it."""

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcbudget import measure, warehouse
from dcbudget.cli import app
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.measure import Mode, Training, modes, scores, train
from tiny import blank, load, rows, shown, write


def test_modes_train_with_the_same_two_global_batches():
    assert [(str(mode), mode.global_batch) for mode in modes(4)] == [
        ("1x64", 64), ("accumulated-4x64", 256), ("1x256", 256), ("ddp-4x16", 64), ("ddp-4x64", 256),
    ]  # fmt: skip
    assert {mode.processes for mode in modes(1)} == {1}


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"processes": 3}, "processes must be 1, 2, 4, .* not 3"),
        ({"seeds": 0}, "seeds must lie between 1 and 100, not 0"),
        ({"target": 97.0}, "target must lie above 0 and not above 1, not 97"),
        ({"target": math.nan}, "target must .* not nan"),
        ({"epochs": 0}, "epochs must lie between 1 and 1000, not 0"),
    ],
)
def test_values_out_of_range_are_named(tmp_path, wrong, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        measure.measure(tmp_path / "log.csv", **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module, name", [("torch", "PyTorch"), ("sklearn.datasets", "scikit-learn")])
def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch, request, module, name):
    if module != "torch":
        request.getfixturevalue("torch")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DcbudgetError, match=f"{name} is not installed; make torch"):
        measure.measure(tmp_path / "log.csv")


def test_accuracy_and_macro_f1_by_hand():
    """Digit 0: 1 of 2 found; 1: found, and named twice too often; 2 is never named."""
    accuracy, f1 = scores(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]))
    assert accuracy == 0.5
    assert f1 == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)
    assert scores(np.array([0, 2]), np.array([0, 2])) == (1, 1)


def test_energy_counts_every_package_once_and_over_the_turn_of_its_counter(tmp_path, monkeypatch):
    for domain, joules in (("intel-rapl:0", 90), ("intel-rapl:0:0", 5), ("intel-rapl:1", 10)):
        (tmp_path / domain).mkdir()
        (tmp_path / domain / "energy_uj").write_text(f"{joules * 10**6}\n")
        (tmp_path / domain / "max_energy_range_uj").write_text(f"{100 * 10**6}\n")
    monkeypatch.setattr(measure, "POWERCAP", tmp_path)
    meter = measure._EnergyMeter(0)
    (tmp_path / "intel-rapl:0/energy_uj").write_text(f"{26 * 10**6}\n")  # 36 joules, over 100
    (tmp_path / "intel-rapl:1/energy_uj").write_text(f"{46 * 10**6}\n")
    assert meter.kwh() == meter.kwh() == pytest.approx(72 / 3.6e6)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    assert meter.kwh() is None
    monkeypatch.setattr(measure, "POWERCAP", tmp_path / "none")
    assert measure._EnergyMeter(0).kwh() is None


def test_a_log_that_cannot_be_written_is_one_sentence(torch, tmp_path):
    with pytest.raises(DcbudgetError, match="cannot be written: Is a directory"):
        measure.measure(tmp_path)


# What is logged.


@pytest.fixture(scope="module")
def measured(torch, tmp_path_factory) -> tuple[Path, list[dict], str]:
    """One epoch of every mode, loaded: the database, the log and what the command printed."""
    folder = tmp_path_factory.mktemp("measured")
    typed = ["measure", "--seeds", "1", "--epochs", "1", "--out", str(folder / "log.csv"), "--db", str(folder / "db")]
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 0, done.output
    with (folder / "log.csv").open(encoding="utf-8", newline="") as stream:
        return folder / "db", list(csv.DictReader(stream)), done.output


def test_the_same_global_batch_trains_the_same_model_in_every_mode(measured):
    """Gradients are means over the samples of a step, however these are shared out."""
    loss = {row["run_id"].split("-", 2)[2]: float(row["loss"]) for row in measured[1] if row["epoch"] == "1"}
    assert loss["ddp-2x32-seed1"] == pytest.approx(loss["1x64-seed1"], rel=1e-5)
    assert loss["accumulated-4x64-seed1"] == pytest.approx(loss["1x256-seed1"], rel=1e-5)
    assert loss["ddp-2x128-seed1"] == pytest.approx(loss["1x256-seed1"], rel=1e-5)
    assert loss["1x256-seed1"] > loss["1x64-seed1"]


def test_a_log_tells_settings_once_and_every_epoch(measured):
    _, log, _ = measured
    assert tuple(log[0]) == measure.COLUMNS
    assert [row["epoch"] for row in log] == ["0", "1"] * 5
    assert {row["status"] for row in log} == {"TIMEOUT"}
    for before, after in zip(log[::2], log[1::2], strict=True):
        samples = (
            int(after["step"]) * int(before["processes"]) * int(before["batch_size"]) * int(before["accumulation"])
        )
        assert samples == measure.TRAINED_ON
        seconds = float(after["elapsed_seconds"])
        assert float(after["samples_per_second"]) == pytest.approx(samples / seconds, rel=1e-4)
        assert 0 < float(after["step_time"]) * int(after["step"]) <= seconds * 1.001
        assert float(after["step_time_p95"]) > 0
        assert before["accuracy"] != after["accuracy"] and before["time"] < after["time"]
        assert after["target_accuracy"] == ""


def test_what_was_logged_is_loaded_as_runs(measured):
    db, _, printed = measured
    assert printed.count("TIMEOUT, 1 epochs in") == 5
    assert rows(db, "select strategy, processes, batch_size, accumulation, reached, seconds_to_target"
                    " from measured_strategies order by run_id") == [
        ("larger batch", 1, 256, 1, False, None),
        ("one process", 1, 64, 1, False, None),
        ("larger batch (accumulation)", 1, 64, 4, False, None),
        ("data parallel", 2, 128, 1, False, None),
        ("data parallel", 2, 32, 1, False, None),
    ]  # fmt: skip
    assert rows(db, "select count(*), min(status), max(status), count(final_f1) from runs") == [
        (5, *["TIMEOUT"] * 2, 5)
    ]


def test_a_run_that_diverges_ends_and_says_so(torch):
    records = train(Mode(), 1, Training(epochs=9, learning_rate=1e9))
    assert 1 <= records[-1]["epoch"] < 9
    assert not math.isfinite(records[-1]["loss"]) and {record["status"] for record in records} == {"FAILED"}


def test_a_run_ends_with_the_epoch_that_reaches_its_target(torch):
    records = train(Mode(), 1, Training(target=0.5))
    assert [record["accuracy"] >= 0.5 for record in records] == [False] * (len(records) - 1) + [True]
    assert {record["status"] for record in records} == {"COMPLETED"}


# What the mart makes of it.


def run(name: str, processes: int, batch: int, accumulation: int, accuracies: list[float], loss="0.5", seconds=30.0):
    """Rows of a run with 10 steps an epoch, each epoch of so many seconds."""
    first = {
        "processes": processes,
        "batch_size": batch,
        "accumulation": accumulation,
        "seed": 7,
        "target_accuracy": 0.9,
    }
    for epoch, accuracy in enumerate(accuracies):
        row = {"run_id": name, "model": "toy", "status": "COMPLETED", "step": 10 * epoch,
               "time": f"2026-01-02T00:{epoch:02}:00Z", "epoch": epoch, "elapsed_seconds": seconds * epoch,
               "loss": loss, "accuracy": accuracy, "f1": accuracy / 2}  # fmt: skip
        if epoch:
            row |= {"step_time": epoch, "step_time_p95": 2 * epoch, "energy_kwh": 0.1 * epoch}
        yield row | first if epoch == 0 else row


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    db = folder / "budget.duckdb"
    db.write_bytes(blank())
    logs = {
        "earlier": run("measure-20260101T000000-1x32-seed7", 1, 32, 1, [0.1, 0.95]),
        "alone": run("measure-20260102T000000-1x64-seed7", 1, 64, 1, [0.1, 0.6, 0.9, 0.95, 0.8]),
        "larger": run("measure-20260102T000000-1x256-seed7", 1, 256, 1, [0.1, 0.5], loss="nan"),
        "accumulated": run("measure-20260102T000000-accumulated-4x64-seed7", 1, 64, 4, [0.1, 0.92]),
        "parallel": run("measure-20260102T000000-ddp-2x32-seed7", 2, 32, 1, [0.1, 0.91], seconds=20.0),
        "other": [{"run_id": "other", "step": 1, "accuracy": 0.3, "elapsed_seconds": 5}],
    }
    results = load([write(folder / f"{name}.csv", list(log)) for name, log in logs.items()], db)
    assert {result.status for result in results} == {"loaded"}
    return db


def test_mart_of_measured_strategies_by_hand(toy):
    found = warehouse.query("from measured_strategies order by strategy", toy)
    found["server_seconds"] = found["server_hours"] * 3600
    assert shown(found, "strategy", "processes", "reached", "seconds_to_target", "epochs_to_target", "server_seconds",
                 "final_accuracy", "final_f1", "mean_step_seconds", "p95_step_seconds", "energy_kwh") == [
        ("data parallel", 2, True, 20, 1, 40, 0.91, 0.455, 1, 2, 0.1),
        ("larger batch", 1, False, None, None, 30, 0.5, 0.25, 1, 2, 0.1),
        ("larger batch (accumulation)", 1, True, 30, 1, 30, 0.92, 0.46, 1, 2, 0.1),
        ("one process", 1, True, 60, 2, 60, 0.8, 0.4, 2.5, 8, 0.4),
    ]  # fmt: skip
    samples = [10 * 64 / 20, 10 * 256 / 30, 10 * 256 / 30, 40 * 64 / 120]
    assert found["samples_per_second"].tolist() == pytest.approx(samples)
    assert rows(toy, "select distinct model, seed, target_accuracy from measured_strategies") == [("toy", 7, 0.9)]


def test_mart_of_an_empty_database_is_empty(db):
    db.write_bytes(blank())
    assert rows(db, "from measured_strategies") == []


def test_measured_runs_need_no_job(toy):
    assert rows(toy, "select run_id from unlinked_runs") == [("other",)]
