"""How long a run takes and on what: time = work / (resources x efficiency)."""

from dcbudget.models.performance.failures import (
    PUBLISHED_MTBF_GPU_HOURS,
    checkpoint_interval,
    failure_overhead,
    repair_overhead,
)
from dcbudget.models.performance.inference import Serving, inference_throughput, serve, serving_gpu_hours
from dcbudget.models.performance.scaling import Scaling, pareto
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
    "PUBLISHED_MTBF_GPU_HOURS",
    "Accelerator",
    "Cluster",
    "Scaling",
    "Serving",
    "Transformer",
    "checkpoint_interval",
    "failure_overhead",
    "gpu_hours",
    "inference_throughput",
    "iteration_flops",
    "model_flops_utilisation",
    "pareto",
    "repair_overhead",
    "serve",
    "serving_gpu_hours",
    "training_flops",
    "training_hours",
]
