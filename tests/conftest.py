"""Where tests find real inputs, a loaded sample, a browser and PyTorch, and how they get new databases quickly."""

import os
import shutil
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from dcbudget import encryption, warehouse

ROOT = Path(__file__).resolve().parents[1]


def missing(what: str) -> None:
    """Skip a test whose part is missing, or fail it where every test must run."""
    if os.environ.get("DCBUDGET_REQUIRE_ALL"):
        pytest.fail(what)
    pytest.skip(what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browsers first: they take long and wait much, and what is short fills the gaps at the end."""
    items.sort(key=lambda item: "browser" not in item.path.parts)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real inputs; tests skip where it is absent."""
    folder = Path(os.environ.get("DCBUDGET_REAL_DATA", ROOT.parent / "shared" / "real"))
    if not folder.is_dir():
        missing(f"no real inputs at {folder.name}; set DCBUDGET_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_databases(tmp_path_factory) -> None:
    """A new database of this process is a copy of its first one, which takes a hundredth of making all views.

    The copy is looked at as any database is: where tables or views are others by now, they are made.
    """
    made = warehouse.connect
    first = tmp_path_factory.mktemp("first") / "budget.duckdb"

    def connect(db=None, *, write=False, **options):
        path = warehouse.database_path(db)
        if write and path.parent.is_dir() and not path.exists() and encryption.key() is None:
            if not first.exists():
                with made(first, write=True):
                    pass
            copy = path.with_name(f".{path.name}-{os.getpid()}")
            with suppress(OSError):
                shutil.copyfile(first, copy)
                os.link(copy, path)
            copy.unlink(missing_ok=True)
        return made(db, write=write, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(warehouse, "connect", connect)
        yield


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database that does not exist yet."""
    return tmp_path / "budget.duckdb"


@pytest.fixture(scope="session")
def sample_db() -> Path:
    """The loaded sample, as `make test` makes it."""
    path = Path(os.environ.get("DCBUDGET_DB", ROOT / "data/private/sample.duckdb"))
    if not path.exists():
        missing("no loaded sample; make test makes it (make data/private/sample.duckdb)")
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome")
    mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    path = next((found for name in names if (found := shutil.which(name))), mac if Path(mac).exists() else None)
    if path is None:
        missing("no Chromium; make browser installs it")
    return path


@pytest.fixture(scope="session")
def torch() -> None:
    """PyTorch and what else `dcbudget measure` needs; it is imported by processes of their own."""
    if not find_spec("torch") or not find_spec("sklearn"):
        missing("no PyTorch; make torch installs it")


@pytest.fixture(scope="session")
def jupyter_scheduler() -> Path:
    """The folder of Jupyter Scheduler and what it needs, for the path of a process of its own."""
    folder = ROOT / ".venv/scheduler"
    if not (folder / "jupyter_scheduler").is_dir():
        missing("no Jupyter Scheduler; make scheduler installs it")
    return folder
