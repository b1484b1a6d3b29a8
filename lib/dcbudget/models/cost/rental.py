"""What rented computing costs: on demand, committed, under a savings plan, and spot with its interruptions."""

from typing import NamedTuple

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.performance import checkpoint_interval
from dcbudget.models.ranges import positive, share, within

# The exponent at which a double ends: a job that is interrupted so often never finishes.
LARGEST_EXPONENT = 700.0


def rented_cost(gpu_hours, price_per_gpu_hour, discount=0.0):
    """Money for GPU-hours at a price: on-demand, or less a negotiated or commitment discount.

    Parameters
    ----------
    gpu_hours : GPU-hours that are paid for; numbers or arrays that broadcast, as in all of this module.
    price_per_gpu_hour : list or on-demand price [money per GPU-hour].
    discount : decimal in [0, 1].

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    hours = within("gpu_hours", gpu_hours, 0)
    price = within("price_per_gpu_hour", price_per_gpu_hour, 0)
    return hours * price * (1 - share("discount", discount))


class Committed(NamedTuple):
    """Money of a commitment and of what goes beyond it; the three parts add up to the bill.

    Attributes
    ----------
    committed : for the committed GPU-hours that were used.
    on_demand : for the use beyond the commitment.
    unused : for the committed GPU-hours that nobody used.
    """

    committed: float | np.ndarray
    on_demand: float | np.ndarray
    unused: float | np.ndarray

    @property
    def total(self):
        return self.committed + self.on_demand + self.unused


def committed_cost(gpu_hours, committed_gpu_hours, on_demand_price, committed_price) -> Committed:
    """Money under a commitment to a number of GPU-hours, such as reserved instances.

    What a period leaves unused lapses with it, so pass one row a period in which that happens: an hour for reserved
    instances and savings plans, a month for a minimum spend.

    Parameters
    ----------
    gpu_hours, committed_gpu_hours : used and committed in each period [GPU-hours].
    on_demand_price, committed_price : [money per GPU-hour].

    Raises
    ------
    OutOfRange : a negative value.
    """
    used = within("gpu_hours", gpu_hours, 0)
    committed = within("committed_gpu_hours", committed_gpu_hours, 0)
    price = within("committed_price", committed_price, 0)
    covered = np.minimum(used, committed)
    beyond = (used - covered) * within("on_demand_price", on_demand_price, 0)
    return Committed(covered * price, beyond, (committed - covered) * price)


def savings_plan_cost(gpu_hours, committed_spend, on_demand_price, discount) -> Committed:
    """Money under a commitment to spend, at discounted prices, a sum in every period: a savings plan.

    The sum covers committed_spend / (on_demand_price x (1 - discount)) GPU-hours; see `committed_cost`.

    Parameters
    ----------
    committed_spend : [money a period].
    discount : of the plan on the on-demand price, decimal in [0, 1).

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    price = positive("on_demand_price", on_demand_price) * (1 - within("discount", discount, 0, 0.9999))
    return committed_cost(gpu_hours, within("committed_spend", committed_spend, 0) / price, on_demand_price, price)


