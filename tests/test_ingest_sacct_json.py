"""Slurm accounting as JSON: every edition's way to write a job, and files that are damaged."""

import gzip
import json
import re
from datetime import datetime

import pytest

from dcbudget.ingest import sacct_json
from dcbudget.ingest.source import open_source
from focus_rows import ask, assert_conserved, load_one, pseudonym, rejects

COLUMNS = (
    "job_id, job_name, cluster, partition, qos, account, user_id, submit_time, start_time, end_time, elapsed_seconds,"
    " requested_seconds, state, gpus, gpu_model, gpu_slice, nodes, cpus, memory_gb, gpu_utilisation, energy_kwh,"
    " restarts, host"
)
WHOLE = (
    "4711", "train", "c1", "gpu", "normal", "team-a", "ann", datetime(2026, 5, 1), datetime(2026, 5, 1, 0, 10),
    datetime(2026, 5, 1, 1, 10), 3600.0, 86400.0, "COMPLETED", 2.0, "A100", None, 2.0, 16.0, 64.0, 0.75, 2.0, 1.0,
    "node003",
)  # fmt: skip
START = 1_777_593_600


def number(value: int | None) -> dict:
    """A number as Slurm 23.02 and later write it."""
    return {"set": value is not None, "infinite": False, "number": value or 0}


def tres(**counts: int) -> list[dict]:
    """A TRES list; `gpu__a100` is gres/gpu:a100."""
    kinds = {"gpu": "gres", "gpuutil": "gres"}
    entries = []
    for place, (name, count) in enumerate(counts.items()):
        kind = kinds.get(name.split("__")[0])
        entries.append({"type": kind or name, "name": name.replace("__", ":") if kind else "", "id": place,
                        "count": count})  # fmt: skip
    return entries


def step(used: int | None, joules: int) -> dict:
    consumed = tres(cpu=3) + (tres(gpuutil=used) if used is not None else [])
    return {"step": {"id": "4711.batch", "name": "batch"}, "statistics": {"energy": {"consumed": number(joules)}},
            "tres": {"consumed": {"average": consumed, "total": []}, "allocated": tres(cpu=16, gpu=2)}}  # fmt: skip


def job(job_id: int = 4711, **changes) -> dict:
    """One job of an hour on two GPUs, as Slurm 24.05 writes it."""
    return {
        "account": "team-a",
        "allocation_nodes": 2,
        "array": {"job_id": 0, "task_id": number(None), "task": ""},
        "association": {"account": "team-a", "cluster": "c1", "user": "ann"},
        "cluster": "c1",
        "het": {"job_id": 0, "job_offset": number(None)},
        "job_id": job_id,
        "name": "train",
        "nodes": "node[003-004]",
        "partition": "gpu",
        "qos": "normal",
        "required": {"CPUs": 16, "memory_per_cpu": number(None), "memory_per_node": number(32768)},
        "restart_cnt": 1,
        "state": {"current": ["COMPLETED"], "reason": "None"},
        "steps": [step(150, 7_200_000), step(20, 3_600_000), step(None, 0)],
        "time": {"elapsed": 3600, "start": START + 600, "end": START + 4200, "submission": START,
                 "limit": number(1440)},
        "tres": {"allocated": tres(cpu=16, mem=65536, node=2, billing=16, gpu=2, gpu__a100=2), "requested": []},
        "user": "ann",
        **changes,
    }  # fmt: skip


def old_job(job_id: int = 4711, **changes) -> dict:
    """The same job as Slurm 21.08 writes it."""
    now = job(job_id)
    del now["restart_cnt"]
    steps = [{**s, "statistics": {"energy": {"consumed": s["statistics"]["energy"]["consumed"]["number"]}}}
             for s in now["steps"]]  # fmt: skip
    for entry in now["tres"]["allocated"]:
        entry["name"] = entry["name"] or None
    return {
        **now,
        "array": {"job_id": 0, "task_id": None, "task": None},
        "het": {"job_id": 0, "job_offset": None},
        "required": {"CPUs": 16, "memory": 65536},
        "state": {"current": "COMPLETED", "reason": "None"},
        "steps": steps,
        "time": {**now["time"], "limit": 1440},
        **changes,
    }


def load_json(tmp_path, db, document, indent: int | None = 1, name: str = "jobs"):
    path = tmp_path / f"{name}.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document, indent=indent), encoding="utf-8")
    result = load_one(path, db, keep_names=True)
    if result.status in ("loaded", "replaced"):
        assert_conserved(result, db)
    return result


def job_ids(db) -> list[str]:
    return [row[0] for row in ask(db, "select job_id from jobs order by x_source_row")]


