"""The command line: what `dcbudget` prints, with which exit code, and what it writes."""

import csv
import io
import json
import subprocess
import sys
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from dcbudget import cli, opening
from dcbudget.ingest import READERS
from focus_rows import billed, charges, held, write_focus


@pytest.fixture
def dcbudget(db, monkeypatch):
    """A function that runs the command on a database of its own: (exit code, output, errors)."""
    monkeypatch.setenv("DCBUDGET_DB", str(db))

    def run(*arguments: object) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["dcbudget", *map(str, arguments)])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                cli.main()
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def loaded(dcbudget, tmp_path):
    """A function that loads with --json: (exit code, files)."""

    def run(*arguments: object) -> tuple[int, list[dict]]:
        code, out, _ = dcbudget("load", *arguments, "--json")
        return code, json.loads(out)["files"]

    return run


def test_json_of_a_load(loaded, tmp_path):
    """Money is decimal text, exact and without an exponent."""
    rows = [*charges(2, BilledCost="0.000000000000000000000001"), *charges(1, first=2, BillingCurrency="EUR")]
    rows[1]["EffectiveCost"] = "?"
    path = write_focus(tmp_path / "bill 五月.csv", rows)
    code, files = loaded(path)
    assert code == 0
    assert files == [
        {
            "path": str(path), "format": "focus 1.0", "rows_read": 3, "rows_loaded": 2, "rows_rejected": 1,
            "rows_skipped": 0, "status": "loaded",
            "message": "1 row rejected (table rejects), the first: line 3, EffectiveCost '?': not a decimal number with"
            " at most 24 decimals",
            "cost": [
                {"currency": "EUR", "read": "3.000000000001", "loaded": "3.000000000001", "rejected": "0"},
                {"currency": "USD", "read": "0.000000000000000000000002", "loaded": "0.000000000000000000000001",
                 "rejected": "0.000000000000000000000001"},
            ],
        }
    ]  # fmt: skip


def test_statuses_and_exit_codes(loaded, tmp_path):
    good = write_focus(tmp_path / "good.csv", charges(20))
    unclear = write_focus(tmp_path / "unclear.csv", charges(3, BilledCost="7"))
    other = write_focus(tmp_path / "other.csv", [*charges(20, BilledCost="7")])

    def said(*arguments):
        code, files = loaded(*arguments)
        return code, [file["status"] for file in files]

    assert said(good) == (0, ["loaded"])
    assert said(good) == (0, ["unchanged"])
    assert said(unclear) == (1, ["refused"])
    assert said(unclear, "--overlap", "add") == (0, ["loaded"])
    assert said(other) == (0, ["replaced"])
    assert said(tmp_path / "missing.csv", good) == (1, ["failed", "unchanged"])
    assert said(good, "--as", "swf", "--overlap", "add") == (1, ["failed"])


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 3)])
def test_strict(loaded, tmp_path, strict, code):
    rows = charges(3)
    write_focus(tmp_path / "good.csv", rows)
    rows[1]["BilledCost"] = "?"
    write_focus(tmp_path / "bad.csv", [{**row, "BillingAccountId": "acct-2"} for row in rows])
    assert loaded(tmp_path / "good.csv", *strict)[0] == 0
    assert loaded(tmp_path / "bad.csv", *strict)[0] == code
    (tmp_path / "worse.csv").write_text("?")
    assert loaded(tmp_path, *strict)[0] == 1


def test_folders_and_patterns(loaded, tmp_path, db):
    """A folder is searched to its depths for what may be data; each file is loaded once, in name order."""
    folder = tmp_path / "with space" / "账单"
    folder.mkdir(parents=True)
    for number, name in enumerate(("a.csv", "b.txt", "账单/c", ".hidden.csv", "README.md", "notes.pdf")):
        write_focus(folder.parent / name, charges(1, first=number))
    assert [file["path"] for file in loaded(tmp_path)[1]] == [
        str(folder.parent / name) for name in ("a.csv", "b.txt", "账单/c")
    ]
    assert [file["path"] for file in loaded(f"{tmp_path}/*/*.t?t", f"{tmp_path}/**/c", folder)[1]] == [
        str(folder.parent / "b.txt"), str(folder / "c")
    ]  # fmt: skip
    assert held(db) == {"server-0", "server-1", "server-2"}


