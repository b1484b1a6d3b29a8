"""Which workloads run when and on what, at best, and where budget money does most."""

from dcbudget.models.optimize.baselines import genetic, greedy, greedy_of
from dcbudget.models.optimize.inputs import Case, case
from dcbudget.models.optimize.optimum import IDLE, Plan, plan, plan_of
from dcbudget.models.optimize.reallocation import RESERVE, Reallocation, reallocate

__all__ = [
    "IDLE", "RESERVE", "Case", "Plan", "Reallocation", "case", "genetic", "greedy", "greedy_of", "plan", "plan_of",
    "reallocate",
]  # fmt: skip