@pytest.mark.parametrize(
    ("made", "restarts"), [(job(), 1.0), (old_job(), None), (old_job(restarts=3), None)], ids=["24.05", "21.08", "more"]
)
def test_every_edition_gives_the_same_job(tmp_path, db, made, restarts):
    result = load_json(tmp_path, db, {"meta": {}, "errors": [], "jobs": [made]})
    assert (result.format, result.rows_read, result.rows_loaded) == ("sacct_json", 1, 1)
    names = {"ann": pseudonym(db, "u", "ann"), "node003": pseudonym(db, "h", "node003")}
    whole = (*WHOLE[:-2], restarts, WHOLE[-1])
    assert ask(db, f"select {COLUMNS} from jobs") == [tuple(names.get(value, value) for value in whole)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps({"jobs": [job(1), job(2)], "meta": {}}), id="compact"),
        pytest.param(json.dumps([job(1), job(2)], indent=2), id="list"),
        pytest.param(json.dumps(job(1)) + "\n" + json.dumps(job(2)) + "\n", id="lines"),
        pytest.param(json.dumps(job(1), indent=2) + json.dumps(job(2), indent=2), id="objects"),
        pytest.param(json.dumps({"jobs": [job(1)], "meta": {}}) + json.dumps({"meta": {}, "jobs": [job(2)]}), id="two"),
    ],
)
def test_every_way_to_hold_jobs(tmp_path, db, text, pack):
    path = tmp_path / "jobs"
    path.write_bytes(pack(text.encode()))
    result = load_one(path, db)
    assert (result.rows_read, result.rows_rejected) == (2, 0)
    assert ask(db, "select job_id, x_source_row, gpus from jobs order by 1") == [("1", 1, 2.0), ("2", 2, 2.0)]


FIELDS = [
    ({"array": {"job_id": 10, "task_id": number(0), "task": ""}}, "job_id", "10_0"),
    ({"array": {"job_id": 10, "task_id": 3, "task": None}}, "job_id", "10_3"),
    ({"array": {"job_id": 10, "task_id": number(None), "task": "4-9"}}, "job_id", "10_[4-9]"),
    ({"het": {"job_id": 10, "job_offset": number(1)}}, "job_id", "10+1"),
    ({"state": {"current": ["RUNNING", "COMPLETING"]}}, "state", "RUNNING"),
    ({"state": "CANCELLED"}, "state", "CANCELLED"),
    ({"time": {**job()["time"], "end": 0}}, "end_time", None),
    ({"time": {**job()["time"], "limit": {"set": True, "infinite": True, "number": 0}}}, "requested_seconds", None),
    ({"time": {**job()["time"], "limit": 4294967295}}, "requested_seconds", None),
    ({"user": "", "association": {"user": "bob", "cluster": "c1"}}, "user_id", "bob"),
    ({"tres": {"allocated": tres(gpu=2, **{"gpu__a100_1g.10gb": 2})}}, "gpu_slice", "1g.10gb"),
    ({"tres": {"allocated": tres(gpu=1, energy=360_000)}}, "energy_kwh", 0.1),
    ({"tres": {"allocated": tres(cpu=4)}}, "gpus", 0.0),
    ({"tres": {"allocated": []}, "required": {"CPUs": 4, "memory_per_cpu": number(2048)}}, "memory_gb", 8.0),
    ({"tres": {"allocated": []}}, "memory_gb", 64.0),
    ({"steps": []}, "gpu_utilisation", None),
    ({"steps": None}, "energy_kwh", None),
    ({"nodes": "None assigned"}, "host", None),
]


def test_fields_in_all_their_ways(tmp_path, db):
    jobs = [job(number, qos=str(number), **changes) for number, (changes, *_) in enumerate(FIELDS)]
    load_json(tmp_path, db, {"jobs": jobs})
    columns = ", ".join(dict.fromkeys(column for _, column, _ in FIELDS))
    rows = ask(db, f"select qos::int, {columns} from jobs")
    names = columns.split(", ")
    found = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
    expected = [pseudonym(db, "u", value) if column == "user_id" else value for _, column, value in FIELDS]
    assert [found[number][column] for number, (_, column, _) in enumerate(FIELDS)] == expected


BAD = [
    ({key: value for key, value in job(2).items() if key != "time"}, "a job without 'time'"),
    ({"job_id": 2}, "a job without 'time'"),
    (job(2, time={**job()["time"], "submission": "yesterday"}), "no job of Slurm: a number or time is none"),
    (job(2, time={**job()["time"], "submission": 10**20}), "no job of Slurm"),
    (["job"], "no job of Slurm: a part is not what it should be"),
    (job(2, state={"current": ["PONDERING"]}), "is empty"),
    (job(2, time={**job()["time"], "submission": 0}), "a job without a submit time"),
    (job(2, time={**job()["time"], "end": START}), "the job ends before it starts"),
]


