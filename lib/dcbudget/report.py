"""What is sent: the monthly review as an executed notebook, one HTML page without scripts, and a spreadsheet."""

import os
import re
import shutil
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from dcbudget import opening, results, warehouse
from dcbudget.errors import DcbudgetError, ReportError
from dcbudget.export import write_tables
from dcbudget.stages.monthly import MonthlyReport
from dcbudget.stages.period import MONTH, months_with_bills, parse_month, whole_month

NAME = "review"
# Tag of cells that are for hands, not for readers.
PANEL_TAG = "panel"
# What nbconvert writes where a picture has no description.
NO_ALT = 'alt="No description has been provided for this image"'


@dataclass(frozen=True)
class Rendered:
    """A report's files, the lines of its headline, and how many measured values were recorded."""

    notebook: Path
    html: Path
    spreadsheet: Path
    headline: list[str]
    recorded: int = 0


@dataclass(frozen=True)
class Failed:
    """A month whose report could not be made, and why, in one line."""

    month: str
    reason: str


def notebooks_folder() -> Path:
    """The workbook's notebooks, beside the library."""
    return warehouse.PROJECT / "notebooks"


def render(
    month: str | None,
    db: str | Path | None,
    out: Path,
    parameters: dict[str, object] | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
    record: bool = False,
) -> Rendered:
    """Render a month's review into `out/YYYY-MM`, wholly or not at all, from one state of the database.

    Parameters
    ----------
    month : "YYYY-MM", None for the latest with charges.
    parameters : further parameters of the notebook.
    record : keep what the report measured in the database, where the next plan starts from it.

    Raises
    ------
    DcbudgetError : no database, no such month, no such parameter.
    ReportError : the notebook failed.
    """
    template, given, database = _template(db, parameters)
    month = _one_of("month", month, given.pop("month", ""))
    back = _Back(database, record, wait_seconds)
    with warehouse.snapshot(database, wait_seconds=wait_seconds) as path:
        return _render(template, month, path, out, given, back)


def render_months(
    first: str,
    last: str | None,
    db: str | Path | None,
    out: Path,
    parameters: dict[str, object] | None = None,
    wait_seconds: float = warehouse.WAIT_SECONDS,
    record: bool = False,
    on_months: Callable[[int], object] = lambda count: None,
    on_month: Callable[[Rendered | Failed], object] = lambda done: None,
) -> list[Rendered | Failed]:
    """Render the reviews of several months, from one state of the database; one that fails stops none of the others.

    Parameters
    ----------
    first, last : "YYYY-MM"; last None for the latest month that is billed to its end.
    parameters : further parameters of the notebook, the same for every month.
    record : as for one month; a month that fails records nothing.
    on_months, on_month : called with the number of months, and with every month that is done.

    Returns
    -------
    One a month, in their order: what was rendered, or why it was not.

    Raises
    ------
    DcbudgetError : no database, months that are written wrongly or go backwards, no such parameter.
    """
    template, given, database = _template(db, parameters)
    if given.pop("month", ""):
        raise DcbudgetError("month is a parameter of a single report; months are given by --from and --to")
    back = _Back(database, record, wait_seconds)
    done: list[Rendered | Failed] = []
    with warehouse.snapshot(database, wait_seconds=wait_seconds) as path:
        months = _months(first, last or _latest(path))
        on_months(len(months))
        for month in months:
            try:
                done.append(_render(template, month, path, out, given, back))
            except Exception as error:  # whatever is wrong with one month, the others are rendered
                said = (str(error).splitlines() or [""])[0]
                known = isinstance(error, DcbudgetError)
                done.append(Failed(month, said if known else f"{type(error).__name__}: {said}"))
            on_month(done[-1])
    return done


def _latest(path: Path) -> str:
    billed = months_with_bills(path)
    return f"{parse_month(whole_month(billed, path), billed):%Y-%m}"


def _months(first: str, last: str) -> list[str]:
    for text in (first, last):
        if not re.fullmatch(MONTH, text):
            raise DcbudgetError(f"a month must be written YYYY-MM, not {text!r}")
    if first > last:
        raise DcbudgetError(f"months must go from the earlier to the later one, not from {first} to {last}")
    return [f"{month:%Y-%m}" for month in pd.period_range(first, last, freq="M")]


def _template(db: str | Path | None, parameters: dict[str, object] | None) -> tuple[Path, dict[str, object], str]:
    """The notebook, its parameters less the database, and the database."""
    template = notebooks_folder() / "7_review.ipynb"
    given = dict(parameters or {})
    _check_parameters(template, given)
    return template, given, _one_of("database", db, given.pop("database", ""))


