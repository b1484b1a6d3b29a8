"""Ways of training side by side: what each takes in time and money, and which are worth considering."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models import cost
from dcbudget.models.performance import (
    KERNEL_EFFICIENCY,
    Cluster,
    Recommendation,
    Scaling,
    Transformer,
    kernel_efficiency_of,
    pareto,
    recommend_parallelism,
)
from dcbudget.models.performance.parallelism import ALL_REDUCE, PARAMETER_SERVER
from dcbudget.models.performance.strategies import SERVER, SPLIT


def calibrated(model: Transformer, cluster: Cluster, mfu: float, **run) -> float:
    """The efficiency of kernels with which the best split has a measured MFU on the fewest nodes that hold the model.

    Communication and idling on larger clusters then come on top, as they do where the MFU was measured on small ones.

    Parameters
    ----------
    cluster : nodes of the run; its GPUs are the most that are looked at.
    mfu : measured, decimal.
    run : `batch` and `tokens` as `performance.recommend_parallelism` takes them.

    Returns
    -------
    Decimal; the usual efficiency where the model does not fit.

    Raises
    ------
    OutOfRange : a value out of its range, or an MFU that no kernels reach on this cluster.
    """
    gpus = min(cluster.gpus, cluster.gpus_per_node)
    while True:
        nodes = replace(cluster, gpus=gpus)
        best = _recommended(model, nodes, tuple(run.items()))
        if best.fits:
            split = {name: getattr(best, name) for name in SPLIT}
            split["sync"] = PARAMETER_SERVER if best.choice == PARAMETER_SERVER else ALL_REDUCE
            return kernel_efficiency_of(mfu, model, nodes, run["batch"], **split)
        if gpus >= cluster.gpus:
            return KERNEL_EFFICIENCY
        gpus = min(2 * gpus, cluster.gpus)


@lru_cache(maxsize=16)
def _recommended(model: Transformer, cluster: Cluster, run: tuple) -> Recommendation:
    """The split that is looked at again and again while only prices or the MFU change."""
    return recommend_parallelism(model, cluster, **dict(run))


def priced(
    strategies: pd.DataFrame,
    price_per_gpu_hour: float,
    interruptions_per_gpu_hour: float = 0.0,
    checkpoint_seconds: float = 60.0,
    restart_seconds: float = 300.0,
    price_per_server_hour: float = 0.0,
) -> pd.DataFrame:
    """Strategies that fit with their money, the overhead of interruptions in time and money, and the frontier marked.

    Parameters
    ----------
    strategies : `strategy`, `gpus`, `hours`, `gpu_hours` of the work alone, `fits`, and more.
    price_per_gpu_hour : [money per GPU-hour].
    interruptions_per_gpu_hour : [1 / GPU-hour], 0 for capacity that nobody takes away.
    checkpoint_seconds, restart_seconds : see `cost.spot_overhead`.
    price_per_server_hour : of a parameter server, of which there is one for each node of workers [money per hour].

    Returns
    -------
    DataFrame : those that fit, with `hours` and `gpu_hours` that are paid for, `cost` [money] and `pareto` (bool),
        the quickest first.

    Raises
    ------
    OutOfRange : a value outside its range; none of the strategies fits.
    """
    fitting = strategies[strategies["fits"]]
    if fitting.empty:
        why = strategies["why"].iloc[-1] if len(strategies) else "there is none"
        raise OutOfRange(f"no strategy fits: {why}")
    overhead = cost.spot_overhead(
        interruptions_per_gpu_hour, fitting["gpus"].to_numpy(float), checkpoint_seconds, restart_seconds
    )
    frame = fitting.assign(hours=fitting["hours"] * (1 + overhead), gpu_hours=fitting["gpu_hours"] * (1 + overhead))
    frame["cost"] = cost.rented_cost(frame["gpu_hours"].to_numpy(float), price_per_gpu_hour)
    served = (frame["strategy"] == SERVER).to_numpy()
    server_hours = (frame["nodes"] * frame["hours"]).to_numpy(float)[served]
    frame.loc[served, "cost"] += cost.rented_cost(server_hours, price_per_server_hour)
    frame = frame[np.isfinite(frame["hours"])]
    frame["pareto"] = pareto(frame, "hours", "cost")
    return frame.sort_values(["hours", "cost"], ignore_index=True)


def scaled(points: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """The shape of a measured frontier, moved to where a comparison has its smallest size.

    Parameters
    ----------
    points : `gpus`, `hours`, `cost` of one strategy by size.
    measured : `gpus`, `minutes` of another job.

    Returns
    -------
    DataFrame : `gpus`, `hours`, `cost` as they would be if the strategy scaled as the measured job did, from the
        smallest size that both have; empty where they share none.
    """
    common = sorted(set(points["gpus"]) & set(measured["gpus"]))
    if not common:
        return pd.DataFrame({"gpus": [], "hours": [], "cost": []})
    here = points[points["gpus"] == common[0]].iloc[0]
    there = measured[measured["gpus"] == common[0]].iloc[0]
    rest = measured[measured["gpus"] >= common[0]]
    time = rest["minutes"] / there["minutes"]
    return pd.DataFrame(
        {
            "gpus": rest["gpus"],
            "hours": here["hours"] * time,
            "cost": here["cost"] * time * rest["gpus"] / there["gpus"],
        }
    ).reset_index(drop=True)


def measured_law(measured: pd.DataFrame) -> pd.DataFrame:
    """Measured run times beside the law that all sizes of a job but the largest give (see `Scaling`).

    Parameters
    ----------
    measured : `job`, `gpus`, `minutes`, at least three sizes a job.

    Returns
    -------
    DataFrame : the same rows by job and size, with `gpu_hours`, `speed` and `price` (times the smallest size's speed
        and GPU-hours), `law` [minutes], `off` (law against measured, decimal) and `beyond` (times the largest fitted
        size, 1 within).
    """
    parts = []
    for _, part in measured.groupby("job", sort=False):
        part = part.sort_values("gpus")
        gpus, hours = part["gpus"].to_numpy(float), part["minutes"].to_numpy(float) / 60
        law = Scaling.fit(gpus[:-1], hours[:-1])
        parts.append(part.assign(
            gpu_hours=gpus * hours, speed=hours[0] / hours, price=gpus * hours / (gpus[0] * hours[0]),
            law=60 * law.hours(gpus), off=law.hours(gpus) / hours - 1, beyond=law.extrapolation(gpus),
        ))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def by_mode(runs: pd.DataFrame, price_per_server_hour: float) -> pd.DataFrame:
    """Measured runs by mode: time, server-hours and money to the target accuracy over the seeds.

    Parameters
    ----------
    runs : `strategy`, `processes`, `batch_size`, `accumulation`, `reached` (bool), `seconds_to_target` [s],
        `server_hours`, `final_accuracy`, `final_f1`, one row a run.
    price_per_server_hour : [money per server-hour].

    Returns
    -------
    DataFrame : one row a mode: `mode`, `strategy`, `processes`, `global_batch`, `runs`, `reached` (share of the runs),
        `seconds`, `seconds_low`, `seconds_high` (median and range of those that reached it), `server_hours` (median),
        `cost` (median, of the runs that reached it) and `cost_low`, `cost_high` [money], `final_accuracy`, `final_f1`
        (medians); the quickest first, modes that never got there last.

    Raises
    ------
    OutOfRange : a negative price.
    """
    reached = runs["reached"].astype(bool)
    frame = runs.assign(
        global_batch=runs["processes"] * runs["batch_size"] * runs["accumulation"],
        paid=cost.rented_cost(runs["server_hours"], price_per_server_hour),
        seconds=runs["seconds_to_target"].where(reached),
    )
    frame["paid"] = frame["paid"].where(reached)
    keys = ["strategy", "processes", "global_batch"]
    found = frame.groupby(keys, as_index=False).agg(
        runs=("reached", "size"), reached=("reached", "mean"),
        seconds=("seconds", "median"), seconds_low=("seconds", "min"), seconds_high=("seconds", "max"),
        server_hours=("server_hours", "median"), cost=("paid", "median"), cost_low=("paid", "min"),
        cost_high=("paid", "max"), final_accuracy=("final_accuracy", "median"), final_f1=("final_f1", "median"),
    )  # fmt: skip
    batch = found["global_batch"].map("{:,.0f}".format)
    found["mode"] = found["strategy"] + found["processes"].map(lambda n: f" x {n:.0f}" if n > 1 else "")
    found["mode"] += ", batch " + batch
    return found.sort_values(["seconds", "mode"], na_position="last", ignore_index=True)
