"""A model split over GPUs: the memory that each needs, and the time that an iteration computes and communicates.

Ranks lie as in Megatron-LM: tensor-parallel ones next to each other, then data- (and expert-) parallel ones, then the
stages of the pipeline. Every argument that describes a split may be an array; all are broadcast against each other.
"""

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.performance.work import RECOMPUTE, Cluster, Transformer
from dcbudget.models.ranges import positive, share, whole, within

# Mixed-precision Adam (Rajbhandari et al. 2020, section 3.1): weights and gradients in two bytes; weights, momentum and
# variance in four bytes each. Gradients in four bytes make 18 of these 16 (Korthikanti et al. 2022).
WEIGHT_BYTES, GRADIENT_BYTES, OPTIMIZER_BYTES = 2.0, 2.0, 12.0
ACTIVATION_BYTES = 2.0
# What is left of the peak in kernels, communication and idling apart: about what table 5 of Korthikanti et al. 2022
# leaves for A100 (see `kernel_efficiency_of`).
KERNEL_EFFICIENCY = 0.6
ALL_REDUCE, PARAMETER_SERVER = "all-reduce", "parameter server"


def ring_seconds(gigabytes, ranks, gb_per_second):
    """Seconds of a ring all-reduce: 2 * (n - 1)/n * bytes / bandwidth of each rank in one direction.

    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    ranks = np.asarray(ranks)
    return 2.0 * (ranks - 1) / ranks * gigabytes / gb_per_second


def all_reduce_seconds(gigabytes, ranks, ranks_per_node, node_gb_per_second, network_gb_per_second):
    """Seconds of an all-reduce in two levels.

    Reduce-scatter inside each node, all-reduce of the parts between nodes, each rank over its own link, all-gather
    inside: ring(n_node) of all bytes at the node's bandwidth, and ring(nodes) of 1/n_node of them at the network's.

    Parameters
    ----------
    ranks : that hold the same parameters; ranks_per_node : of them in a node, at least 1.
    """
    inside = np.minimum(ranks, np.maximum(ranks_per_node, 1))
    between = np.ceil(np.asarray(ranks) / inside)
    return ring_seconds(gigabytes, inside, node_gb_per_second) + ring_seconds(
        gigabytes / inside, between, network_gb_per_second
    )


def parameter_server_seconds(gigabytes, workers, servers, server_gb_per_second, worker_gb_per_second):
    """Seconds in which every worker pushes its gradients to the servers and pulls the parameters.

    workers * 2 * bytes / (servers * bandwidth) at the servers, or 2 * bytes / bandwidth at each worker, whichever is
    longer.

    Source: Li et al. 2014, "Scaling distributed machine learning with the parameter server"; Jiang et al. 2020
    (BytePS), section 2.
    """
    at_servers = np.asarray(workers) * 2.0 * gigabytes / (np.asarray(servers) * server_gb_per_second)
    return np.maximum(at_servers, 2.0 * gigabytes / worker_gb_per_second)


def bubble(pipeline, microbatches):
    """Share of a pipeline's time in which a stage idles: (p - 1)/(m + p - 1).

    Source: Huang et al. 2019 (GPipe), section 2.3; Narayanan et al. 2021, section 2.2.1.
    """
    pipeline, microbatches = np.asarray(pipeline), np.asarray(microbatches)
    return (pipeline - 1) / (microbatches + pipeline - 1)


def state_gb(
    model: Transformer, *, tensor=1, pipeline=1, data=1, expert=1, zero=0,
    gradient_bytes: float = GRADIENT_BYTES, optimizer_bytes: float = OPTIMIZER_BYTES,
):  # fmt: skip
    """GB of parameters, gradients and optimiser on a GPU of the first stage, which has the embedding too.

    ZeRO divides over the ranks of `data` from stage 1 on the optimiser, from 2 on the gradients, at 3 the parameters
    too. Experts lie on `expert` of the `data` ranks, so each is repeated on data/expert of them.

    Source: Rajbhandari et al. 2020 (ZeRO), figure 1.
    """
    total = 0.0
    for parameters, copies in _held(model, tensor, pipeline, data, expert):
        total = total + parameters * (
            WEIGHT_BYTES / np.where(np.asarray(zero) >= 3, copies, 1)
            + gradient_bytes / np.where(np.asarray(zero) >= 2, copies, 1)
            + optimizer_bytes / np.where(np.asarray(zero) >= 1, copies, 1)
        )
    return total / 1e9


def activation_gb(model: Transformer, *, tensor=1, pipeline=1, microbatch=1, microbatches=None, recompute="selective"):
    """GB of activations on a GPU of the first stage, with tensor and sequence parallelism.

    A layer keeps sbh/t * (34 + 5as/h) bytes of a microbatch, 34sbh/t where the attention core is recomputed
    (`selective`, or a fused attention), 2sbh/t where all of it is (`full`; a layer's 34 at a time come on top). The
    first stage holds as many microbatches as there are stages. The embedding keeps sbh/t of each; where there is one
    stage, the output layer keeps 4sb/t * (h + V).

    Parameters
    ----------
    microbatch : sequences b; microbatches : of an iteration, None for at least as many as stages.

    Source: Korthikanti et al. 2022, table 2 and section 4.3.
    """
    pipeline, recompute = np.asarray(pipeline), np.asarray(recompute)
    s, h, layers = model.sequence, model.hidden, np.ceil(model.layers / pipeline)
    held = pipeline if microbatches is None else np.minimum(pipeline, microbatches)
    each = 1.0 * s * h * np.asarray(microbatch) / np.asarray(tensor)
    scores = 5.0 * model.attention_heads * s / h
    a_layer = np.select([recompute == "none", recompute == "selective"], [34.0 + scores, 34.0], 2.0)
    kept = held * (layers * a_layer + 1) + np.where(recompute == "full", 34.0, 0.0)
    output = np.where(pipeline == 1, 4.0 * (1 + model.vocabulary / h), 0.0)
    return each * (kept + output) / 1e9


def memory_gb(
    model: Transformer, *, tensor=1, pipeline=1, data=1, expert=1, microbatch=1, microbatches=None, zero=0,
    recompute="selective", gradient_bytes: float = GRADIENT_BYTES, optimizer_bytes: float = OPTIMIZER_BYTES,
):  # fmt: skip
    """GB that training needs on the fullest GPU: states and activations (see `state_gb`, `activation_gb`).

    Buffers of the framework and fragmentation are left out: leave them a share of the memory.

    Raises
    ------
    OutOfRange : a part of the split is no whole number of at least 1, or another value is out of its range.
    """
    _check_split(model, tensor, pipeline, data, expert, microbatch, zero, recompute)
    positive("gradient_bytes", gradient_bytes)
    within("optimizer_bytes", optimizer_bytes, 0)
    states = state_gb(
        model, tensor=tensor, pipeline=pipeline, data=data, expert=expert, zero=zero,
        gradient_bytes=gradient_bytes, optimizer_bytes=optimizer_bytes,
    )  # fmt: skip
    return states + activation_gb(
        model, tensor=tensor, pipeline=pipeline, microbatch=microbatch, microbatches=microbatches, recompute=recompute
    )


def iteration_parts(
    model: Transformer, cluster: Cluster, batch, *, tensor=1, pipeline=1, data=1, expert=1, microbatch=1, zero=0,
    recompute="selective", interleave=1, sync=ALL_REDUCE, servers=None, server_gb_per_second=None,
    kernel_efficiency=KERNEL_EFFICIENCY, overlap=0.5, step_spread=0.0, gradient_bytes: float = GRADIENT_BYTES,
    optimizer_bytes: float = OPTIMIZER_BYTES,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Seconds of an iteration by what they are spent on.

    Parameters
    ----------
    cluster : its accelerator, nodes and bandwidths; the GPUs in use are tensor * pipeline * data.
    batch : sequences of an iteration, of all GPUs.
    interleave : parts of the model on each stage, at most one a layer, which divide the bubble (Narayanan et al. 2021,
        section 2.2.2).
    sync : how gradients are summed: "all-reduce", or an asynchronous "parameter server", whose workers do not wait for
        each other.
    servers : of parameters, None for one a node of workers; server_gb_per_second : of each, None for the network's.
    kernel_efficiency : share of the peak that kernels reach while they compute; communication is computed, and an MFU
        is a result (see `kernel_efficiency_of`).
    overlap : share of the gradients' communication that can be hidden, behind the backward pass at most.
    step_spread : standard deviation of a worker's step as a share of its mean; those who wait for each other wait for
        the slowest, sqrt(2 ln n) deviations above the mean of n.

    Returns
    -------
    dict : `compute_seconds`, `tensor_seconds` (4 all-reduces of 2bsh bytes a layer and microbatch, 6 with full
        recomputation; Shoeybi et al. 2019), `expert_seconds` (as many all-to-alls of a token's copies; Lepikhin et al.
        2020), `pipeline_seconds` (bubble and sending), `data_seconds` (gradients, what is not hidden; ZeRO 3 gathers
        the weights twice a microbatch), `optimizer_seconds` (each state read and written once, where the memory
        bandwidth is known), `waiting_seconds`, and their sum `seconds`.

    Raises
    ------
    OutOfRange : a value is out of its range.
    """
    _check_split(model, tensor, pipeline, data, expert, microbatch, zero, recompute)
    whole("batch", batch)
    whole("interleave", interleave)
    share("kernel_efficiency", kernel_efficiency, above=True)
    share("overlap", overlap)
    within("step_spread", step_spread, 0)
    positive("gradient_bytes", gradient_bytes)
    within("optimizer_bytes", optimizer_bytes, 0)
    t, p, d, e, b = (np.asarray(part) for part in (tensor, pipeline, data, expert, microbatch))
    zero, recompute, sync = np.asarray(zero), np.asarray(recompute), np.asarray(sync)
    if not np.isin(sync, (ALL_REDUCE, PARAMETER_SERVER)).all():
        other = _first_other(sync, (ALL_REDUCE, PARAMETER_SERVER))
        raise OutOfRange(f"sync must be {ALL_REDUCE!r} or {PARAMETER_SERVER!r}, not {other!r}")
    per_node, node, network = cluster.gpus_per_node, cluster.node_gb_per_second, cluster.network_gb_per_second
    microbatches, layers = np.ceil(batch / (d * b)), np.ceil(model.layers / p)
    tokens = b * model.sequence

    flops = np.select([recompute == name for name in RECOMPUTE], [model.flops_per_token(name) for name in RECOMPUTE])
    compute = flops * tokens * layers / model.layers / t / (cluster.accelerator.tflops * 1e12 * kernel_efficiency)
    passes, sent = np.where(recompute == "full", 6.0, 4.0), ACTIVATION_BYTES * tokens * model.hidden / 1e9
    tensor_seconds = layers * passes * ring_seconds(sent, t, np.where(t <= per_node, node, network))
    to_others = (e - 1) / e * model.experts_per_token * sent / t
    expert_seconds = layers * passes * to_others / np.where(t * e <= per_node, node, network)
    interleave = np.minimum(interleave, layers)
    stage = compute + tensor_seconds + expert_seconds
    sending = np.where(p > 1, 2.0 * sent / t / np.where(t * d * p <= per_node, node, network), 0.0)
    pipeline_seconds = (p - 1) / interleave * stage + microbatches * interleave * sending

    reduced, updated = _gradients(
        model, cluster, (t, p, d, e), microbatches, zero, sync, servers, server_gb_per_second, gradient_bytes,
        optimizer_bytes,
    )  # fmt: skip
    backward = 2 / 3 * model.flops_per_token() / flops * microbatches * compute
    hidden = np.minimum(overlap * reduced, backward)
    bandwidth = cluster.accelerator.memory_gb_per_second
    waiting = np.where(
        sync == PARAMETER_SERVER, 0.0, step_spread * np.sqrt(2 * np.log(np.maximum(d, 1))) * microbatches * stage
    )
    parts = {
        "compute_seconds": microbatches * compute,
        "tensor_seconds": microbatches * tensor_seconds,
        "expert_seconds": microbatches * expert_seconds,
        "pipeline_seconds": pipeline_seconds,
        "data_seconds": reduced - hidden,
        "optimizer_seconds": 2.0 * updated / 1e9 / bandwidth if np.isfinite(bandwidth) else 0.0 * updated,
        "waiting_seconds": waiting,
    }
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts.values()))
    parts = {name: np.broadcast_to(part, shape)[()] for name, part in parts.items()}
    return parts | {"seconds": sum(parts.values())}


