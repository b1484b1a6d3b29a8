"""Which workloads run when and on what, at best, and where budget money does most."""

from dcbudget.models.optimize.optimum import IDLE, Plan, plan

__all__ = ["IDLE", "Plan", "plan"]
