"""Runs every notebook on the sample, or those that are named, and stores its results for `pytest --nbval` to compare.

Charts are stored as pictures; panels and charts are not compared, tables and headlines are, digit by digit.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

os.environ["DCBUDGET_CHARTS"] = "svg"

for path in sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb")):
    if sys.argv[1:] and path.stem not in sys.argv[1:]:
        continue
    notebook = nbformat.read(path, as_version=4)
    beside = {"metadata": {"path": path.parent}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=beside).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "panel" in cell.metadata.get("tags", []):
            cell.outputs = []
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)
    print(f"stored {path.name}", file=sys.stderr)
