"""The README's commands work, and its tables are those of the database."""

import ast
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from dcbudget import adjustments, warehouse
from dcbudget.models.planning import DRIVERS
from dcbudget.sample import write_sample
from dcbudget.stages.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\.venv/bin/\S+ .*|make .*)$", TEXT, re.M)
OWN_DATA = [command for command in COMMANDS if command.startswith(".venv/bin/dcbudget")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with `exports`, where a user stands."""
    folder = tmp_path_factory.mktemp("desk")
    write_sample(folder / "exports", months=2, jobs=500)
    return folder


def test_own_data_in_ten_minutes(desk: Path) -> None:
    """The commands, in the README's order, on a folder of exports."""
    assert len(OWN_DATA) >= 6
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DCBUDGET_")}
    for command in OWN_DATA:
        if "adjust list" in command:
            proposals(desk / "data/private/budget.duckdb")
        program = shutil.which("dcbudget", path=str(ROOT / ".venv/bin")) or "dcbudget"
        typed = command.replace(".venv/bin/dcbudget", program)
        done = subprocess.run(typed, shell=True, cwd=desk, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (desk / "reports/2026-06/review.html").exists()
    assert (desk / "reports/budget_vs_actual.xlsx").exists()
    assert (desk / "reports/budget_2026.xlsx").exists()
    assert adjustments.ledger(desk / "data/private/budget.duckdb")["status"].tolist() == ["accepted", "rejected"]


def proposals(db: Path) -> None:
    """Two adjustments that somebody proposed on the day of the README's."""
    july = pd.Timestamp("2026-07-01")
    for saving in (100.0, 200.0):
        adjustments.propose(
            owner="owner of vision", date="2026-07-03", promised_saving=saving, currency="USD", first_month=july,
            last_month=july, from_project="vision", counterfactual="run rate", db=db,
        )  # fmt: skip


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^    )make ([a-z]+)", TEXT, re.M))))
def test_make_targets_exist(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_table_and_mart_is_named(sample_db: Path) -> None:
    with warehouse.connect(sample_db) as con:
        for name in [*warehouse.sql("tables"), "runs"]:
            row = re.search(rf"^\| `{name}`.*$", TEXT, re.M)
            assert row, name
            columns = [column[0] for column in con.execute(f"describe {name}").fetchall()]
            if name == "charges":
                columns = [column for column in columns if column.startswith("x_")]
            assert re.findall(r"`(\w+)`", row[0].split("|")[3]) == columns
    marts = re.search(r"^Marts, all views.*$", TEXT, re.M)[0].split(":")[1]
    assert re.findall(r"`(\w+)`", marts) == list(warehouse.sql("marts"))


def test_every_driver_of_a_plan_is_named_with_its_quantities(sample_db: Path) -> None:
    """The tables of the README are those of the model, and its example plans."""
    told = dict(
        re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT.split("| driver | quantities |")[1].split("\n## ")[0], re.M)
    )
    assert told.keys() == {*DRIVERS, "measured", "template"}
    for driver, quantities in DRIVERS.items():
        assert re.findall(r"`(\w+)`", told[driver]) == list(quantities)
    example = re.search(r"^    drivers = (\[.*?^    \])$", TEXT, re.M | re.S)[1]
    plan = Plan("2026-06", database=str(sample_db), drivers=ast.literal_eval(textwrap.dedent(example)), draws=100)
    assert {"ads", "language", "vision"} <= set(plan.base.lines["project"])


def test_named_files_exist() -> None:
    for name in re.findall(r"\]\((docs/\S+)\)|`((?:notebooks|lib|data/sample)/?[\w/.]*)`", TEXT):
        path = name[0] or name[1]
        assert (ROOT / path).exists(), path
