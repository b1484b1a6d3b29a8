"""Training-run logs: MLPerf, Hugging Face, TensorBoard, MLflow, CodeCarbon and plain tables; and the job of a run."""

import csv
import gzip
import json
import math
import re
import sqlite3
import struct
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from dcbudget import privacy, warehouse
from dcbudget.ingest import tensorboard
from dcbudget.ingest.load import load
from focus_rows import ask, assert_conserved, load_one, rejects


def load_sound(path: Path, db: Path, format_name: str | None = None, **options):
    result = load_one(path, db, format_name, **options)
    assert (result.status, result.rows_rejected) == ("loaded", 0), (result.message, rejects(db))
    assert_conserved(result, db)
    return result


def pseudonym(db: Path, host: str) -> str:
    with warehouse.connect(db, write=True) as con:
        return privacy.pseudonyms(con, db).of("h", host)


def values(db: Path, metric: str) -> list[tuple]:
    return ask(db, f"select step, value from run_metrics where metric = '{metric}' order by step, time, value")


# MLPerf


def mllog(key: str, value=None, ms: int = 0, **metadata) -> str:
    entry = {"namespace": "", "time_ms": 1_760_000_000_000 + ms, "event_type": "POINT_IN_TIME", "key": key,
             "value": value, "metadata": {"file": "train.py", "lineno": 1, **metadata}}  # fmt: skip
    return f":::MLLOG {json.dumps(entry)}"


def mllog_run(begin_ms: int, status: str = "success", benchmark: str = "llama2_70b_lora") -> list[str]:
    """A run of 24 samples, 8 a step, that prints its throughput at a count of samples, as some harnesses do."""
    return [
        "launching experiment",
        "  0: " + mllog("submission_benchmark", benchmark, begin_ms),
        mllog("submission_org", "Lab", begin_ms),
        *[mllog("global_batch_size", 8, begin_ms)] * 2,
        mllog("run_start", None, begin_ms + 1000),
        mllog("tracked_stats", {"train_loss": 2.5}, begin_ms + 2000, step=1, lr=0.1) + " trailing words",
        mllog("tracked_stats", {"throughput": 4.0}, begin_ms + 2500, step=16),
        mllog("train_loss", float("nan"), begin_ms + 3000, samples_count=24),
        mllog("eval_accuracy", 0.92, begin_ms + 4000, samples_count=24),
        mllog("run_stop", None, begin_ms + 11000, status=status),
    ]


def test_mllog(tmp_path, db):
    """Two runs of one file; what every rank prints counts once, a cut line is rejected, words are not counted."""
    lines = [*mllog_run(0), *mllog_run(60_000, "aborted", "bert"), mllog("seed", 7)[:-9], "done"]
    (tmp_path / "result_0.txt").write_text("\n".join(lines))
    result = load_one(tmp_path / "result_0.txt", db)
    assert_conserved(result, db)
    assert (result.format, result.rows_rejected, result.rows_skipped) == ("mllog", 1, 2 * 3)
    assert rejects(db)[0][0] == len(lines) - 1
    first, second = "Lab/llama2_70b_lora/2025-10-09T08:53:21.000Z", "Lab/bert/2025-10-09T08:54:21.000Z"
    told = ask(
        db, "select run_id, model, status, epoch(end_time - start_time), last_step from runs order by status desc"
    )
    assert told == [
        (second, "bert", "FAILED", 11.0, 3), (first, "llama2_70b_lora", "COMPLETED", 11.0, 3)
    ]  # fmt: skip
    told = ask(db, f"select metric, step, value from run_metrics where run_id = '{first}' order by time, metric")
    assert told[:-3] == [
        ("global_batch_size", None, 8.0), ("elapsed_seconds", None, 0.0), ("learning_rate", 1, 0.1), ("loss", 1, 2.5),
        ("samples_per_second", 2, 4.0),
    ]  # fmt: skip
    assert told[-3][:2] == ("loss", 3) and math.isnan(told[-3][2])
    assert told[-2:] == [("eval_loss", 3, 0.92), ("elapsed_seconds", None, 10.0)]
    assert ask(db, f"select final_accuracy, diverged from runs where run_id = '{second}'") == [(0.92, True)]


