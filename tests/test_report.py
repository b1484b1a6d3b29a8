"""The monthly report: wholly or not at all, safe to open, the same twice, and errors of one line."""

import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from base64 import b64decode
from html import unescape
from pathlib import Path

import nbformat
import openpyxl
import papermill
import pytest

from dcbudget import budget as budget_of
from dcbudget import cli, report
from dcbudget.errors import ReportError
from dcbudget.report import render
from dcbudget.stages.monthly import MonthlyReport
from tiny import budget, charge, job, make, make_world

FORMULA, SCRIPT = '=HYPERLINK("http://x")', "<script>alert(1)</script>"
ROOT = Path(__file__).resolve().parents[1]
FILES = {"review.html", "review.ipynb", "review.xlsx"}


def spend(project, effective, month="2026-05", end="2026-06-01"):
    return charge(f"{project} of {month}", effective, start=f"{month}-01", end=end, ServiceCategory="Networking",
                  tags=json.dumps({"project": project}))  # fmt: skip


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """Projects whose names a spreadsheet or a browser would run."""
    bill = [
        spend(FORMULA, "10.25"),
        spend(SCRIPT, "20.5"),
        spend(FORMULA, "40.125", "2026-06", "2026-07-01"),
        spend(SCRIPT, "1000", "2026-06", "2026-07-01"),
        spend("plain", "3", "2026-06", "2026-07-01"),
        charge("node", "100", gpus=("H100", 8, 10), tags='{"cluster":"east"}', start="2026-06-01", end="2026-07-01"),
    ]
    jobs = [
        job(1, "a-x", "east", "h100", 2, "2026-06-10T21:00:00", "2026-06-10T22:00:00", "2026-06-11T03:00:00", used=50)
    ]
    plan = [budget("2026-06", FORMULA, "Network", "35.5"), budget("2026-06", SCRIPT, "Network", "900")]
    return make(tmp_path_factory.mktemp("nasty"), charges=bill, plan=plan, jobs=jobs)


@pytest.fixture(scope="module")
def rendered(nasty, tmp_path_factory):
    """The report of June into a relative folder, once for all tests."""
    home = tmp_path_factory.mktemp("home")
    before = Path.cwd()
    os.chdir(home)
    try:
        found = render("2026-06", os.path.relpath(nasty), Path("out/of/here"))
        return report.Rendered(
            *(path.resolve() for path in (found.notebook, found.html, found.spreadsheet)), found.headline
        )
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def run(capsys, *arguments):
    """The command in this process: its exit code and the lines on stdout and stderr."""
    before = sys.argv
    sys.argv = ["dcbudget", "report", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    out, err = capsys.readouterr()
    return ended.value.code, out.splitlines(), err.splitlines()


def everything_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_three_files_in_the_months_folder_and_nothing_else(rendered):
    home = rendered.html.parents[4]
    assert everything_in(rendered.html.parents[1]) == {"2026-06", *(f"2026-06/{name}" for name in FILES)}
    assert rendered.html == home / "out/of/here/2026-06/review.html"
    assert rendered.headline[0] == "Spent: 1,143 USD (June 2026, effective cost)"
    assert rendered.html.parent.stat().st_mode & 0o777 == 0o755


def test_page_shows_results_and_no_code(rendered):
    page = rendered.html.read_text(encoding="utf-8")
    for text in (
        "Monthly budget review",
        "1,143 USD",
        "over budget",
        "checks passed",
        "plain",
        "<title>Budget review 2026-06",
    ):
        assert text in page
    for code in ("MonthlyReview(", "review.projects()", "import ", "parameters", "top_movers", "Traceback"):
        assert code not in page


def test_charts_are_pictures_with_their_titles(rendered):
    page = rendered.html.read_text(encoding="utf-8")
    images = re.findall(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]*)"', page)
    assert len(images) == page.count("<img") == 9
    for title, data in images:
        assert ("USD" in title and "June 2026" in title) or "by month" in title or "by day" in title
        assert b64decode(data).startswith(b"<svg") and b"<script" not in b64decode(data)


