"""7_review as a notebook job of Jupyter Scheduler (`make scheduler` installs it, beside the environment)."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from dcbudget.stages.review import MonthlyReview
from tiny import make_world

ROOT = Path(__file__).resolve().parents[1]
# What the extension's server does with a job: it stages the notebook, and executes it in a process of its own.
PROGRAM = """
import shutil, sys
from pathlib import Path

from jupyter_scheduler.executors import DefaultExecutionManager
from jupyter_scheduler.orm import Job, create_session, create_tables

notebook, work = map(Path, sys.argv[1:3])
url = f"sqlite:///{work / 'scheduler.sqlite'}"
create_tables(url)
with create_session(url)() as session:
    job = Job(name="monthly review", runtime_environment_name="python3", input_filename=notebook.name,
              output_formats=["ipynb", "html"], parameters={"month": sys.argv[3]})
    session.add(job)
    session.commit()
    job_id = job.job_id
staged = work / job_id
staged.mkdir()
shutil.copy(notebook, staged)
paths = {"input": str(staged / notebook.name), "ipynb": str(staged / "out.ipynb"), "html": str(staged / "out.html")}
DefaultExecutionManager(job_id, str(work), url, paths).process()
with create_session(url)() as session:
    job = session.get(Job, job_id)
    print(job.status, job.status_message or "", staged, sep="|")
"""


def run(beside: Path, work: Path, month: str, db: Path) -> tuple[str, str, Path]:
    """Status, message and folder of a job; texts are given in quotes, as code."""
    environment = {**os.environ, "PYTHONPATH": str(beside), "DCBUDGET_DB": str(db), "DCBUDGET_CHARTS": "svg"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT / "notebooks/7_review.ipynb"), str(work), month],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    status, message, folder = done.stdout.splitlines()[-1].split("|")
    return status, message, Path(folder)


def test_notebook_job_tells_what_the_report_tells(jupyter_scheduler, tmp_path):
    db = make_world(tmp_path / "world")
    status, message, folder = run(jupyter_scheduler, tmp_path, '"2026-05"', db)
    assert (status, message) == ("COMPLETED", "")
    cells = nbformat.read(folder / "out.ipynb", as_version=4).cells
    pages = [output["data"].get("text/html", "") for cell in cells for output in cell.get("outputs", [])]
    review = MonthlyReview("2026-05", str(db))
    for table in (review.projects(), review.movers(), review.gpu_buckets()):
        assert table._repr_html_() in pages
    page = (folder / "out.html").read_text(encoding="utf-8")
    assert review.headline().title in page and page.count("image/svg+xml") >= 4
