"""An open notebook, scheduled loads and reports beside one another: every read is of one state, and nobody is blocked.

Each load restates a month, so that after load `k` there is one right answer to every question; `make bench` runs the
same with a report in each of 20 rounds.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pytest
from jupyter_client.manager import start_new_kernel

from dcbudget import warehouse
from dcbudget.errors import DatabaseBusy
from dcbudget.ingest.load import load
from dcbudget.ingest.plan import Options
from test_warehouse import HOLD
from tiny import budget, charge, make, rows, write

# What a notebook does, over and over: several questions over one connection, a stage, a mart.
NOTEBOOK = """
import itertools, json, time
from pathlib import Path
from dcbudget import warehouse
from dcbudget.stages.review import MonthlyReview

def costs(frame):
    return dict(zip(frame["project"], frame["effective_cost"]))

with open({log!r}, "w") as out:
    for turn in itertools.count():
        if Path({stop!r}).exists():
            break
        began = time.time()
        with warehouse.connect({db!r}) as con:
            loads = con.execute("select count(*) from loads").fetchone()[0]
            time.sleep(0.02)
            shown = con.execute("select project, effective_cost::varchar from showback_monthly").fetchall()
            bill = con.execute("select sum(EffectiveCost)::varchar from charges").fetchone()[0]
            books = con.execute("select (sum(cost_loaded) - (select coalesce(sum(cost_replaced), 0)"
                                " from load_replacements))::varchar from load_costs join loads using (load_id)"
                                " where dataset = 'charges'").fetchone()[0]
        mart = costs(warehouse.mart("showback_monthly", {db!r}))
        if turn % 4 == 0:
            review = MonthlyReview(database={db!r})
            stage = costs(review.costs.rename(columns=dict(cost="effective_cost")))
            offending = int(warehouse.check({db!r})["offending_rows"].sum())
        else:
            stage, offending = mart, 0
        read = dict(began=began, ended=time.time(), loads=loads, shown=dict(shown), bill=bill, books=books, mart=mart,
                    stage=stage, offending=offending)
        print(json.dumps(read), file=out, flush=True)
        time.sleep(0.05)
