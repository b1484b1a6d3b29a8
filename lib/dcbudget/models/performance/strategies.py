"""Which way to train a model on a cluster: every sensible split, those that fit, and the best with its reason."""

from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.performance.failures import failure_overhead
from dcbudget.models.performance.parallelism import (
    ALL_REDUCE,
    GRADIENT_BYTES,
    OPTIMIZER_BYTES,
    PARAMETER_SERVER,
    iteration_parts,
    memory_gb,
)
from dcbudget.models.performance.work import TOKENS_PER_PARAMETER, Accelerator, Cluster, Transformer
from dcbudget.models.ranges import positive, share, whole, within

SINGLE, ACCUMULATION = "single GPU", "larger batch (accumulation)"
DATA, SERVER, MODEL = "data parallel", "parameter server", "model parallel (tensor, pipeline, data)"
STRATEGIES = (SINGLE, ACCUMULATION, DATA, SERVER, MODEL)
DOES_NOT_FIT = "does not fit"
SPLIT = ("tensor", "pipeline", "data", "expert", "microbatch", "zero", "recompute")


@dataclass(frozen=True)
class Recommendation:
    """How to split a model over a cluster.

    Attributes
    ----------
    choice : one of `STRATEGIES`, or "does not fit".
    reason : a sentence with the numbers that decided.
    gpus : that it takes; tensor, pipeline, data, expert : the split, 0 where nothing fits.
    zero, recompute, microbatch : with which it fits and is quickest.
    iteration_seconds, hours, mfu, memory_gb : of it; NaN where nothing fits, `memory_gb` then the least that is needed.
    candidates : every split that was looked at, the best first: its split, `strategy`, `memory_gb`, `fits`, seconds by
        part (see `iteration_parts`), `hours`, `gpu_hours`, `mfu`.
    """

    choice: str
    reason: str
    gpus: int
    tensor: int
    pipeline: int
    data: int
    expert: int
    zero: int
    recompute: str
    microbatch: int
    iteration_seconds: float
    hours: float
    mfu: float
    memory_gb: float
    candidates: pd.DataFrame

    @property
    def fits(self) -> bool:
        return self.choice != DOES_NOT_FIT


def recommend_parallelism(
    model: Transformer, cluster: Cluster, *, batch: int | None = None, tokens: float | None = None,
    objective: str = "hours", usable_memory: float = 0.9, **conditions,
) -> Recommendation:  # fmt: skip
    """Parameter server, data parallel or model parallel: the quickest split that fits, or the cheapest in GPU-hours.

    Parameters
    ----------
    batch : sequences an iteration, None for the usual one of the size (`Transformer.usual_batch`).
    tokens : of the run, None for 20 a parameter (Hoffmann et al. 2022).
    objective : "hours" uses the whole cluster; "gpu_hours" also looks at 1, 2, 4 ... of its GPUs.
    usable_memory : share of the memory that states and activations may fill; the rest is the framework's.
    conditions : `kernel_efficiency`, `overlap`, `interleave`, `servers`, `server_gb_per_second`, `step_spread`,
        `gradient_bytes`, `optimizer_bytes` (see `iteration_parts`), and `staleness`: by what share an asynchronous
        parameter server needs more iterations.

    Raises
    ------
    OutOfRange : a value is out of its range. That nothing fits is an answer, not an error.
    """
    if objective not in ("hours", "gpu_hours"):
        raise OutOfRange(f"objective must be 'hours' or 'gpu_hours', not {objective!r}")
    sizes = [cluster.gpus]
    if objective == "gpu_hours":
        sizes = sorted({*(2**n for n in range(cluster.gpus.bit_length()) if 2**n <= cluster.gpus), cluster.gpus})
    batch, tokens = _run(model, batch, tokens)
    found = _candidates(model, sizes, cluster, batch, tokens, usable_memory, **conditions)
    found = found[found["strategy"] != SINGLE].drop(columns="number")
    order = np.lexsort((found["memory_gb"], found["tensor"] * found["pipeline"], found[objective], ~found["fits"]))
    found = found.iloc[order].reset_index(drop=True)
    if not found["fits"].iloc[0]:
        least = found.loc[found["memory_gb"].idxmin()]
        return Recommendation(
            DOES_NOT_FIT, _too_large(model, cluster, least, usable_memory), cluster.gpus, 0, 0, 0, 0, 0, "", 0,
            nan, nan, nan, float(least["memory_gb"]), found,
        )  # fmt: skip
    best = found.iloc[0]
    return Recommendation(
        best["strategy"], _reason(best, found, cluster, usable_memory), int(best["gpus"]),
        *(int(best[part]) for part in ("tensor", "pipeline", "data", "expert", "zero")), best["recompute"],
        int(best["microbatch"]), float(best["seconds"]), float(best["hours"]), float(best["mfu"]),
        float(best["memory_gb"]), found,
    )  # fmt: skip