@pytest.mark.real
def test_real_mlperf(real, db):
    """Every run once, as long as its own run_start and run_stop say, and nothing of it from the file's name."""
    files = sorted((real / "training/mlperf").iterdir())
    results = load(files, db)
    assert {result.status for result in results} == {"loaded"} and not sum(r.rows_rejected for r in results)
    lengths, losses = [], 0
    for file in files:
        text = file.read_text(errors="replace")
        start, stop = (int(re.search(rf'"time_ms": (\d+)[^\n]*"key": "{key}"', text)[1]) for key in
                       ("run_start", "run_stop"))  # fmt: skip
        lengths.append((stop - start) / 1000)
        losses += len(re.findall(r'"key": "eval_accuracy"', text))
    found = ask(db, "select status, max(value) from run_metrics join runs using (run_id, status)"
                " where metric = 'elapsed_seconds' group by run_id, status order by 2")  # fmt: skip
    assert found == [("COMPLETED", length) for length in sorted(lengths)]
    assert ask(db, "select count(*) from run_metrics where metric = 'eval_loss'") == [(losses,)]
    assert ask(db, "select count(gpus) from runs") == [(0,)]


# Hugging Face


def trainer_state(entries: list[dict]) -> str:
    return json.dumps({"epoch": 1.0, "global_step": 20, "is_world_process_zero": True, "log_history": entries})


def test_trainer_state(tmp_path, db):
    """A later checkpoint states the steps of an earlier one again; two evaluation sets stay apart."""
    entries = [
        {"epoch": 0.5, "loss": 2.0, "learning_rate": 0.1, "step": 10},
        {"epoch": 0.5, "eval_a_loss": 3.0, "eval_a_accuracy": 0.5, "step": 10},
        {"epoch": 0.5, "eval_b_loss": 4.0, "eval_b_accuracy": 0.25, "step": 10},
        {"epoch": 1.0, "loss": float("inf"), "step": 20},
        {"epoch": 1.0, "train_loss": 1.5, "train_runtime": 7.0, "step": 20},
    ]
    results = []
    for step, count in ((10, 3), (20, 5)):
        file = tmp_path / f"tuned/checkpoint-{step}/trainer_state.json"
        file.parent.mkdir(parents=True)
        file.write_text(trainer_state([*entries[:count], {"loss": 1.0}] if step == 10 else entries))
        results.append(load_one(file, db))
        assert_conserved(results[-1], db)
    assert [(r.status, r.rows_rejected) for r in results] == [("loaded", 1), ("replaced", 0)]
    assert ask(db, "select metric, step, value from run_metrics where run_id = 'tuned' order by all") == [
        ("epoch", 10, 0.5), ("epoch", 20, 1.0), ("eval_a_accuracy", 10, 0.5), ("eval_a_loss", 10, 3.0),
        ("eval_b_accuracy", 10, 0.25), ("eval_b_loss", 10, 4.0), ("learning_rate", 10, 0.1), ("loss", 10, 2.0),
        ("loss", 20, math.inf), ("train_loss", 20, 1.5), ("train_runtime", 20, 7.0),
    ]  # fmt: skip
    assert ask(db, "select final_loss, diverged, job_link from runs") == [(math.inf, True, "none")]


@pytest.mark.real
def test_real_trainer_state(real, db):
    result = load_sound(real / "training/trainer_state.json", db)
    history = json.loads((real / "training/trainer_state.json").read_text())["log_history"]
    numbers = [(entry["step"], name, value) for entry in history for name, value in entry.items() if name != "step"]
    assert result.rows_loaded == len({(step, name) for step, name, _ in numbers})
    for name in ("loss", "eval_g3_accuracy"):
        assert values(db, name) == sorted((step, value) for step, metric, value in numbers if metric == name)


# TensorBoard


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def event(step: int, *summaries: bytes, time: float = 1.7e9) -> bytes:
    message = b"\x09" + struct.pack("<d", time + step) + b"\x10" + varint(step)
    return message + field(5, b"".join(field(1, summary) for summary in summaries))