"""


def amounts(state: int) -> dict[str, Decimal]:
    """What each project costs after that many loads."""
    return {"alpha": Decimal(f"{1009 * state + 7}.01"), "beta": Decimal(f"{2003 * state + 13}.000000000002")}


def bill(folder: Path, state: int) -> Path:
    rows = [charge(project, str(cost), tags=f'{{"project":"{project}"}}') for project, cost in amounts(state).items()]
    return write(folder / f"bill-{state:02}.csv", rows)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dcbudget.cli", *map(str, arguments)]


def start(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def state_of(costs: dict[str, object]) -> int:
    """After which load a reader saw these amounts; fails where there was no such moment."""
    state = round((float(costs["alpha"]) - 7.01) / 1009)
    assert {name: pytest.approx(float(cost), abs=1e-6) for name, cost in amounts(state).items()} == {
        name: float(cost) for name, cost in costs.items()
    }
    return state


def state_of_report(folder: Path) -> int:
    """After which load a report was made; its sheets and its page must tell of the same one."""
    sheets = openpyxl.load_workbook(folder / "2026-05/review.xlsx")
    projects = {row[0].value: row[2].value for row in sheets["Projects"].iter_rows(min_row=4)}
    state = state_of({name: projects[name] for name in ("alpha", "beta")})
    page = (folder / "2026-05/review.html").read_text()
    read = {number: sum(sum(amounts(past).values()) for past in range(number + 1)) for number in range(state + 25)}
    sources = [row[7].value for row in sheets["Sources"].iter_rows(min_row=4) if row[0].value == "charges"]
    assert sources == [pytest.approx(float(read[state]))]
    assert [number for number, money in read.items() if f">{money:,.2f}<" in page] == [state]
    assert f"{sum(amounts(state).values()):,.0f} USD" in page
    return state


class Notebook:
    """An open kernel that reads a database until it is asked to stop."""

    def __init__(self, folder: Path, db: Path):
        self.log, self.stop_file = folder / "read.jsonl", folder / "stop"
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.asked = self.client.execute(NOTEBOOK.format(db=str(db), log=str(self.log), stop=str(self.stop_file)))
        while not self.reads():
            assert self.manager.is_alive()
            time.sleep(0.05)

    def reads(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def stop(self) -> None:
        """Let it come to its end, which must be a good one."""
        self.stop_file.touch()
        while (reply := self.client.get_shell_msg(timeout=120))["parent_header"]["msg_id"] != self.asked:
            pass
        assert reply["content"]["status"] == "ok", reply["content"]

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def rounds(folder: Path, count: int, commands: set[int], reports: set[int]) -> tuple[int, list[int]]:
    """Load, ask and report beside a notebook that reads; the number of its reads, and the reports' states.

    In the rounds of `commands` the load and a query are commands at once, else the load is of this process.
    """
    db = make(folder, plan=[budget("2026-05", "alpha", "Other services", "1500")])
    load([bill(folder, 0)], db)
    began, ended, reporting = {0: 0.0}, {0: time.time()}, {}
    notebook = Notebook(folder, db)
    try:
        for state in range(1, count + 1):
            file, began[state] = bill(folder, state), time.time()
            if state in reports:
                for earlier in reporting.values():
                    earlier.wait(timeout=300)
                reporting[state] = start("report", "--db", db, "--out", folder / f"reports-{state}")
            if state in commands:
                load_and_ask(db, file, state)
            else:
                assert [result.status for result in load([file], db, options=Options(overlap="replace"))] == [
                    "replaced"
                ]
            ended[state] = time.time()
        made = []
        for state, process in reporting.items():
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
            made.append(state_of_report(folder / f"reports-{state}"))
            assert state - 1 <= made[-1] <= count
        notebook.stop()
    finally:
        notebook.close()
    last = 0
    for read in notebook.reads():
        earliest = max(state for state, moment in ended.items() if moment <= read["began"])
        latest = max(state for state, moment in began.items() if moment <= read["ended"])
        state = state_of(read["shown"])
        assert {name: Decimal(cost) for name, cost in read["shown"].items()} == amounts(state)
        assert (read["loads"], Decimal(read["bill"])) == (state + 3, sum(amounts(state).values()))
        assert Decimal(read["books"]) == sum(amounts(state).values())
        assert max(earliest, last) <= state <= state_of(read["mart"]) <= state_of(read["stage"]) <= latest
        assert read["offending"] == 0
        last = state
    assert rows(db, "select sum(EffectiveCost) from charges") == [(sum(amounts(count).values()),)]
    return len(notebook.reads()), made


def load_and_ask(db: Path, file: Path, state: int) -> None:
    loading = start("load", file, "--overlap", "replace", "--db", db, "--json")
    asking = start("query", "select project, effective_cost from showback_monthly", "--json", "--db", db)
    out, err = loading.communicate(timeout=120)
    assert loading.returncode == 0, err
    assert [file["status"] for file in json.loads(out)["files"]] == ["replaced"]
    out, err = asking.communicate(timeout=120)
    assert asking.returncode == 0, err
    found = {row["project"]: Decimal(row["effective_cost"]) for row in json.loads(out)}
    assert found in (amounts(state - 1), amounts(state))


def test_notebook_loads_and_a_report_at_once(tmp_path):
    reads, reports = rounds(tmp_path, 10, commands={1, 10}, reports={3})
    assert reads >= 3 and len(reports) == 1


@pytest.fixture
def held(tmp_path):
    """A database that another process holds: (database, the process)."""
    db = make(tmp_path / "held", charges=[charge("a", "1")])
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield db, process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("what", ["load", "report", "encrypt"])
def test_gives_up_after_the_wait_that_was_asked_for(held, tmp_path, what):
    db, process = held
    before = db.read_bytes()
    more = {"load": [bill(tmp_path, 1)], "report": ["--out", tmp_path / "reports"]}
    environment = {"DCBUDGET_KEY": "a key of at least sixteen", "PYTHONPATH": ":".join(sys.path)}
    began = time.monotonic()
    done = subprocess.run(command(what, *more.get(what, []), "--wait", "2.5", "--db", db), capture_output=True,
                          text=True, env=environment)  # fmt: skip
    assert done.returncode == 1 and time.monotonic() - began < 30
    waiting, gave_up = done.stderr.splitlines()
    assert "waiting for " in waiting and f"(process {process.pid}), which holds budget.duckdb" in waiting
    assert gave_up.endswith(f"(process {process.pid}); waited 2.5 s and changed nothing")
    assert db.read_bytes() == before
    assert not (tmp_path / "reports").exists()


def test_two_processes_make_the_tables_at_once(tmp_path):
    """Of a new database, and of one whose views are of an earlier version; both get what they came for."""
    db = tmp_path / "new.duckdb"
    for stale in (False, True):
        if stale:
            with warehouse.connect(db, write=True) as con:
                con.execute("update landed.about set value = 'earlier' where name = 'schema'")
        both = [
            start("load", bill(tmp_path, number + 2 * stale), "--overlap", "replace", "--db", db) for number in (0, 1)
        ]
        asking = [start("query", "select count(*) from showback_monthly", "--db", db) for _ in range(2 * stale)]
        for process in (*both, *asking):
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0 and "not" not in err, err
    assert rows(db, "select count(*) from loads") == [(4,)]
    assert set(warehouse.check(db)["offending_rows"]) == {0}


WRITER = """
import os, sys
from dcbudget import warehouse
with warehouse.connect(sys.argv[1], write=True) as con:
    con.execute("insert into calibration values ('committed', 1, 'x', '2026-05-01', 'y')")
    con.execute("begin; insert into calibration values ('open', 1, 'x', '2026-05-01', 'y')")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("key", ["", "a key of at least sixteen"])
