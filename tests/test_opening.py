"""A database stays open for a moment for the next question, and for nobody longer than that."""

import subprocess
import sys
import time

import duckdb
import pytest

from dcbudget import opening, warehouse
from tiny import blank

COUNT = "select count(*) from calibration"
ROW = "insert into calibration values ('{}', 1, 'share', '2026-05-01', 'by hand')"
WRITE = (
    "import sys; from dcbudget import warehouse\n"
    f"with warehouse.connect(sys.argv[1], write=True) as con: con.execute({ROW.format('other')!r})"
)


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "budget.duckdb"
    path.write_bytes(blank())
    return path


@pytest.fixture
def patient(monkeypatch):
    """Nothing is closed for being idle."""
    monkeypatch.setattr(opening, "IDLE_SECONDS", 600)
    yield
    for path in list(opening._idle):
        opening.release(path)


def count(db) -> int:
    with warehouse.connect(db) as con:
        return con.execute(COUNT).fetchone()[0]


def stays(db) -> bool:
    return db.resolve() in opening._idle


def write(db, named: str) -> None:
    with warehouse.connect(db, write=True) as con:
        con.execute(ROW.format(named))


def test_stays_open_for_a_moment(db):
    assert count(db) == 0
    assert stays(db)
    until = time.monotonic() + 30
    while opening._open_here[db.resolve()] and time.monotonic() < until:
        time.sleep(0.01)
    assert not stays(db)
    assert opening._open_here[db.resolve()] == []
    duckdb.connect(str(db)).close()


def test_a_question_within_another_ends_nothing(db):
    with warehouse.connect(db) as outer:
        assert count(db) == 0
        opening.release(db)
        assert outer.execute(COUNT).fetchone() == (0,)


def test_what_fails_does_not_stay(db, patient):
    with pytest.raises(duckdb.CatalogException), warehouse.connect(db) as con:
        con.execute("select * from nowhere")
    assert not stays(db)


def test_writing_here_closes_it(db, patient):
    count(db)
    write(db, "here")
    assert count(db) == 1


def test_a_writer_elsewhere_waits_for_a_moment_only(db):
    count(db)
    subprocess.run([sys.executable, "-c", WRITE, str(db)], check=True, timeout=50)
    assert count(db) == 1


def test_a_writer_that_waits_goes_first(db, patient):
    """The next question closes what stays open, and is asked behind the writer."""
    count(db)
    with subprocess.Popen([sys.executable, "-c", WRITE, str(db)]) as writer:
        until = time.monotonic() + 50
        while not opening.writer_waits(db.resolve()) and time.monotonic() < until:
            time.sleep(0.01)
        assert writer.poll() is None
        assert count(db) == 1
        assert writer.wait(50) == 0


@pytest.mark.parametrize("how", ["replaced", "overwritten"])
def test_another_file_in_its_place_is_read(db, tmp_path, patient, how):
    other = tmp_path / "other.duckdb"
    other.write_bytes(blank())
    write(other, "there")
    assert count(db) == 0
    if how == "replaced":
        other.replace(db)
    else:
        db.write_bytes(other.read_bytes())
    assert count(db) == 1


def test_an_encrypted_database_asks_for_its_key_each_time(db, monkeypatch, patient):
    monkeypatch.setenv("DCBUDGET_KEY", "a key of many letters")
    warehouse.convert(db, encrypted=True)
    assert count(db) == 0
    assert not stays(db)


def test_the_end_of_a_cell_closes_it(db):
    """So that the next may open the file in its own way."""
    cells = (
        "import sys, duckdb; from dcbudget import opening, warehouse; opening.IDLE_SECONDS = 600",
        f"warehouse.query({COUNT!r}, {str(db)!r}); assert opening._idle",
        f"assert not opening._idle; duckdb.connect({str(db)!r}).close()",
    )
    program = "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
    program += "\n".join(f"shell.run_cell({cell!r}).raise_error()" for cell in cells)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_nothing_is_open_when_the_interpreter_ends(db):
    """A thread that is stopped within DuckDB takes the process down."""
    program = (
        "import atexit, sys\n"
        "def watched(): return opening._watcher is not None and opening._watcher.is_alive()\n"
        "atexit.register(lambda: print(len(opening._idle), watched()))\n"
        "from dcbudget import opening, warehouse\n"
        f"warehouse.query({COUNT!r}, sys.argv[1])\n"
        "print(len(opening._idle), watched())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(db)], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 True\n0 False\n", "")