def simple(tag: str, value: float) -> bytes:
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, kind: int, *contents: bytes) -> bytes:
    return field(1, tag.encode()) + field(8, b"\x08" + bytes([kind]) + field(2, b"") + b"".join(contents))


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    crc = struct.pack("<I", tensorboard.masked_crc(length)), struct.pack("<I", tensorboard.masked_crc(data))
    return length + crc[0] + data + crc[1]


VERSION = b"\x09" + struct.pack("<d", 1.7e9) + field(3, b"brain.Event:2")
EVENTS = [
    VERSION,
    event(1, simple("train/loss", 2.5), simple("lr", 0.5)),
    event(2, tensor("train/loss", 1, field(4, struct.pack("<f", 1.25)))),
    event(3, tensor("train/loss", 1, b"\x2d" + struct.pack("<f", 1.0)), tensor("tokens", 9, b"\x50" + varint(1 << 40))),
    event(4, tensor("mfu", 2, field(6, struct.pack("<d", 0.5))), tensor("count", 3, field(7, varint(300)))),
    event(5, simple("train/loss", math.nan), tensor("weights", 1, field(4, struct.pack("<2f", 1, 2)))),
]


def test_tensorboard(tmp_path, db):
    """Simple values and scalar tensors of either layout; other tensors are skipped; a writer's host is in the name."""
    file = tmp_path / "big-run/train/events.out.tfevents.1700000000.gpu07.cluster.example.4242.0.v2"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"".join(map(record, EVENTS)))
    result = load_sound(file, db)
    assert (result.format, result.rows_loaded, result.rows_skipped) == ("tensorboard", 8, 1)
    assert values(db, "loss")[:3] == [(1, 2.5), (2, 1.25), (3, 1.0)] and math.isnan(values(db, "loss")[3][1])
    assert [values(db, name) for name in ("learning_rate", "tokens", "mfu", "count")] == [
        [(1, 0.5)], [(3, float(1 << 40))], [(4, 0.5)], [(4, 300.0)]
    ]  # fmt: skip
    assert ask(db, "select distinct run_id, host, min(time) over () from run_metrics") == [
        ("big-run/train", pseudonym(db, "gpu07"), datetime(2023, 11, 14, 22, 13, 21))
    ]


def test_checksum_is_the_published_one():
    """RFC 3720, appendix B.4: CRC-32C of 32 zero bytes and of 0 to 31, and TFRecord's mask undone."""
    for data, crc in ((bytes(32), 0x8A9136AA), (bytes(range(32)), 0x46DD794E)):
        unmasked = (tensorboard.masked_crc(data) - 0xA282EAD8) & 0xFFFFFFFF
        assert (unmasked << 15 | unmasked >> 17) & 0xFFFFFFFF == crc


@pytest.mark.parametrize(
    ("damage", "reason", "lost"),
    [
        (lambda raw, at: raw[: at[2] + 20] + b"\xff" + raw[at[2] + 21 :], "its checksum does not fit its data", {2}),
        (lambda raw, at: raw[: at[2]] + b"\xff" + raw[at[2] + 1 :], "its length is damaged", {2}),
        (lambda raw, at: raw[: at[2] + 9] + raw[at[2] + 30 :], "its length is damaged", {2}),
        (lambda raw, at: raw[:-7], "the file ends within it", {5}),
        (lambda raw, at: raw[: at[5] + 5], "the file ends within it", {5}),
    ],
)
def test_a_damaged_event_takes_no_neighbour_with_it(tmp_path, db, damage, reason, lost):
    events = [*EVENTS[:5], event(5, simple("train/loss", 0.5))]
    starts = [sum(len(record(data)) for data in events[:n]) for n in range(len(events))]
    (tmp_path / "run.tfevents").write_bytes(damage(b"".join(map(record, events)), starts))
    result = load_one(tmp_path / "run.tfevents", db)
    assert_conserved(result, db)
    assert rejects(db) == [(next(iter(lost)) + 1, None, None, reason)]
    assert {step for (step,) in ask(db, "select distinct step from run_metrics")} == {1, 2, 3, 4, 5} - lost


def test_events_that_look_like_text(tmp_path, db):
    """A graph of names before the first scalar, packed: the file is known by its first record."""
    graph = VERSION + field(4, b"layer/weights/read " * 40_000)
    (tmp_path / "run").write_bytes(gzip.compress(b"".join(map(record, [graph, EVENTS[1]]))))
    assert load_sound(tmp_path / "run", db).format == "tensorboard"
    assert values(db, "loss") == [(1, 2.5)]