def test_log_of_a_killed_writer_is_read_by_all_and_copied(tmp_path, monkeypatch, key):
    monkeypatch.setenv("DCBUDGET_KEY", key)
    db = tmp_path / "budget.duckdb"
    with warehouse.connect(db, write=True):
        pass
    assert subprocess.run([sys.executable, "-c", WRITER, str(db)]).returncode == -signal.SIGKILL
    assert (tmp_path / "budget.duckdb.wal").stat().st_size > 0
    names = "select name from calibration"
    with warehouse.snapshot(db) as copy:
        with warehouse.connect(db) as one, warehouse.connect(db) as two:
            found = [con.execute(names).fetchall() for con in (one, two)]
        assert found == [[("committed",)]] * 2
        with warehouse.connect(db, write=True) as con:
            con.execute("delete from calibration")
        assert rows(copy, names) == [("committed",)]
    assert rows(db, names) == [] and not copy.exists()


@pytest.mark.parametrize("key", ["", "a key of at least sixteen"])
def test_second_reader_of_a_process_does_not_give_up_the_lock_of_the_first(tmp_path, monkeypatch, key):
    """POSIX drops every lock that a process has on a file as soon as it closes that file once."""
    monkeypatch.setenv("DCBUDGET_KEY", key)
    db = tmp_path / "budget.duckdb"
    with warehouse.connect(db, write=True):
        pass
    with warehouse.connect(db):
        with warehouse.connect(db):
            pass
        with warehouse.snapshot(db), pytest.raises(DatabaseBusy), warehouse.connect(db, write=True, wait_seconds=0.1):
            pass
        done = subprocess.run(command("load", bill(tmp_path, 0), "--wait", "0.3", "--db", db), capture_output=True,
                              text=True)  # fmt: skip
        assert done.returncode == 1 and "is held by" in done.stderr
    assert subprocess.run(command("load", bill(tmp_path, 0), "--db", db), capture_output=True).returncode == 0


READER = """
import sys, time
from dcbudget import warehouse
print("reading", flush=True)
while True:
    with warehouse.connect(sys.argv[1]):
        time.sleep(0.4)
"""


def test_writer_gets_its_turn_between_readers_that_never_pause(tmp_path):
    db = make(tmp_path, charges=[charge("a", "1")])
    readers = [subprocess.Popen([sys.executable, "-c", READER, str(db)], stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for reader in readers:
            assert reader.stdout.readline() == b"reading\n"
        for number in range(3):
            (result,) = load([bill(tmp_path, number)], db, options=Options(overlap="replace"), wait_seconds=5)
            assert result.status in ("loaded", "replaced")
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".turn")]


def test_file_that_is_replaced_while_it_is_opened_is_opened_again(tmp_path, monkeypatch):
    """As a conversion does, whose old file must not be written into."""
    db, other = (make(tmp_path / name, charges=[charge(name, "1")]) for name in ("old", "new"))
    connect = duckdb.connect

    def replaced_meanwhile(*arguments, **options):
        con = connect(*arguments, **options)
        if other.exists():
            shutil.move(other, db)
        return con

    monkeypatch.setattr(duckdb, "connect", replaced_meanwhile)
    with warehouse.connect(db, write=True) as con:
        assert con.execute("select ResourceId from charges").fetchall() == [("new",)]


def test_database_that_is_replaced_while_a_writer_waits_is_the_new_one(held, tmp_path):
    """A conversion puts another file in its place; what waited for the old one writes into the new one."""
    db, process = held
    other = make(tmp_path / "other", charges=[charge("other", "7")])
    waiting = start("load", bill(tmp_path, 1), "--overlap", "add", "--db", db)
    time.sleep(1.5)
    shutil.move(other.with_suffix(".key"), db.with_suffix(".key"))
    shutil.move(other, db)
    process.stdin.write("\n")
    process.stdin.flush()
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    assert rows(db, "select ResourceId from charges order by 1") == [("alpha",), ("beta",), ("other",)]
