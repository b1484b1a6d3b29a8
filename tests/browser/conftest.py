"""One JupyterLab for all the notebooks, on a copy of the loaded sample."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcbudget.report import notebooks_folder

pytest.register_assert_rewrite("lab")


@pytest.fixture(scope="session")
def own_db(sample_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sample that a test may take away."""
    return Path(shutil.copy(sample_db, tmp_path_factory.mktemp("database") / "budget.duckdb"))


@pytest.fixture(scope="session")
def server(chromium: str, own_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A running JupyterLab; needs `chromium` only so as not to start for nothing."""
    from lab import Server

    with Server(tmp_path_factory.mktemp("jupyterlab"), notebooks_folder(), own_db) as running:
        yield running
