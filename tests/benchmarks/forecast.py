"""Measures how right forecasts are, and what they cost: on M4's hourly series, and on the sample.

Errors are ratios to those of Naive, seasonal naive and run rate on the same series; times are ratios to what reading
the same days takes. CPU time is told, so that other work on the machine counts little. A missed target is printed, not
an error.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.models.forecast import methods, metrics
from dcbudget.models.forecast.spend import FORECAST, NAIVE, RUN_RATE_METHOD, SEASONAL_NAIVE
from dcbudget.stages.days_ahead import DaysAhead
from dcbudget.stages.forecast import Forecasts

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("DCBUDGET_REAL_DATA", ROOT.parent / "shared" / "real")) / "forecast"
EVERY = 10
HOURS, PERIODS, LINE = 48, (24, 168), 336
COLD_SECONDS = 20
# What a notebook that shows the year's end would do, in a process of its own: cold, then cached.
LANDING = """
import sys, time
begun = time.process_time()
from dcbudget.stages.forecast import Forecasts
stage = Forecasts(database=sys.argv[1])
stage.landings, stage.scorecard()
print(time.process_time() - begun)
"""


def row(what: str, value: float, target: float, text: str = "{:.3f}") -> None:
    print(f"{what:<60}{text.format(value):>9}  <= {target:g}  {'pass' if value <= target else 'miss'}", flush=True)


def m4() -> None:
    """Every tenth of M4's 414 hourly series: sMAPE and MASE over those of the seasonal naive forecast."""
    parts = {part: pd.read_csv(REAL / f"m4_hourly_{part}.csv.gz", index_col=0) for part in ("train", "test")}
    rows, begun = [], time.process_time()
    with methods.one_thread():
        for name in parts["train"].index[::EVERY]:
            train, came = (parts[part].loc[name].dropna().to_numpy(dtype=float) for part in ("train", "test"))
            ours = methods.ahead(train, HOURS, PERIODS, LINE)
            told = {
                FORECAST: ours.mean(axis=0),
                NAIVE: np.repeat(train[-1], HOURS),
                SEASONAL_NAIVE: np.tile(train[-24:], 2),
            }
            told |= dict(zip(methods.MEMBERS, ours, strict=True))
            rows += [(which, 100 * metrics.smape(values, came), metrics.mase(values, came, train, 24))
                     for which, values in told.items()]  # fmt: skip
    taken = time.process_time() - begun
    mean = pd.DataFrame(rows, columns=["method", "smape", "mase"]).groupby("method", sort=False).mean()
    count = len(rows) // len(mean)
    print(f"M4 hourly, {count} of 414 series, {HOURS} hours ahead; {1000 * taken / count:.0f} ms CPU a series")
    print(mean.round(3).to_string())
    row(
        "M4 hourly: MASE of the forecast / of the seasonal naive",
        *(mean["mase"][FORECAST] / mean["mase"][SEASONAL_NAIVE], 1),
    )
    row(
        "M4 hourly: sMAPE of the forecast / of the seasonal naive",
        *(mean["smape"][FORECAST] / mean["smape"][SEASONAL_NAIVE], 1),
    )


def sample(db: Path) -> None:
    """Backtests of the sample's projects and total, 12 months' forecasts up to 6 months ahead."""
    stage = Forecasts("2026-06", str(db))
    frame, held = stage.backtest().frame.set_index(["of", "method"]), DaysAhead(stage).coverage
    print(frame.round(3).to_string())
    for of in ("Projects", "Total"):
        for other in (NAIVE, RUN_RATE_METHOD):
            ratio = frame.loc[(of, FORECAST), "wape"] / frame.loc[(of, other), "wape"]
            row(f"sample, {of.lower()}: WAPE of the forecast / of {other.lower()}", ratio, 1)
        gap = abs(frame.loc[(of, FORECAST), "coverage_80"] - 0.8)
        row(f"sample, {of.lower()}: distance of the coverage from 80 %", gap, 0.1)
        for level in (50, 80, 95):
            gap = abs(held.loc[of, f"within_{level}"] - level / 100)
            row(f"sample, days of {of.lower()}: distance of the coverage from {level} %", gap, 0.1)


def times(db: Path) -> None:
    """CPU seconds of every project and the total to the year's end, in new processes, cold and cached."""
    with warehouse.connect(db, write=True) as con:  # what is kept would not be cold
        for (table,) in con.sql("select table_name from duckdb_tables() where schema_name = 'kept'").fetchall():
            con.execute(f"drop table kept.{table}")
        con.execute("delete from results")
    begun = time.process_time()
    warehouse.mart("showback_daily", db)
    read = time.process_time() - begun
    cold, cached = (
        float(
            subprocess.run([sys.executable, "-c", LANDING, str(db)], capture_output=True, text=True, check=True).stdout
        )
        for _ in range(2)
    )
    row("sample: CPU seconds of all forecasts, cold", cold, COLD_SECONDS, "{:.1f}")
    row("sample: cached / cold", cached / cold, 0.5)
    print(f"sample: cold is {cold / read:.1f} x, cached {cached / read:.1f} x reading the days ({read:.1f} s CPU)")


def main() -> None:
    """Print what is measured beside its target."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if REAL.is_dir():
        m4()
    else:
        print("no M4 series: set DCBUDGET_REAL_DATA to the folder of real inputs")
    with TemporaryDirectory() as folder:
        db = shutil.copy(os.environ.get("DCBUDGET_DB", ROOT / "data/private/sample.duckdb"), folder)
        times(Path(db))
        sample(Path(db))


if __name__ == "__main__":
    main()
