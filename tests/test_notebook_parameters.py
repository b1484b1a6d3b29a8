"""Notebooks run by papermill on the sample with other parameters than they are stored with, as schedulers run them."""

import json
import shutil
from pathlib import Path

import papermill
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
MAY = {"month": "2026-05"}


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