@pytest.mark.parametrize("given", ["missing.csv", "*.nothing", "."])
def test_paths_that_hold_nothing(dcbudget, tmp_path, given):
    code, _, err = dcbudget("load", tmp_path / given)
    assert code == (0 if given == "." else 1)
    assert ("no such file" in err) == (given != ".")


def test_a_table_of_a_load_and_its_errors(dcbudget, tmp_path):
    write_focus(tmp_path / "a.csv", charges(1200))
    (tmp_path / "b.csv").write_text("what,is,this\n")
    code, out, err = dcbudget("load", tmp_path)
    assert code == 1
    assert "1,200" in out and "USD" in out and "720,600.00" in out
    assert err == "failed: b.csv: its format is not known (dcbudget formats lists those that are)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--overlap", "perhaps"), "--overlap must be ask, replace or add, not 'perhaps'"),
        (("--timezone", "Mars"), "--timezone must be a zone such as Europe/Berlin, not 'Mars'"),
        (("--map", "gpus"), "--map must be target=column, not 'gpus'"),
        (("--as-of", "soon"), "--as-of must be a date such as 2026-06-30, not 'soon'"),
        (("--as", "xml"), "no format 'xml'; there are focus, "),
    ],
)
def test_options_that_do_not_fit(dcbudget, tmp_path, arguments, message):
    code, _, err = dcbudget("load", write_focus(tmp_path / "a.csv", charges(1)), *arguments)
    assert code == 1 and message in err and "Traceback" not in err


def test_options_of_job_logs(loaded, dcbudget, tmp_path):
    (tmp_path / "jobs").write_text("7|2026-05-01T00:00:00|2026-05-01T00:00:00|2026-05-01T01:00:00|COMPLETED\n")
    (tmp_path / "trace").write_text("when,count,seconds\n2026-05-01,2,60\n")
    fields = "jobid,submit,start,end,state"
    assert loaded(tmp_path / "jobs", "--fields", fields, "--timezone", "Asia/Tokyo")[0] == 0
    mapping = [part for pair in ("submit_time=when", "gpus=count", "duration=seconds") for part in ("--map", pair)]
    assert loaded(tmp_path / "trace", "--as", "gpu_trace", *mapping)[0] == 0
    _, out, _ = dcbudget("query", "select job_id, submit_time, gpus from jobs order by 1", "--csv")
    assert out == "job_id,submit_time,gpus\n7,2026-04-30T15:00:00,0.0\ntrace-2,2026-05-01T00:00:00,2.0\n"


def test_rows_of_the_future_are_rejected_from_a_day_that_is_named(loaded, tmp_path):
    path = write_focus(tmp_path / "bill.csv", charges(28))
    assert loaded(path, "--as-of", "2026-05-10")[1][0]["rows_rejected"] == 16


def test_query(dcbudget, loaded, tmp_path):
    rows = charges(3)
    rows[1]["Tags"] = '<script>, "x"\n=1'
    loaded(write_focus(tmp_path / "bill.csv", rows))
    statement = "select ResourceId, BilledCost, ChargePeriodStart, Tags, ChargeClass from charges order by 1"
    _, out, _ = dcbudget("query", statement, "--json")
    found = json.loads(out)
    assert found[1] == {
        "ResourceId": "server-1", "BilledCost": "2.000000000001", "ChargePeriodStart": "2026-05-02T00:00:00",
        "Tags": rows[1]["Tags"], "ChargeClass": None,
    }  # fmt: skip
    _, out, _ = dcbudget("query", statement, "--csv")
    assert list(csv.DictReader(io.StringIO(out, newline="")))[1] == {**found[1], "ChargeClass": ""}
    assert sum(Decimal(row["BilledCost"]) for row in found) == billed(rows)
    assert "server-2" in dcbudget("query", statement)[1]


