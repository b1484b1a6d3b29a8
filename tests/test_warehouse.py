"""The database: who may open it, what a wrong one says, and that every check can fail."""

import shutil
import subprocess
import sys
import threading
import time

import duckdb
import pandas as pd
import pytest

from dcbudget import opening, warehouse
from dcbudget.errors import DatabaseBusy, DatabaseMissing, DcbudgetError
from tiny import budget, charge, job, make, make_world, rows

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline(); c.close()"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The two clusters; only to be read."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def scratch(world, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copy(world, tmp_path / "scratch.duckdb")


@pytest.fixture
def holder(scratch):
    """Another process with a write connection to the scratch database, until a line is sent."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(scratch)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def spoil(db, statement):
    """Change the database behind the library's back."""
    opening.release(db)
    with duckdb.connect(str(db)) as con:
        con.execute(statement)


def test_missing_database_is_not_made_by_reading(tmp_path):
    db = tmp_path / "no" / "where.duckdb"
    with pytest.raises(DatabaseMissing, match=r"no database .*where\.duckdb"), warehouse.connect(db):
        pass
    with pytest.raises(DatabaseMissing):
        warehouse.mart("cost_monthly", db)
    with pytest.raises(DatabaseMissing):
        warehouse.check(db)
    assert not (tmp_path / "no").exists()


def test_database_path_is_the_argument_then_the_environment_then_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("DCBUDGET_DB", "from-environment")
    assert warehouse.database_path(tmp_path / "a").name == "a"
    assert warehouse.database_path().name == warehouse.database_path("").name == "from-environment"
    monkeypatch.delenv("DCBUDGET_DB")
    assert warehouse.database_path() == warehouse.DEFAULT_DATABASE


@pytest.mark.parametrize("write", [False, True])
def test_busy_after_the_given_wait_names_the_holder_and_changes_nothing(scratch, holder, write):
    before = scratch.read_bytes()
    began = time.monotonic()
    with (
        pytest.raises(DatabaseBusy, match=rf"held by \S+ \(process {holder.pid}\); waited 0\.4 s") as caught,
        warehouse.connect(scratch, write=write, wait_seconds=0.4),
    ):
        pass
    assert 0.4 <= time.monotonic() - began < 3
    assert "\n" not in str(caught.value)
    assert scratch.read_bytes() == before


def test_says_whom_it_waits_for(scratch, holder, monkeypatch, capsys):
    monkeypatch.setattr(opening, "TELL_SECONDS", 0.1)
    with pytest.raises(DatabaseBusy), warehouse.connect(scratch, wait_seconds=0.6):
        pass
    said = capsys.readouterr().err
    assert said.count("waiting for") == 1 and f"(process {holder.pid})" in said


def test_waits_for_a_holder_that_lets_go(scratch, holder):
    release = threading.Timer(0.4, lambda: (holder.stdin.write("\n"), holder.stdin.flush()))
    release.start()
    began = time.monotonic()
    with warehouse.connect(scratch, write=True, wait_seconds=20) as con:
        assert con.execute("select count(*) from jobs").fetchone() == (5,)
    assert 0.3 < time.monotonic() - began < 10
    release.join()


def test_open_in_another_mode_in_this_process_is_busy(scratch):
    with (
        warehouse.connect(scratch, write=True),
        pytest.raises(DatabaseBusy, match="open in this process"),
        warehouse.connect(scratch, wait_seconds=0.1),
    ):
        pass


def test_readers_share(world):
    with warehouse.connect(world) as one, warehouse.connect(world) as two:
        assert (
            one.execute("select count(*) from jobs").fetchone() == two.execute("select count(*) from jobs").fetchone()
        )


def text_file(path, world):
    path.write_text("month,cost\n2026-05,1\n" * 500)


def empty_file(path, world):
    path.write_bytes(b"")


def cut_off(path, world):
    path.write_bytes(world.read_bytes()[:9000])


def flipped(path, world):
    """Damage in a block: the message speaks of a "block", which is no lock."""
    content = bytearray(world.read_bytes())
    for position in range(3 * 4096, len(content), 64):
        content[position] ^= 0x55
    path.write_bytes(content)


def folder(path, world):
    path.mkdir()


@pytest.mark.parametrize("spoiled", [text_file, empty_file, cut_off, flipped, folder], ids=lambda f: f.__name__)
@pytest.mark.parametrize("where", ["plain", "locked"])
def test_unreadable_database_is_one_line_at_once(world, tmp_path, spoiled, where):
    path = tmp_path / where / "broken.duckdb"
    path.parent.mkdir()
    spoiled(path, world)
    began = time.monotonic()
    with pytest.raises(DcbudgetError, match="not a database that can be opened") as caught, warehouse.connect(path):
        pass
    assert not isinstance(caught.value, DatabaseBusy)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 5


def test_foreign_database_is_refused_and_left_alone(tmp_path):
    db = tmp_path / "mine.duckdb"
    spoil(db, "create table jobs (name varchar)")
    for write in (False, True):
        with pytest.raises(DcbudgetError, match="database of something else"), warehouse.connect(db, write=write):
            pass
    opening.release(db)
    with duckdb.connect(str(db)) as con:
        assert con.execute("select table_name from duckdb_tables()").fetchall() == [("jobs",)]


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(DcbudgetError, match="cannot be made"),
        warehouse.connect(tmp_path / "file/x.duckdb", write=True),
    ):
        pass