def _render(template: Path, month: str, path: Path, out: Path, given: dict[str, object], back: "_Back") -> Rendered:
    """Render a month from the copy of the database at `path`."""
    report = MonthlyReport(**given, month=month, database=str(path))
    name = f"{report.month:%Y-%m}"
    work = _work_folder(out, name)
    try:
        report.prepare()  # once for the two that follow
        with _environment(**{opening.COPY: str(path)}), ThreadPoolExecutor(1) as beside:
            # the notebook runs in a process of its own
            sheets = beside.submit(_write_sheets, report, work / f"{NAME}.xlsx")
            _execute(_without_panels(template, work), work / f"{NAME}.ipynb", {**given, "month": name}, path)
            sheets.result()
        _write_html(work / f"{NAME}.ipynb", work / f"{NAME}.html", f"Budget review {name}")
        (work / "template.ipynb").unlink()
        work.chmod(0o755)
        _swap(work, out.resolve() / name)
    finally:
        opening.release(path)
        shutil.rmtree(work, ignore_errors=True)
    made = [out / name / f"{NAME}.{suffix}" for suffix in ("ipynb", "html", "xlsx")]
    return Rendered(*made, report.headline().lines(), back.give(report, path))


@dataclass(frozen=True)
class _Back:
    """What goes from the copy that was rendered into the database itself: results that took long, and records."""

    database: str
    record: bool
    wait_seconds: float

    def give(self, report: MonthlyReport, path: Path) -> int:
        recorded = report.record(self.database, self.wait_seconds) if self.record else 0
        results.carry(path, self.database or None)
        return recorded


def _check_parameters(template: Path, given: dict[str, object]) -> None:
    """Papermill only warns of a parameter that the notebook does not have."""
    if not given:
        return
    import papermill

    known = papermill.inspect_notebook(str(template))
    if unknown := [name for name in given if name not in known]:
        raise ReportError(f"the notebook has no parameter {unknown[0]!r}; it has {', '.join(known)}")


def _one_of(name: str, option: object, parameter: object) -> str:
    """The value of a parameter that has an option of its own."""
    if option and parameter and str(option) != str(parameter):
        raise DcbudgetError(f"{name} is given twice: {option} and {parameter}")
    return str(option or parameter or "")


def _work_folder(out: Path, name: str) -> Path:
    """A new folder beside the finished reports; absolute, because papermill changes the working directory."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(prefix=f".{name}-", dir=out.resolve()))
    except OSError as error:
        raise ReportError(f"{out} cannot be written to: {error.strerror}") from None


def _write_sheets(report: MonthlyReport, file: Path) -> None:
    write_tables(file, report.headline(), report.tables(), report.month)


def _without_panels(template: Path, work: Path) -> Path:
    """The notebook less its panels, which need hands, and half of the start-up time."""
    import nbformat

    content = nbformat.read(template, as_version=4)
    content.cells = [cell for cell in content.cells if PANEL_TAG not in cell.metadata.get("tags", [])]
    path = work / "template.ipynb"
    nbformat.write(content, path)
    return path


def _execute(template: Path, output: Path, parameters: dict[str, object], db: Path) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    with _environment(DCBUDGET_DB=str(db), DCBUDGET_CHARTS="svg"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            papermill.execute_notebook(
                str(template),
                str(output),
                parameters,
                kernel_name="python3",
                progress_bar=False,
                cwd=str(notebooks_folder()),
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
            )
        except PapermillExecutionError as error:
            said = error.evalue.strip().splitlines() or [""]
            raise ReportError(f"the report's notebook failed: {error.ename}: {said[0]}") from None


def _write_html(notebook: Path, page: Path, title: str) -> None:
    """One page: the outputs and the prose, no code, no script, nothing from a network."""
    import nbformat
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor
    from traitlets.config import Config

    content = nbformat.read(notebook, as_version=4)
    content.metadata.pop("papermill", None)
    for cell in content.cells:
        cell.metadata.pop("papermill", None)
    nbformat.write(content, notebook)
    for output in (output for cell in content.cells for output in cell.get("outputs", [])):
        if svg := output.get("data", {}).get("image/svg+xml"):
            output.data = {"text/html": _image(svg, output.data["text/plain"])}
    config = Config()
    config.TagRemovePreprocessor.remove_cell_tags = {"parameters", "injected-parameters"}
    exporter = HTMLExporter(config=config, template_name="basic", exclude_input=True, exclude_input_prompt=True,
                            exclude_output_prompt=True)  # fmt: skip
    exporter.anchor_link_text = ""
    exporter.register_preprocessor(TagRemovePreprocessor(config=config), enabled=True)
    body, _ = exporter.from_notebook_node(content)
    for title_of_chart in _chart_titles(content):
        body = body.replace(NO_ALT, f'alt="{escape(title_of_chart)}"', 1)
    template = files("dcbudget").joinpath("templates/report.html").read_text(encoding="utf-8")
    page.write_text(template.format(title=escape(title), body=body), encoding="utf-8")


def _image(svg: str, text: str) -> str:
    """A chart as a picture with its title for those who cannot see it; pictures run no script and share no names."""
    data = b64encode(svg.encode("utf-8")).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'


def _chart_titles(content) -> list[str]:
    """What each chart says, in the order of the page."""
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    return ["".join(o.data["text/plain"]) for o in outputs if "image/svg+xml" in o.get("data", {})]


def _swap(work: Path, final: Path) -> None:
    """Put the finished folder in the place of an earlier one."""
    old = final.with_name(f".{final.name}-old-{os.getpid()}")
    try:
        if final.exists():
            final.rename(old)
        work.rename(final)
    except OSError as error:
        if old.exists():
            old.rename(final)
        raise ReportError(f"{final} cannot be written to: {error.strerror}") from None
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
