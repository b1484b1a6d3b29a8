"""Encrypted databases: nothing readable on the disk, the same answers with the key, one sentence without it."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dcbudget import cli, encryption, viewer, warehouse
from dcbudget.errors import DatabaseBusy, DcbudgetError, WrongKey
from focus_rows import charges, write_focus
from tiny import make_world, rows

SECRET = 'it\'s a \\long 密 "key"'
PLANTED = "planted-in-a-charge"
# Loads a file, spills a table to disk, says so and waits with the connection open.
CHILD = """
import sys
from dcbudget import warehouse
from dcbudget.ingest.load import load
file, db = sys.argv[1:]
with warehouse.connect(db, write=True) as con:
    con.execute("checkpoint; set enable_progress_bar = false; set threads = 1; set memory_limit = '100MB'")
    con.execute("insert into project_rules values ('project', 'ResourceId', 'planted-in-the-log', 'x', 0, 0)")
    con.execute("create temp table spilled as select 'planted-and-spilled' || hash(i) || hash(-i) || hash(i + 7) as t"
                " from range(3000000) r(i)")
    print("waiting", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def key(tmp_path, monkeypatch):
    """A key file that only its owner reads, named in the environment."""
    file = tmp_path / "key.txt"
    file.write_text(SECRET + "\n", encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.setenv("DCBUDGET_KEY_FILE", str(file))
    return file


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The two clusters, not encrypted; only to be copied."""
    return make_world(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def sealed(plain, key, tmp_path):
    """The two clusters, encrypted."""
    (tmp_path / "sealed").mkdir()
    db = shutil.copy(plain, tmp_path / "sealed/budget.duckdb")
    done = CliRunner().invoke(cli.app, ["encrypt", "--db", str(db)])
    assert (done.exit_code, done.output.replace("\n", "")) == (0, f"encrypted {db}")
    return db


def everything(db) -> dict[str, list]:
    """Every mart and the charges, row by row."""
    with warehouse.connect(db) as con:
        return {name: con.execute(f"select * from {name} order by all").fetchall()
                for name in (*warehouse.sql("marts"), "charges")}  # fmt: skip


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "dcbudget.cli", *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, **environment}, timeout=120)  # fmt: skip


def test_answers_are_the_same_encrypted_and_decrypted(plain, sealed):
    assert encryption.is_encrypted(sealed) and not encryption.is_encrypted(plain)
    kept = everything(plain)
    assert everything(sealed) == kept
    assert set(warehouse.check(sealed)["offending_rows"]) == {0}
    assert warehouse.convert(sealed, encrypted=False) == sealed
    assert not encryption.is_encrypted(sealed)
    assert everything(sealed) == kept
    assert [path.name for path in sealed.parent.iterdir()] == ["budget.duckdb"]


@pytest.mark.parametrize("with_key", [True, False])
def test_nothing_readable_is_written(with_key, tmp_path, key, monkeypatch):
    """Of a load, and of a writer that is killed with a log and spilled tables; without a key all of it is found."""
    if not with_key:
        monkeypatch.delenv("DCBUDGET_KEY_FILE")
    bill = write_focus(tmp_path / "bill.csv", charges(3, ResourceId=PLANTED))
    db = tmp_path / "made" / "budget.duckdb"
    assert run("load", bill, "--db", db).returncode == 0
    child = subprocess.Popen([sys.executable, "-c", CHILD, bill, db], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"waiting\n"
    child.kill()
    assert child.wait() == -signal.SIGKILL
    written = {path: path.read_bytes() for path in db.parent.rglob("*") if path.is_file()}
    kinds = {"data": [db], "log": [path for path in written if ".wal" in path.name],
             "spilled": [path for path in written if ".tmp" in str(path)]}  # fmt: skip
    assert all(kinds.values())
    found = {kind: any(b"planted-" in written[path] for path in paths) for kind, paths in kinds.items()}
    assert found == dict.fromkeys(kinds, not with_key)
    assert rows(db, "select max(pattern) from project_rules") == [("planted-in-the-log",)]
    assert rows(db, "select count(*) from charges where ResourceId = 'planted-in-a-charge'") == [(3,)]
    assert not any(SECRET.encode() in content for content in written.values())


@pytest.mark.parametrize("command", ["query", "check", "load", "report", "export", "encrypt", "decrypt"])
def test_without_the_key_every_command_says_one_sentence(command, sealed, key, tmp_path):
    more = {"query": ["select 1"], "load": [write_focus(tmp_path / "bill.csv", charges(1))],
            "report": ["--out", tmp_path / "reports"], "export": ["jobs", tmp_path / "jobs.csv"]}  # fmt: skip
    before = sealed.read_bytes()
    for key_file, said in (("", "is encrypted; name the file of its key"), ("other", "is encrypted with another key")):
        if key_file:
            (tmp_path / key_file).write_text("another key, long enough")
            (tmp_path / key_file).chmod(0o600)
        done = run(command, *more.get(command, []), "--db", sealed,
                   DCBUDGET_KEY_FILE=str(tmp_path / key_file) if key_file else "")  # fmt: skip
        expected = "there is no key" if command == "encrypt" and not key_file else said
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and expected in done.stderr, done.stderr
        assert "another key, long" not in done.stderr + done.stdout
    assert sealed.read_bytes() == before
    assert not (tmp_path / "jobs.csv").exists()


def test_key_in_the_environment(sealed, monkeypatch):
    monkeypatch.delenv("DCBUDGET_KEY_FILE")
    with pytest.raises(WrongKey, match="name the file of its key"):
        warehouse.mart("inventory", sealed)
    monkeypatch.setenv("DCBUDGET_KEY", SECRET)
    assert rows(sealed, "select count(*) from jobs") == [(5,)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.chmod(0o640), "others can read; chmod 600"),
        (lambda file: file.unlink(), "cannot be read: No such file"),
        (lambda file: file.write_bytes(b"\xff" * 20), "cannot be read: it is no text"),
        (lambda file: file.write_text("  \n"), "less than 16 characters"),
        (lambda file: file.write_text("fifteen letters"), "less than 16 characters"),
    ],
)
def test_key_file_that_is_not_good_enough(key, sealed, spoil, said):
    spoil(key)
    with pytest.raises(DcbudgetError, match=said) as caught:
        warehouse.mart("inventory", sealed)
    assert "\n" not in str(caught.value) and "fifteen" not in str(caught.value)


def test_key_is_nowhere_to_be_queried(sealed):
    """And reading an encrypted database is no way to write files, to change it, or to reach a network."""
    runner = CliRunner()
    for source in ("duckdb_databases()", "duckdb_settings()", "duckdb_views()", "duckdb_variables()"):
        found = runner.invoke(cli.app, ["query", f"from {source}", "--json", "--db", str(sealed)])
        assert found.exit_code == 0 and "\\long" not in found.output and "x5Clong" not in found.output
    assert json.loads(runner.invoke(cli.app, ["query", "select count(*) as n from jobs", "--json", "--db",
                                              str(sealed)]).output) == [{"n": 5}]  # fmt: skip
    for statement in (f"copy jobs to '{sealed.parent}/leak.csv'", "delete from jobs", "attach 'x.duckdb'",
                      "set temp_file_encryption = false", "from read_csv('https://example.org/x.csv')"):  # fmt: skip
        assert runner.invoke(cli.app, ["query", statement, "--db", str(sealed)]).exception is not None, statement
    assert [path.name for path in sealed.parent.iterdir()] == ["budget.duckdb"]
    with warehouse.connect(sealed) as con, pytest.raises(Exception, match="HTTPFileSystem has been disabled"):
        con.execute("from read_csv('https://example.org/x.csv')")


def test_plain_database_opens_where_there_is_a_key(plain, key, tmp_path):
    db = shutil.copy(plain, tmp_path / "scratch.duckdb")
    shutil.copy(plain.with_suffix(".key"), tmp_path / "scratch.key")
    assert rows(db, "select count(*) from jobs") == [(5,)]
    done = run("load", write_focus(tmp_path / "bill.csv", charges(1)), "--db", db)
    assert done.returncode == 0
    assert done.stderr == "dcbudget: scratch.duckdb is not encrypted, though there is a key (dcbudget encrypt)\n"


def test_what_cannot_be_converted(sealed, plain, tmp_path):
    scratch = shutil.copy(plain, tmp_path / "scratch.duckdb")
    with pytest.raises(DcbudgetError, match="is encrypted already"):
        warehouse.convert(sealed, encrypted=True)
    with pytest.raises(DcbudgetError, match="is not encrypted already"):
        warehouse.convert(scratch, encrypted=False)
    with pytest.raises(DcbudgetError, match="no database"):
        warehouse.convert(tmp_path / "nowhere.duckdb", encrypted=True)
    with warehouse.connect(scratch), pytest.raises(DatabaseBusy):
        warehouse.convert(scratch, encrypted=True, wait_seconds=0.1)
    assert everything(scratch) == everything(plain)


def test_viewers_of_an_encrypted_database_need_no_key(sealed, plain, tmp_path, monkeypatch):
    viewer.export_projects(["beta"], tmp_path / "beta.duckdb", sealed)
    monkeypatch.delenv("DCBUDGET_KEY_FILE")
    own = "select sum(effective_cost) from showback_monthly where project = 'beta'"
    assert rows(tmp_path / "beta.duckdb", own) == rows(plain, own)


def test_conversion_that_breaks_changes_nothing(sealed, monkeypatch):
    before = sealed.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DcbudgetError, match="cannot be made: No space left"):
        warehouse.convert(sealed, encrypted=False)
    assert sealed.read_bytes() == before
    assert [path.name for path in sealed.parent.iterdir()] == ["budget.duckdb"]


def test_without_the_package_it_says_what_to_install(sealed, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb_extension_httpfs", None)
    with pytest.raises(DcbudgetError, match=r"need the package duckdb-extension-httpfs; pip install"):
        warehouse.mart("inventory", sealed)


def test_package_of_another_version_is_named(sealed, monkeypatch):
    monkeypatch.setattr("duckdb.__version__", "1.5.99")
    with pytest.raises(DcbudgetError, match=r"of DuckDB's version, 1\.5\.99"):
        warehouse.mart("inventory", sealed)


def test_review_of_an_encrypted_database(sealed, tmp_path):
    """The notebook's own process has the key from its environment; no copy of the database is left."""
    left = tmp_path / "tmp"
    left.mkdir()
    done = run("report", "--month", "2026-05", "--db", sealed, "--out", tmp_path / "reports", TMPDIR=str(left))
    assert done.returncode == 0, done.stderr
    made = tmp_path / "reports/2026-05"
    assert "1,572.58" in (made / "review.html").read_text() or "1,573" in (made / "review.html").read_text()
    assert not any(SECRET in path.read_text(errors="replace") for path in made.iterdir())
    assert not [path for path in left.rglob("*.duckdb*")]
