"""Measures speed as ratios: each against a bare run on the same machine, in the same minutes, with warm files.

Every measurement is a process of its own, so that its peak memory is its own; baseline and workbook take turns, and
medians are compared. A missed target is printed, not an error, because the machine may be busy with something else.
"""

import argparse
import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FILES = Path(__file__).with_name("files.py")
MIB = 1024 * 1024
JOB_ROWS = 1_000_000
BILL_ROWS = 1_000_000
# Bytes of disk for each charge: the files, and two databases at once.
DISK_BYTES_A_ROW = 1600

# Both print the seconds without the start of the interpreter and the imports.
BARE = """
import duckdb, sys, time
begun = time.perf_counter()
con = duckdb.connect(sys.argv[1])
con.execute(sys.argv[2])
con.close()
print(time.perf_counter() - begun)"""
LOAD = """
import sys, time
from dcbudget.ingest.load import load
begun = time.perf_counter()
found = {result.status for result in load([sys.argv[1]], sys.argv[2])}
print(time.perf_counter() - begun)
if not found or not found <= set(sys.argv[3].split()):
    sys.exit(f"files are {found}, not {sys.argv[3]}")"""
TYPES = """
import duckdb, json
from dcbudget import warehouse
con = duckdb.connect()
con.execute("create schema landed")
con.execute(warehouse.sql("tables")["charges"])
print(json.dumps(dict(row[:2] for row in con.execute("describe landed.charges_none").fetchall())))"""
MARTS = """
import json, sys, time
from statistics import median
from dcbudget import warehouse
db, repeat = sys.argv[1], int(sys.argv[2])
def seconds(run):
    times = []
    for _ in range(repeat + 1):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return median(times[1:])
plain = "select BillingPeriodStart, ProviderName, sum(EffectiveCost), count(*) from charges group by all"
out = {"": seconds(lambda: warehouse.query(plain, db))}
out |= {f"mart {name}": seconds(lambda name=name: warehouse.mart(name, db)) for name in warehouse.sql("marts")}
print(json.dumps(out | {"check": seconds(lambda: warehouse.check(db))}))"""
EMPTY_NOTEBOOK = {
    "cells": [],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class BenchError(Exception):
    """A measured command failed."""


@dataclass(frozen=True)
class Run:
    """One process: seconds of the clock and of the processors, peak memory, and what it printed."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str = ""

    def inside(self) -> "Run":
        """The seconds that the process itself printed, in the place of those of the whole command."""
        # the last line: DuckDB draws its progress before it
        return Run(float(self.output.split()[-1]), float("nan"), self.peak_mib)


@dataclass
class Bench:
    """What all measurements share: a folder, sizes, and the loads that are the first ones of section 3."""

    folder: Path
    rows: int
    repeat: int
    first_loads: dict[str, Run] = field(default_factory=dict)

    def file(self, kind: str, rows: int) -> Path:
        """A generated file, alone in its folder."""
        path = self.folder / f"{kind}-{rows}" / f"{kind}.{'parquet' if 'parquet' in kind else 'txt'}"
        if not path.exists():
            note(f"writing {rows:,} rows of {kind}")
            part = path.with_suffix(".part")
            process([sys.executable, FILES, kind, part, rows])
            part.rename(path)
        return path

    def database(self, name: str, fresh: bool = True) -> Path:
        path = self.folder / f"{name}.duckdb"
        if fresh:
            for stale in (path, Path(f"{path}.wal")):
                stale.unlink(missing_ok=True)
        return path

    def load(self, path: Path, name: str, fresh: bool = True) -> Run:
        """`dcbudget load`, the whole command."""
        warm(path)
        return process([BIN / "dcbudget", "load", path, "--db", self.database(name, fresh)])

    def load_inside(self, path: Path, name: str, fresh: bool = True) -> Run:
        warm(path)
        expected = "loaded replaced" if fresh else "unchanged"
        return process([sys.executable, "-c", LOAD, path, self.database(name, fresh), expected]).inside()

    def bare(self, path: Path, statement: str, db: Path | str = "") -> Run:
        """One statement of DuckDB alone, into a fresh database file where it is to stay."""
        warm(path)
        return process([sys.executable, "-c", BARE, db or self.database("bare"), statement])

    def sample_folder(self) -> Path:
        """A copy of the generated sample, or one written here, so that nobody changes it meanwhile."""
        path, made = self.folder / "sample", ROOT / "data/sample"
        if not (path / "truth.json").exists():
            if (made / "truth.json").exists():
                shutil.copytree(made, path, dirs_exist_ok=True)
            else:
                note("writing the sample")
                process([BIN / "dcbudget", "sample", "--out", path])
        return path

    def sample_database(self) -> Path:
        """A copy of the loaded sample, so that nobody who works with it waits."""
        path = self.database("sample-copy", fresh=False)
        if not path.exists():
            made = ROOT / "data/private/sample.duckdb"
            if made.exists():
                shutil.copy(made, path)
            else:
                note("loading the sample")
                process([BIN / "dcbudget", "load", self.sample_folder(), "--db", path])
        return path

    def measure(
        self, what: str, baseline: Callable[[], Run], ours: Callable[[], Run], target: float | None, unit: str = "x"
    ) -> list[Run]:
        """Run both in turns, print the ratio of their medians, and return our runs."""
        pairs = [(baseline(), ours()) for _ in range(self.repeat)]
        report(what, [a for a, _ in pairs], [b for _, b in pairs], target, unit)
        return [b for _, b in pairs]


def process(command: list[object]) -> Run:
    """Run a command to its end; the operating system says what it took, its children included.

    Raises
    ------
    BenchError : it failed.
    """
    os.sync()  # what an earlier run left to be written
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, err):
            stream.seek(0)
        if child.returncode:
            shown = " ".join(str(part)[:60].replace("\n", " ") for part in command[:3])
            raise BenchError(f"{shown} ended with {child.returncode}: {err.read().decode(errors='replace')[-1500:]}")
        peak = usage.ru_maxrss / (MIB if sys.platform == "darwin" else 1024)
        return Run(seconds, usage.ru_utime + usage.ru_stime, peak, out.read().decode(errors="replace"))


def warm(path: Path) -> None:
    """Read files once, so that both sides find them in memory."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                while stream.read(MIB):
                    pass


def note(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def median_run(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]


def report(what: str, baseline: list[Run], ours: list[Run], target: float | None, unit: str = "x") -> None:
    """Print one row: medians of the clock, their ratio, the ratios' spread, the ratio of processor time."""

    def ratio(value: float) -> str:
        return "-" if value != value else f"{100 * value:.1f} %" if unit == "%" else f"{value:.2f} x"

    base, own = (statistics.median(run.seconds for run in runs) for runs in (baseline, ours))
    cpu = statistics.median(r.cpu_seconds for r in ours) / statistics.median(r.cpu_seconds for r in baseline)
    singles = [b.seconds / a.seconds for a, b in zip(baseline, ours, strict=False)]
    spread = f"{ratio(min(singles)).split()[0]}-{ratio(max(singles)).split()[0]}" if len(singles) > 1 else ""
    verdict = "" if target is None else "pass" if own / base <= target else "miss"
    shown = "" if target is None else f"<= {100 * target:g} %" if unit == "%" else f"<= {target:g} x"
    peak = max(run.peak_mib for run in ours)
    print(f"{what:<49}{base:>9.3f}{own:>9.3f}{ratio(own / base):>10}{spread:>13}{ratio(cpu):>10}{peak:>8.0f}"
          f"{shown:>11}  {verdict}", flush=True)  # fmt: skip


def heading(title: str) -> None:
    columns = f"{'bare s':>9}{'ours s':>9}{'ratio':>10}{'from-to':>13}{'CPU':>10}{'MiB':>8}{'target':>11}"
    print(f"\n{title}\n{'':<49}{columns}")


def expect_loaded(db: Path, rows: int) -> None:
    """A load that rejects rows is not the load that is measured."""
    asked = "select sum(rows_loaded + rows_skipped), sum(rows_rejected) from loads"
    found = process([BIN / "dcbudget", "query", asked, "--csv", "--db", db]).output.splitlines()[1]
    if found != f"{rows},0":
        raise BenchError(f"loaded,rejected are {found} where {rows},0 are expected")


def load_charges(bench: Bench) -> None:
    """A large bill against `create table as` with the same types, written and closed."""
    heading(f"1. load {bench.rows:,} charges, whole command, against a bare create table as with the same types")
    types = json.loads(process([sys.executable, "-c", TYPES]).output)
    csv = bench.file("csv", bench.rows)
    with csv.open(encoding="utf-8") as stream:
        names = stream.readline().strip().split(",")
    typed = ", ".join(f"'{name}': '{types.get(name, 'VARCHAR')}'" for name in names)
    dialect = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"'"
    statements = {"csv": f"create table charges as select * from read_csv('{csv}', columns = {{{typed}}}, {dialect})"}
    for kind in ("parquet", "parquet-maps"):
        texts = "to_json({0})::varchar" if kind == "parquet-maps" else "{0}"
        cast = ", ".join(
            f"{texts.format(name)} as {name}" if name in ("Tags", "SkuPriceDetails")
            else f"{name}::{types.get(name, 'VARCHAR')} as {name}" for name in names
        )  # fmt: skip
        source = bench.file(kind, bench.rows)
        statements[kind] = f"create table charges as select {cast} from read_parquet('{source}')"
    labels = {"csv": "CSV", "parquet": "Parquet, decimals", "parquet-maps": "Parquet, doubles and maps"}
    for kind, statement in statements.items():
        path = bench.file(kind, bench.rows)
        what = f"{labels[kind]} ({path.stat().st_size / 1e9:.2f} GB)"
        runs = bench.measure(what, partial(bench.bare, path, statement), partial(bench.load, path, kind), 1.25)
        bench.first_loads[kind] = median_run(runs)
        peak = max(run.peak_mib for run in runs)
        print(f"{'  peak memory':<49}{peak:>18.0f} MiB {'<= 4096 MiB':>48}  {'pass' if peak < 4096 else 'miss'}")
        expect_loaded(bench.database(kind, fresh=False), bench.rows)
    for name in ("bare", "parquet", "parquet-maps"):
        bench.database(name)


def monthly_report(bench: Bench) -> None:
    """The report of the sample's last month against papermill and nbconvert of nothing."""
    heading("2. dcbudget report of the sample, against papermill + nbconvert --to html of an empty notebook")
    empty, done = bench.folder / "empty.ipynb", bench.folder / "out.ipynb"
    empty.write_text(json.dumps(EMPTY_NOTEBOOK), encoding="utf-8")
    db = bench.sample_database()

    def bare() -> Run:
        executed = process([BIN / "papermill", empty, done])
        page = process([BIN / "jupyter", "nbconvert", "--to", "html", done])
        cpu = executed.cpu_seconds + page.cpu_seconds
        return Run(executed.seconds + page.seconds, cpu, max(executed.peak_mib, page.peak_mib))

    def ours() -> Run:
        return process([BIN / "dcbudget", "report", "--db", db, "--out", bench.folder / "reports"])

    bench.measure("report", bare, ours, 3)


def load_again(bench: Bench) -> None:
    """Files that are loaded already against their first load."""
    heading("3. load again what is unchanged, against its first load (bare = first load)")
    csv = bench.file("csv", bench.rows)
    first = bench.first_loads.get("csv") or bench.load(csv.parent, "csv")
    again = [bench.load(csv.parent, "csv", fresh=False) for _ in range(bench.repeat)]
    report(f"{bench.rows:,} charges, whole command", [first], again, 0.05, "%")
    inside = [bench.load_inside(csv.parent, "csv", fresh=False) for _ in range(bench.repeat)]
    report("  in the process, against the whole first load", [first], inside, 0.05, "%")
    touched = []
    for _ in range(bench.repeat):
        os.utime(csv)
        touched.append(bench.load(csv.parent, "csv", fresh=False))
    report("  with a new date, so that its bytes decide", [first], touched, None, "%")
    bench.database("csv")
    sample = bench.sample_folder()
    for what, load in (("sample folder, whole command", bench.load), ("  in the process", bench.load_inside)):
        bench.measure(what, partial(load, sample, "sample"), partial(load, sample, "sample", fresh=False), 0.05, "%")
    start = [process([BIN / "dcbudget", "--help"]) for _ in range(bench.repeat)]
    bare = [process([sys.executable, "-c", "import duckdb"]) for _ in range(bench.repeat)]
    report("start: dcbudget --help against import duckdb", bare, start, None)


def load_jobs(bench: Bench) -> None:
    """A million jobs against a scan that reads every field and keeps nothing, and against a table of its text."""
    heading(f"4. load {JOB_ROWS:,} job rows, against a bare scan of the same file (count, hash of every field)")
    options = {
        "sacct": "delim = '|', quote = '', escape = '', header = true, all_varchar = true",
        "swf": "delim = '\x1f', quote = '', escape = '', header = false, columns = {'line': 'VARCHAR'}",
        "gpu-trace": "header = true, columns = {'timestamp': 'TIMESTAMP', 'duration': 'DOUBLE', 'num_gpus': 'BIGINT',"
        " 'gpu_time': 'DOUBLE', 'cluster': 'VARCHAR'}",
    }
    for kind, option in options.items():
        path = bench.file(kind, JOB_ROWS)
        reading = f"from read_csv('{path}', {option})"
        scan, keep = f"select count(*), max(hash(*columns(*))) {reading}", f"create table jobs as select * {reading}"
        runs: dict[str, list[Run]] = {"scan": [], "load": [], "table": [], "inside": []}
        for _ in range(bench.repeat):
            runs["scan"].append(bench.bare(path, scan, db=":memory:"))
            runs["load"].append(bench.load(path, kind))
            runs["table"].append(bench.bare(path, keep))
            runs["inside"].append(bench.load_inside(path, f"{kind}-inside"))
        expect_loaded(bench.database(kind, fresh=False), JOB_ROWS)
        report(f"{kind} ({path.stat().st_size / MIB:.0f} MiB), whole command", runs["scan"], runs["load"], 2)
        report("  in the process", [run.inside() for run in runs["scan"]], runs["inside"], None)
        report("  against a bare create table as, nothing typed", runs["table"], runs["load"], None)
        for name in (kind, f"{kind}-inside", "bare"):
            bench.database(name)


# What of a cloud's own bill is an amount or a time, as the bare scan types it; the rest is text there.
AMOUNTS = {
    "aws_cur": ("lineItem/UnblendedCost", "lineItem/UsageAmount", "pricing/publicOnDemandCost",
                "reservation/EffectiveCost", "reservation/UnusedRecurringFee",
                "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod", "savingsPlan/SavingsPlanEffectiveCost",
                "savingsPlan/TotalCommitmentToDate", "savingsPlan/UsedCommitment"),
    "azure": ("Cost", "Quantity", "UnitPrice", "EffectivePrice", "PayGPrice"),
    "gcp_billing": ("cost", "cost_at_list", "usage.amount", "usage.amount_in_pricing_units", "price.effective_price"),
    "oci_cost": ("cost/myCost", "cost/unitPrice", "usage/billedQuantity"),
}  # fmt: skip


def load_bills(bench: Bench) -> None:
    """The clouds' own bills, which become FOCUS columns, against a create table as with typed amounts."""
    heading(f"5. load {BILL_ROWS:,} rows of the clouds' own bills, against a bare create table as with typed amounts")
    for kind, amounts in AMOUNTS.items():
        path = bench.file(kind, BILL_ROWS)
        with path.open(encoding="utf-8", newline="") as stream:
            names = next(csv.reader(stream))
        typed = ", ".join(f"'{name}': '{'DECIMAL(38, 18)' if name in amounts else 'VARCHAR'}'" for name in names)
        dialect = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"'"
        statement = f"create table bill as select * from read_csv('{path}', columns = {{{typed}}}, {dialect})"
        what = f"{kind} ({path.stat().st_size / MIB:.0f} MiB)"
        bench.measure(what, partial(bench.bare, path, statement), partial(bench.load, path, kind), 2)
        expect_loaded(bench.database(kind, fresh=False), BILL_ROWS)
        for name in (kind, "bare"):
            bench.database(name)


def marts(bench: Bench) -> None:
    """Every mart of the sample as a DataFrame, against one plain sum over its charges."""
    heading("6. marts of the sample, in the process, against one plain group-by over its charges")
    run = process([sys.executable, "-c", MARTS, bench.sample_database(), bench.repeat])
    times = json.loads(run.output)
    plain = Run(times.pop(""), float("nan"), 0)
    for name, seconds in sorted(times.items(), key=lambda item: -item[1]):
        report(name, [plain], [Run(seconds, float("nan"), run.peak_mib)], None)


SECTIONS = {
    "load": load_charges,
    "report": monthly_report,
    "again": load_again,
    "jobs": load_jobs,
    "bills": load_bills,
    "marts": marts,
}


def print_facts() -> None:
    """What the ratios were measured on: no names, no places."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"
    names = ("dcbudget", "duckdb", "pandas", "papermill", "nbconvert")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"{machine}, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {packages}")
    print("Seconds of the clock, medians; from-to: ratios of single pairs; CPU: ratio of processor time; MiB: peak.")


def main() -> None:
    """Measure what is asked for; exit 1 only where something fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help="some of %(default)s")
    parser.add_argument("--rows", type=int, default=5_000_000, help="charges (default %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each side (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work here, use its files again, leave them")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := [name for name in wanted if name not in SECTIONS]:
        parser.error(f"--only knows {', '.join(SECTIONS)}, not {unknown[0]!r}")
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="dcbudget-bench-"))
    try:
        needed = given.rows * DISK_BYTES_A_ROW if {"load", "again"} & set(wanted) else 0
        if shutil.disk_usage(folder).free < needed:
            raise BenchError(f"{needed / 1e9:.0f} GB of disk are needed for temporary files (set TMPDIR or --rows)")
        print_facts()
        process([BIN / "dcbudget", "formats"])  # the first start compiles and reads from disk
        bench = Bench(folder.resolve(), given.rows, max(given.repeat, 1))
        for name in SECTIONS:
            if name in wanted:
                SECTIONS[name](bench)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
