"""What was read is read again only where the database is another."""

import subprocess
import sys

import pytest

from dcbudget import warehouse

ASKED = "select name, value from calibration order by all"
ROW = "insert into calibration values ('{}', 1, 'share', '2026-05-01', 'by hand')"


@pytest.fixture
def reads(db, monkeypatch):
    """A database of one row, and how often rows were read from it."""
    with warehouse.connect(db, write=True) as con:
        con.execute(ROW.format("a"))
    counted = []
    read = warehouse._frame
    monkeypatch.setattr(warehouse, "_frame", lambda *asked: counted.append(asked) or read(*asked))
    return db, counted


def test_same_rows_are_read_once_and_belong_to_who_asked(reads):
    db, counted = reads
    first = warehouse.query(ASKED, db)
    first.loc[0, "value"] = 7.0
    assert warehouse.query(ASKED, db)["value"].tolist() == [1.0] and len(counted) == 1
    warehouse.query(ASKED.replace("name, ", ""), db)
    warehouse.query("select name from calibration where value > ?", db, [0])
    assert warehouse.query("select name from calibration where value > ?", db, [2]).empty and len(counted) == 4
    assert warehouse.mart("sources", db).equals(warehouse.mart("sources", db)) and len(counted) == 5


def test_what_this_process_writes_is_read(reads):
    db, _ = reads
    assert len(warehouse.query(ASKED, db)) == 1
    with warehouse.connect(db, write=True) as con:
        con.execute(ROW.format("b"))
    assert len(warehouse.query(ASKED, db)) == 2


def test_what_another_process_writes_is_read(reads):
    db, _ = reads
    assert len(warehouse.query(ASKED, db)) == 1
    program = f"import duckdb, sys; duckdb.connect(sys.argv[1]).execute({ROW.format('b')!r})"
    subprocess.run([sys.executable, "-c", program, str(db)], check=True)
    assert len(warehouse.query(ASKED, db)) == 2


def test_large_frames_are_not_held(reads):
    db, counted = reads
    for _ in range(2):
        assert len(warehouse.query("select range as n, 'text' as t from range(2000000)", db)) == 2_000_000
    assert len(counted) == 2
