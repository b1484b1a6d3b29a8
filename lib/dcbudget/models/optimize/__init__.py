"""Which workloads run when and on what, at best, and where budget money does most."""

from dcbudget.models.optimize.baselines import genetic, greedy
from dcbudget.models.optimize.optimum import IDLE, Plan, plan
from dcbudget.models.optimize.reallocation import RESERVE, Reallocation, reallocate

__all__ = ["IDLE", "RESERVE", "Plan", "Reallocation", "genetic", "greedy", "plan", "reallocate"]