def test_a_bad_job_takes_no_other_with_it(tmp_path, db):
    jobs = [document for number, (bad, _) in enumerate(BAD) for document in (job(100 + number), bad)]
    result = load_json(tmp_path, db, {"jobs": jobs})
    assert (result.rows_read, result.rows_loaded) == (2 * len(BAD), len(BAD))
    assert job_ids(db) == [str(100 + number) for number in range(len(BAD))]
    said = [(line, why) for line, *_, why in rejects(db)]
    assert [line for line, _ in said] == [2 * number for number in range(1, len(BAD) + 1)]
    assert [why[: len(reason)] for (_, why), (_, reason) in zip(said, BAD, strict=True)] == [why for _, why in BAD]


@pytest.mark.parametrize("piece", [64, 1000, 4 * 1024 * 1024])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text.replace('"nodes"', '"nodes', 1), id="open quote"),
        pytest.param(lambda text: text.replace('"het"', "het", 1), id="no quote"),
        pytest.param(lambda text: text.replace('"name": "train"', '"name": "a\x01b"', 1), id="control character"),
        pytest.param(lambda text: text.replace('"steps": [', '"steps": ' + "[" * 100_000, 1), id="deep"),
        pytest.param(lambda text: text[: len(text) // 2] + "}]" + text[len(text) // 2 :], id="braces"),
    ],
)
def test_damage_stays_in_its_job(tmp_path, db, monkeypatch, damage, indent, piece):
    """However the file is cut into pieces for reading; the text that was no job is kept."""
    monkeypatch.setattr(sacct_json, "CHUNK", piece)
    texts = [json.dumps(job(n), indent=indent) for n in (1, 2, 3)]
    texts[1] = damage(texts[1])
    path = tmp_path / "jobs.json"
    path.write_text('{"jobs": [' + ",\n".join(texts) + '], "meta": {}}')
    found = list(sacct_json.convert(open_source(path)))
    good = [fields[0] for _, fields in (record for record in found if isinstance(record, tuple))]
    assert good == ["1", "3"]
    assert [(bad.line, bad.reason) for bad in found if not isinstance(bad, tuple)] == [(2, "no JSON")]


@pytest.mark.parametrize("cut", [-2, -20, -900])
def test_a_file_that_is_cut_off_says_so(tmp_path, db, cut):
    text = json.dumps({"meta": {}, "jobs": [job(1), job(2)]})
    result = load_json(tmp_path, db, text[:cut])
    whole = 2 if cut == -2 else 1
    assert (result.rows_loaded, result.rows_rejected) == (whole, 1)
    ((line, *_, reason),) = rejects(db)
    assert line == whole + 1 and re.match("the file is cut off|no JSON", reason)


def test_json_and_text_of_one_cluster_name_a_job_alike(tmp_path, db):
    """The JSON states anew what was loaded from sacct's text."""
    (tmp_path / "jobs.txt").write_text(
        "JobID|Cluster|User|State|Submit|Start|End|Elapsed|AllocTRES\n"
        "4711|c1|ann|RUNNING|2026-05-01T00:00:00|2026-05-01T00:10:00|Unknown|00:05:00|gres/gpu:a100=2\n"
    )
    load_one(tmp_path / "jobs.txt", db)
    assert load_json(tmp_path, db, [job()]).status == "replaced"
    assert ask(db, "select job_id, state from jobs") == [("4711", "COMPLETED")]


@pytest.mark.parametrize(
    "text",
    ['{"jobs": []}', '{"code": 200, "data": []}', "[1, 2]", '{"job_id": 1, "state": "x"}', "{", '[{"submission": 1}]'],
)
def test_other_json_is_no_accounting(tmp_path, db, text):
    result = load_json(tmp_path, db, text)
    assert result.status == "failed" and "its format is not known" in result.message


@pytest.mark.real
def test_a_real_file(real, db):
    """Two jobs of Slurm 21.08 on one GPU each, of two arrays."""
    result = load_one(real / "jobs/slurm_job.json", db)
    assert (result.rows_read, result.rows_rejected) == (2, 0)
    assert ask(
        db,
        "select job_id, cluster, account, epoch(submit_time), epoch(start_time), epoch(end_time), elapsed_seconds,"
        " state, gpus, gpu_model, cpus, memory_gb, requested_seconds, host from jobs order by x_source_row",
    ) == [
        ("1_7", "cedar", "def-cerise-rrg", 1680193479, 1680193504, None, 20615, "NODE_FAIL", 1, None, 4, 40, 86400,
         pseudonym(db, "h", "cdr1")),
        ("2_0", "cedar", "def-cerise-rrg", 1680127990, 1680127992, 1680215981, 86307, "PENDING", 1, None, 4, 40, 86400,
         pseudonym(db, "h", "cdr2")),
    ]  # fmt: skip
