"""How sure a plan is: what the months cost in every draw, and what moves their sum most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.models.planning.chance import Factors, factors_of
from dcbudget.models.planning.model import Model, Settings
from dcbudget.models.planning.money import spend


@dataclass(frozen=True)
class Simulation:
    """What the plan may cost.

    Attributes
    ----------
    total : money by month and draw, (T, n).
    """

    total: np.ndarray

    @property
    def year(self) -> np.ndarray:
        """Money of all months together, by draw, (n,)."""
        return self.total.sum(axis=0)

    def by_month(self, *shares: float) -> np.ndarray:
        """Percentiles of every month, (shares, T)."""
        return _percentiles(self.total, shares)

    def of_year(self, *shares: float) -> np.ndarray:
        """Percentiles of the sum of all months, (shares,)."""
        return _percentiles(self.year, shares)

    def chance_over(self, budget: float) -> float:
        """Share of the draws in which the year costs more than the budget."""
        return float((self.year > budget).mean())

    def contingency(self, budget: float, risk: float) -> float:
        """What to hold beside the budget so that the year stays within both with probability `risk`; 0 at least."""
        return max(float(self.of_year(risk)[0]) - budget, 0.0)


def simulate(model: Model, settings: Settings, factors: Factors) -> Simulation:
    """What the months cost in every draw; the draws are made once and serve every settings."""
    return Simulation(sum(spend(model, settings, factors).category.values()))


def tornado(model: Model, settings: Settings) -> pd.DataFrame:
    """What moves the year most: every risk and every project's demand at its P10 and P90, all else as expected.

    Returns
    -------
    DataFrame : `risk`, `at_low`, `at_high` (money of all months at the risk's P10 and P90), `swing` (their distance),
        the widest first; risks that move nothing are left out.
    """
    shared = [name for name in model.spreads.index if name != "month"]
    rows = model.demand.drivers
    projects = list(dict.fromkeys(rows["project"]))
    count = 2 * (len(shared) + len(projects))
    each = np.ones((len(rows), count))
    risks = {name: np.ones(count) for name in shared}
    for at, name in enumerate(shared):
        risks[name][2 * at : 2 * at + 2] = model.spreads.loc[name, ["low", "high"]].to_numpy(dtype=float)
    for at, project in enumerate(projects, start=len(shared)):
        own = (rows["project"] == project).to_numpy()
        each[own, 2 * at], each[own, 2 * at + 1] = rows["low"][own], rows["high"][own]
    factors = factors_of(model, each, risks, np.ones((len(model.months), 1)))
    low, high = simulate(model, settings, factors).year.reshape(-1, 2).T
    labels = [*model.spreads["label"].reindex(shared), *(f"Demand of {project}" for project in projects)]
    frame = pd.DataFrame({"risk": labels, "at_low": low, "at_high": high})
    frame["swing"] = (frame["at_high"] - frame["at_low"]).abs()
    frame = frame[frame["swing"] > 0.005]
    return frame.sort_values("swing", ascending=False, kind="stable", ignore_index=True)


def _percentiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Percentiles along the last axis, interpolated linearly as `numpy.quantile` does, (shares, ...)."""
    return np.quantile(values, shares, axis=-1)
