"""Notebooks run by papermill on the sample with other parameters than they are stored with, as schedulers run them."""

import json
import shutil
from pathlib import Path

import papermill
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
MAY = {"month": "2026-05"}
# What scheduled runs name: a renamed parameter would be passed over in silence.
NAMES = {
    "1_plan": "month first_month months database currency drivers settings budget simulation save_as",
    "2_assess": "month database target_allocation demand_growth currency",
    "3_control": "month database currency share_idle idle_weights least_group drivers training_run",
    "4_optimize": "month partition database currency policy policy_now planned_by supposed planning propose",
    "5_monitor": "month database currency runs plans attempts checkpoint smoothing least_group alerts",
    "6_adjust": "month database budget rules frozen no_consent known_events programmes proposal accept",
    "7_review": "month database plan_version fiscal_year_start run_rate_months top_movers currency share_idle"
    " least_group known_events",
}


@pytest.mark.parametrize(
    ("notebook", "told", "expected"),
    [
        ("2_assess", {"target_allocation": 0.5}, ["Resources in May 2026", "50% of"]),
        ("3_control", {"share_idle": "even", "training_run": {"gpus": 32}}, ["money went in May 2026", "shared: even"]),
        ("4_optimize", {"partition": "inference", "policy": "Smallest first"}, ["inference, May 2026: Smallest first"]),
        ("5_monitor", {"smoothing": 0.3}, ["Training runs in May 2026", "smoothed by 0.3"]),
    ],
)
def test_other_parameters_show(notebook, told, expected, sample_db, tmp_path, monkeypatch):
    monkeypatch.setenv("DCBUDGET_CHARTS", "svg")
    database = shutil.copy(sample_db, tmp_path / "sample.duckdb")
    papermill.execute_notebook(
        NOTEBOOKS / f"{notebook}.ipynb", tmp_path / "out.ipynb", {**MAY, **told, "database": str(database)},
        progress_bar=False,
    )  # fmt: skip
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    shown = json.dumps([cell["outputs"] for cell in cells if cell["cell_type"] == "code"])
    assert [text for text in expected if text not in shown] == []


@pytest.mark.parametrize("notebook", NAMES)
def test_parameters_keep_their_names(notebook):
    found = papermill.inspect_notebook(NOTEBOOKS / f"{notebook}.ipynb")
    assert " ".join(found) == NAMES[notebook]


def test_every_notebook_is_named():
    assert NAMES.keys() == {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