@pytest.mark.real
def test_real_events(real, db):
    """2,172 points a metric every 10 steps; the first loss read from the bytes by eye."""
    result = load_sound(real / "training/rnnt_0b04311a.tfevents", db)
    assert result.rows_loaded == 4 * 2172 + 2
    loss = values(db, "loss")
    assert loss[0] == (10, struct.unpack("<f", bytes.fromhex("007caf44"))[0])
    assert [step for step, _ in loss] == list(range(10, 21721, 10))


# MLflow


def tracking_database(path: Path) -> Path:
    """The tables of MLflow's store that matter, with a run that finished and one that was killed and then deleted."""
    with sqlite3.connect(path) as con:
        con.executescript("""
            create table experiments (experiment_id integer, name text);
            create table runs (run_uuid text, name text, user_id text, status text, start_time bigint, end_time bigint,
                lifecycle_stage text, experiment_id integer);
            create table metrics (key text, value float, timestamp bigint, run_uuid text, step bigint, is_nan boolean);
            create table params (key text, value text, run_uuid text);
            create table tags (key text, value text, run_uuid text);
            insert into runs values
                ('a1', 'first', 'alice', 'FINISHED', 1700000000000, 1700000060500, 'active', 1),
                ('b2', 'second', 'alice', 'KILLED', 1700000100000, null, 'deleted', 1);
            insert into metrics values
                ('train_loss', 2.0, 1700000010000, 'a1', 1, 0), ('train_loss', 0.0, 1700000020000, 'a1', 2, 1),
                ('train_loss', 1.7976931348623157e308, 1700000030000, 'a1', 3, 0),
                ('f1_score', 0.75, 1700000040001, 'a1', 3, 0);
            insert into tags values ('SLURM_JOB_ID', '77', 'a1'), ('mlflow.user', 'alice', 'a1'),
                ('mlflow.runName', 'first', 'a1');
            insert into params values ('num_gpus', '8', 'a1'), ('model_name', 'lm-7b', 'a1'), ('gpus', 'all', 'b2');
        """)
    return path


def test_mlflow_database(tmp_path, db):
    """What the store cannot hold (NaN, Infinity) is told by it; no user is kept."""
    result = load_sound(tracking_database(tmp_path / "store.db"), db)
    assert (result.format, result.rows_loaded) == ("mlflow", 7)
    told = values(db, "loss")
    assert (told[0], told[2]) == ((1, 2.0), (3, math.inf)) and math.isnan(told[1][1])
    told = ask(db, "select run_id, job_id, model, gpus, status, start_time, end_time, final_f1 from runs order by 1")
    assert told == [
        ("a1", "77", "lm-7b", 8.0, "COMPLETED", datetime(2023, 11, 14, 22, 13, 20),
         datetime(2023, 11, 14, 22, 14, 20, 500_000), 0.75),
        ("b2", None, None, None, "CANCELLED", datetime(2023, 11, 14, 22, 15), datetime(2023, 11, 14, 22, 15), None),
    ]  # fmt: skip
    assert "alice" not in str(ask(db, "from run_metrics"))


def test_another_sqlite_file_is_no_mlflow(tmp_path, db):
    with sqlite3.connect(tmp_path / "other.db") as con:
        con.execute("create table runs (id text)")
    assert load_one(tmp_path / "other.db", db).message == "other.db: neither text nor Parquet"


