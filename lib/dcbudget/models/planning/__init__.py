"""A budget from its drivers: what projects demand, what meets it, what each month costs, and how sure that is."""

from dcbudget.models.planning.budgeted import (
    gpu_hours,
    lines,
    quantities,
    rented_gpu_hours,
)
from dcbudget.models.planning.chance import (
    Factors,
    certain,
    draws,
    factor,
)
from dcbudget.models.planning.drivers import (
    DRIVERS,
    RECENT,
    Trend,
    demand,
    from_template,
    month_of,
    trend,
)
from dcbudget.models.planning.model import (
    CATEGORIES,
    COUNTED_BY,
    DAYS_PER_MONTH,
    IDLE,
    NETWORK,
    RANGES,
    SERVICES,
    STAFF,
    STORAGE,
    Demand,
    Model,
    Settings,
    Supply,
    growth_without_bias,
)
from dcbudget.models.planning.simulation import (
    Simulation,
    simulate,
    tornado,
)

__all__ = [
    "CATEGORIES",
    "COUNTED_BY",
    "DAYS_PER_MONTH",
    "DRIVERS",
    "IDLE",
    "NETWORK",
    "RANGES",
    "RECENT",
    "SERVICES",
    "STAFF",
    "STORAGE",
    "Demand",
    "Factors",
    "Model",
    "Settings",
    "Simulation",
    "Supply",
    "Trend",
    "certain",
    "demand",
    "draws",
    "factor",
    "from_template",
    "gpu_hours",
    "growth_without_bias",
    "lines",
    "month_of",
    "quantities",
    "rented_gpu_hours",
    "simulate",
    "tornado",
    "trend",
]