def test_reading_upgrades_views_of_an_earlier_version(scratch):
    spoil(
        scratch,
        "create or replace view cost_monthly as select 1 as old;"
        " update landed.about set value = 'earlier' where name = 'schema'",
    )
    assert set(warehouse.mart("cost_monthly", scratch).columns) >= {"month", "project", "effective_cost"}
    assert rows(scratch, "select value from landed.about where name = 'schema'") == [(warehouse._schema_hash(),)]
    assert rows(scratch, "select count(*) from jobs") == [(5,)]


def test_views_of_this_version_are_not_renewed(scratch):
    spoil(scratch, "create or replace view cost_monthly as select 1 as tampered")
    assert list(warehouse.mart("cost_monthly", scratch).columns) == ["tampered"]


def test_interrupted_write_leaves_the_database_readable(scratch):
    with pytest.raises(KeyboardInterrupt), warehouse.connect(scratch, write=True) as con:
        con.execute("begin")
        con.execute("delete from jobs")
        raise KeyboardInterrupt
    assert rows(scratch, "select count(*) from jobs") == [(5,)]


def test_session_is_in_utc(world):
    assert rows(world, "select current_setting('TimeZone')") == [("UTC",)]


def test_mart_filters_by_its_columns_and_keeps_its_order(world):
    found = warehouse.mart("showback_monthly", world, month=pd.Timestamp("2026-05-01").date(), project="alpha")
    assert list(found["category"]) == ["Network", "Rented GPUs", "Storage"]
    whole = warehouse.mart("showback_monthly", world)
    assert list(whole["month"]) == sorted(whole["month"])


def test_mart_value_is_bound_and_not_formatted_in(world):
    assert warehouse.mart("showback_monthly", world, project="x' or '1' = '1").empty


def test_mart_of_unknown_name_or_column(world):
    with pytest.raises(DcbudgetError, match="no mart 'costs'; there are budget_vs_actual, "):
        warehouse.mart("costs", world)
    with pytest.raises(DcbudgetError, match="has no column 'team'; it has month, project"):
        warehouse.mart("showback_monthly", world, team="x")


@pytest.mark.parametrize("name", warehouse.sql("marts"))
def test_every_mart_has_its_key(sample_db, name):
    """The header's key identifies a row, and every column of it is there."""
    header = next(line for line in warehouse.sql("marts")[name].splitlines() if line.startswith("-- key: "))
    key = header.removeprefix("-- key: ").split(", ")
    copies = warehouse.query(f"select {', '.join(key)}, count(*) as n from {name} group by all having n > 1", sample_db)
    assert copies.empty


