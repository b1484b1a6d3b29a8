"""FOCUS exports: columns by name, exact money, UTC times, the fields that FOCUS lacks kept."""

import gzip
import json
from datetime import datetime
from decimal import Decimal

import duckdb
import pytest
import zstandard

from focus_rows import ask, assert_only_lost, billed, charge, charges, focus_text, load_one, rejects, write_focus


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter(tmp_path, db, delimiter):
    rows = charges(5)
    assert_only_lost(load_one(write_focus(tmp_path / "bill.txt", rows, delimiter), db), db, rows)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(lambda text: text.encode("utf-8-sig"), id="byte-order mark"),
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(lambda text: text.replace("\n", "\r").encode(), id="CR"),
        pytest.param(lambda text: text.encode("utf-16"), id="UTF-16"),
        pytest.param(lambda text: text.rstrip("\n").encode(), id="no last line feed"),
        pytest.param(lambda text: gzip.compress(text.encode()), id="gzip"),
        pytest.param(
            lambda text: gzip.compress(text[:700].encode()) + gzip.compress(text[700:].encode()), id="2 gzips"
        ),
        pytest.param(lambda text: zstandard.compress(text.encode()), id="zstd"),
        pytest.param(
            lambda text: zstandard.compress(text[:700].encode()) + zstandard.compress(text[700:].encode()), id="2 zstds"
        ),
    ],
)
@pytest.mark.parametrize("careful", [False, True], ids=["sound", "with a bad row"])
def test_any_encoding(tmp_path, db, encoded, careful):
    rows = charges(6, Tags='{"team": "größe"}')
    if careful:
        rows[3]["Tags"] = "x\x00y"
    (tmp_path / "bill").write_bytes(encoded(focus_text(rows)))
    assert_only_lost(load_one(tmp_path / "bill", db), db, rows, *([3] if careful else []))
    assert ask(db, "select distinct Tags from charges") == [('{"team": "größe"}',)]


@pytest.mark.parametrize("rename", [str.lower, str.upper, lambda name: f" {name} "], ids=["lower", "upper", "spaces"])
def test_header_in_another_order_and_case(tmp_path, db, rename):
    rows = charges(4)
    turned = [{rename(name): row[name] for name in reversed(row)} for row in rows]
    assert_only_lost(load_one(write_focus(tmp_path / "bill.csv", turned), db), db, rows)


