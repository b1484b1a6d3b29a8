"""Damaged files and bad rows: a clear error or a reject that names line, column and reason, and nothing else lost."""

import gzip
from datetime import datetime
from decimal import Decimal

import duckdb
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcbudget.ingest.load import load
from focus_rows import (
    ask,
    assert_conserved,
    assert_only_lost,
    charge,
    charges,
    focus_text,
    held,
    load_one,
    rejects,
    write_focus,
)

MONEY = "not a decimal number with at most 24 decimals"
TIME = "not a time such as 2026-05-01T00:00:00Z"


@pytest.mark.parametrize(
    ("column", "found", "reason"),
    [
        ("BilledCost", "1,234.56", MONEY),
        ("BilledCost", "1234,56", MONEY),
        ("BilledCost", "1.234,56", MONEY),
        ("BilledCost", "$5", MONEY),
        ("BilledCost", "1_000", MONEY),
        ("BilledCost", "inf", MONEY),
        ("BilledCost", "-Infinity", MONEY),
        ("BilledCost", "0x10", MONEY),
        ("BilledCost", "0.1234567890123456789012345", MONEY),
        ("BilledCost", "1.00000000000000000000000001e0", MONEY),
        ("BilledCost", "1e-25", MONEY),
        ("BilledCost", "123456789012345", MONEY),
        ("EffectiveCost", "1e400", MONEY),
        ("PricingQuantity", "1_0", "not a decimal number"),
        ("ConsumedQuantity", "two", "not a decimal number"),
        ("ChargePeriodStart", "2026-02-30", TIME),
        ("ChargePeriodStart", "05/10/2026", TIME),
        ("ChargePeriodStart", "10.05.2026 00:00", TIME),
        ("ChargePeriodStart", "0026-05-10", TIME),
        ("ChargePeriodStart", "2026-05-10T00:00:00 soon", TIME),
        ("BillingPeriodEnd", "tomorrow", TIME),
    ],
)
def test_a_value_that_is_none(tmp_path, db, column, found, reason):
    rows = charges(5)
    rows[2][column] = found
    load_one(write_focus(tmp_path / "bill.csv", rows), db)
    assert rejects(db) == [(4, column, found, reason)]
    assert held(db) == {"server-0", "server-1", "server-3", "server-4"}


@pytest.mark.parametrize("word", ["", "NaN", "NULL"])
@pytest.mark.parametrize("column", ["BilledCost", "BillingCurrency", "ChargePeriodStart"])
def test_a_value_that_is_missing(tmp_path, db, column, word):
    rows = charges(3)
    rows[1][column] = word
    load_one(write_focus(tmp_path / "bill.csv", rows), db)
    assert rejects(db) == [(3, column, None, "is empty")]
    assert held(db) == {"server-0", "server-2"}


@pytest.mark.parametrize(
    ("changes", "rejected"),
    [
        ({"ChargePeriodEnd": "2026-05-01T00:00:00Z"},
         ("ChargePeriodEnd", "2026-05-01 00:00:00", "the charge ends before it starts")),
        ({"BillingPeriodEnd": "2026-05-01"},
         ("BillingPeriodEnd", "2026-05-01 00:00:00", "the billing period ends before it starts")),
        ({"ChargePeriodStart": "2026-07-02T00:00:01Z", "ChargePeriodEnd": "2026-07-03"},
         ("ChargePeriodStart", "2026-07-02 00:00:01", "lies in the future (seen from 2026-06-30)")),
        ({"PricingQuantity": "-1"},
         ("PricingQuantity", "-1.000000000000000000",
          "a negative quantity with a positive cost, and not a correction")),
    ],
)  # fmt: skip
def test_a_row_that_contradicts_itself(tmp_path, db, changes, rejected):
    rows = charges(4)
    rows[2].update(changes)
    result = load_one(write_focus(tmp_path / "bill.csv", rows), db, as_of=datetime(2026, 6, 30))
    assert rejects(db) == [(4, *rejected)]
    assert_only_lost(result, db, rows, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"PricingQuantity": "-1", "BilledCost": "-5", "EffectiveCost": "-5"},
        {"PricingQuantity": "-1", "ChargeClass": "Correction"},
        {"ChargePeriodStart": "2026-07-01T23:59:59Z", "ChargePeriodEnd": "2026-07-03"},
        {"ChargePeriodEnd": "2026-05-03T00:00:00Z"},
    ],
)
def test_a_row_that_only_looks_odd(tmp_path, db, changes):
    rows = charges(4)
    rows[2].update(changes)
    result = load_one(write_focus(tmp_path / "bill.csv", rows), db, as_of=datetime(2026, 6, 30))
    assert_only_lost(result, db, rows)


