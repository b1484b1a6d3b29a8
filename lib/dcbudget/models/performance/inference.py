"""Serving a transformer: prefill is bound by compute, decode by memory bandwidth."""

from dataclasses import dataclass

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.performance.work import Accelerator, Transformer
from dcbudget.models.ranges import positive, share, whole, within


@dataclass(frozen=True)
class Serving:
    """A replica of a model under load.

    Attributes
    ----------
    gpus : of the replica; batch : requests that it answers at a time.
    memory_gb : of each GPU, weights and caches; kv_cache_gb : of each request at its end.
    prefill_tokens_per_second, decode_tokens_per_second : of the replica while it does only this.
    tokens_per_second_per_gpu : input and output tokens together, over the time of both.
    seconds_per_request : from the first input token to the last output token at this batch.
    decode_bound : "memory bandwidth" or "compute".
    """

    gpus: int
    batch: int
    memory_gb: float
    kv_cache_gb: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    tokens_per_second_per_gpu: float
    seconds_per_request: float
    decode_bound: str


def kv_cache_bytes_per_token(model: Transformer, bytes_per_value: float = 2.0) -> float:
    """Bytes of keys and values that a token leaves in the cache: 2 * layers * width of the key-value heads.

    Source: Kwon et al. 2023 (vLLM), section 3: 800 KB a token of OPT-13B.
    """
    width = model.hidden * (model.kv_heads or model.attention_heads) / model.attention_heads
    return 2.0 * model.layers * width * positive("bytes_per_value", bytes_per_value)


def serve(
    model: Transformer, accelerator: Accelerator, *, input_tokens: float = 1024, output_tokens: float = 256,
    batch: int | None = None, gpus: int | None = None, most_gpus: int = 8, bytes_per_parameter: float = 2.0,
    compute_efficiency: float = 0.5, bandwidth_efficiency: float = 0.7, usable_memory: float = 0.9,
) -> Serving:  # fmt: skip
    """A replica's throughput by the roofline of its GPUs.

    A token costs 2 FLOPs a parameter and 4 * layers * hidden * context of attention; a decode step reads the weights
    (of a mixture of experts those that its batch touches) and every request's cache from memory, or computes, which
    takes longer. Splitting over GPUs is taken to be free within a node.

    Parameters
    ----------
    input_tokens, output_tokens : of a request, means.
    batch : requests at a time; None for as many as the memory holds.
    gpus : of a replica; None for the fewest of 1, 2, 4 ... `most_gpus` of which weights and `batch` fill a half.
    compute_efficiency, bandwidth_efficiency : shares of the peaks that kernels achieve.
    usable_memory : share of the memory that weights and caches may fill.

    Source: Pope et al. 2022, "Efficiently scaling transformer inference", sections 2 and 3; Kwon et al. 2023.

    Raises
    ------
    OutOfRange : a value is out of its range, the accelerator's bandwidth is unknown, or the model does not fit.
    """
    inputs, outputs = positive("input_tokens", input_tokens), positive("output_tokens", output_tokens)
    if np.isnan(accelerator.memory_gb_per_second):
        raise OutOfRange(f"memory_gb_per_second of {accelerator.name} must be known for decoding, and is not")
    room = accelerator.memory_gb * share("usable_memory", usable_memory, above=True)
    weights = model.parameters * positive("bytes_per_parameter", bytes_per_parameter)
    cache = kv_cache_bytes_per_token(model) * (inputs + outputs)
    asked = 1 if batch is None else whole("batch", batch)
    need = (weights + asked * cache) / 1e9
    if gpus is None:
        sizes = [2**n for n in range(whole("most_gpus", most_gpus).bit_length())]
        gpus = next((size for size in sizes if need <= size * room / 2), sizes[-1])
    if need > whole("gpus", gpus) * room:
        raise OutOfRange(
            f"gpus must have {need:,.1f} GB together for weights and {asked:,} requests, and {gpus} {accelerator.name}"
            f" have {gpus * room:,.1f} usable"
        )
    batch = int((gpus * room * 1e9 - weights) // cache) if batch is None else asked

    flops = gpus * accelerator.tflops * 1e12 * share("compute_efficiency", compute_efficiency, above=True)
    bandwidth = gpus * accelerator.memory_gb_per_second * 1e9
    bandwidth *= share("bandwidth_efficiency", bandwidth_efficiency, above=True)
    attention = 4.0 * model.layers * model.hidden
    prefill = inputs * (2.0 * model.active + attention * inputs / 2) / flops
    context = inputs + outputs / 2
    computing = batch * (2.0 * model.active + attention * context) / flops
    reading = (_touched(model, batch) * bytes_per_parameter + batch * cache * context / (inputs + outputs)) / bandwidth
    step = max(computing, reading)
    seconds = batch * prefill + outputs * step
    return Serving(
        gpus=gpus, batch=batch, memory_gb=(weights + batch * cache) / 1e9 / gpus, kv_cache_gb=cache / 1e9,
        prefill_tokens_per_second=inputs / prefill, decode_tokens_per_second=batch / step,
        tokens_per_second_per_gpu=batch * (inputs + outputs) / seconds / gpus, seconds_per_request=seconds,
        decode_bound="compute" if computing > reading else "memory bandwidth",
    )  # fmt: skip


def inference_throughput(model: Transformer, accelerator: Accelerator, **fields) -> float:
    """Input and output tokens per second and GPU, of the replica that `serve` describes; `fields` are its own."""
    return serve(model, accelerator, **fields).tokens_per_second_per_gpu


def serving_gpu_hours(input_tokens, output_tokens, tokens_per_second_per_gpu, utilisation):
    """GPU-hours that tokens need: tokens / (tokens per second and GPU x utilisation x 3600); vectorised.

    Parameters
    ----------
    input_tokens, output_tokens : of the period, at least 0.
    tokens_per_second_per_gpu : input and output tokens together.
    utilisation : share of the time that the replicas have requests to answer, above 0 and at most 1.
    """
    tokens = within("input_tokens", input_tokens, 0) + within("output_tokens", output_tokens, 0)
    rate = positive("tokens_per_second_per_gpu", tokens_per_second_per_gpu)
    return tokens / (rate * share("utilisation", utilisation, above=True) * 3600.0)


def _touched(model: Transformer, batch: int) -> float:
    """Parameters that a step of a batch reads: of n experts 1 - (1 - k/n)^batch, each token drawing its k at random."""
    shared = model.parameters - model.expert_parameters
    return shared + model.expert_parameters * (1 - (1 - min(model.experts_per_token / model.experts, 1)) ** batch)