def test_every_view_and_mart_can_be_queried_in_an_empty_database(db):
    with warehouse.connect(db, write=True):
        pass
    for name in (*warehouse.STAGING, *warehouse.sql("marts")):
        assert rows(db, f"select count(*) from {name}") == [(0,)]
    assert set(warehouse.check(db)["offending_rows"]) == {0}


# What breaks each check, and nothing else does: a statement on the scratch database.
LAST_DIGIT = "1e-24::decimal(38, 24)"
SHOWBACK = warehouse.sql("marts")["showback_monthly"]
LEDGER = warehouse.sql("marts")["gpu_ledger_monthly"]
JOB_DAYS = warehouse.sql("staging")["job_days"]
PEOPLE = warehouse.sql("marts")["people_monthly"]
DAILY = warehouse.sql("marts")["cost_daily"]
FAULTS = {
    "allocated_within_capacity": "update jobs set gpus = gpus * 100 where job_id = '1'",
    "budget_lines_once": "insert into budget_lines from budget_lines limit 1",
    "charges_counted_once": "insert into landed.charges_2 from landed.charges_2 limit 1",
    "charges_kept_current": "insert into fleet (asset_id, kind, units, in_service_date, life_months, purchase_price,"
    " currency) values ('srv', 'server', 1, '2026-04-01', 36, 100, 'USD')",
    "charges_match_loads": f"update landed.charges_2 set BilledCost = BilledCost + {LAST_DIGIT} where x_source_row = 3",
    "cost_monthly_ties": f"create or replace view cost_daily as select * from ({DAILY}) where project <> 'alpha'",
    "effective_cost_known": "update landed.charges_2 set EffectiveCost = null where ResourceId = 'tax'",
    "gpu_ledger_ties": "create or replace view gpu_ledger_monthly as"
    f" select * from ({LEDGER}) where bucket <> 'useful'",
    "gpu_hours_tie": f"create or replace view job_days as select * from ({JOB_DAYS}) where day <> '2026-06-01'",
    "jobs_counted_once": "insert into jobs from jobs where job_id = '3'",
    "jobs_in_order": "update jobs set job_id = '3.batch' where job_id = '3'",
    "money_conserved": f"update load_costs set cost_rejected = {LAST_DIGIT} where load_id = 2",
    "one_currency_a_month": "update landed.charges_2 set BillingCurrency = 'EUR' where ResourceId = 'tax'",
    "people_tie": f"create or replace view people_monthly as select * from ({PEOPLE}) where bucket <> 'useful'",
    "power_readings_in_service": "insert into power_readings values ('srv-1', '2026-05-01', 1, 1, 1)",
    "rejects_counted": "insert into rejects (load_id, file, line, reason) values (2, 'bill.csv', 3, 'one too many')",
    "rows_conserved": "update loads set rows_loaded = rows_loaded - 1 where load_id = 2",
    "showback_ties": "create or replace view showback_monthly as"
    f" select * from ({SHOWBACK}) where project <> 'Idle capacity'",
}


def test_check_returns_every_file_of_checks(world):
    found = warehouse.check(world)
    assert list(found["check"]) == list(warehouse.sql("checks"))
    assert found["about"].str.endswith(".").all() and not found["about"].str.startswith("--").any()
    assert (found["offending_rows"] == 0).all(), found


def test_every_check_has_a_fault_that_it_finds():
    assert FAULTS.keys() == warehouse.sql("checks").keys()


@pytest.mark.parametrize("name", FAULTS)
def test_check_finds_its_fault(scratch, name):
    assert warehouse.offending_rows(name, scratch).empty
    spoil(scratch, FAULTS[name])
    found = warehouse.check(scratch).set_index("check")["offending_rows"]
    assert found[name] > 0
    assert len(warehouse.offending_rows(name, scratch)) == found[name]


