"""The arrows of the design: who may import whom, what notebooks may hold, how SQL is written."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib/dcbudget"
MODULES = sorted(LIB.rglob("*.py"))
SQL = sorted((LIB / "sql").rglob("*.sql"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STATEMENT = re.compile(
    r"\b(select\b.+\bfrom|insert\s+into|update\b.+\bset|delete\s+from|create\s+(table|view))\b", re.I | re.S
)
MACHINE_PATH = re.compile(r"(?:/home/|/Users/|/root/|/work/|/tmp/|/mnt/|/opt/|[A-Za-z]:\\\\)")


def name_of(path: Path) -> str:
    """dcbudget.models.review, of a file."""
    return ".".join(("dcbudget", *path.relative_to(LIB).with_suffix("").parts)).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, within functions too; `from a import b` counts as a and a.b."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ("dcbudget", *path.relative_to(LIB).parts)[: -node.level or None] if node.level else ()
            module = ".".join((*package, *([node.module] if node.module else [])))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def importing(*modules: str, among=MODULES) -> set[str]:
    """The modules that import any of these or of their parts."""
    wanted = re.compile("|".join(rf"{re.escape(module)}(\.|$)" for module in modules))
    return {name_of(path) for path in among if any(wanted.match(module) for module in imports(path))}


def part(name: str) -> list[Path]:
    """The files of a package or a module of the library."""
    return [path for path in MODULES if name_of(path).startswith(f"dcbudget.{name}")]


def texts(path: Path) -> list[str]:
    """Every string of a file but its docstrings."""
    docs = {id(node.body[0].value) for node in ast.walk(tree(path))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
            and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    return [node.value for node in ast.walk(tree(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs]  # fmt: skip


def test_there_is_something_to_look_at():
    assert len(MODULES) > 20 and len(SQL) > 40 and NOTEBOOKS
    for name in ("models", "panels", "stages", "charts", "ingest"):
        assert part(name)


@pytest.mark.parametrize(
    "layer, never",
    [
        ("models", ("duckdb", "altair", "ipywidgets", "dcbudget.warehouse", "dcbudget.charts", "dcbudget.panels",
                    "dcbudget.stages", "dcbudget.tables", "dcbudget.report", "dcbudget.export", "dcbudget.ingest",
                    "dcbudget.budget", "dcbudget.adjustments", "dcbudget.spreadsheet")),
        ("charts", ("duckdb", "ipywidgets", "dcbudget.warehouse", "dcbudget.models", "dcbudget.stages",
                    "dcbudget.panels", "dcbudget.ingest", "dcbudget.budget", "dcbudget.adjustments",
                    "dcbudget.spreadsheet")),
        ("tables", ("duckdb", "dcbudget")),
        ("panels", ("duckdb", "pandas", "numpy", "dcbudget.warehouse", "dcbudget.models", "dcbudget.ingest",
                    "dcbudget.report", "dcbudget.budget", "dcbudget.results", "dcbudget.spreadsheet")),
        ("stages", ("duckdb", "ipywidgets", "dcbudget.panels", "dcbudget.ingest", "dcbudget.report",
                    "dcbudget.export", "dcbudget.spreadsheet")),
        ("budget", ("altair", "ipywidgets", "dcbudget.models", "dcbudget.adjustments", "dcbudget.stages",
                    "dcbudget.charts", "dcbudget.panels", "dcbudget.ingest", "dcbudget.report")),
        ("results", ("altair", "ipywidgets", "dcbudget.models", "dcbudget.stages", "dcbudget.charts",
                     "dcbudget.panels", "dcbudget.ingest", "dcbudget.report")),
        ("adjustments", ("altair", "ipywidgets", "dcbudget.stages", "dcbudget.charts", "dcbudget.panels",
                         "dcbudget.ingest", "dcbudget.report")),
        ("spreadsheet", ("duckdb", "pandas", "altair", "ipywidgets", "dcbudget.warehouse", "dcbudget.models",
                         "dcbudget.stages", "dcbudget.charts", "dcbudget.panels", "dcbudget.ingest",
                         "dcbudget.budget")),
        ("warehouse", ("altair", "ipywidgets", "dcbudget.models", "dcbudget.stages", "dcbudget.charts",
                       "dcbudget.panels", "dcbudget.ingest", "dcbudget.budget", "dcbudget.spreadsheet")),
        ("ingest", ("pandas", "altair", "dcbudget.models", "dcbudget.stages", "dcbudget.charts", "dcbudget.panels",
                    "dcbudget.report", "dcbudget.export", "dcbudget.budget", "dcbudget.spreadsheet")),
        ("errors", ("dcbudget",)),
    ],
)  # fmt: skip
def test_layer_imports_nothing_above_it(layer, never):
    assert importing(*never, among=part(layer)) == set()


def test_ingest_is_imported_by_the_command_only():
    outside = [path for path in MODULES if not name_of(path).startswith("dcbudget.ingest")]
    assert importing("dcbudget.ingest", among=outside) == {"dcbudget.cli", "dcbudget.progress"}


def test_sample_is_imported_by_the_command_only():
    outside = [path for path in MODULES if not name_of(path).startswith("dcbudget.sample")]
    assert importing("dcbudget.sample", among=outside) == {"dcbudget.cli"}


def test_nothing_imports_the_command():
    assert importing("dcbudget.cli") == set()


def test_warehouse_is_the_only_door_to_a_database_file():
    """Elsewhere DuckDB is only connected to memory, for looking at a Parquet file."""
    doors = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "duckdb.connect" and (node.args or node.keywords)
    }
    assert doors == {"dcbudget.opening"}
    assert importing("dcbudget.opening") == {"dcbudget.warehouse", "dcbudget.report"}


def test_nothing_speaks_to_a_network_but_news_of_alerts():
    """Those are sent where the user names an address, by the command, which imports the module where it does so."""
    speaking = importing("urllib", "http", "requests", "httpx", "socket", "aiohttp", "ftplib", "smtplib")
    assert speaking == {"dcbudget.notify"}
    assert importing("dcbudget.notify") == {"dcbudget.cli"}
    at_once = [node for node in tree(LIB / "cli.py").body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in at_once if "notify" in ast.unparse(node)]


@pytest.mark.parametrize("path", [*part("models"), *part("charts"), *part("panels"), *part("tables"), *part("report")],
                         ids=name_of)  # fmt: skip
def test_no_sql_where_none_belongs(path):
    assert [text for text in texts(path) if STATEMENT.search(text)] == []


@pytest.mark.parametrize(
    "path", [path for path in part("panels.") if path.stem not in ("controls", "__init__")], ids=name_of
)
def test_panels_do_no_arithmetic(path):
    """Numbers come from a stage; only the controls may scale what they themselves show (a share in per cent)."""
    operations = [ast.unparse(node) for node in ast.walk(tree(path))
                  if isinstance(node, ast.BinOp | ast.AugAssign) and not is_text(node)]  # fmt: skip
    calls = [ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert operations == []
    assert not [
        call for call in calls if call.split(".")[-1] in ("sum", "mean", "round", "groupby", "max", "min", "abs")
    ]


def is_text(node) -> bool:
    """Whether an operation joins texts, or is a union of types."""
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return isinstance(node.op, ast.BitOr) or any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in sides
    )


@pytest.mark.parametrize("path", [*part("models"), *part("stages"), *part("charts"), *part("tables")], ids=name_of)
def test_no_clock_and_no_chance_in_a_result(path):
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    names = {
        ast.unparse(call.func) for call in calls if call.args or not ast.unparse(call.func).endswith("default_rng")
    }
    unseeded = [call for call in calls if not call.args and ast.unparse(call.func).endswith("default_rng")]
    assert not {name for name in names if re.search(r"\b(now|today|utcnow|time\.time|random)$", name)} and not unseeded


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_machine_paths_in_the_library(path):
    assert not [text for text in texts(path) if MACHINE_PATH.search(text)]


@pytest.mark.parametrize("path", [path for path in MODULES if path.stat().st_size], ids=name_of)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(tree(path)), path.name


# Notebooks.


@cache
def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_defines_nothing(path):
    for source in code(path):
        body = ast.parse(source)
        defined = [
            node
            for node in ast.walk(body)
            if isinstance(
                node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.AsyncFunctionDef | ast.For | ast.While
            )
        ]
        assert not defined, source
        assert not STATEMENT.search(source), source
        assert not re.search(r"^\s*[%!]", source, re.M), source
        assert not re.search(r"sys\.path|pathlib|os\.path|\bopen\(", source), source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_short(path):
    assert len(cells(path)) <= 25
    for source in code(path):
        assert len(source.splitlines()) <= 10, source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_one_cell_of_parameters_and_only_plain_values_in_it(path):
    tagged = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1 and tagged[0]["cell_type"] == "code"
    for line in ast.parse("".join(tagged[0]["source"])).body:
        assert isinstance(line, ast.Assign)
        ast.literal_eval(line.value)
    first_code = next(cell for cell in cells(path) if cell["cell_type"] == "code")
    assert first_code is tagged[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_begins_with_its_title_and_what_it_decides(path):
    first = cells(path)[0]
    assert first["cell_type"] == "markdown" and "".join(first["source"]).startswith("# ")
    assert "decides" in "".join(first["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_holds_no_machine_paths_and_no_errors(path):
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))
    outputs = [output for cell in cells(path) for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] in ("error", "stream")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_panel_cells_are_tagged_and_nothing_else_is(path):
    for cell in cells(path):
        if cell["cell_type"] == "code":
            shows_panel = "dcbudget.panels" in "".join(cell["source"])
            assert shows_panel == ("panel" in cell["metadata"].get("tags", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_stages_and_panels_only(path):
    found = {
        node.module for source in code(path) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    }
    assert not [node for source in code(path) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]
    assert all(module.startswith(("dcbudget.stages", "dcbudget.panels")) for module in found)


# SQL.

KEYWORDS = {
    "select", "from", "where", "group", "by", "having", "order", "with", "as", "join", "left", "full", "on", "using",
    "union", "all", "case", "when", "then", "else", "end", "and", "or", "not", "null", "is", "in", "distinct", "over",
    "partition", "filter", "create", "replace", "table", "macro", "sum", "count", "min", "max", "avg", "coalesce",
    "round", "cast", "between", "like", "ilike", "varchar", "decimal", "date", "timestamp", "bigint", "double", "true",
    "false", "exists", "limit", "unnest", "interval",
}  # fmt: skip


def body(text: str) -> str:
    """SQL without its comments, strings and quoted names."""
    without_comments = re.sub(r"--[^\n]*", "", text)
    return re.sub(r"'(?:[^']|'')*'|\"[^\"]*\"", "''", without_comments)


def header(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("-- ") for line in lines[: next(n for n, line in enumerate(lines) if line[:3] != "-- ")]]


@pytest.mark.parametrize("path", SQL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_sql_has_lower_case_keywords_and_one_statement(path):
    text = body(path.read_text(encoding="utf-8"))
    assert not [
        word for word in re.findall(r"\b[A-Za-z_]+\b", text) if word.lower() in KEYWORDS and word != word.lower()
    ]
    assert "\t" not in text
    if path.stem != "macros":
        assert ";" not in text


@pytest.mark.parametrize("path", [path for path in SQL if path.parent.name in ("tables", "marts", "staging")
                                  and path.stem != "macros"], ids=lambda path: path.stem)  # fmt: skip
def test_relation_says_its_grain_its_key_and_its_source(path):
    lines = header(path)
    assert lines[0].startswith("grain: ")
    assert lines[1].startswith("key: ")
    if path.parent.name != "tables":
        assert lines[2].startswith("source: ")


@pytest.mark.parametrize("path", [path for path in SQL if path.parent.name == "checks"], ids=lambda path: path.stem)
def test_check_says_in_one_sentence_what_holds(path):
    lines = header(path)
    assert len(lines) == 1 and lines[0].endswith(".") and lines[0][0].isupper()


@pytest.mark.parametrize(
    "path", [path for path in SQL if path.parent.name in ("marts", "staging", "checks")], ids=lambda p: p.stem
)
def test_sql_has_no_clock_no_chance_and_no_files(path):
    text = body(path.read_text(encoding="utf-8")).lower()
    assert not re.findall(
        r"\b(?:now\s*\(|today\s*\(|current_date|current_timestamp|random\s*\(|uuid\s*\(|read_\w+\s*\()", text
    )


@pytest.mark.parametrize("path", [path for path in SQL if path.parent.name == "tables"], ids=lambda path: path.stem)
def test_table_is_named_for_its_file(path):
    assert re.search(rf"^create table (landed\.)?{path.stem}(_none)? \($", path.read_text(encoding="utf-8"), re.M)


def test_marts_stand_on_views_and_tables_that_there_are():
    """Every relation that a mart reads is a table, a staging view, another mart or one of its own steps."""
    known = {path.stem for path in SQL if path.parent.name in ("tables", "staging", "marts")}
    for path in (path for path in SQL if path.parent.name in ("marts", "checks")):
        text = body(path.read_text(encoding="utf-8"))
        steps = set(re.findall(r"(\w+) as \(", text))
        read = set(re.findall(r"\b(?:from|join)\s+(?:landed\.)?([a-z_]+)\b(?!\.|\()", text))
        assert read <= known | steps | {"imported"}, path.name