def test_page_runs_nothing_and_fetches_nothing(rendered):
    page = rendered.html.read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert not re.findall(r"\b(?:src|href|action)\s*=\s*[\"']?\s*(?:https?:|//|javascript:)", page, re.I)
    assert not re.findall(r"<(?:iframe|object|embed|link|form|base|meta http-equiv)", page, re.I)
    assert not re.findall(r"\son\w+\s*=", re.sub(r">[^<]*<", "><", page)), "an event handler"
    assert "@import" not in page and "url(" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert FORMULA in unescape(page)


def test_notebook_is_executed_without_panels_and_machine_paths(rendered, nasty):
    notebook = nbformat.read(rendered.notebook, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not any("panel" in cell.source for cell in code)
    assert not any(output.output_type in ("error", "stream") for cell in code for output in cell.outputs)
    injected = next(cell.source for cell in code if "injected-parameters" in cell.metadata.get("tags", []))
    assert 'month = "2026-06"' in injected
    text = rendered.notebook.read_text(encoding="utf-8")
    assert str(nasty.parent) not in text and str(report.notebooks_folder()) not in text


def test_sheets_hold_numbers_and_text(rendered, nasty):
    book = openpyxl.load_workbook(rendered.spreadsheet)
    assert book.sheetnames == ["Headline", *MonthlyReport("2026-06", str(nasty)).tables()]
    values = [[cell.value for cell in row] for row in book["Projects"].iter_rows(min_row=3)]
    assert values[0] == ["Project", "Budget", "Actual", "Variance", "Variance / budget"]
    found = {row[0]: row[1:] for row in values[1:]}
    assert found[FORMULA] == [35.5, 40.125, 4.625, pytest.approx(4.625 / 35.5)]
    assert found[SCRIPT] == [900, 1000, 100, pytest.approx(1 / 9)]
    assert found["plain"] == [0, 3, 3, None]
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    named = [cell for cell in cells if cell.value in (FORMULA, SCRIPT)]
    assert len(named) >= 6 and {cell.data_type for cell in named} == {"s"}
    assert not any(cell.data_type == "f" or cell.hyperlink for cell in cells)
    assert {cell.data_type for cell in cells if isinstance(cell.value, int | float)} == {"n"}


def test_sheets_tie_to_the_database(rendered):
    book = openpyxl.load_workbook(rendered.spreadsheet)
    lines = [[cell.value for cell in row] for row in book["Budget and actual"].iter_rows(min_row=4)]
    assert sum(row[4] for row in lines if row[0] == "2026-06-01") == pytest.approx(1143.125)
    assert [row[2].value for row in book["Checks"].iter_rows(min_row=4)] == [0] * (book["Checks"].max_row - 3)
    assert book.properties.title.startswith("Budget review June 2026")


def test_sheets_compute_nothing_and_link_nowhere(rendered):
    names = zipfile.ZipFile(rendered.spreadsheet).namelist()
    assert not any("calcChain" in name or "externalLink" in name for name in names)


# What may go wrong.


@pytest.fixture
def quick(monkeypatch):
    """A papermill that copies the notebook and runs nothing, beside the headline of the budget alone.

    Gives what papermill was called with.
    """
    calls = []
    monkeypatch.setattr(MonthlyReport, "prepare", lambda made: None)
    monkeypatch.setattr(MonthlyReport, "headline", lambda made: made.review.headline())
    monkeypatch.setattr(MonthlyReport, "tables", lambda made: {})

    def execute_notebook(template, output, parameters, **options):
        calls.append((parameters, {name: os.environ.get(name) for name in ("DCBUDGET_DB", "DCBUDGET_CHARTS")}))
        nbformat.write(nbformat.read(template, as_version=4), output)

    monkeypatch.setattr("papermill.execute_notebook", execute_notebook)
    return calls


@pytest.fixture
def earlier(tmp_path):
    """An earlier report of June."""
    (tmp_path / "out/2026-06").mkdir(parents=True)
    (tmp_path / "out/2026-06/review.html").write_text("earlier")
    return tmp_path / "out"


def assert_untouched(out):
    assert everything_in(out) == {"2026-06", "2026-06/review.html"}
    assert (out / "2026-06/review.html").read_text() == "earlier"


def template_of(folder, *cells):
    """A notebooks folder with a review of the usual parameters and other cells."""
    whole = nbformat.read(report.notebooks_folder() / "7_review.ipynb", as_version=4)
    whole.cells = [*(cell for cell in whole.cells if "parameters" in cell.metadata.get("tags", [])),
                   *(nbformat.v4.new_code_cell(cell) for cell in cells)]  # fmt: skip
    folder.mkdir()
    nbformat.write(whole, folder / "7_review.ipynb")
    return folder


def test_failing_notebook_leaves_the_earlier_report(world, earlier, tmp_path, monkeypatch, capsys):
    folder = template_of(tmp_path / "notebooks", "raise ValueError('the first line\\nthe second line')")
    monkeypatch.setattr(report, "notebooks_folder", lambda: folder)
    code, out, err = run(capsys, "--db", world, "--out", earlier)
    assert (code, out) == (1, [])
    assert err == ["dcbudget: the report's notebook failed: ValueError: the first line"]
    assert_untouched(earlier)


@pytest.mark.parametrize("step", ["_write_sheets", "_write_html", "_swap"])
def test_failing_step_leaves_the_earlier_report(world, earlier, quick, monkeypatch, step):
    def fail(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(report, step, fail)
    with pytest.raises(RuntimeError, match="broken"):
        render("2026-06", world, earlier)
    assert_untouched(earlier)


def test_interrupted_notebook_leaves_the_earlier_report(world, earlier, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("papermill.execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render("2026-06", world, earlier)
    assert_untouched(earlier)


def test_earlier_report_is_replaced_as_a_whole(world, earlier, quick):
    (earlier / "2026-06/notes.txt").write_text("of the earlier report")
    render("2026-06", world, earlier)
    assert everything_in(earlier) == {"2026-06", *(f"2026-06/{name}" for name in FILES)}


def test_file_in_the_place_of_the_months_folder_is_replaced(world, tmp_path, quick):
    (tmp_path / "2026-06").write_text("in the way")
    render("2026-06", world, tmp_path)
    assert everything_in(tmp_path) == {"2026-06", *(f"2026-06/{name}" for name in FILES)}


def test_earlier_report_comes_back_where_the_new_one_cannot_take_its_place(world, earlier, quick, monkeypatch):
    rename = Path.rename

    def refuse(self, target):
        if "-old-" not in str(target) and "-old-" not in str(self):
            raise PermissionError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ReportError, match="2026-06 cannot be written to: Operation not permitted"):
        render("2026-06", world, earlier)
    assert_untouched(earlier)


def test_environment_is_as_before(world, tmp_path, quick, monkeypatch):
    monkeypatch.setenv("DCBUDGET_DB", "another")
    monkeypatch.delenv("DCBUDGET_CHARTS", raising=False)
    render("2026-06", world, tmp_path)
    copy = Path(quick[0][1].pop("DCBUDGET_DB"))
    assert (copy.name, quick[0][1]) == (world.name, {"DCBUDGET_CHARTS": "svg"})
    assert copy != world and not copy.parent.exists()
    assert os.environ["DCBUDGET_DB"] == "another" and "DCBUDGET_CHARTS" not in os.environ


def test_parameters_reach_the_notebook_and_the_sheets(world, tmp_path, quick):
    found = render(None, world, tmp_path, {"top_movers": 1, "month": "2026-05", "fiscal_year_start": 4})
    assert quick[0][0] == {"top_movers": 1, "month": "2026-05", "fiscal_year_start": 4}
    assert found.html.parent.name == "2026-05"
    book = openpyxl.load_workbook(found.spreadsheet)
    assert any("fiscal year from 2026-04" in str(row[2].value) for row in book["Headline"].iter_rows())


def test_database_as_a_parameter(world, tmp_path, quick):
    found = render("2026-06", None, tmp_path, {"database": str(world)})
    assert quick[0][0] == {"month": "2026-06"}
    assert found.headline[0].startswith("Spent: 480 USD")


ERRORS = {
    "misspelled parameter": (["-p", "mnoth=3"], "the notebook has no parameter 'mnoth'; it has month, database,"),
    "no parameter": (["-p", "month"], "--parameter must be name=value, not 'month'"),
    "month without data": (["--month", "2026-04"], "no charges in 2026-04; there are charges from 2026-05 to 2026-06"),
    "wrong month": (["--month", "June"], "a month must be written YYYY-MM, not 'June'"),
    "wrong month as a parameter": (["-p", "month=202606"], "a month must be written YYYY-MM, not '202606'"),
    "two months": (["--month", "2026-05", "-p", "month=2026-06"], "month is given twice: 2026-05 and 2026-06"),
    "unknown plan": (["-p", "plan_version=draft"], "no plan version 'draft'; there are: 2026"),
    "text for a number": (["-p", "top_movers=many"], "top_movers must be a number between 1 and 50, not 'many'"),
    "out of range": (["-p", "run_rate_months=0"], "run_rate_months must lie between 1 and 24, not 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_one_line_and_makes_no_folder(world, tmp_path, capsys, name):
    arguments, message = ERRORS[name]
    code, out, err = run(capsys, *arguments, "--db", world, "--out", tmp_path / "out")
    assert (code, out, len(err)) == (1, [], 1)
    assert err[0].startswith(f"dcbudget: {message}")
    assert not (tmp_path / "out").exists()


def test_missing_database_is_one_line_and_makes_no_folder(tmp_path, capsys):
    code, out, err = run(capsys, "--db", tmp_path / "no.duckdb", "--out", tmp_path / "out")
    assert (code, out, len(err)) == (1, [], 1) and "there is no database" in err[0]
    assert everything_in(tmp_path) == set()


@pytest.mark.parametrize("where", ["file", "file/deeper"])
def test_folder_that_cannot_be_written_is_one_line(world, tmp_path, capsys, where):
    (tmp_path / "file").write_text("in the way")
    code, out, err = run(capsys, "--db", world, "--out", tmp_path / where)
    assert (code, out, len(err)) == (1, [], 1) and "cannot be written to" in err[0]
    assert everything_in(tmp_path) == {"file"}


def test_command_as_typed_prints_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dcbudget.cli", "report", "-p", "mnoth=3", "--db", str(tmp_path / "no.duckdb")],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == "" and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert everything_in(tmp_path) == set()


def test_every_picture_says_what_it_shows(rendered):
    page = rendered.html.read_text()
    assert report.NO_ALT not in page
    assert page.count("<img alt=") == page.count("<img") > 0


# Several months.


def test_months_are_rendered_past_one_that_fails(world, tmp_path, quick, capsys, monkeypatch):
    """April has no charges, and May's sheets break; June is there all the same."""

    def broken(review, file):
        if review.month.month == 5:
            raise KeyError("gpu_model")
        file.write_text("sheets")

    monkeypatch.setattr(report, "_write_sheets", broken)
    code, out, err = run(capsys, "--from", "2026-04", "--to", "2026-06", "--db", world, "--out", tmp_path / "out")
    assert code == 1
    assert out == [f"report: {tmp_path / 'out/2026-06/review.html'}"]
    assert err == [
        "dcbudget: 2026-04 failed: no charges in 2026-04; there are charges from 2026-05 to 2026-06",
        "dcbudget: 2026-05 failed: KeyError: 'gpu_model'",
        "dcbudget: 2 of 3 months failed",
    ]
    assert everything_in(tmp_path / "out") == {"2026-06", *(f"2026-06/{name}" for name in FILES)}


def test_months_to_the_latest_are_of_one_state(world, tmp_path, quick, monkeypatch):
    counted = []
    done = report.render_months(
        "2026-05", None, world, tmp_path, {"top_movers": 2}, 60, False, counted.append, counted.append
    )
    assert counted == [2, *done] and [one.html.parent.name for one in done] == ["2026-05", "2026-06"]
    assert [parameters for parameters, _ in quick] == [
        {"top_movers": 2, "month": "2026-05"}, {"top_movers": 2, "month": "2026-06"}
    ]  # fmt: skip
    assert len({environment["DCBUDGET_DB"] for _, environment in quick}) == 1


def test_month_is_recorded_in_the_database_itself_and_only_where_it_was_rendered(
    nasty, tmp_path, quick, monkeypatch, capsys
):
    db = tmp_path / "budget.duckdb"
    db.write_bytes(nasty.read_bytes())
    arguments = ("--month", "2026-06", "--db", db, "--out", tmp_path / "out")
    assert run(capsys, *arguments)[0] == 0 and budget_of.recorded_calibration(db).empty
    code, out, _ = run(capsys, *arguments, "--record")
    once = budget_of.recorded_calibration(db)
    assert code == 0 and f"recorded: {len(once)} measured values, from which the next plan starts" in out
    assert set(once["month"].dt.strftime("%Y-%m")) == {"2026-06"} and "price:H100:on-demand" in set(once["name"])
    monkeypatch.setattr(report, "_write_html", lambda *_: 1 / 0)
    assert run(capsys, "--from", "2026-05", "--db", db, "--out", tmp_path / "out", "--record")[0] == 1
    assert budget_of.recorded_calibration(db).equals(once)


MONTHS_WRONG = {
    "end alone": (["--to", "2026-06"], "--to needs --from"),
    "backwards": (["--from", "2026-06", "--to", "2026-05"],
                  "months must go from the earlier to the later one, not from 2026-06 to 2026-05"),
    "no month": (["--from", "2026-6", "--to", "2026-07"], "a month must be written YYYY-MM, not '2026-6'"),
    "one and several": (["--month", "2026-06", "--from", "2026-05"], "--month is of a single report"),
    "one as a parameter": (["--from", "2026-05", "-p", "month=2026-06"], "month is a parameter of a single report"),
    "misspelled parameter": (["--from", "2026-05", "-p", "mnoth=3"], "the notebook has no parameter 'mnoth'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MONTHS_WRONG)
def test_wrong_months_are_one_line_and_make_no_folder(world, tmp_path, capsys, name):
    arguments, message = MONTHS_WRONG[name]
    code, out, err = run(capsys, *arguments, "--db", world, "--out", tmp_path / "out")
    assert (code, out, len(err)) == (1, [], 1)
    assert err[0].startswith(f"dcbudget: {message}")
    assert not (tmp_path / "out").exists()


# On a schedule.

TABLES = re.compile(r'<table class="dcb">.*?</table>', re.S)
CRON = re.compile(r"`((?:[\d*/,-]+ ){5})(cd /path/to/dcbudget && .*?)`", re.S)


def tables_of(notebook):
    """The HTML of every table, in the notebook's order."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [table for output in outputs for table in TABLES.findall(output.get("data", {}).get("text/html", ""))]


def test_line_of_cron_gives_the_same_tables_from_the_same_files(rendered, nasty, tmp_path):
    """As cron runs it: /bin/sh, next to no environment, from another folder, into a database made anew."""
    line = CRON.search((ROOT / "README.md").read_text(encoding="utf-8"))[2]
    assert "%" not in line, "cron takes it for the end of the line"
    desk = tmp_path / "desk with spaces"
    (desk / "exports").mkdir(parents=True)
    for file in (*nasty.parent.glob("*.csv"), nasty.parent / "jobs.txt"):
        (desk / "exports" / file.name).write_bytes(file.read_bytes())
    (desk / ".venv/bin").mkdir(parents=True)
    (desk / ".venv/bin/dcbudget").symlink_to(Path(sys.executable).with_name("dcbudget"))
    environment = {"HOME": str(tmp_path), "LOGNAME": "nobody", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin",
                   "DCBUDGET_DB": str(tmp_path / "cron.duckdb")}  # fmt: skip
    typed = line.replace("/path/to/dcbudget", f"'{desk}'")
    done = subprocess.run(["/bin/sh", "-c", typed], cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = desk / "reports/2026-06"
    tables = tables_of(made / "review.ipynb")
    assert len(tables) > 8 and tables == tables_of(rendered.notebook)
    assert TABLES.findall((made / "review.html").read_text()) == TABLES.findall(rendered.html.read_text())
    assert (made / "review.xlsx").read_bytes() == rendered.spreadsheet.read_bytes()


def test_parameters_of_the_notebook_are_the_reports():
    """`-p` gives the same names to both."""
    told = papermill.inspect_notebook(str(ROOT / "notebooks/7_review.ipynb"))
    assert set(told) == set(inspect.signature(MonthlyReport).parameters)