@pytest.mark.parametrize(
    "statement", ["select * from nowhere", "selec 1", "delete from loads", "copy loads to '/tmp/leak.csv'"]
)
def test_a_query_that_cannot_be_answered(dcbudget, loaded, tmp_path, statement):
    loaded(write_focus(tmp_path / "bill.csv", charges(1)))
    code, out, err = dcbudget("query", statement)
    assert (code, out) == (1, "")
    assert err.startswith("dcbudget: ") and err.count("\n") == 1
    assert dcbudget("query", "select count(*) from loads", "--csv")[1] == "count_star()\n1\n"


def test_check(dcbudget, loaded, tmp_path, db):
    loaded(write_focus(tmp_path / "bill.csv", charges(3)))
    code, out, _ = dcbudget("check", "--json")
    assert code == 0
    checks = json.loads(out)["checks"]
    assert {"rows_conserved", "money_conserved"} <= {check["check"] for check in checks}
    assert all(check.keys() == {"check", "about", "offending_rows"} for check in checks)
    assert [check["offending_rows"] for check in checks] == [0] * len(checks)

    import duckdb

    opening.release(db)
    with duckdb.connect(db) as con:
        con.execute("update loads set rows_read = 4")
    code, out, _ = dcbudget("check", "--json")
    assert code == 1
    assert [check["check"] for check in json.loads(out)["checks"] if check["offending_rows"]] == ["rows_conserved"]


def test_formats():
    out = CliRunner().invoke(cli.app, ["formats"]).output
    assert all(reader.name in out and reader.about.split(",")[0] in out for reader in READERS)


def test_a_database_that_is_named_goes_before_the_environment(dcbudget, tmp_path, db):
    path = write_focus(tmp_path / "bill.csv", charges(2))
    other = tmp_path / "new folder" / "other.duckdb"
    assert dcbudget("load", path, "--db", other)[0] == 0
    assert other.exists() and not db.exists()
    assert dcbudget("query", "select count(*) as n from charges", "--csv", "--db", other)[1] == "n\n2\n"
    code, _, err = dcbudget("query", "select 1")
    assert code == 1 and "there is no database" in err and "dcbudget load PATH" in err


@pytest.mark.parametrize("broken", ["text", "folder", "below a file"])
@pytest.mark.parametrize("command", [("load",), ("query", "select 1"), ("check",)])
def test_a_database_that_cannot_be_opened(dcbudget, tmp_path, broken, command):
    path = tmp_path / "broken.duckdb"
    if broken == "folder":
        path.mkdir()
    else:
        path.write_text("no database\n" * 1000)
    arguments = (*command, write_focus(tmp_path / "bill.csv", charges(1))) if command == ("load",) else command
    code, _, err = dcbudget(*arguments, "--db", path / "x.duckdb" if broken == "below a file" else path)
    assert code == 1
    assert err.startswith("dcbudget: ") and "broken.duckdb" in err and err.count("\n") == 1


def test_the_command_as_a_process(tmp_path, db):
    """What a scheduler runs: `python -m dcbudget.cli`, its exit code and its standard output."""
    path = write_focus(tmp_path / "bill.csv", charges(3))
    command = [sys.executable, "-m", "dcbudget.cli", "load", path, tmp_path / "none", "--db", db, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [file["status"] for file in json.loads(done.stdout)["files"]] == ["loaded", "failed"]


def test_rejected_rows_are_told_with_the_first_reason(dcbudget, tmp_path):
    """And a budget's month may be written YYYY-MM."""
    plan = tmp_path / "budget.csv"
    plan.write_text(
        "plan_version,month,project,category,amount,currency\n"
        "p,2026-05,a,Storage,100.5,USD\n"
        "p,2026-13,a,Storage,7.25,USD\n"
    )
    code, _, err = dcbudget("load", plan)
    assert code == 0
    assert err.startswith("budget.csv: 1 row rejected (table rejects), the first: line 3, month '2026-13': not a date")
    months = dcbudget("query", "select month::varchar as month, amount from budget_lines", "--csv")[1]
    assert months == "month,amount\n2026-05-01,100.5\n"
