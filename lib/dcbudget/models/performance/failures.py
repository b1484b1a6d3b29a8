"""What failures cost a long run: checkpoints at the best interval, work that is repeated, restarts and repairs."""

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, whole, within

# Llama 3 (Grattafiori et al. 2024, section 3.3.4): 54 days on 16,384 H100 saw 419 unexpected interruptions.
PUBLISHED_MTBF_GPU_HOURS = 54 * 24 * 16_384 / 419


def checkpoint_interval(checkpoint_seconds, mtbf_seconds):
    """Seconds of computing between two checkpoints that lose the least time.

    tau = sqrt(2dM) * (1 + sqrt(d/(2M))/3 + d/(18M)) - d below d = 2M, else M; vectorised.

    Parameters
    ----------
    checkpoint_seconds : that writing one stops the run, d.
    mtbf_seconds : mean time between failures of the whole job, M.

    Source: Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps", equation 37.
    """
    d, m = within("checkpoint_seconds", checkpoint_seconds, 0), positive("mtbf_seconds", mtbf_seconds)
    half = d / (2 * m)
    return np.where(half < 1, np.sqrt(2 * d * m) * (1 + np.sqrt(half) / 3 + half / 9) - d, m)[()]


def failure_overhead(gpus, mtbf_gpu_hours, checkpoint_seconds, restart_seconds, interval_seconds=None):
    """Wall time that checkpoints, repeated work and restarts add, as a share of the time of the work alone; >= 0.

    M/tau * exp(R/M) * (exp((tau + d)/M) - 1) - 1 at Daly's interval, with failures that come at random at the rate of
    the GPUs: M = mtbf_gpu_hours / gpus. Vectorised.

    Parameters
    ----------
    mtbf_gpu_hours : GPU-hours between two failures; `PUBLISHED_MTBF_GPU_HOURS` is 50,676.
    checkpoint_seconds : that writing a checkpoint stops the run, d.
    restart_seconds : from a failure until the run goes on from its last checkpoint, R.
    interval_seconds : of computing between two checkpoints, tau; Daly's where none is given.

    Source: Daly 2006, equation 20.

    Raises
    ------
    OutOfRange : a value is out of its range, or failures come so often that the run would not get on.
    """
    gpus, mtbf = within("gpus", gpus, 1), positive("mtbf_gpu_hours", mtbf_gpu_hours)
    d = np.asarray(within("checkpoint_seconds", checkpoint_seconds, 0))
    r = np.asarray(within("restart_seconds", restart_seconds, 0))
    m = mtbf * 3600.0 / gpus
    tau = np.asarray(checkpoint_interval(d, m) if interval_seconds is None else positive(
        "interval_seconds", interval_seconds))  # fmt: skip
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        stretch = np.where(tau > 0, m / tau * np.expm1((tau + d) / m), 1.0)
        overhead = np.exp(r / m) * stretch - 1
    if not (overhead < 1000).all():
        raise OutOfRange(
            f"mtbf_gpu_hours must be larger: on {np.max(gpus):,.0f} GPUs a failure every {np.min(m):,.0f} seconds"
            f" leaves no time between restarts of {np.max(r):,.0f} and checkpoints of {np.max(d):,.0f} seconds"
            f" {np.max(tau):,.0f} seconds apart"
        )
    return np.maximum(overhead, 0.0)[()]


def repair_overhead(
    gpus, mtbf_gpu_hours, checkpoint_seconds, restart_seconds, repair_hours, *, gpus_per_node=8, elastic=True
):
    """As `failure_overhead`, with nodes that stay out until they are repaired.

    An elastic job goes on without the node: by Little's law `repair_hours / M` nodes are out at a time, and the rest
    computes proportionally slower. A job that is not elastic waits for the whole repair. Vectorised.

    Parameters
    ----------
    repair_hours : until a failed node, or another in its place, is back.
    gpus_per_node : that leave together.

    Raises
    ------
    OutOfRange : see `failure_overhead`; or repairs take so long that no node would be left.
    """
    base = failure_overhead(gpus, mtbf_gpu_hours, checkpoint_seconds, restart_seconds)
    gpus, repair = np.asarray(within("gpus", gpus, 1)), within("repair_hours", repair_hours, 0)
    out = repair * gpus / positive("mtbf_gpu_hours", mtbf_gpu_hours)
    if not elastic:
        return ((1 + base) * (1 + out) - 1)[()]
    lost = out * np.minimum(whole("gpus_per_node", gpus_per_node), gpus) / gpus
    if not (lost < 1).all():
        raise OutOfRange(f"repair_hours must be shorter: {np.max(out):,.1f} nodes would be out at a time")
    return ((1 + base) / (1 - lost) - 1)[()]
