"""How long a run takes and on what: time = work / (resources x efficiency)."""

from dcbudget.models.performance.failures import (
    PUBLISHED_MTBF_GPU_HOURS,
    checkpoint_interval,
    failure_overhead,
    repair_overhead,
)
from dcbudget.models.performance.inference import Serving, inference_throughput, serve, serving_gpu_hours
from dcbudget.models.performance.parallelism import (
    KERNEL_EFFICIENCY,
    all_reduce_seconds,
    bubble,
    iteration_parts,
    iteration_seconds,
    kernel_efficiency_of,
    memory_gb,
    parameter_server_seconds,
    ring_seconds,
    utilisation_of,
)
from dcbudget.models.performance.scaling import Scaling, StepScaling, pareto
from dcbudget.models.performance.strategies import (
    STRATEGIES,
    Recommendation,
    compare_strategies,
    recommend_parallelism,
)
from dcbudget.models.performance.work import (
    Accelerator,
    Cluster,
    Transformer,
    gpu_hours,
    iteration_flops,
    model_flops_utilisation,
    training_flops,
    training_hours,
)

__all__ = [
    "KERNEL_EFFICIENCY",
    "PUBLISHED_MTBF_GPU_HOURS",
    "STRATEGIES",
    "Accelerator",
    "Cluster",
    "Recommendation",
    "Scaling",
    "Serving",
    "StepScaling",
    "Transformer",
    "all_reduce_seconds",
    "bubble",
    "checkpoint_interval",
    "compare_strategies",
    "failure_overhead",
    "gpu_hours",
    "inference_throughput",
    "iteration_flops",
    "iteration_parts",
    "iteration_seconds",
    "kernel_efficiency_of",
    "memory_gb",
    "model_flops_utilisation",
    "parameter_server_seconds",
    "pareto",
    "recommend_parallelism",
    "repair_overhead",
    "ring_seconds",
    "serve",
    "serving_gpu_hours",
    "training_flops",
    "training_hours",
    "utilisation_of",
]
