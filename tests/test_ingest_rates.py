"""Exchange rates and downtime: their plain layouts, and the European Central Bank's file."""

from datetime import date, datetime

import pytest

from dcbudget.ingest.load import load
from tiny import rows, write

ECB = """Date,USD,JPY,BGN,CHF,
2026-06-02,1.1501,N/A,1.9558,0.94,
2026-06-01,1.1450,164.2,1.9558,0.93,
"""


def test_ecb_rates_are_one_row_a_day_and_currency(tmp_path, db):
    (tmp_path / "eurofxref-hist.csv").write_text(ECB, encoding="utf-8")
    result = load([tmp_path / "eurofxref-hist.csv"], db)[0]
    assert (result.status, result.format, result.rows_loaded, result.rows_rejected) == ("loaded", "ecb_rates", 7, 0)
    assert rows(db, "select date, from_currency, rate from rates where to_currency in ('USD', 'JPY') order by all") == [
        (date(2026, 6, 1), "EUR", 1.145), (date(2026, 6, 1), "EUR", 164.2), (date(2026, 6, 2), "EUR", 1.1501),
    ]  # fmt: skip
    again = load([tmp_path / "eurofxref-hist.csv"], db)[0]
    assert again.status == "unchanged"


def test_bad_ecb_lines_take_no_good_one_with_them(tmp_path, db):
    spoiled = (
        ECB + "2026-05-31,one,160,1.9558,0.9,\n2026-05-30,1.1,160,1.9,0.9,,,5\n31 May,1.1,,,,\n2026-05-28,-1,,,,\n"
    )
    (tmp_path / "fx.csv").write_text(spoiled, encoding="utf-8")
    result = load([tmp_path / "fx.csv"], db)[0]
    assert (result.rows_loaded, result.rows_rejected, result.rows_read) == (10, 4, 14)
    assert rows(db, "select line, column_name, reason from rejects order by line") == [
        (4, "rate", "not a number"), (5, None, "8 fields where 6 are expected"),
        (6, "date", "not a date such as 2026-05-01"), (7, "rate", "must be above 0"),
    ]  # fmt: skip


def test_a_later_file_of_rates_renews_them(tmp_path, db):
    (tmp_path / "fx.csv").write_text(ECB, encoding="utf-8")
    load([tmp_path / "fx.csv"], db)
    (tmp_path / "fx.csv").write_text(ECB.replace("1.1450", "1.1460"), encoding="utf-8")
    assert load([tmp_path / "fx.csv"], db)[0].status == "replaced"
    assert rows(db, "select count(*), max(rate) filter (to_currency = 'USD' and date = '2026-06-01') from rates") == [
        (7, 1.146)
    ]


RATE = {"date": "2026-06-01", "from_currency": "EUR", "to_currency": "USD", "rate": "1.1"}
DOWN = {"cluster": "east", "gpu_model": "h100", "host": "", "gpus": "8", "start_time": "2026-06-01T00:00:00+02:00",
        "end_time": "2026-06-02T00:00:00Z", "reason": "fan"}  # fmt: skip


@pytest.mark.parametrize(
    "row, column",
    [(RATE | {"rate": "0"}, "rate"), (RATE | {"to_currency": "dollar"}, "to_currency"),
     (RATE | {"date": "June"}, "date"),
     (DOWN | {"gpus": "-1"}, "gpus"), (DOWN | {"end_time": "2026-05-01T00:00:00"}, "end_time"),
     (DOWN | {"start_time": "now"}, "start_time"), (DOWN | {"cluster": ""}, "cluster")],
)  # fmt: skip
def test_rejected_rows_name_their_column(tmp_path, db, row, column):
    good = RATE if "rate" in row else DOWN
    result = load([write(tmp_path / "x.csv", [good, row | {"reason": "other"} if "gpus" in row else row])], db)[0]
    assert (result.rows_loaded, result.rows_rejected) == (1, 1)
    assert rows(db, "select line, column_name from rejects") == [(3, column)]


def test_downtime_is_in_utc(tmp_path, db):
    load([write(tmp_path / "down.csv", [DOWN])], db)
    assert rows(db, "select cluster, gpu_model, gpus, start_time, end_time from downtime") == [
        ("east", "H100", 8, datetime(2026, 5, 31, 22), datetime(2026, 6, 2))
    ]