@pytest.mark.parametrize("money", ["decimal(18, 12)", "decimal(38, 30)", "decimal(38, 12)", "double", "varchar"])
def test_parquet(tmp_path, db, money):
    """A Parquet file keeps its types, and a folder name such as `month=2026-05` is no column of it."""
    rows = charges(5)
    source = write_focus(tmp_path / "bill.csv", rows)
    folder = tmp_path / "BillingCurrency=EUR"
    folder.mkdir()
    duckdb.sql(
        f"copy (select * replace (BilledCost::{money} as BilledCost,"
        " ChargePeriodStart::timestamptz as ChargePeriodStart)"
        f" from read_csv('{source}', all_varchar = true)) to '{folder / 'bill'}' (format parquet)"
    )
    assert_only_lost(load_one(folder / "bill", db), db, rows)
    assert ask(db, "select min(ChargePeriodStart), any_value(BillingCurrency) from charges") == [
        (datetime(2026, 5, 1), "USD")
    ]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("decimal(38, 30)", "0.1234567890123456789012345"),
        ("decimal(38, 2)", "123456789012345.00"),
        ("bigint", "123456789012345"),
        ("double", "1e+20"),
        ("varchar", "1_000"),
    ],
)
def test_money_of_a_parquet_file_that_does_not_fit(tmp_path, db, kind, found):
    source = write_focus(tmp_path / "bill.csv", [charge(0, BilledCost="1"), charge(1, BilledCost=found)])
    duckdb.sql(
        f"copy (select * replace (BilledCost::{kind} as BilledCost) from read_csv('{source}', all_varchar = true))"
        f" to '{tmp_path / 'bill'}' (format parquet)"
    )
    result = load_one(tmp_path / "bill", db)
    assert (result.rows_loaded, result.rows_rejected) == (1, 1)
    assert [(line, column, Decimal(text.replace("_", ""))) for line, column, text, _ in rejects(db)] == [
        (2, "BilledCost", Decimal(found.replace("_", "")))
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.123456789012345678901234", "0.123456789012345678901234"),
        ("12345678901234.123456789012345678901234", "12345678901234.123456789012345678901234"),
        ("-1.50", "-1.5"),
        ("1.5e-7", "0.00000015"),
        ("1.2E3", "1200"),
        ("1.0000000000000000000000000000", "1"),
        ("0e0", "0"),
    ],
)
def test_money_is_exact(tmp_path, db, text, value):
    result = load_one(write_focus(tmp_path / "bill.csv", [charge(BilledCost=text)]), db)
    assert [(c.currency, c.read, c.loaded) for c in result.cost] == [("USD", Decimal(value), Decimal(value))]
    assert ask(db, "select BilledCost from charges") == [(Decimal(value),)]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-05-10T12:00:00Z", datetime(2026, 5, 10, 12)),
        ("2026-05-10 12:00:00", datetime(2026, 5, 10, 12)),
        ("2026-05-10", datetime(2026, 5, 10)),
        ("2026-05-10T12:00:00+02:00", datetime(2026, 5, 10, 10)),
        ("2026-05-10 12:00:00-0530", datetime(2026, 5, 10, 17, 30)),
        ("2026-05-10T12:00:00+02:00:00", datetime(2026, 5, 10, 10)),
        ("2026-05-10 12:00:00 UTC", datetime(2026, 5, 10, 12)),
        ("2026-05-10T12:00:00.250000+02", datetime(2026, 5, 10, 10, 0, 0, 250000)),
    ],
)
def test_times_become_utc(tmp_path, db, text, utc):
    load_one(write_focus(tmp_path / "b.csv", [charge(ChargePeriodStart=text, ChargePeriodEnd="2026-06-01")]), db)
    assert ask(db, "select ChargePeriodStart from charges") == [(utc,)]


@pytest.mark.parametrize("word", ["", "NULL", "null", "None", "N/A", "\\N"])
def test_words_for_nothing(tmp_path, db, word):
    rows = charges(3)
    rows[1].update(ConsumedQuantity=word, ChargeClass=word, Tags=word)
    assert_only_lost(load_one(write_focus(tmp_path / "bill.csv", rows), db), db, rows)
    assert ask(db, "select ConsumedQuantity, ChargeClass, Tags from charges where ResourceId = 'server-1'") == [
        (None, None, None)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "=1+1",
        "'; drop table charges; --",
        "a\nb\r\nc",
        "a\r,b",
        'say "x"',
        "机架 7",
        " x ",
    ],
)
@pytest.mark.parametrize("careful", [False, True], ids=["sound", "with a bad row"])
def test_text_is_kept_verbatim(tmp_path, db, text, careful):
    rows = charges(3)
    rows[1]["Tags"] = text
    if careful:
        rows[2]["Tags"] = "x\x00y"
    assert_only_lost(load_one(write_focus(tmp_path / "bill.csv", rows), db), db, rows, *([2] if careful else []))
    assert ask(db, "select Tags from charges where ResourceId = 'server-1'") == [(text,)]


@pytest.mark.parametrize(
    "name", ["bill 五月.csv", "bill [1].csv", "bill*.csv", "bill?.csv", "it's.csv", "bill.parquet"]
)
def test_any_file_name(tmp_path, db, name):
    """A name that reads like a pattern loads that file and none of those that it would match."""
    write_focus(tmp_path / "bill1.csv", charges(3, first=100))
    rows = charges(3)
    assert_only_lost(load_one(write_focus(tmp_path / name, rows), db), db, rows)


