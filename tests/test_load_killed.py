"""A load that is killed leaves the database as it was, and the next load works."""

import signal
import subprocess
import sys
import time

import pytest

from dcbudget import warehouse
from focus_rows import ask, charges, load_one, write_focus
from tiny import FLEET, write

# Loads a file, says when it reaches a point ({module}.{name}) and goes on until `_keep_books`, where it waits; or waits
# at the point itself, or behind it.
CHILD = """
import importlib, sys, time
how, module, name, file, db = sys.argv[1:]

def hook(module, name, how):
    where = importlib.import_module(module)
    real = getattr(where, name)
    def hooked(*arguments, **options):
        if how == "behind":
            real(*arguments, **options)
        print("reached", flush=True)
        if how != "passing":
            time.sleep(60)
        return real(*arguments, **options)
    setattr(where, name, hooked)

if how == "passing":
    hook("dcbudget.ingest.load", "_keep_books", "at")
hook(module, name, how)
from dcbudget.ingest import load
load.load([file], db)
"""
POINTS = [
    ("behind", "dcbudget.ingest.load", "land"),
    ("behind", "dcbudget.ingest.charges", "_replace"),
    ("behind", "dcbudget.ingest.load", "_keep_books"),
    ("at", "dcbudget.ingest.rules", "assign_charges"),
    ("behind", "dcbudget.ingest.charges", "publish"),
]


def state(db) -> tuple:
    """Everything that a reader can see."""
    tables = ("loads", "load_costs", "load_scopes", "load_replacements", "rejects", "charges")
    return tuple(ask(db, f"select * from {table} order by all") for table in tables)


@pytest.fixture
def before(tmp_path, db):
    """A database with a bill of which one row was rejected."""
    rows = charges(30)
    rows[7]["BilledCost"] = "?"
    load_one(write_focus(tmp_path / "first.csv", rows), db)
    return state(db)


def assert_as_before(before, db, tmp_path, restated) -> None:
    assert state(db) == before
    found = warehouse.check(db)
    assert list(found.loc[found.offending_rows > 0, "check"]) == []
    result = load_one(restated, db)
    assert result.status == "replaced"
    assert ask(db, "select count(*), sum(BilledCost) from charges") == [(result.rows_loaded, result.cost[0].loaded)]
    assert ask(db, "select count(*) from duckdb_tables() where table_name like 'charges\\_%' escape '\\'") == [(3,)]


def kill_at(point: tuple, restated, db, seconds: float = 0) -> None:
    command = [sys.executable, "-c", CHILD, *point, restated, db]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "reached\n"
        time.sleep(seconds)
        child.kill()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", POINTS, ids="-".join)
def test_killed_at(before, tmp_path, db, point):
    restated = write_focus(tmp_path / "second.csv", charges(40, BilledCost="7"))
    kill_at(point, restated, db)
    assert_as_before(before, db, tmp_path, restated)


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_killed_while_landing(before, tmp_path, db, seconds):
    """So much later than the landing began."""
    restated = write_focus(tmp_path / "second.csv", charges(20_000, BilledCost="7"))
    kill_at(("passing", "dcbudget.ingest.landing", "_create_table"), restated, db, seconds)
    assert_as_before(before, db, tmp_path, restated)


def test_a_killed_bill_does_not_come_back_with_the_next_load(before, tmp_path, db):
    """The next load has the number that the killed one had."""
    restated = write_focus(tmp_path / "second.csv", charges(40, BilledCost="7"))
    kill_at(("behind", "dcbudget.ingest.load", "land"), restated, db)
    (tmp_path / "rules.csv").write_text("assign,field,pattern,value\ncluster,ResourceId,x,c1\n")
    assert load_one(tmp_path / "rules.csv", db).rows_loaded == 1
    load_one(write_focus(tmp_path / "third.csv", charges(2, BillingAccountId="acct-2")), db)
    assert ask(db, "select count(*) from charges") == [(29 + 2,)]


def test_killed_before_charges_are_kept(before, tmp_path, db):
    """What was published is seen, from the live views, and the next load keeps it."""
    fleet = write(tmp_path / "fleet.csv", [FLEET])
    kill_at(("at", "dcbudget.published", "keep_after"), fleet, db)
    owned = "select count(*) from owned_charges"
    [(count,)] = ask(db, owned)
    assert count > 0
    assert ask(db, "select count(*) from landed.owned") == [(0,)]
    load_one(write_focus(tmp_path / "third.csv", charges(2, BillingAccountId="acct-2")), db)
    assert ask(db, owned) == ask(db, "select count(*) from landed.owned") == [(count,)]
    assert ask(db, "select count(*) from charges") == [(29 + 2 + count,)]
