"""What a project's viewers get: their own rows to the last digit, and nothing of anybody else's."""

import shutil
from decimal import Decimal

import duckdb
import pytest
from typer.testing import CliRunner

from dcbudget import cli, viewer, warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.ingest.load import load
from tiny import BUDGET, CHARGES, JOBS, budget, charge, make, rows, write

# Texts that must not be found; each stands in the database, some of them on alpha's own rows.
OTHERS = ("beta", "gamma", "delta's (own)", "项目", "ml-", "-ml", "Idle", "u-secret", "h-secret", "secret-tag",
          "bill.csv", "lost row", "ri-1", "west", "egress-extra", "ann")  # fmt: skip
OWN = ("alpha", "egress", "east", "left of it")
MORE = [
    charge("disk of Beta-2 and beta", "31.5", "31", tags='{"project":"alpha","team":"secret-tag"}',
           SubAccountName="BETA lab", x_note="egress-extra"),
    charge("ml-node, html left of it, ml ml-ml", "1.000000000000000000000001", tags='{"project":"alpha"}',
           ResourceName="项目/delta's (own)"),
    charge("ml's", "55.55", tags='{"project":"ml"}'),
    charge("other", "66.66", tags='{"project":"项目"}'),
    charge("one more", "77.77", tags='''{"project":"delta's (own)"}'''),
    charge("lost row", "88.88", tags='{"project":"alpha"}', BilledCost="?"),
]  # fmt: skip
PLAN = [*BUDGET, budget("2026-05", "alpha", "Network", "10") | {"driver": "as beta has"}]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two clusters, five projects, and the names of the others wherever a text may hold them."""
    folder = tmp_path_factory.mktemp("world")
    db = make(folder, charges=CHARGES, jobs=JOBS, plan=PLAN)
    more = load([write(folder / "more.csv", [row | {"BillingAccountId": "acct-2"} for row in MORE])], db)
    assert [(result.status, result.rows_rejected) for result in more] == [("loaded", 1)]
    with warehouse.connect(db, write=True) as con:
        con.execute(
            "update jobs set job_name = 'beta-again', user_id = 'u-secret', host = 'h-secret', qos = 'for gamma'"
            " where job_id = '1'"
        )
        con.execute("insert into run_metrics (run_id, job_id, project, step, metric, value) values"
                    " ('beta-into-alpha', '1', null, 1, 'loss', 2.5), ('own', '1', 'alpha', 1, 'loss', 1.5),"
                    " ('of beta', '2', 'beta', 1, 'loss', 9.5), ('of nobody', '3', null, 1, 'loss', 8.5)")  # fmt: skip
        con.execute("insert into adjustments (adjustment_id, date, owner, from_project, to_project, amount, currency,"
                    " promised_saving) values ('a1', '2026-05-01', 'ann', 'alpha', 'beta', 5, 'USD', 5),"
                    " ('a2', '2026-05-01', 'ann', null, 'alpha', 4, 'USD', 1)")  # fmt: skip
    assert set(warehouse.check(db).set_index("check")["offending_rows"]) == {0}
    return db


@pytest.fixture(scope="module")
def mine(world, tmp_path_factory):
    """What viewers of alpha get."""
    file = tmp_path_factory.mktemp("mine") / "alpha.duckdb"
    viewer.export_projects(["alpha"], file, world)
    return file


def relations(db) -> list[str]:
    return [row[0] for row in rows(db, "select table_name from information_schema.tables where table_schema = 'main'")]


def values(db) -> set:
    """Every value of every table and view."""
    with warehouse.connect(db) as con:
        names = con.execute("select table_schema || '.' || table_name from information_schema.tables").fetchall()
        return {value for (name,) in names for row in con.execute(f"from {name}").fetchall() for value in row}


def test_nothing_of_others_is_in_the_file(world, mine):
    """Neither in its bytes nor in what its tables show; the same search finds all of it in the database."""
    texts = " ".join(str(value) for value in values(mine))
    content = mine.read_bytes()
    assert [text for text in OTHERS if text.lower() in texts.lower()] == []
    assert [text for text in OTHERS if text.encode().lower() in content.lower()] == []
    assert all(text in texts and text.encode() in content for text in OWN)
    everything = " ".join(str(value) for value in values(world))
    assert [text for text in OTHERS if text not in everything] == []


def test_amounts_of_others_are_in_no_table(world, mine):
    """Nor those of pools and of idle capacity."""
    amounts = {value for value in values(mine) if isinstance(value, Decimal) and value}
    shown = rows(world, "select effective_cost, billed_cost from showback_monthly where project <> 'alpha'")
    spent = rows(world, "select EffectiveCost, BilledCost from charges where x_project is distinct from 'alpha'")
    others = {value for row in shown + spent for value in row if value} - {
        value for row in rows(world, "select effective_cost, billed_cost from showback_monthly where project = 'alpha'")
        for value in row
    }  # fmt: skip
    assert len(others) > 15
    assert amounts & others == set()


def test_own_sums_tie_to_the_source(world, mine):
    own = "select sum(EffectiveCost), sum(BilledCost), count(*) from charges where x_project = 'alpha'"
    assert rows(mine, "select sum(EffectiveCost), sum(BilledCost), count(*) from charges") == rows(world, own)
    assert rows(mine, "select sum(effective_cost), sum(billed_cost) from cost_monthly") == [rows(world, own)[0][:2]]
    for mart in ("showback_monthly", "budget_vs_actual", "unit_cost_monthly", "cost_daily", "cost_monthly",
                 "job_states_monthly", "gpu_ledger_monthly", "job_days"):  # fmt: skip
        mine_of, theirs = (
            f"select * from {mart} order by all",
            f"select * from {mart} where project = 'alpha' order by all",
        )
        assert rows(mine, mine_of) == rows(world, theirs), mart
        assert rows(mine, mine_of), mart
    hours = "select sum(gpu_hours) from job_days where project = 'alpha'"
    assert rows(mine, "select sum(allocated_gpu_hours) from gpu_hours_monthly") == rows(world, hours) == [(10.0,)]


def test_names_of_others_are_cut_out_of_own_texts(mine):
    found = rows(
        mine, "select ResourceId, SubAccountName, ResourceName from charges where EffectiveCost <> 7.25 order by 1"
    )
    assert found == [("disk of …-2 and …", "… lab", None), ("…-node, html left of it, … …-…", None, "…/…")]
    assert rows(mine, "select job_id, job_name, qos from jobs order by 1")[0] == ("1", "…-again", "for …")
    assert rows(mine, "select run_id, final_loss, gpu_hours from runs order by 1") == [
        ("own", 1.5, 10.0), ("…-into-alpha", 2.5, 10.0)]  # fmt: skip
    assert rows(mine, "select adjustment_id, to_project, amount from adjustments") == [("a2", "alpha", 4)]
    assert rows(mine, "select driver from budget_lines") == [("as … has",)]


def test_tables_are_those_that_are_named(mine):
    """A table or column that the workbook gains is not in an export before somebody says so."""
    assert sorted(relations(mine)) == sorted([*viewer.TABLES, *viewer.VIEWS])
    for table, gone in (("charges", {"tags", "x_extra", "x_load_id"}), ("jobs", {"user_id", "x_load_id"}),
                        ("adjustments", {"owner", "consent"})):  # fmt: skip
        columns = {row[0].lower() for row in rows(mine, f"select column_name from (describe {table})")}
        assert columns and not columns & gone


def test_several_projects_see_what_each_sees_and_their_transfers(world, tmp_path):
    file = tmp_path / "both.duckdb"
    viewer.export_projects(["beta", "alpha", "beta"], file, world)
    assert rows(file, "select distinct project from showback_monthly order by 1") == [("alpha",), ("beta",)]
    assert rows(file, "select count(*) from adjustments") == [(2,)]
    assert rows(file, "select count(*) from run_metrics") == [(3,)]
    assert rows(file, "select job_name from jobs where job_id = '1'") == [("beta-again",)]
    assert not any("gamma" in str(value) or "delta" in str(value) for value in values(file))


def test_job_number_that_another_project_has_too(world, tmp_path):
    """A run that names only a number could be either's, so it is nobody's."""
    db = shutil.copy(world, tmp_path / "scratch.duckdb")
    with warehouse.connect(db, write=True) as con:
        con.execute("insert into jobs by name select * replace ('west' as cluster, 'beta' as project) from jobs"
                    " where job_id = '1'")  # fmt: skip
    viewer.export_projects(["alpha"], tmp_path / "alpha.duckdb", db)
    assert rows(tmp_path / "alpha.duckdb", "select run_id, gpu_hours from runs") == [("own", 10.0)]


def test_command_writes_reads_and_refuses(world, tmp_path):
    runner = CliRunner()
    file, folder = tmp_path / "alpha.duckdb", tmp_path / "alpha"
    for _ in range(2):  # an export may be renewed
        done = runner.invoke(cli.app, ["export", "--project", "alpha", str(file), "--db", str(world)])
        assert done.exit_code == 0 and f"of alpha in {file}" in done.output, done.output
    asked = runner.invoke(cli.app, ["query", "select sum(EffectiveCost) as c from charges", "--csv", "--db", str(file)])
    assert asked.output == "c\n39.750000000000000000000001\n"
    done = runner.invoke(cli.app, ["export", "charges", str(tmp_path / "again.csv"), "--db", str(file)])
    assert done.exit_code == 0 and "3 rows" in done.output
    done = runner.invoke(
        cli.app, ["export", "charges", str(tmp_path / "c.csv"), "--project", "alpha", "--db", str(world)]
    )
    assert done.exit_code == 0 and (tmp_path / "c.csv").read_text() == (tmp_path / "again.csv").read_text()
    runner.invoke(cli.app, ["export", "--project", "alpha", str(folder), "--db", str(world)])
    with duckdb.connect() as con:
        assert con.execute(f"select sum(EffectiveCost) from '{folder}/charges.parquet'").fetchone() == rows(
            file, "select sum(EffectiveCost) from charges")[0]  # fmt: skip
    assert {path.stem for path in folder.iterdir()} == set(relations(file))
    content = b"".join(path.read_bytes() for path in folder.iterdir()).lower()
    assert [text for text in OTHERS if text.encode().lower() in content] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--project", "omega", "x.duckdb"], "no project 'omega'; there are alpha, beta"),
        (["--project", "Idle capacity", "x.duckdb"], "no project 'Idle capacity'"),
        (["--project", "alpha", "x.csv"], "is a .duckdb file or a folder"),
        (["--project", "alpha", "loads", "x.csv"], "no table 'loads'"),
        (["x.csv"], "export takes a table and a file"),
        (["a", "b", "x.csv"], "export takes a table and a file"),
    ],
)
def test_what_cannot_be_exported(world, tmp_path, arguments, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["export", *arguments, "--db", str(world)])
    assert said in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_no_database_is_written_over(world, mine, tmp_path):
    """Neither the workbook's by an export, nor an export by a load."""
    scratch = shutil.copy(world, tmp_path / "scratch.duckdb")
    before = scratch.read_bytes()
    for target in (scratch, write(tmp_path / "bill.duckdb", [charge("x", "1")])):
        with pytest.raises(DcbudgetError, match="is there already and is no viewers' export"):
            viewer.export_projects(["alpha"], target, world)
    assert scratch.read_bytes() == before
    with pytest.raises(DcbudgetError, match="is an export for viewers of alpha; it is only read"):
        load([write(tmp_path / "bill.csv", [charge("x", "1")])], mine)


def test_export_that_breaks_leaves_nothing(world, tmp_path, monkeypatch):
    monkeypatch.setitem(viewer.TABLES, "unit_cost_monthly", ("", "nothing = 1"))
    with pytest.raises(duckdb.Error):
        viewer.export_projects(["alpha"], tmp_path / "made/alpha.duckdb", world)
    assert list((tmp_path / "made").iterdir()) == []
