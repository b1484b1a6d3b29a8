"""How wide: conformal intervals from the errors of earlier forecasts, and paths that are spread as they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.models.forecast.spend import FORECAST, TOTAL
from dcbudget.models.ranges import share, whole

LEVELS = (0.5, 0.8, 0.95)
# Mean absolute error one month ahead, over the mean month, where no error is known yet.
ASSUMED = 0.15
# A project's own errors count as that many errors of all projects against them.
PRIOR = 6
# Fewer errors than these do not reach to 95 %: the tail of a normal distribution goes on from there.
ENOUGH = 39
# Absolute values of a normal distribution over their mean, at (i - 0.5) / 200.
_NORMAL = 200
# Paths that tell where a year lands.
DRAWS = 1000


@dataclass(frozen=True)
class Spread:
    """How errors spread: |error| is `of_project` x `growth` x size of the project x a score.

    Attributes
    ----------
    scores : past errors over what was expected of them, absolute, sorted, mean near 1.
    of_project : project -> mean absolute error over its mean month, one month ahead; "Total" too.
    growth : errors by months ahead over those of one month, (H,), never falling.
    along : correlation of a path's errors from one month ahead to the next.
    across : correlation of the errors of two projects, so that their sum spreads as the total did.
    assumed : whether no error was known, and the widths are `ASSUMED`.
    """

    scores: np.ndarray
    of_project: pd.Series
    growth: np.ndarray
    along: float
    across: float
    assumed: bool

    def quantile(self, level) -> np.ndarray:
        """Score that a share of the errors does not exceed: the ceil((n + 1) level)-th of n (split conformal)."""
        level = np.asarray(share("level", level), dtype=float)
        at = np.ceil((len(self.scores) + 1) * level - 1e-9).astype(int) - 1
        return self.scores[at.clip(0, len(self.scores) - 1)]

    def unit(self, sizes: pd.Series) -> np.ndarray:
        """Error that a score of 1 stands for, (H, projects) [money]; `sizes` are mean months, project -> money."""
        own = self.of_project.reindex(sizes.index).fillna(self.of_project.get("", ASSUMED))
        return self.growth[:, None] * (own * sizes).to_numpy()


def spread(points: pd.DataFrame, horizon: int, known_at: pd.Timestamp | None = None) -> Spread:
    """How the errors of earlier forecasts spread.

    A project's width is the mean of its absolute errors, over its size and the growth with the months ahead, and drawn
    towards that of all projects (as `PRIOR` of them). What is left of every error are scores that all projects and
    months ahead share; their quantiles are the intervals'.

    Parameters
    ----------
    points : as `backtest.rolling` gives them.
    horizon : months ahead that are wanted; beyond those that were tested, errors grow with the root of time.
    known_at : only what had come by this month counts, all by default.
    """
    horizon = whole("horizon", horizon, 1, 120)
    errors = points[(points["method"] == FORECAST) & (points["size"] > 0)].dropna(subset=["actual"])
    if known_at is not None:
        errors = errors[errors["target_month"] <= known_at]
    errors = errors.assign(part=(errors["forecast"] - errors["actual"]) / errors["size"])
    parts = errors[errors["project"] != TOTAL]
    if parts.empty:
        return Spread(_half_normal(), pd.Series({"": ASSUMED}), np.sqrt(np.arange(1.0, horizon + 1)), 0.8, 0.3, True)
    growth = _growth(parts, max(horizon, int(parts["horizon"].max())))
    parts, errors = (frame.assign(score=frame["part"] / growth[frame["horizon"] - 1]) for frame in (parts, errors))
    own = _own(parts, float(parts["score"].abs().mean()))
    whole_ = errors[errors["project"] == TOTAL]
    own[TOTAL] = float(whole_["score"].abs().mean()) if len(whole_) else own[""]
    errors["score"] /= own.where(own > 0, 1.0).reindex(errors["project"]).to_numpy()
    parts = errors[errors["project"] != TOTAL]
    scores = np.sort(parts["score"].abs().to_numpy())
    if len(scores) < ENOUGH:
        scores = np.sort(np.concatenate([scores, _half_normal() * scores.mean()]))
    return Spread(scores, own, growth[:horizon], _along(parts), _across(own, errors), False)


def _half_normal() -> np.ndarray:
    from scipy.special import ndtri  # the normal's quantiles; scipy.stats takes a second to import

    return ndtri(0.5 + (np.arange(_NORMAL) + 0.5) / (2 * _NORMAL)) / np.sqrt(2 / np.pi)


def _growth(parts: pd.DataFrame, horizon: int) -> np.ndarray:
    """Median error by months ahead over that of one, never falling, by the root of time beyond what was tested."""
    typical = parts.groupby(["horizon", "project"])["part"].agg(lambda errors: errors.abs().mean())
    first = typical.xs(typical.index.get_level_values("horizon").min(), level="horizon")
    ratios = typical.unstack("horizon").div(first.where(first > 0), axis=0)
    found = np.maximum.accumulate(ratios.median().fillna(1.0).to_numpy().clip(min=1.0))
    tested = ratios.columns.to_numpy()
    growth = np.interp(np.arange(1, horizon + 1), tested, found)
    beyond = np.arange(1, horizon + 1) > tested[-1]
    growth[beyond] = found[-1] * np.sqrt(np.arange(1, horizon + 1)[beyond] / tested[-1])
    return growth


def _own(parts: pd.DataFrame, common: float) -> pd.Series:
    """Project -> mean absolute score, drawn towards the common one; "" holds for a project without any."""
    found = parts.groupby("project")["score"].agg(lambda scores: scores.abs().sum())
    count = parts.groupby("project")["score"].size()
    return pd.concat([(found + PRIOR * common) / (count + PRIOR), pd.Series({"": common})])


def _along(parts: pd.DataFrame) -> float:
    """Correlation of the scores of one origin from one month ahead to the next."""
    table = parts.pivot_table(index=["made_month", "project"], columns="horizon", values="score")
    now, then = table.iloc[:, :-1].to_numpy().ravel(), table.iloc[:, 1:].to_numpy().ravel()
    both = np.isfinite(now) & np.isfinite(then)
    size = np.sqrt((now[both] ** 2).sum() * (then[both] ** 2).sum())
    return float(np.clip((now[both] @ then[both]) / size, 0, 0.99)) if both.sum() >= 10 and size > 0 else 0.8


def _across(own: pd.Series, errors: pd.DataFrame) -> float:
    """The one correlation at which the sum of the projects' errors is as large as the total's."""
    sizes = errors.sort_values("made_month").groupby("project")["size"].last()
    each = (own.reindex(sizes.index) * sizes).drop(TOTAL, errors="ignore")
    total = float(own[TOTAL] * sizes.get(TOTAL, 0.0))
    alone, pairs = float((each**2).sum()), float(each.sum() ** 2 - (each**2).sum())
    return float(np.clip((total**2 - alone) / pairs, 0, 0.95)) if pairs > 0 else 0.0


def bands(
    middle: pd.DataFrame,
    unit: np.ndarray,
    found: Spread,
    levels: Sequence[float] = LEVELS,
    floor: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Ends of the intervals around the middle.

    Parameters
    ----------
    middle : (H, projects) [money].
    unit : as `Spread.unit` gives it.
    floor : lowest value of each project, (projects,), none by default.

    Returns
    -------
    `lower_50`, `upper_50`, ...: arrays (H, projects).
    """
    values, ends = np.asarray(middle, dtype=float), {}
    for level in levels:
        width = found.quantile(level) * unit
        lower = values - width
        ends[f"lower_{100 * level:.0f}"] = lower if floor is None else np.maximum(lower, np.minimum(floor, values))
        ends[f"upper_{100 * level:.0f}"] = values + width
    return ends