def test_mlruns_folder(tmp_path, db):
    """Parameters, tags, artifacts and an experiment's own meta.yaml do not fail its load."""
    run = tmp_path / "mlruns/0/c3"
    files = {
        "../meta.yaml": "artifact_location: mlruns/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n",
        "../tags/note": "an experiment's",
        "../models/m-1/meta.yaml": "artifact_location: x\ncreation_timestamp: 1700000000000\nmodel_id: m-1\n",
        "../models/m-1/metrics/loss": "1700000010000 9.5 1 c3\n",
        "meta.yaml": "artifact_uri: mlruns/0/c3/artifacts\nend_time: 1700000060000\nexperiment_id: '0'\n"
                     "lifecycle_stage: active\n"
                     "run_id: c3\nrun_name: third\nstart_time: 1700000000000\nstatus: 4\nuser_id: alice\n",
        "metrics/loss": "1700000010000 2.5 1\n1700000020000 nan 2\nwhat\n",
        "metrics/val/accuracy": "1700000020000 0.5 2\n",
        "params/lr": "0.1",
        "tags/slurm_job_id": "88",
        "artifacts/model/MLmodel": "flavors: {}\n",
    }  # fmt: skip
    for name, text in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text)
    results = {result.path.relative_to(run).as_posix(): result for result in load([tmp_path], db)}
    assert {name: (r.status, r.rows_loaded, r.rows_rejected) for name, r in results.items()} == {
        "meta.yaml": ("loaded", 2, 0), "metrics/loss": ("loaded", 2, 1), "metrics/val/accuracy": ("loaded", 1, 0),
    }  # fmt: skip
    assert ask(db, "select run_id, job_id, status, diverged, epoch(end_time - start_time) from runs") == [
        ("c3", "88", "FAILED", True, 60.0)
    ]
    assert values(db, "val/accuracy") == [(2, 0.5)]


# CodeCarbon


@pytest.mark.real
def test_real_emissions(real, db):
    """Energy of every row; a run that was written down several times counts its last, a start counts once."""
    with (real / "training/emissions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    load_sound(real / "training/emissions.csv", db, timezone="Europe/Paris")
    energies = [float(row["energy_consumed"]) for row in rows if row["energy_consumed"]]
    (held, count) = ask(db, "select sum(value), count(*) from run_metrics where metric = 'energy_kwh'")[0]
    assert (held, count) == (pytest.approx(sum(energies), rel=1e-12), len(energies))
    last = {row["run_id"]: float(row["energy_consumed"]) for row in rows if row["run_id"] and row["energy_consumed"]}
    assert dict(ask(db, "select run_id, energy_kwh from runs where not starts_with(run_id, 'codecarbon')")) == last
    assert ask(
        db, "select end_time, gpus, project from runs where run_id = '409f7ac2-203f-4191-9bf4-e3cdf9470de8'"
    ) == [(datetime(2024, 5, 31, 8, 39, 13), 1.0, None)]
    assert ask(db, "select count(*) from run_metrics where metric = 'elapsed_seconds' and value = 0") == [
        (len(last) + sum(not row["run_id"] for row in rows),)
    ]


# Plain tables


def test_long_form_keeps_what_diverged(tmp_path, db):
    (tmp_path / "log.csv").write_text(
        "run_id,metric,value,step\nr,loss,NaN,1\nr,loss,-inf,2\nr,loss,,3\nr,loss,1e9,4\n"
    )
    load_one(tmp_path / "log.csv", db)
    assert rejects(db) == [(4, "value", None, "is empty")]
    assert [str(value) for _, value in values(db, "loss")] == ["nan", "-inf", "1000000000.0"]
    duckdb.sql(
        f"copy (select 'q' as run_id, 'loss' as metric, 'nan'::double as value) to '{tmp_path}/log' (format parquet)"
    )
    load_sound(tmp_path / "log", db)
    assert ask(db, "select run_id, diverged from runs order by 1") == [("q", True), ("r", False)]


WIDE = [
    {"Run_Name": "w1", "slurm_job_id": "5", "hostname": "gpu1.example.org", "iteration": "10",
     "timestamp": "1700000000", "phase": "train", "loss": "2.5", "lr": "0.1", "note": ""},
    {"Run_Name": "w1", "slurm_job_id": "5", "hostname": "gpu1.example.org", "iteration": "20",
     "timestamp": "1700000060.5", "phase": "train", "loss": "nan", "lr": "", "note": ""},
    {"Run_Name": "w2", "slurm_job_id": "", "hostname": "", "iteration": "10", "timestamp": "1700000000",
     "phase": "eval", "loss": "high", "lr": "0.2", "note": ""},
]  # fmt: skip


def wide_file(tmp_path: Path, how: str) -> Path:
    path = tmp_path / f"runs.{how}"
    if how == "jsonl":
        path.write_text(
            "".join(json.dumps({k: v for k, v in row.items() if v}) + "\n" for row in WIDE[:2]) + "{broken\n"
        )
        return path
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(WIDE[0]), delimiter=";" if how == "csv" else ",")
        writer.writeheader()
        writer.writerows(WIDE)
    if how == "csv":
        path.write_text(path.read_text() + "w3;5;host;30\n")
    if how == "parquet":
        source, path = path.rename(tmp_path / "source.csv"), tmp_path / "runs.parquet"
        duckdb.sql(f"copy (from read_csv('{source}', all_varchar = true)) to '{path}' (format parquet)")
    return path