def compare_strategies(
    model: Transformer, cluster_sizes, cluster: Cluster | None = None, *, batch: int | None = None,
    tokens: float | None = None, usable_memory: float = 0.9, critical_batch_tokens: float | None = None,
    mtbf_gpu_hours: float | None = None, checkpoint_seconds: float = 60.0, restart_seconds: float = 600.0,
    **conditions,
) -> pd.DataFrame:  # fmt: skip
    """The best split of each strategy on each number of GPUs: what it takes, and whether it fits.

    One GPU trains sequence by sequence (`single GPU`), or collects the batch (`larger batch (accumulation)`); on more
    GPUs the batch is shared out, with gradients summed by all-reduce or by parameter servers, or the model is split.
    The machines of parameter servers are not among the GPU-hours; there is one for each node, unless told otherwise.

    Parameters
    ----------
    cluster_sizes : numbers of GPUs, or clusters that differ only in these.
    cluster : nodes, bandwidths and accelerator; its number of GPUs does not matter. May be None where the sizes are
        clusters.
    tokens : that the run needs at `batch` (see `recommend_parallelism` for this and the rest).
    critical_batch_tokens : where given, another batch B needs (1 + B/critical) / (1 + batch/critical) of the tokens
        (McCandlish et al. 2018, equation 2.11); else all batches need the same.
    mtbf_gpu_hours : where given, hours include what failures cost (see `failure_overhead`).

    Returns
    -------
    DataFrame : one row a strategy and size: `strategy`, `gpus`, `nodes`, `batch` [sequences], `hours`, `gpu_hours` (all
        GPUs are held), `mfu`, `memory_gb` of a GPU, `fits`, `why` (a sentence), the split (`tensor`, `pipeline`,
        `data`, `expert`, `microbatch`, `zero`, `recompute`) and `seconds` an iteration by part. Where nothing fits,
        hours are null and the split is the one that needs the least memory.

    Raises
    ------
    OutOfRange : a value is out of its range, or nothing fits on any size.
    """
    sizes = sorted({whole("cluster_sizes", getattr(size, "gpus", size)) for size in cluster_sizes})
    if not sizes:
        raise OutOfRange("cluster_sizes must be at least one number of GPUs")
    cluster = cluster or next(size for size in cluster_sizes if isinstance(size, Cluster))
    batch, tokens = _run(model, batch, tokens)
    found = _candidates(model, sorted({1, *sizes}), cluster, batch, tokens, usable_memory, **conditions)
    if critical_batch_tokens is not None:
        critical = positive("critical_batch_tokens", critical_batch_tokens)
        each, usual = found["batch"] * model.sequence, batch * model.sequence
        found["hours"] *= (1 + each / critical) / (1 + usual / critical)
    if mtbf_gpu_hours is not None:
        overhead = failure_overhead(found["gpus"].to_numpy(), mtbf_gpu_hours, checkpoint_seconds, restart_seconds)
        found["hours"] *= 1 + overhead
    found["gpu_hours"] = found["gpus"] * found["hours"]
    rank = np.where(found["fits"], found["hours"], found["memory_gb"])
    order = np.lexsort((found["memory_gb"], rank, ~found["fits"], found["gpus"], found["number"]))
    best = found.iloc[order].drop_duplicates(["strategy", "gpus"]).reset_index(drop=True)
    if not best["fits"].any():
        raise OutOfRange(_too_large(model, cluster, best.loc[best["memory_gb"].idxmin()], usable_memory))
    best["nodes"] = -(-best["gpus"] // cluster.gpus_per_node)
    best.loc[~best["fits"], ["hours", "gpu_hours", "mfu"]] = nan
    best["why"] = [_why(row, cluster.accelerator, usable_memory) for row in best.itertuples()]
    first = ["strategy", "gpus", "nodes", "batch", "hours", "gpu_hours", "mfu", "memory_gb", "fits", "why"]
    return best[first + [name for name in best if name not in (*first, "number")]]


def _run(model: Transformer, batch, tokens) -> tuple[int, float]:
    batch = model.usual_batch if batch is None else whole("batch", batch)
    return batch, positive("tokens", TOKENS_PER_PARAMETER * model.active if tokens is None else tokens)


def _candidates(
    model: Transformer, sizes: list[int], cluster: Cluster, batch: int, tokens: float, usable_memory: float,
    staleness: float = 0.0, **conditions,
) -> pd.DataFrame:  # fmt: skip
    """Every split of every strategy on every size, with its memory, seconds, hours and MFU.

    Parameter servers keep the optimiser's states, so that their workers do not.
    """
    share("usable_memory", usable_memory, above=True)
    within("staleness", staleness, 0)
    grid = _grid(model, np.array(sizes), cluster, batch)
    split = {name: grid[name] for name in SPLIT}
    states = {
        "gradient_bytes": conditions.pop("gradient_bytes", GRADIENT_BYTES),
        "optimizer_bytes": np.where(
            grid["sync"] == PARAMETER_SERVER, 0.0, conditions.pop("optimizer_bytes", OPTIMIZER_BYTES)
        ),
    }
    each = np.where(grid["number"] == 0, grid["microbatch"], batch)
    memory = memory_gb(model, **split, **states, microbatches=np.ceil(each / grid["data"] / grid["microbatch"]))
    parts = iteration_parts(model, cluster, each, **split, **states, sync=grid["sync"], **conditions)
    iterations = tokens / (each * model.sequence) * np.where(grid["sync"] == PARAMETER_SERVER, 1 + staleness, 1.0)
    hours = iterations * parts["seconds"] / 3600.0
    peak = grid["gpus"] * cluster.accelerator.tflops * 1e12
    found = {
        "strategy": np.array(STRATEGIES, dtype=object)[grid["number"]], "number": grid["number"],
        "gpus": grid["gpus"], "batch": each, **split, "memory_gb": memory,
        "fits": memory <= usable_memory * cluster.accelerator.memory_gb, **parts, "hours": hours,
        "gpu_hours": grid["gpus"] * hours, "mfu": model.flops_per_token() * tokens / (peak * hours * 3600.0),
    }  # fmt: skip
    return pd.DataFrame(found)


def _grid(model: Transformer, sizes: np.ndarray, cluster: Cluster, batch: int) -> dict[str, np.ndarray]:
    """The splits worth looking at.

    Tensor parallelism stays within a node and splits heads; stages divide the layers evenly or are a power of two; ZeRO
    3 goes without a pipeline, and with several sizes of microbatch, for it gathers the weights anew for each.
    """
    largest = int(sizes.max())
    most = min(largest, cluster.gpus_per_node, model.attention_heads)
    stages = [p for p in range(1, min(model.layers, largest) + 1) if model.layers % p == 0 or p & (p - 1) == 0]
    experts = [e for e in range(1, min(model.experts, largest) + 1) if model.experts % e == 0]
    axes = [np.array(axis) for axis in (
        range(len(STRATEGIES)), sizes, 2 ** np.arange(most.bit_length()), stages,
        experts if model.expert_parameters else [1], (0, 1, 3), (0, 1), (1, 2, 4, 8),
    )]  # fmt: skip
    number, n, t, p, e, zero, recompute, micro = np.ix_(*axes)
    shape, d = tuple(map(len, axes)), n // (t * p)
    used = t * p * np.maximum(d, 1)
    good = (d >= 1) & (2 * used > n) & (e <= d) & np.where(number <= 1, n == 1, n > 1)
    good = good & ((t * p * e > 1) == (number == 4))
    good = good & np.where(zero == 0, (d == 1) | (number == 3), (d > 1) & (number != 3))
    good = good & ((zero < 3) | (p == 1)) & ((micro == 1) | ((zero == 3) & (micro * d <= batch)))
    number, n, t, p, e, zero, recompute, micro = (
        axis[at] for axis, at in zip(axes, np.nonzero(np.broadcast_to(good, shape)), strict=True)
    )  # fmt: skip
    d = n // (t * p) // e * e
    return {
        "number": number, "gpus": n, "tensor": t, "pipeline": p, "data": d, "expert": e,
        "microbatch": micro, "zero": zero,
        "recompute": np.array(["selective", "full"])[recompute],
        "sync": np.where(number == 3, PARAMETER_SERVER, ALL_REDUCE),
    }  # fmt: skip


def _gpus(count: int) -> str:
    return f"{count:,} GPU" + ("s" if count > 1 else "")


def _named(row) -> str:
    """The split in words."""
    ways = [f"{row.tensor}-way tensor", f"{row.pipeline}-stage pipeline", f"{row.expert}-way expert",
            f"{row.data}-way data"]  # fmt: skip
    counts = (row.tensor, row.pipeline, row.expert, row.data)
    text = ", ".join(way for way, count in zip(ways, counts, strict=True) if count > 1)
    extras = [f"ZeRO {row.zero}"] if row.zero == 3 else []
    extras += ["full recomputation"] if row.recompute == "full" else []
    return " with ".join([f"{text} parallelism" if text else "one GPU", *([" and ".join(extras)] if extras else [])])


def _spent(row) -> str:
    """What an iteration spends outside its kernels."""
    names = {"tensor": "tensor all-reduces", "expert": "all-to-alls of experts", "pipeline": "the pipeline's bubble",
             "data": "gradients", "waiting": "waiting"}  # fmt: skip
    spent = {name: getattr(row, f"{part}_seconds") / row.seconds for part, name in names.items()}
    spent = [f"{spent[name]:.0%} {name}" for name in spent if spent[name] >= 0.005]
    return f"{row.seconds:,.3g} s an iteration" + (f", of which {', '.join(spent)}" if spent else "")


def _why(row, accelerator: Accelerator, usable_memory: float) -> str:
    room = usable_memory * accelerator.memory_gb
    if not row.fits:
        return f"needs {row.memory_gb:,.0f} GB a GPU, {accelerator.name} has {room:,.0f} usable"
    return f"{_named(row)}: {row.memory_gb:,.0f} of {room:,.0f} GB; {_spent(row)}"


def _too_large(model: Transformer, cluster: Cluster, least, usable_memory: float) -> str:
    accelerator = cluster.accelerator
    return (
        f"{model.parameters / 1e9:,.4g}B parameters do not fit: {_named(least)} on {_gpus(least['gpus'])} needs"
        f" {least['memory_gb']:,.1f} GB a GPU, and {accelerator.name} has {usable_memory * accelerator.memory_gb:,.1f}"
        f" of its {accelerator.memory_gb:,.0f} usable"
    )


def _reason(best: pd.Series, found: pd.DataFrame, cluster: Cluster, usable_memory: float) -> str:
    """Why the best candidate goes before the best of each other strategy."""
    room = usable_memory * cluster.accelerator.memory_gb
    text = [f"{best['strategy']}, {_named(best)}, on {_gpus(best['gpus'])}: {best['memory_gb']:,.0f} of {room:,.0f} GB"
            f" a GPU, {_spent(best)}"]  # fmt: skip
    of, gpus, fits, hours, memory = (
        found[name].to_numpy() for name in ("strategy", "gpus", "fits", "hours", "memory_gb")
    )
    for strategy in STRATEGIES:
        others = np.flatnonzero((of == strategy) & (gpus == best["gpus"]))
        if strategy == best["strategy"] or not len(others):
            continue
        if fits[others[0]]:
            text.append(f"{strategy} takes {hours[others[0]] / best['hours']:,.2f} times as long")
        else:
            text.append(f"{strategy} does not fit ({memory[others].min():,.0f} GB)")
    return "; ".join(text)