def spot_overhead(
    interruptions_per_gpu_hour,
    gpus=1,
    checkpoint_seconds=60.0,
    restart_seconds=300.0,
    interval_seconds=None,
    wait_seconds=0.0,
):
    """GPU-hours beyond the useful ones that a job on spot capacity pays for, as a share of the useful ones.

    An interruption of one GPU stops the job, which restarts from its last checkpoint. With interruptions at random
    times, a mean time M between those of the job, checkpoints of d after every t of work and restarts of r, which may
    be interrupted too, a job of W of work takes M exp(r/M) (exp((t + d)/M) - 1) W/t.

    Source: Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22, his
    complete cost function; with waits, Bougeret et al. 2011, "Checkpointing strategies for parallel jobs", SC'11.

    Parameters
    ----------
    interruptions_per_gpu_hour : interruptions of one GPU [1/hour].
    gpus : of the job.
    checkpoint_seconds : that the job stands still for a checkpoint.
    restart_seconds : paid time from getting capacity back to going on with the work.
    interval_seconds : work between checkpoints, None for Daly's optimum.
    wait_seconds : unpaid time without capacity after an interruption; 0 gives the share of money, else that of time.

    Returns
    -------
    Decimal, at least 0; numbers or arrays that broadcast.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    rate = within("interruptions_per_gpu_hour", interruptions_per_gpu_hour, 0) * positive("gpus", gpus)
    checkpoint = within("checkpoint_seconds", checkpoint_seconds, 0)
    restart = within("restart_seconds", restart_seconds, 0)
    wait = within("wait_seconds", wait_seconds, 0)
    often = np.asarray(rate) > 0
    between = np.where(often, 3600 / np.where(often, rate, 1), np.inf)
    known = np.where(often, between, 1.0)
    if interval_seconds is None:
        # without the time of a checkpoint the best is to write them all the time: a second's work is near enough
        interval = np.maximum(checkpoint_interval(np.maximum(checkpoint, 1e-6), known), 1e-3)
        uninterrupted = 0.0
    else:
        interval = positive("interval_seconds", interval_seconds)
        uninterrupted = checkpoint / interval
    tries = np.expm1(np.minimum((interval + checkpoint) / known, LARGEST_EXPONENT)) * known / interval
    again = np.exp(np.minimum(restart / known, LARGEST_EXPONENT)) * (1 + wait / known)
    with np.errstate(over="ignore"):
        overhead = np.where(often, tries * again - 1, uninterrupted)
    return overhead[()]


def spot_cost(
    gpu_hours,
    spot_price,
    interruptions_per_gpu_hour,
    lost_hours_per_interruption=None,
    *,
    gpus=1,
    checkpoint_seconds=60.0,
    restart_seconds=300.0,
    interval_seconds=None,
):
    """Expected money for useful GPU-hours on spot capacity, with checkpoints, repeated work and restarts.

    Parameters
    ----------
    gpu_hours : useful work [GPU-hours].
    spot_price : [money per GPU-hour].
    lost_hours_per_interruption : what an interruption costs the job where that was measured [hours of all its GPUs];
        then hours / (1 - interruptions an hour x lost hours) are paid. None: as `spot_overhead` has it.

    Raises
    ------
    OutOfRange : a value outside its range; so many interruptions that the job never ends.
    """
    hours = within("gpu_hours", gpu_hours, 0)
    price = within("spot_price", spot_price, 0)
    if lost_hours_per_interruption is None:
        extra = spot_overhead(interruptions_per_gpu_hour, gpus, checkpoint_seconds, restart_seconds, interval_seconds)
        return hours * price * (1 + extra)
    rate = within("interruptions_per_gpu_hour", interruptions_per_gpu_hour, 0) * positive("gpus", gpus)
    lost = rate * within("lost_hours_per_interruption", lost_hours_per_interruption, 0)
    if not np.all(lost < 1):
        raise OutOfRange(
            "interruptions_per_gpu_hour x gpus x lost_hours_per_interruption must be below 1, "
            f"not {np.max(lost):g}: the job would never end"
        )
    return hours * price / (1 - lost)


def spot_break_even_interruptions(
    spot_price, on_demand_price, gpus=1, checkpoint_seconds=60.0, restart_seconds=300.0, interval_seconds=None
):
    """Interruptions per GPU-hour above which spot capacity costs more than on-demand capacity.

    Found by bisection: `spot_overhead` rises with the interruptions.

    Returns
    -------
    [1/hour], 0 where spot never pays, inf where it pays at 1,000 interruptions of the job an hour.

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    price = positive("spot_price", spot_price)
    bearable = within("on_demand_price", on_demand_price, 0) / price - 1
    gpus = positive("gpus", gpus)

    def overhead(job_rate):
        return spot_overhead(job_rate / gpus, gpus, checkpoint_seconds, restart_seconds, interval_seconds)

    shape = np.broadcast(bearable, gpus, checkpoint_seconds, restart_seconds).shape
    low, high = np.full(shape, -9.0), np.full(shape, 3.0)
    always, never = overhead(10**high) <= bearable, overhead(10**low) > bearable
    for _ in range(60):
        middle = (low + high) / 2
        pays = overhead(10**middle) <= bearable
        low, high = np.where(pays, middle, low), np.where(pays, high, middle)
    return np.where(always, np.inf, np.where(never, 0.0, 10**low / gpus))[()]