def paths(
    middle: pd.DataFrame, unit: np.ndarray, found: Spread, draws: int, seed: int, floor: np.ndarray | None = None
) -> np.ndarray:
    """Simulated months whose quantiles are the intervals' ends.

    Errors are correlated along a path and across projects (a normal copula with one common factor); each is spread by
    the same scores as the intervals.

    Parameters
    ----------
    middle, unit, found, floor : as for `bands`.
    draws, seed : number of paths, and what they begin from.

    Returns
    -------
    array (draws, H, projects) [money].
    """
    from scipy.special import ndtr

    values = np.asarray(middle, dtype=float)
    months, projects = values.shape
    shocks = np.random.default_rng(seed).standard_normal((whole("draws", draws, 1, 1_000_000), months, projects + 1))
    for month in range(1, months):
        shocks[:, month] = found.along * shocks[:, month - 1] + np.sqrt(1 - found.along**2) * shocks[:, month]
    normal = np.sqrt(found.across) * shocks[:, :, :1] + np.sqrt(1 - found.across) * shocks[:, :, 1:]
    level = np.abs(2 * ndtr(normal) - 1)
    drawn = values + np.sign(normal) * found.quantile(level) * unit
    return drawn if floor is None else np.maximum(drawn, np.minimum(floor, values))