def test_a_pattern_in_the_name_of_a_parquet_file(tmp_path, db):
    for name, first in (("bill*", 0), ("bill1", 100)):
        source = write_focus(tmp_path / "source.csv", charges(3, first))
        duckdb.sql(f"copy (from read_csv('{source}', all_varchar = true)) to '{tmp_path / name}' (format parquet)")
    assert_only_lost(load_one(tmp_path / "bill*", db), db, charges(3))


def test_other_columns_are_kept(tmp_path, db):
    """Columns that FOCUS 1.2 lacks, one of them without a name."""
    load_one(write_focus(tmp_path / "bill.csv", [charge(x_CostCenter="R&D", **{"": "spare"})]), db)
    extra = json.loads(ask(db, "select x_extra from charges")[0][0])
    assert extra == {"x_CostCenter": "R&D", "column 26": "spare"}


@pytest.mark.parametrize(
    ("column", "version"), [(None, "1.0"), ("SkuMeter", "1.1"), ("InvoiceId", "1.2"), ("ContractApplied", "1.3")]
)
def test_version(tmp_path, db, column, version):
    row = charge(**({column: "x"} if column else {}))
    assert load_one(write_focus(tmp_path / "bill.csv", [row]), db).format == f"focus {version}"


def test_version_1_3_without_the_deprecated_names(tmp_path, db):
    rows = charges(2)
    new = {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}
    renamed = [{new.get(name, name): value for name, value in row.items()} for row in rows]
    assert_only_lost(load_one(write_focus(tmp_path / "bill.csv", renamed), db), db, rows)
    assert ask(db, "select distinct ProviderName, PublisherName from charges") == [("Cloud", "Cloud")]


def test_currencies_are_counted_apart(tmp_path, db):
    rows = [*charges(2), *charges(3, first=2, BillingCurrency="EUR")]
    rows[4]["EffectiveCost"] = "x"
    result = load_one(write_focus(tmp_path / "bill.csv", rows), db)
    assert [(c.currency, c.read, c.loaded, c.rejected) for c in result.cost] == [
        ("EUR", billed(rows[2:]), billed(rows[2:4]), billed(rows[4:])),
        ("USD", billed(rows[:2]), billed(rows[:2]), Decimal(0)),
    ]


def test_gpu_hours_of_a_charge(tmp_path, db):
    details = '{"GpuCount": 8, "x_GpuModel": "h100"}'
    rows = charges(3, SkuPriceDetails=details, ConsumedUnit="Hours", ConsumedQuantity="2.5")
    rows[1]["ChargeCategory"] = "Tax"
    rows[2]["ConsumedUnit"] = "GB"
    rows[2]["PricingUnit"] = "GB"
    load_one(write_focus(tmp_path / "bill.csv", rows), db)
    assert ask(db, "select x_gpu_model, x_gpu_hours from charges order by x_source_row") == [
        ("H100", 20.0),
        ("H100", None),
        ("H100", None),
    ]


def test_line_numbers_behind_quoted_line_feeds(tmp_path, db):
    """A rejected row stands on its own line of the file, whatever came before it."""
    rows = charges(5)
    rows[0]["Tags"] = "one\ntwo\nthree"
    rows[3]["BilledCost"] = "?"
    assert_only_lost(
        load_one(write_focus(tmp_path / "bill.csv", rows), db), db, [*rows[:3], charge(3, BilledCost="0"), rows[4]], 3
    )
    assert [line for line, *_ in rejects(db)] == [7]
    assert ask(db, "select x_source_row from charges order by all") == [(2,), (5,), (6,), (8,)]


def test_binary_numbers_of_parquet_are_rounded_beyond_24_decimals(db, tmp_path):
    """A DOUBLE has no last decimal digit to keep."""
    text = write_focus(tmp_path / "text.csv", [charge(BilledCost="2.7777777777777777e-10")])
    path = tmp_path / "binary.parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select * replace (BilledCost::double as BilledCost)"
            f" from read_csv('{text}', all_varchar = true)) to '{path}' (format parquet)"
        )
    binary = load_one(path, db)
    assert (binary.rows_loaded, binary.rows_rejected) == (1, 0)
    assert binary.cost[0].loaded == Decimal("0.000000000277777777777778")
