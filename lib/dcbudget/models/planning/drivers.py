"""What projects demand: drivers in their own terms, templates and measured trends as quantities of every month."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models import calibration, performance
from dcbudget.models.calibration import Z90
from dcbudget.models.planning.model import (
    DAYS_PER_MONTH,
    NETWORK,
    RANGES,
    SERVICES,
    STAFF,
    STORAGE,
    Demand,
    Settings,
)
from dcbudget.models.ranges import whole, within

# Months whose mean demand is carried forward.
RECENT = 3
# A year's growth of one project beyond this is a step that was made, and no trend; nor is a level less known than this.
LEAST_GROWTH, MOST_GROWTH, MOST_WIDTH = -0.5, 1.0, 1.2
# The quantities of each kind of driver: (what holds where none is given, lowest, highest); None must be given.
DRIVERS: dict[str, dict[str, tuple[float | None, float, float]]] = {
    "gpu_hours": {"gpu_hours_per_month": (None, 0, 1e12)},
    "training": {"parameters": (None, 1, 1e16), "tokens": (None, 1, 1e18), "runs": (1, 0, 1e6)},
    "epochs": {"epochs": (None, 0, 1e9), "hours_per_epoch": (None, 0, 1e6), "gpus": (None, 1, 1e7),
               "runs": (1, 0, 1e6)},
    "fine_tuning": {"parameters": (None, 1, 1e16), "tokens": (None, 1, 1e18), "runs_per_month": (1, 0, 1e6)},
    "experiments": {"share_of_training": (None, 0, 100)},
    "serving": {"requests_per_month": (None, 0, 1e15), "input_tokens": (None, 0, 1e9), "output_tokens": (None, 0, 1e9),
                "tokens_per_second_per_gpu": (None, 1e-3, 1e9)},
    "storage": {"tb": (None, 0, 1e9), "price_per_tb_month": (nan, 0, 1e6)},
    "network": {"gb_per_month": (None, 0, 1e12), "price_per_gb": (nan, 0, 1e6)},
    "services": {"cost_per_month": (None, -1e15, 1e15)},
    "staff": {"heads": (None, 0, 1e6), "cost_per_month": (None, 0, 1e9)},
}  # fmt: skip
# What every driver may tell besides: growth, and P10 and P90 as parts of what is expected.
COMMON = {"growth_per_month": (0.0, -0.5, 0.5), "low": (1.0, 0.01, 1.0), "high": (1.0, 1.0, 100.0)}
WORDS = ("project", "gpu_model", "start", "months", "source")
ON_GPUS = ("gpu_hours", "training", "epochs", "fine_tuning", "experiments", "serving")
# Runs that are planned one by one do not grow with demand, nor do heads; serving does not wait for a better MFU.
ONE_BY_ONE = ("training", "epochs", "staff")
WORK = ("gpu_hours", "training", "epochs", "fine_tuning", "experiments")


@dataclass(frozen=True)
class Trend:
    """A monthly quantity carried forward.

    Attributes
    ----------
    level : mean of the last months.
    growth_per_month : decimal.
    low, high : P10 and P90 of the level, as parts of it.
    """

    level: float
    growth_per_month: float
    low: float
    high: float


def trend(monthly, years_ahead: float, growth_per_year: float | None = None) -> Trend:
    """Level and growth of a series, to carry it forward.

    The growth is the slope of a straight line through the logarithms, kept between `LEAST_GROWTH` and `MOST_GROWTH` a
    year; 0 where a month is not above 0 or there are fewer than three. The level is as uncertain as a mean of `RECENT`
    months about that line and, independently, as the line's slope over the years ahead.

    Parameters
    ----------
    monthly : one value a month, oldest first, of any unit.
    years_ahead : from the last month to the middle of the plan.
    growth_per_year : decimal, where it is known and not to be measured.
    """
    monthly = np.asarray(monthly, dtype=float)
    level = float(monthly[-RECENT:].mean()) if len(monthly) else 0.0
    found = calibration.growth_per_year(monthly) if (monthly > 0).all() else calibration.Spread()
    yearly, width = 0.0, 0.0
    if found.count:
        yearly = min(max(found.value, LEAST_GROWTH), MOST_GROWTH)
        logs, at = np.log(monthly), np.arange(len(monthly))
        residuals = logs - np.polyval(np.polyfit(at, logs, 1), at)
        scatter = Z90 * np.sqrt(residuals @ residuals / (len(logs) - 2) / RECENT)
        width = min(np.hypot(scatter, (np.log1p(found.high) - np.log1p(found.value)) * max(years_ahead, 0)), MOST_WIDTH)
    yearly = yearly if growth_per_year is None else within("growth_per_year", growth_per_year, *RANGES["demand_growth"])
    return Trend(level, float((1 + yearly) ** (1 / 12) - 1), float(np.exp(-width)), float(np.exp(width)))


def demand(
    drivers: Sequence[Mapping],
    months: pd.DatetimeIndex,
    base: Settings,
    tflops: Mapping[str, float],
) -> Demand:
    """Quantities of every driver in every month.

    Parameters
    ----------
    drivers : mappings with `project`, `driver` (a key of `DRIVERS`) and its quantities, where it runs on GPUs
        `gpu_model`, and optionally `start` ("YYYY-MM", else the first month), `months` (how many, else to the end; one
        for runs that are planned one by one), `growth_per_month` from its start on, `low` and `high` (P10 and P90 as
        parts of what is expected) and `source`. The GPU-hours of `training` and `epochs` are spread over their months.
        `experiments` are a share of the GPU-hours of the project's runs on the same GPUs.
    months : first days of the T months.
    base : its `mfu` and `failure_share` turn FLOPs into GPU-hours.
    tflops : GPU model -> peak dense TFLOP/s at the training precision.

    Raises
    ------
    OutOfRange : an unknown driver or field, one that is missing, or a value outside its range.
    """
    rows, quantity = [], np.zeros((len(drivers), len(months)))
    of_month = months.days_in_month.to_numpy() / DAYS_PER_MONTH
    number = months.year.to_numpy() * 12 + months.month.to_numpy()
    for at, given in enumerate(drivers):
        kind = given.get("driver")
        if kind not in DRIVERS:
            raise OutOfRange(f"driver must be one of {', '.join(DRIVERS)}, not {kind!r}")
        who = f"{kind} of {given.get('project')}"
        told = _told(given, kind, who)
        model = str(given.get("gpu_model", "")) if kind in ON_GPUS else ""
        if kind in ON_GPUS and model not in tflops:
            raise OutOfRange(f"gpu_model of {who} must be one of {', '.join(sorted(tflops)) or 'none'}, not {model!r}")
        start = month_of(given.get("start"), months[0], who)
        length = whole(f"months of {who}", given.get("months") or 0, 0, 1200)
        length = length or int(kind in ("training", "epochs"))
        since = number - (start.year * 12 + start.month)
        runs = (since >= 0) & ((since < length) | (length == 0))
        level = np.where(runs, (1 + told["growth_per_month"]) ** np.maximum(since, 0), 0.0)
        amount = _amount(kind, told, base, tflops.get(model, nan))
        if kind in ("training", "epochs"):
            quantity[at] = np.where(runs, amount / length, 0.0)
        elif kind in ("storage", "staff", "services"):
            quantity[at] = amount * level
        else:
            quantity[at] = amount * level * of_month
        resource = model or {"services": SERVICES, "staff": STAFF}.get(kind, kind)
        price = told.get("price_per_tb_month", told.get("price_per_gb", nan))
        counted = {STORAGE: "TB", NETWORK: "GB"} if price != 1 else {}
        unit = counted.get(resource, "GPU-hours" if model else "money")
        rows.append(
            (
                str(given["project"]),
                kind,
                resource,
                unit,
                start,
                told["growth_per_month"],
                told["low"],
                told["high"],
                kind not in ONE_BY_ONE,
                kind in WORK,
                price,
                str(given.get("source", "given")),
            )
        )
    frame = pd.DataFrame(rows, columns=["project", "driver", "resource", "unit", "start", "growth_per_month", "low",
                                        "high", "grows", "work", "unit_price", "source"])  # fmt: skip
    for at in np.flatnonzero(frame["driver"] == "experiments"):
        row = frame.loc[at]
        same = (frame["project"] == row["project"]) & (frame["resource"] == row["resource"])
        planned = same & frame["driver"].isin(["training", "epochs", "fine_tuning"])
        share = float(drivers[at]["share_of_training"])
        quantity[at] = np.where(quantity[at] > 0, share * quantity[planned.to_numpy()].sum(axis=0), 0.0)
    frame.insert(4, "per_month", quantity.mean(axis=1) if len(frame) else [])
    return Demand(frame, quantity)


def from_template(
    templates: pd.DataFrame, template: str, project: str, first_month: pd.Timestamp, scale: float = 1.0
) -> list[dict]:
    """The drivers of a new project, as `demand` takes them.

    Parameters
    ----------
    templates : `template`, `part`, `driver`, `field`, `value` and `scales` (null where the scale leaves the value).
    scale : how many times as large as the template, 0.001 to 1,000.

    Raises
    ------
    OutOfRange : no such template, or a scale outside its range.
    """
    kinds = sorted(templates["template"].unique())
    if template not in kinds:
        raise OutOfRange(f"template must be one of {', '.join(kinds)}, not {template!r}")
    within("scale", scale, 0.001, 1000)
    found = []
    for _, part in templates[templates["template"] == template].groupby("part", sort=False):
        driver = {"project": project, "driver": part["driver"].iloc[0], "start": f"{first_month:%Y-%m}",
                  "source": f"template {template}"}  # fmt: skip
        for row in part.itertuples():
            number = row.value if row.field == "gpu_model" else float(row.value)
            driver[row.field] = number if pd.isna(row.scales) else number * scale
        found.append(driver)
    return found


def _amount(kind: str, told: dict[str, float], base: Settings, tflops: float) -> float:
    """GPU-hours, TB, GB or money of one month of a driver, or of all its runs where they are planned one by one."""
    if kind in ("training", "fine_tuning"):
        flops = performance.training_flops(told["parameters"], told["tokens"])
        useful = float(performance.gpu_hours(flops, tflops, base.mfu))
        return useful / (1 - base.failure_share) * told["runs" if kind == "training" else "runs_per_month"]
    if kind == "epochs":
        return told["epochs"] * told["hours_per_epoch"] * told["gpus"] * told["runs"]
    if kind == "serving":
        tokens = told["requests_per_month"] * np.array([told["input_tokens"], told["output_tokens"]])
        return float(performance.serving_gpu_hours(*tokens, told["tokens_per_second_per_gpu"], utilisation=1.0))
    if kind == "staff":
        return told["heads"] * told["cost_per_month"]
    if kind == "experiments":
        return 1.0
    return told[next(iter(DRIVERS[kind]))]


def _told(given: Mapping, kind: str, who: str) -> dict[str, float]:
    """The numbers of a driver, checked."""
    known = DRIVERS[kind] | COMMON
    if not given.get("project"):
        raise OutOfRange(f"project of the driver {kind} must be given")
    if strange := sorted(set(given) - {*known, *WORDS, "driver"}):
        raise OutOfRange(f"{who} has no field {strange[0]!r}; it has {', '.join([*WORDS, *known])}")
    told = {}
    for name, (default, low, high) in known.items():
        value = given.get(name, default)
        if value is None:
            raise OutOfRange(f"{name} of {who} must be given, between {low:g} and {high:g}")
        told[name] = nan if value is nan else float(within(f"{name} of {who}", value, low, high))
    return told


def month_of(text, first: pd.Timestamp, who: str) -> pd.Timestamp:
    """The month of a text such as 2027-01, `first` where it is empty."""
    if text is None or text == "":
        return first
    try:
        if isinstance(text, int | float):  # pandas would take it as nanoseconds since 1970
            raise TypeError
        return pd.Timestamp(text).to_period("M").to_timestamp()
    except (ValueError, TypeError):
        raise OutOfRange(f"start of {who} must be a month such as {first:%Y-%m}, not {text!r}") from None
