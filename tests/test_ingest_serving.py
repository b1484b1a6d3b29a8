"""Serving logs: requests with their tokens, what a further log means beside a loaded one, and cost per token."""

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import tiny
from dcbudget.ingest.load import load
from focus_rows import ask, assert_conserved, load_one, rejects

HEADER = ("Request Time", "Model", "Tenant", "Prompt Tokens", "Completion Tokens", "latency_ms")
ROWS = [
    ("2026-05-01T00:00:00.5Z", "lm", "alpha", "100", "10", "1500"),
    ("2026-05-01T00:00:00.5Z", "lm", "alpha", "100", "10", "1500"),
    ("2026-05-01T02:00:03+02:00", "lm", "alpha", "200", "", "250.5"),
    ("2026-05-31T23:59:59.999999Z", "lm", "beta", "300", "30", ""),
    ("2026-06-01T00:00:00Z", "", "", "400", "40", "1"),
]  # fmt: skip


def write(path: Path, rows: list[tuple], how: str = "csv") -> Path:
    if how == "jsonl":  # as an OpenAI-compatible gateway nests its usage
        keys = ("created", "model", "team", "usage.prompt_tokens", "usage.completion_tokens", "latency_ms")
        lines = []
        for row in rows:
            told = {key: value for key, value in zip(keys, row, strict=True) if value}
            usage = {key[6:]: int(told.pop(key)) for key in list(told) if key.startswith("usage.")}
            lines.append(json.dumps({**told, "usage": usage}))
        path.write_text("\n".join(lines))
        return path
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    if how == "parquet":
        source = path.rename(path.with_suffix(".csv"))
        types = "{'Request Time': 'TIMESTAMPTZ', 'Prompt Tokens': 'INTEGER', 'Completion Tokens': 'DOUBLE'}"
        duckdb.sql(
            f"set timezone = 'UTC'; copy (from read_csv('{source}', types = {types})) to '{path}' (format parquet)"
        )
    return path


@pytest.mark.parametrize("how", ["csv", "parquet", "jsonl"])
def test_serving_log(tmp_path, db, how):
    """Two alike are two requests; times in UTC, latency in seconds; what is not told is null."""
    result = load_one(write(tmp_path / "log", ROWS, how), db)
    assert_conserved(result, db)
    assert (result.format.split()[0], result.rows_loaded, result.rows_rejected) == ("serving", 5, 0), result.message
    assert ask(db, "select * exclude (x_load_id, x_source_row) from requests order by x_source_row") == [
        *[(datetime(2026, 5, 1, 0, 0, 0, 500_000), "alpha", "lm", 100, 10, 1.5)] * 2,
        (datetime(2026, 5, 1, 0, 0, 3), "alpha", "lm", 200, None, 0.2505),
        (datetime(2026, 5, 31, 23, 59, 59, 999_999), "beta", "lm", 300, 30, None),
        (datetime(2026, 6, 1), None, None, 400, 40, 0.001),
    ]
    months = [datetime(2026, 5, 1).date(), datetime(2026, 6, 1).date()]
    assert ask(db, "select * from tokens_monthly order by all") == [
        (months[0], "alpha", "lm", 3, 400, 20), (months[0], "beta", "lm", 1, 300, 30),
        (months[1], "Unallocated", "Unknown", 1, 400, 40),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("position", "text", "rejected"),
    [
        (0, "noon", ("time", "noon", "not a time such as 2026-05-01T00:00:00Z")),
        (0, "", ("time", None, "is empty")),
        (0, "2031-01-01T00:00:00Z", ("time", "2031-01-01 00:00:00", "lies in the future (seen from 2026-07-01)")),
        (3, "1.5", ("input_tokens", "1.5", "not a whole number")),
        (3, "-1", ("input_tokens", "-1", "must not be negative")),
        (4, "-2", ("output_tokens", "-2", "must not be negative")),
        (5, "slow", ("latency_seconds", "slow", "not a number")),
    ],
)
def test_bad_requests(tmp_path, db, position, text, rejected):
    bad = [*ROWS[0][:position], text, *ROWS[0][position + 1 :]]
    result = load_one(write(tmp_path / "log", [ROWS[1], tuple(bad), ROWS[3]]), db, as_of=datetime(2026, 7, 1))
    assert_conserved(result, db)
    assert rejects(db) == [(3, *rejected)]
    assert ask(db, "select sum(input_tokens) from requests") == [(400,)]


def test_a_request_without_any_tokens(tmp_path, db):
    load_one(write(tmp_path / "log", [(*ROWS[0][:3], "", "", "1"), ROWS[1]]), db)
    assert rejects(db) == [(2, "input_tokens", None, "neither input nor output tokens")]


def test_sums_over_requests_are_no_requests(tmp_path, db):
    (tmp_path / "usage.csv").write_text(
        "start_time,model,num_model_requests,input_tokens,output_tokens\n2026-05-01,m,9,9,9\n"
    )
    assert "its format is not known" in load_one(tmp_path / "usage.csv", db).message