def with_bands(points: pd.DataFrame, levels: Sequence[float] = (0.8,), least_known: int = 3) -> pd.DataFrame:
    """Forecasts of the past with the intervals that were known then: `lower_80`, `upper_80`, ... of method Forecast.

    Only errors that had come by the month in which a forecast was made count; where those are of fewer than
    `least_known` months, there is no interval.
    """
    ends = [f"{end}_{100 * level:.0f}" for level in levels for end in ("lower", "upper")]
    points = points.assign(**dict.fromkeys(ends, np.nan))
    forecasts = points[points["method"] == FORECAST]
    came = forecasts.dropna(subset=["actual"])
    for made, part in forecasts.groupby("made_month"):
        if came.loc[came["target_month"] <= made, "target_month"].nunique() < least_known:
            continue
        found = spread(points, int(part["horizon"].max()), made)
        own = found.of_project.reindex(part["project"]).fillna(found.of_project[""]).to_numpy()
        unit = own * found.growth[part["horizon"] - 1] * part["size"].to_numpy()
        for level in levels:
            width = found.quantile(level) * unit
            points.loc[part.index, f"lower_{100 * level:.0f}"] = part["forecast"] - width
            points.loc[part.index, f"upper_{100 * level:.0f}"] = part["forecast"] + width
    return points


def landings(
    points: pd.DataFrame, of_year: pd.DataFrame, monthly: pd.DataFrame, year_end: pd.Timestamp, seed: int = 1
) -> pd.DataFrame:
    """Where a year was expected to land at the end of its months, with what was known then.

    Parameters
    ----------
    points : as `backtest.rolling` gives them; errors that had come by a month tell how sure it could be.
    of_year : those of method Forecast that were made in the year.
    monthly : spend of the year's months that are known, by project [money].
    year_end : first month of the next year.
    seed : what the simulated paths begin from.

    Returns
    -------
    DataFrame : `month` (in which it was made), `project` ("Total" too), `landing_p50` and `landing_p80`: that the year
        costs less has a chance of 80 % [money].
    """
    names, rows = list(monthly), []
    for made, part in of_year.groupby("made_month"):
        part = part[(part["target_month"] < year_end) & (part["project"] != TOTAL)]
        spent = monthly.loc[:made].sum().to_numpy()
        drawn = middle = spent[None, :]
        if len(part):
            ahead = part.pivot(index="target_month", columns="project", values="forecast")[names]
            sizes = part.drop_duplicates("project").set_index("project")["size"][names]
            found = spread(points, len(ahead), made)
            floor = np.where(monthly.min().to_numpy() >= 0, 0.0, -np.inf)
            drawn = spent + paths(ahead, found.unit(sizes), found, DRAWS, seed, floor).sum(axis=1)
            middle = spent + ahead.to_numpy().sum(axis=0)[None, :]
        landing, p80 = (np.append(values, values.sum(axis=1, keepdims=True), axis=1) for values in (middle, drawn))
        rows.append(pd.DataFrame({"month": made, "project": [*names, TOTAL], "landing_p50": landing[0],
                                  "landing_p80": np.quantile(p80, 0.8, axis=0)}))  # fmt: skip
    columns = ["month", "project", "landing_p50", "landing_p80"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def of_days(days: pd.DataFrame, sizes: pd.Series, horizon: int) -> pd.DataFrame:
    """How wide the intervals of single days are, and how many days of the past lay within those that were known then.

    Parameters
    ----------
    days : as `backtest.rolling_days` gives them.
    sizes : mean absolute day, project ("Total" too) -> money.
    horizon : months ahead that are wanted.

    Returns
    -------
    DataFrame : one row a project and month ahead: `project`, `horizon`, `width_50`, `width_80`, `width_95` (from the
        middle to an end) [money], `days` (of the past that had an interval) and `within_50`, ... (how many of them lay
        in it).
    """
    found = spread(days, horizon)
    unit, names = found.unit(sizes), [f"{100 * level:.0f}" for level in LEVELS]
    frame = pd.DataFrame({"project": np.tile(sizes.index.to_numpy(dtype=object), horizon),
                          "horizon": np.repeat(np.arange(1, horizon + 1), len(sizes))})  # fmt: skip
    frame = frame.assign(**{f"width_{name}": (found.quantile(level) * unit).ravel()
                            for name, level in zip(names, LEVELS, strict=True)})  # fmt: skip
    past = with_bands(days, LEVELS).dropna(subset=["lower_80"])
    inside = {f"within_{name}": past["actual"].between(past[f"lower_{name}"], past[f"upper_{name}"]) for name in names}
    counts = past.assign(days=1, **inside).groupby(["project", "horizon"])[["days", *inside]].sum()
    frame = frame.join(counts, on=["project", "horizon"])
    return frame.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))