MORE_FAULTS = {
    "people_tie": "create or replace view people_monthly as"
    f" select * replace (effective_cost + {LAST_DIGIT} as effective_cost) from ({PEOPLE})",
    "charges_counted_once": "update landed.charges_2 set x_source_row = 99; insert into landed.charges_2"
    " select * replace (7 as x_source_row) from landed.charges_2 where ResourceId = 'egress'",
    "charges_match_loads": "delete from landed.charges_2 where ResourceId = 'tax'",
    "jobs_in_order": "update jobs set end_time = start_time - interval 1 second where job_id = '2'",
    "rejects_counted": "update loads set rows_rejected = 1, rows_read = rows_read + 1 where load_id = 2",
    "rows_conserved": "update loads set rows_read = rows_read + 1 where load_id = 3",
    "gpu_ledger_ties": "create or replace view gpu_ledger_monthly as"
    f" select * replace (billed_cost + {LAST_DIGIT} as billed_cost) from ({LEDGER})",
    "showback_ties": "create or replace view showback_monthly as"
    f" select * replace (effective_cost + {LAST_DIGIT} as effective_cost) from ({SHOWBACK})",
    "cost_monthly_ties": "create or replace view cost_daily as"
    f" select * replace (billed_cost + {LAST_DIGIT} as billed_cost) from ({DAILY})",
}


@pytest.mark.parametrize("name", MORE_FAULTS)
def test_check_finds_a_second_kind_of_fault(scratch, name):
    spoil(scratch, MORE_FAULTS[name])
    assert len(warehouse.offending_rows(name, scratch)) > 0


def test_charge_lost_from_a_replaced_month_is_found(tmp_path):
    """The books of a restated month count what was replaced."""
    from dcbudget.ingest.load import load
    from tiny import write

    first = [charge(f"node {n}", "10") for n in range(10)]
    db = make(tmp_path, charges=first)
    again = write(tmp_path / "restated.csv", [row | {"EffectiveCost": "9", "BilledCost": "9"} for row in first])
    assert [result.status for result in load([again], db)] == ["replaced"]
    assert set(warehouse.check(db)["offending_rows"]) == {0}
    spoil(db, "update load_replacements set cost_replaced = cost_replaced - 10")
    assert len(warehouse.offending_rows("charges_match_loads", db)) == 1


def test_checks_pass_where_capacity_is_unknown(tmp_path):
    """Jobs without a fleet or a bill hold GPU-hours that no capacity is known for."""
    jobs = [job(1, "a-x", "east", "h100", 2, "2026-05-10T21:00:00", "2026-05-10T22:00:00", "2026-05-11T03:00:00")]
    db = make(tmp_path, jobs=jobs, plan=[budget("2026-05", "alpha", "Rented GPUs", "5")])
    assert set(warehouse.check(db)["offending_rows"]) == {0}


@pytest.mark.parametrize("tables", ["other", '{"jobs": "other"}', '{"no_table_any_more": "other"}'])
def test_tables_of_another_version_are_not_written_into(db, tables):
    with warehouse.connect(db, write=True) as con:
        con.execute("update landed.about set value = case name when 'tables' then ? else 'other' end", [tables])
    with pytest.raises(DcbudgetError, match="another version"), warehouse.connect(db):
        pass


def test_new_tables_come_to_those_of_an_earlier_version(db):
    """What was decided and loaded stays."""
    with warehouse.connect(db, write=True) as con:
        con.execute("insert into adjustments (adjustment_id, date, owner, amount, currency)"
                    " values ('a', '2026-05-01', 'ann', 5, 'USD')")  # fmt: skip
        con.execute("drop table results")
        con.execute("update landed.about set value = case name when 'tables'"
                    " then json_merge_patch(value, '{\"results\": null}')::varchar else 'other' end")  # fmt: skip
    with warehouse.connect(db) as con:
        assert con.execute("select count(*) from results").fetchone() == (0,)
        assert con.execute("select owner from adjustments").fetchall() == [("ann",)]