@pytest.mark.parametrize("how", ["csv", "parquet", "jsonl"])
def test_wide_form(tmp_path, db, how):
    """A column a metric; a bad cell takes no other of its row with it, a bad row no other row."""
    result = load_one(wide_file(tmp_path, how), db)
    assert_conserved(result, db)
    high = ("value", "xxxx", "not a number, NaN or Infinity")
    bad = {"csv": [(4, *high), (5, None, None, "4 fields where 9 are expected")], "parquet": [(3, *high)],
           "jsonl": [(3, None, None, "no JSON object")]}  # fmt: skip
    assert rejects(db) == bad[how]
    told = ask(db, "select run_id, job_id, host, step, time, metric, value from run_metrics where run_id = 'w1'"
               " order by step, metric desc")  # fmt: skip
    assert [row[:6] for row in told] == [
        ("w1", "5", pseudonym(db, "gpu1"), step, time, metric)
        for step, time, metric in (
            (10, datetime(2023, 11, 14, 22, 13, 20), "loss"), (10, datetime(2023, 11, 14, 22, 13, 20), "learning_rate"),
            (20, datetime(2023, 11, 14, 22, 14, 20, 500_000), "loss"),
        )
    ]  # fmt: skip
    assert [row[6] for row in told[:2]] == [2.5, 0.1] and math.isnan(told[2][6])
    assert ask(db, "select value from run_metrics where run_id = 'w2'") == ([] if how == "jsonl" else [(0.2,)])


@pytest.mark.parametrize("how", ["csv", "parquet"])
def test_a_column_that_is_filled_late(tmp_path, db, how):
    """A metric of the end only, behind more rows than are looked at first, and a column of words."""
    rows = [f"r,{step},{1 / step},,warm" for step in range(1, 1201)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["run,step,loss,val_loss,phase", *rows, "r,1201,0.1,0.5,cold"]))
    if how == "parquet":
        duckdb.sql(f"copy (from '{log}') to '{tmp_path}/log' (format parquet)")
        log = tmp_path / "log"
    assert load_sound(log, db).rows_loaded == 1202
    assert values(db, "val_loss") == [(1201, 0.5)]


def test_a_log_without_a_run_or_a_step_of_its_own(tmp_path, db):
    """Keras: epochs are its steps; two columns of one meaning keep their names; the file names the run."""
    (tmp_path / "resnet-a.csv").write_text("epoch,acc,accuracy,loss\n0,0.1,0.2,3\n1,0.3,0.4,2\n")
    load_sound(tmp_path / "resnet-a.csv", db)
    assert ask(db, "select run_id, step, metric, value from run_metrics order by step, metric") == [
        ("resnet-a", 0, "acc", 0.1), ("resnet-a", 0, "accuracy", 0.2), ("resnet-a", 0, "loss", 3.0),
        ("resnet-a", 1, "acc", 0.3), ("resnet-a", 1, "accuracy", 0.4), ("resnet-a", 1, "loss", 2.0),
    ]  # fmt: skip