def _gradients(
    model: Transformer, cluster: Cluster, split, microbatches, zero, sync, servers, server_gb_per_second,
    gradient_bytes: float, optimizer_bytes: float,
):  # fmt: skip
    """Seconds in which gradients are summed, and bytes of states that each GPU updates, of an iteration."""
    t, p, d, e = split
    per_node, node, network = cluster.gpus_per_node, cluster.node_gb_per_second, cluster.network_gb_per_second
    servers = np.ceil(t * p * d / per_node) if servers is None else whole("servers", servers)
    server_gb_per_second = positive(
        "server_gb_per_second", network if server_gb_per_second is None else server_gb_per_second
    )
    reduced, updated = 0.0, 0.0
    for parameters, copies in _held(model, t, p, d, e):
        gigabytes = parameters * gradient_bytes / 1e9
        within_node = np.maximum(per_node // t // np.where(copies < d, e, 1), 1)
        shared = all_reduce_seconds(gigabytes, copies, within_node, node, network)
        served = parameter_server_seconds(gigabytes, d, servers, server_gb_per_second, network)
        shared = shared * np.where(zero >= 3, microbatches * WEIGHT_BYTES / gradient_bytes + 0.5, 1.0)
        reduced = reduced + np.where(sync == PARAMETER_SERVER, np.where(d > 1, served, 0.0), shared)
        updated = updated + parameters * (WEIGHT_BYTES + gradient_bytes + optimizer_bytes) / np.where(
            zero >= 1, copies, 1
        )
    return reduced, updated


def iteration_seconds(model: Transformer, cluster: Cluster, batch, **split):
    """Seconds of an iteration; arguments as those of `iteration_parts`."""
    return iteration_parts(model, cluster, batch, **split)["seconds"]


def utilisation_of(model: Transformer, cluster: Cluster, batch, **split):
    """MFU of a split, a result of kernels, communication and idling; arguments as those of `iteration_parts`."""
    gpus = np.asarray(split.get("tensor", 1)) * split.get("pipeline", 1) * split.get("data", 1)
    flops = model.flops_per_token() * model.sequence * np.asarray(batch)
    seconds = iteration_seconds(model, cluster, batch, **split)
    return (flops / (gpus * cluster.accelerator.tflops * 1e12 * seconds))[()]


def kernel_efficiency_of(mfu: float, model: Transformer, cluster: Cluster, batch: int, **split) -> float:
    """The kernel efficiency with which a split has a measured MFU; arguments as those of `iteration_parts`.

    Raises
    ------
    OutOfRange : no kernel efficiency up to 1 has this MFU: the split communicates or idles too much for it.
    """
    share("mfu", mfu, above=True)
    efficiencies = np.linspace(0.001, 1, 4000)
    found = utilisation_of(model, cluster, batch, kernel_efficiency=efficiencies, **split)
    if not found[0] <= mfu <= found[-1]:
        raise OutOfRange(f"mfu must be from {found[0]:.3f} to {found[-1]:.3f} for this split and cluster, not {mfu:g}")
    return float(np.interp(mfu, found, efficiencies))


def _held(model: Transformer, tensor, pipeline, data, expert):
    """Parameters on a GPU of the first stage, and on how many GPUs the same ones are: of the experts, and the others.

    The first stage has the embedding, and ceil(layers / p) of the layers.
    """
    tensor, pipeline, data, expert = (np.asarray(part) for part in (tensor, pipeline, data, expert))
    layers = np.ceil(model.layers / pipeline) / model.layers
    embedding = min(model.vocabulary * model.hidden, model.parameters - model.expert_parameters)
    others = model.parameters - model.expert_parameters - embedding
    held = [((others * layers + embedding) / tensor, data)]
    if model.expert_parameters:
        held.append((model.expert_parameters * layers / tensor / expert, np.maximum(data / expert, 1)))
    return held


def _check_split(model, tensor, pipeline, data, expert, microbatch, zero, recompute):
    whole("tensor", tensor)
    whole("pipeline", pipeline, 1, model.layers)
    whole("data", data)
    whole("expert", expert, 1, model.experts)
    if np.any(np.asarray(data) % np.asarray(expert)):
        raise OutOfRange("expert must divide data: experts lie on ranks of data parallelism")
    whole("microbatch", microbatch)
    whole("zero", zero, 0, 3)
    if not np.isin(recompute, RECOMPUTE).all():
        raise OutOfRange(f"recompute must be one of {', '.join(RECOMPUTE)}, not {_first_other(recompute, RECOMPUTE)!r}")


def _first_other(values, known) -> str:
    return str(next(value for value in np.ravel(values) if value not in known))