def _lines(rows) -> list[str]:
    return focus_text(rows).splitlines()


@pytest.mark.parametrize(
    ("break_line", "reason"),
    [
        (lambda line: line.rsplit(",", 1)[0] + ',"open', "a quote that does not close"),
        (lambda line: '"' + line, "a quote that does not close"),
        (lambda line: line.replace("server-2", '"server"-2'), "a quote that does not close"),
        (lambda line: line.replace("server-2", "server\x002"), "bytes that are not utf-8 text"),
        (lambda line: line.replace("server-2", "server\udcff"), "bytes that are not utf-8 text"),
        (lambda line: line + ",more", "25 fields where 24 are expected"),
        (lambda line: line.split(",", 1)[1], "23 fields where 24 are expected"),
        (lambda line: line[:40], "5 fields where 24 are expected"),
        (lambda line: " ", "1 fields where 24 are expected"),
    ],
    ids=["open last", "open first", "quote inside", "NUL", "invalid bytes", "too many", "too few", "cut", "blank"],
)
@pytest.mark.parametrize("position", [2, 5], ids=["in the middle", "at the end"])
def test_a_record_that_is_no_row(tmp_path, db, break_line, reason, position):
    """It takes none of its neighbours with it, though quoted fields of theirs may span lines."""
    rows = charges(6)
    rows[0]["Tags"] = "one\ntwo"
    rows[position]["ResourceId"] = "server-2"
    lines = _lines(rows)
    lines[position + 2] = break_line(lines[position + 2])
    (tmp_path / "bill.csv").write_bytes(("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))
    result = load_one(tmp_path / "bill.csv", db)
    assert [(line, why.split(" (")[0]) for line, _, _, why in rejects(db)] == [(position + 3, reason)]
    assert_only_lost(result, db, rows, position)


def test_an_open_quote_does_not_pair_with_a_later_one(tmp_path, db):
    """The quote that line 3 opens would close behind a word of line 5, and line 4 lie in between."""
    rows = charges(6)
    rows[3]["ServiceName"] = 'Servers"'
    lines = [",".join(row.values()).replace('{"team": "a"}', "") for row in rows]
    lines[1] = lines[1].rsplit(",", 1)[0] + ',"open'
    (tmp_path / "bill.csv").write_text("\n".join([",".join(rows[0]), *lines]))
    assert_only_lost(load_one(tmp_path / "bill.csv", db), db, rows, 1)


def test_a_carriage_return_in_a_field_beside_a_bad_record(tmp_path, db):
    rows = charges(4)
    rows[1]["Tags"], rows[2]["Tags"] = "here", "x\x00y"
    (tmp_path / "bill.csv").write_bytes(focus_text(rows).replace("here", '"a\rb"').encode())
    assert_only_lost(load_one(tmp_path / "bill.csv", db), db, rows, 2)
    assert ask(db, "select Tags from charges where ResourceId = 'server-1'") == [("a\rb",)]


def test_many_open_quotes(tmp_path, db):
    rows = charges(600)
    lines = _lines(rows)
    broken = range(10, 600, 3)
    for line in broken:
        lines[line] = lines[line].replace(",GPU server", ',"GPU server')
    (tmp_path / "bill.csv").write_text("\n".join(lines))
    assert_only_lost(load_one(tmp_path / "bill.csv", db), db, rows, *(line - 1 for line in broken))


@pytest.mark.parametrize(("more", "lost"), [("", ()), (",,x", (2,)), (",x,", (2,))])
def test_delimiters_that_end_a_line_are_no_fields(tmp_path, db, more, lost):
    rows = charges(5)
    lines = _lines(rows)
    lines[1] += ","
    lines[2] += ",,"
    lines[3] += more
    (tmp_path / "bill.csv").write_text("\n".join(lines))
    assert_only_lost(load_one(tmp_path / "bill.csv", db), db, rows, *lost)


def test_an_all_empty_row_is_rejected_and_a_blank_line_is_no_row(tmp_path, db):
    rows = charges(3)
    lines = _lines(rows)
    lines[2:2] = ["", "," * 23, ""]
    (tmp_path / "bill.csv").write_text("\n".join(lines))
    result = load_one(tmp_path / "bill.csv", db)
    assert (result.rows_read, result.rows_loaded, result.rows_rejected) == (4, 3, 1)
    assert rejects(db) == [(4, "BilledCost", None, "is empty")]


def test_identical_rows_count_once(tmp_path, db):
    """The line of the second and of the first are those of the file, behind a quoted line feed too."""
    rows = charges(3)
    rows[0]["Tags"] = "one\ntwo"
    result = load_one(write_focus(tmp_path / "bill.csv", [*rows, rows[1]]), db)
    assert rejects(db) == [(6, None, None, "the same as line 4")]
    assert result.cost[0].rejected == Decimal(rows[1]["BilledCost"])
    assert_conserved(result, db)


@pytest.mark.parametrize("source", ["parquet", "csv", "csv.gz", "csv.zst"])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_truncated_file(tmp_path, db, source, share):
    """Text loses its last record; of what is compressed nothing is loaded."""
    rows = charges(3000)
    whole = focus_text(rows).encode()
    path = tmp_path / f"bill.{source}"
    if source == "parquet":
        plain = write_focus(tmp_path / "bill.csv", rows)
        duckdb.sql(f"copy (from read_csv('{plain}', all_varchar = true)) to '{path}' (format parquet)")
        whole = path.read_bytes()
    pack = {"csv.gz": gzip.compress, "csv.zst": zstandard.compress}.get(source, bytes)
    packed = pack(whole)
    path.write_bytes(packed[: int(len(packed) * share)])
    result = load_one(path, db)
    if source != "csv":
        kind = {"parquet": "damaged Parquet file", "csv.gz": "damaged gzip file", "csv.zst": "damaged zstd file"}
        assert result.status == "failed" and kind[source] in result.message
        assert ask(db, "select count(*) from loads") == [(0,)]
    else:
        kept = path.read_bytes().count(b"\n") - 1
        assert_only_lost(result, db, rows[: kept + 1], kept)


def test_a_compressed_file_cut_off_after_its_first_megabyte(tmp_path, db):
    """What DuckDB reads of it looks whole."""
    whole = focus_text(charges(20_000)).encode()
    for path, pack in ((tmp_path / "a.gz", gzip.compress), (tmp_path / "a.zst", zstandard.compress)):
        packed = pack(whole)
        path.write_bytes(packed[: len(packed) * 3 // 4])
        result = load_one(path, db)
        assert (result.status, result.rows_read) == ("failed", 0) and "damaged" in result.message
    assert ask(db, "select count(*) from duckdb_tables() where table_name like 'charges\\_%' escape '\\'") == [(1,)]


def test_a_gzip_file_with_a_flipped_byte(tmp_path, db):
    packed = bytearray(gzip.compress(focus_text(charges(5000)).encode()))
    packed[-6] ^= 0xFF
    (tmp_path / "bill.gz").write_bytes(packed)
    result = load_one(tmp_path / "bill.gz", db)
    assert result.status == "failed" and "damaged gzip file" in result.message


def test_an_odd_byte_of_utf_16(tmp_path, db):
    (tmp_path / "bill.csv").write_bytes(focus_text(charges(50)).encode("utf-16")[:-3])
    result = load_one(tmp_path / "bill.csv", db)
    assert result.status == "failed" and "damaged utf-16 text" in result.message


def _without(name: str) -> bytes:
    return focus_text([{column: value for column, value in charge().items() if column != name}]).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\r\n \r\n", "the file is empty"),
        (b"PAR1", "damaged Parquet file"),
        (b"\x1f\x8b\x08\x00rest", "damaged gzip file"),
        (b"\x28\xb5\x2f\xfdrest", "damaged zstd file"),
        (bytes(range(256)) * 50, "its format is not known"),
        (b"\x00\x01\x02\x03" * 500, "neither text nor Parquet"),
        (b"some,other,table\n1,2,3\n", "its format is not known"),
        (focus_text(charges(2), "^").encode(), "its format is not known"),
        (b'"' + b"x" * 300_000, "its format is not known"),
        (_without("BilledCost"), "column BilledCost is missing"),
        (focus_text(charges(2)).replace("ServiceName", "TAGS").encode(), "column ServiceName is missing"),
        (focus_text(charges(2)).replace("ResourceId", "TAGS").encode(), "two columns are called 'Tags'"),
        (focus_text(charges(2)).replace("ResourceId", "Tags").encode(), "two columns are called 'Tags'"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, db, content, message):
    (tmp_path / "bill.csv").write_bytes(content)
    result = load_one(tmp_path / "bill.csv", db)
    assert (result.status, result.rows_read) == ("failed", 0)
    assert message in result.message and result.message.startswith("bill.csv: ")
    assert ask(db, "select count(*) from loads") == [(0,)]


def test_a_header_and_no_rows(tmp_path, db):
    (tmp_path / "bill.csv").write_text(focus_text(charges(1)).splitlines()[0])
    result = load_one(tmp_path / "bill.csv", db)
    assert (result.status, result.rows_read, result.cost) == ("loaded", 0, [])
    assert_conserved(result, db)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sacct", "field JobID is missing"),
        ("swf", "no SWF"),
        ("gpu_trace", "no GPU trace"),
        ("fleet", "no fleet file, column asset_id"),
        ("budget", "no budget file"),
        ("nothing", "no format 'nothing'; there are focus, "),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_is_not_what_it_is_said_to_be(tmp_path, db, name, message, kind):
    path = write_focus(tmp_path / "bill.csv", charges(2))
    if kind == "parquet":
        duckdb.sql(f"copy (from read_csv('{path}', all_varchar = true)) to '{tmp_path / 'b'}' (format parquet)")
        path = tmp_path / "b"
        message = "no sacct text" if name == "sacct" else message
    result = load_one(path, db, name)
    assert result.status == "failed" and message in result.message


def test_a_bad_file_does_not_stop_the_next(tmp_path, db):
    write_focus(tmp_path / "a.csv", charges(2))
    (tmp_path / "b.csv").write_text("what,is,this\n")
    write_focus(tmp_path / "c.csv", charges(2, first=10, BillingAccountId="acct-2"))
    results = load([tmp_path, tmp_path / "missing.csv"], db)
    assert [(r.path.name, r.status) for r in results] == [
        ("a.csv", "loaded"), ("b.csv", "failed"), ("c.csv", "loaded"), ("missing.csv", "failed")
    ]  # fmt: skip
    assert results[3].message.endswith("missing.csv: no such file")
    assert len(held(db)) == 4


def test_what_breaks_after_the_landing_leaves_nothing(tmp_path, db):
    """The sum of two amounts that money holds each is more than it holds."""
    path = write_focus(tmp_path / "bill.csv", charges(3, BilledCost="99999999999999"))
    result = load_one(path, db)
    assert result.status == "failed" and "bill.csv" in result.message
    good = charges(2)
    assert_only_lost(load_one(write_focus(tmp_path / "good.csv", good), db), db, good)


QUICK = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"', '""', "\n", "\r", ",", "\x00", "'", "1e999", "-0", "NaN", "9" * 30, "2026-99-99", "+", "é"]),
)


@QUICK
@given(
    changes=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 23), CELLS), max_size=4),
    splices=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=2),
)
def test_any_damage_to_a_bill(tmp_path_factory, changes, splices):
    """Rows whose lines were not touched are all there, with their money."""
    folder = tmp_path_factory.mktemp("mutated")
    rows = charges(8)
    touched = {row for row, _, _ in changes}
    for row, column, text in changes:
        rows[row][list(rows[row])[column]] = text
    header, *records = [focus_text([row]).split("\n", 1)[1] for row in [charge(), *rows]]
    header = focus_text([charge()]).split("\n", 1)[0] + "\n"
    parts = [part.encode("utf-8", "surrogatepass") for part in records]
    for where, noise in splices:
        row = min(int(where * 8), 7)
        at = int((where * 8 - row) * len(parts[row]))
        touched.add(row)
        parts[row] = parts[row][:at] + noise + parts[row][at + 1 :]
        if not parts[row].endswith(b"\n"):
            parts[row] += b"\n"
    path = folder / "bill.csv"
    path.write_bytes(header.encode() + b"".join(parts))
    result = load_one(path, folder / "db")
    if result.status == "failed":
        assert result.message
        return
    sound = {f"server-{row}" for row in range(8)} - {f"server-{row}" for row in touched}
    assert sound <= held(folder / "db")
    assert_conserved(result, folder / "db")