def day(hour: int, minute: int, tokens: int, tenant: str = "alpha") -> tuple:
    return (f"2026-05-01T{hour:02}:{minute:02}:00Z", "lm", tenant, str(tokens), "1", "")


MORNING = [day(8, minute, 10) for minute in range(0, 60, 5)]


def states(db) -> tuple:
    return ask(db, "select count(*), sum(input_tokens) from requests")[0]


def test_the_same_log_again(tmp_path, db):
    """The same bytes, or the same requests in a longer log: never twice."""
    log = write(tmp_path / "a.csv", MORNING)
    assert [load_one(log, db).status, load_one(log, db).status] == ["loaded", "unchanged"]
    longer = [*MORNING, MORNING[0], day(9, 0, 5), day(8, 1, 5, "beta")]
    assert load_one(write(tmp_path / "b.csv", longer), db).status == "replaced"
    assert states(db) == (15, 13 * 10 + 10)


def test_the_next_part_of_a_log(tmp_path, db):
    """Its first second is the last one's last, of another request: both count; the same request counts once."""
    load_one(write(tmp_path / "a.csv", MORNING), db)
    assert load_one(write(tmp_path / "b.csv", [day(8, 55, 7), day(9, 0, 7)]), db).status == "loaded"
    assert states(db) == (14, 12 * 10 + 14)
    assert load_one(write(tmp_path / "c.csv", [day(9, 0, 7), day(9, 5, 7)]), db).status == "replaced"
    assert states(db) == (15, 12 * 10 + 21)


def test_another_server_of_the_same_model(tmp_path, db):
    """None of its times is loaded: its requests come on top."""
    load_one(write(tmp_path / "a.csv", MORNING), db)
    other = [day(8, minute, 20) for minute in range(2, 60, 5)]
    assert load_one(write(tmp_path / "b.csv", other), db).status == "loaded"
    assert states(db) == (24, 12 * 10 + 12 * 20)


def test_a_corrected_log(tmp_path, db):
    """The same times with other tokens may be another server's, to the second."""
    load_one(write(tmp_path / "a.csv", MORNING), db)
    corrected = write(tmp_path / "b.csv", [day(8, minute, 11) for minute in range(0, 60, 5)])
    assert load_one(corrected, db).status == "refused"
    assert load_one(corrected, db, overlap="replace").status == "replaced"
    assert states(db) == (12, 12 * 11)


def test_a_log_that_holds_a_part_of_what_is_loaded(tmp_path, db):
    """Nothing tells whether it is a new statement: it is refused until the user says so."""
    load_one(write(tmp_path / "a.csv", [*MORNING, MORNING[3]]), db)
    partly = write(tmp_path / "b.csv", [*MORNING[:6], day(8, 57, 1)])
    refused = load_one(partly, db)
    assert (refused.status, states(db)) == ("refused", (13, 130))
    assert refused.message == (
        "b.csv: 13 requests of project alpha, model lm are loaded for its time and 6 of them are in it:"
        " --overlap replace takes it for a new statement of them, --overlap add for more"
    )
    assert load_one(partly, db, overlap="add").status == "loaded" and states(db) == (20, 191)
    again = write(tmp_path / "c.csv", [*MORNING[:6], day(8, 57, 2)])
    assert load_one(again, db, overlap="replace").status == "replaced" and states(db) == (7, 62)


@pytest.mark.real
def test_real_azure_trace(real, db):
    """19,366 requests of one hour, seven decimals of a second; tokens summed without this library."""
    path = real / "serving/AzureLLMInferenceTrace_conv.csv"
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    result = load_one(path, db)
    assert_conserved(result, db)
    assert (result.rows_loaded, result.rows_rejected) == (19_366, 0)
    sums = [sum(int(row[name]) for row in rows) for name in ("ContextTokens", "GeneratedTokens")]
    assert ask(db, "select sum(input_tokens), sum(output_tokens), min(time) from requests") == [
        (*sums, datetime(2023, 11, 16, 18, 15, 46, 680_590))
    ]


def test_cost_of_a_million_tokens(tmp_path):
    """By project and currency, on the effective basis; a project that serves nothing has none."""
    db = tiny.make_world(tmp_path)
    log = [("2026-05-03T10:00:00Z", "lm", "beta", "1500000", "500000", ""),
           ("2026-05-09T10:00:00Z", "x", "beta", "9", "", ""),
           ("2026-07-03T10:00:00Z", "lm", "beta", "5", "5", "")]  # fmt: skip
    assert load([write(tmp_path / "log.csv", log)], db)[0].rows_loaded == 3
    may = "where month = '2026-05-01' and project in ('alpha', 'beta')"
    cost = tiny.rows(db, f"select sum(effective_cost) from showback_monthly {may} and project = 'beta'")
    found = tiny.rows(db, "select project, requests, million_tokens, effective_cost_per_million_tokens"
                      f" from unit_cost_monthly {may} order by 1")  # fmt: skip
    assert cost[0][0] > Decimal(12)
    assert found == [("alpha", None, None, None), ("beta", 2, 2.000009, pytest.approx(float(cost[0][0]) / 2.000009))]