@pytest.mark.real
def test_real_zeus(real, db):
    """Every target of every run; one that was never met is NaN. Watts by power limit."""
    for name in ("summary_train.csv", "summary_power_v100.csv"):
        load_sound(real / "training" / name, db)
    with (real / "training/summary_train.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    epochs = [float(row["target_epoch"]) for row in rows if row["target_epoch"] != "nan"]
    found = ask(db, "select count(*), sum(value) filter (not isnan(value)), count(*) filter (isnan(value))"
                " from run_metrics where starts_with(metric, 'epochs_to_')")  # fmt: skip
    assert found == [(len(rows), sum(epochs), len(rows) - len(epochs))]
    run = "cifar100/shufflenetv2/1024/adadelta/100W"
    assert ask(db, f"select metric, value from run_metrics where run_id = '{run}'") == [
        ("epoch_time", 11.276666666666666), ("average_power_watts", 86.86460850784009)
    ]  # fmt: skip


# The job of a run

JOBS = """
    insert into jobs by name select * from (values
        ('1', 'east', 'gpu1', timestamp '2026-05-01 00:00', timestamp '2026-05-01 02:00', 'COMPLETED', 8.0),
        ('2', 'east', 'gpu1', timestamp '2026-05-01 02:00', timestamp '2026-05-01 04:00', 'FAILED', 4.0),
        ('1', 'west', 'gpu9', timestamp '2026-05-01 00:00', timestamp '2026-05-01 02:00', 'TIMEOUT', 2.0),
        ('7', 'west', 'gpu8', timestamp '2026-03-01 00:00', timestamp '2026-03-01 01:00', 'FAILED', 1.0),
        ('7', 'west', 'gpu8', timestamp '2026-05-01 00:00', timestamp '2026-05-01 01:00', 'COMPLETED', 2.0),
        ('3', 'east', 'gpu5', timestamp '2026-05-01 00:00', timestamp '2026-05-01 02:00', 'COMPLETED', 1.0),
        ('4', 'east', 'gpu5', timestamp '2026-05-01 00:30', timestamp '2026-05-01 03:00', 'COMPLETED', 1.0),
        ('5', 'east', 'gpu6', timestamp '2026-05-01 00:00', null, 'RUNNING', 16.0)
    ) t (job_id, cluster, host, start_time, end_time, state, gpus),
    (values (timestamp '2026-01-01', 7200.0)) more (submit_time, elapsed_seconds)"""
RUNS = [
    # run, cluster, job id, host, first and last time, then what is found: link, job, status, GPUs
    ("key", "", "2", "", "02:10", "03:50", "key", "2", "FAILED", 4.0),
    ("key-of-two-clusters", "", "1", "", "00:10", "01:50", "ambiguous", "1", None, None),
    ("key-and-cluster", "west", "1", "", "00:10", "01:50", "key", "1", "TIMEOUT", 2.0),
    ("key-used-again", "", "7", "", "00:10", "00:50", "key", "7", "COMPLETED", 2.0),
    ("key-unknown", "", "99", "gpu1", "00:10", "01:50", "none", "99", None, None),
    ("host", "", "", "gpu1", "00:00", "01:59", "host and time", "1", "COMPLETED", 8.0),
    ("host-after", "", "", "gpu1", "02:00", "03:59", "host and time", "2", "FAILED", 4.0),
    ("host-over-the-end", "", "", "gpu1", "01:00", "02:00", "none", None, None, None),
    ("host-shared", "", "", "gpu5", "00:40", "01:00", "ambiguous", None, None, None),
    ("host-shared-once", "", "", "gpu5", "00:10", "01:00", "host and time", "3", "COMPLETED", 1.0),
    ("host-elsewhere", "west", "", "gpu1", "00:10", "01:00", "none", None, None, None),
    ("host-still-running", "", "", "gpu6", "00:10", "23:00", "host and time", "5", "RUNNING", 16.0),
    ("nothing", "", "", "", "00:10", "01:00", "none", None, None, None),
]  # fmt: skip


def insert_jobs(db: Path) -> None:
    with warehouse.connect(db, write=True) as con:
        names = privacy.pseudonyms(con, db)
        con.execute(JOBS)
        con.execute(f"update jobs set host = {names.sql('h', 'host')}")


def test_the_job_of_a_run(tmp_path, db):
    lines = [f"{run},{cluster},{job},{host},loss,1,2026-05-01T{time}:00Z"
             for run, cluster, job, host, first, last, *_ in RUNS for time in (first, last)]  # fmt: skip
    lines += ["two-jobs,,1,,loss,1,2026-05-01T00:10:00Z", "two-jobs,,2,,loss,1,2026-05-01T02:10:00Z"]
    (tmp_path / "log.csv").write_text("\n".join(["run_id,cluster,job_id,host,metric,value,time", *lines]))
    load_sound(tmp_path / "log.csv", db)
    insert_jobs(db)
    told = ask(db, "select run_id, job_link, job_id, status, gpus, gpu_hours from runs")
    found = {run: rest for run, *rest in told}
    assert found.pop("two-jobs") == ["ambiguous", None, None, None, None]
    assert {run: tuple(rest[:4]) for run, rest in found.items()} == {run[0]: run[6:] for run in RUNS}
    assert found["host"][4] == 16.0
    unlinked = {run for (run,) in ask(db, "select run_id from unlinked_runs")}
    assert unlinked == {"two-jobs", *(run[0] for run in RUNS if run[6] in ("none", "ambiguous"))}


def test_a_run_tells_its_own_end(tmp_path, db):
    """What a log says of its run goes before what the job says; a later load before an earlier."""
    for minute, status in (("10", "running"), ("20", "Finished")):
        path = tmp_path / f"at {minute}.csv"
        path.write_text(
            f"run_id,job_id,status,gpus,metric,value,time\nr,2,{status},3,loss,1,2026-05-01T02:{minute}:00Z\n"
        )
        load_sound(path, db)
    insert_jobs(db)
    assert ask(db, "select job_link, status, gpus from runs") == [("key", "COMPLETED", 3.0)]


# Damage

SOUND = {
    "mllog": mllog("run_start") + "\n" + mllog("train_loss", 1.5, 1000) + "\n",
    "run_metrics_json": '{"run_id": "r", "step": 1, "loss": 1.5}\n',
    "mlruns_metric": "1700000010000 1.5 1\n",
    "codecarbon": "timestamp,project_name,run_id,duration,emissions,energy_consumed\n2026-05-01T00:00:00,p,r,1.5,,\n",
}
BROKEN = (
    ':::MLLOG {"key": ["a"], "value": 1, "time_ms": 1}', ':::MLLOG {"key": "a", "value": 1, "time_ms": 1e300}',
    ':::MLLOG {"key": "a", "value": {"b": [1]}, "time_ms": 1, "metadata": 5}', ":::MLLOG {" + '"a":{' * 5000,
    '{"run_id": "a\\u0000b", "step": 1, "loss": 1}', '{"run_id": "r", "step": {}, "loss": [1]}', "[" * 5000, "{",
    '{"run_id": ["r"], "step": 1e99, "time": "noon", "loss": 1e999}', "99999999999999 x y", ",,,,,",
    ",p,,x,x,x", "\x00",
)  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_hostile_lines_stay_theirs(tmp_path, db, name):
    """Whatever stands on the lines behind it, a sound record is loaded and the others are rejected."""
    folder = tmp_path / "r/metrics"
    folder.mkdir(parents=True)
    (folder / "loss").write_text(SOUND[name] + "\n".join(BROKEN))
    result = load_one(folder / "loss", db, name)
    assert result.status == "loaded", result.message
    assert_conserved(result, db)
    assert (1.5,) in ask(db, "select value from run_metrics")
    assert result.rows_rejected > 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trainer_state", b'{"global_step": 1, "log_history": null}'),
        ("trainer_state", b'{"global_step": 1, "log_history": [' + b"[" * 5000),
        ("mlflow", b"SQLite format 3\x00" + bytes(100)),
        ("tensorboard", b"a line of text that is no event file"),
        ("run_metrics_wide", b"\xff\xfe\x00"),
        ("serving", b"a,b\n1,2\n"),
    ],
)
def test_a_file_that_is_not_what_the_user_says(tmp_path, db, name, content):
    (tmp_path / "file").write_bytes(content)
    result = load_one(tmp_path / "file", db, name)
    assert result.status == "failed" or result.rows_loaded == 0


def test_events_that_are_no_events(tmp_path, db):
    """Records with sound checksums whose bytes are no protocol buffer of an event."""
    broken = [b"\x28\x05", b"\x09" + struct.pack("<d", math.nan), field(5, field(1, b"\x08\x01")), b"\xff" * 9, b"\x0b"]
    (tmp_path / "run.tfevents").write_bytes(b"".join(map(record, [VERSION, *broken, EVENTS[1]])))
    result = load_one(tmp_path / "run.tfevents", db)
    assert_conserved(result, db)
    assert (result.rows_loaded, result.rows_rejected) == (2, len(broken))
