"""Time = work / (resources x efficiency): the FLOPs of training a transformer, and what computes them."""

from dataclasses import dataclass
from math import nan

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, share, whole, within

# Shapes of GPT-3 (Brown et al. 2020, table 2.1) and of 1T (Narayanan et al. 2021, table 1): parameters -> layers.
USUAL_SHAPES = {125e6: 12, 350e6: 24, 1.3e9: 24, 2.7e9: 32, 6.7e9: 32, 13e9: 40, 175e9: 96, 1.008e12: 128}
# Parameters -> tokens a batch, of the same tables.
USUAL_BATCHES = {125e6: 0.5e6, 1.3e9: 1e6, 13e9: 2e6, 175e9: 3.2e6, 1.008e12: 6.3e6}
# Hoffmann et al. 2022 (Chinchilla), table 3: a compute-optimal run sees about 20 tokens a parameter.
TOKENS_PER_PARAMETER = 20.0
# What recomputes activations in the backward pass (Korthikanti et al. 2022).
RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True)
class Accelerator:
    """A kind of accelerator.

    Attributes
    ----------
    memory_gb [GB]; tflops : peak of dense matrices at the training precision [TFLOP/s];
    memory_gb_per_second [GB/s]; tdp_watts [W].

    Raises
    ------
    OutOfRange : memory or TFLOP/s is not above 0 and finite; bandwidth and power may be unknown (NaN).
    """

    name: str
    memory_gb: float
    tflops: float
    memory_gb_per_second: float = nan
    tdp_watts: float = nan

    def __post_init__(self):
        positive(f"memory_gb of {self.name}", self.memory_gb)
        positive(f"tflops of {self.name}", self.tflops)
        for field in ("memory_gb_per_second", "tdp_watts"):
            if not np.isnan(getattr(self, field)):
                positive(f"{field} of {self.name}", getattr(self, field))


@dataclass(frozen=True)
class Cluster:
    """Accelerators in nodes; bandwidths per GPU in one direction [GB/s]: inside a node, and between nodes.

    Raises
    ------
    OutOfRange : GPUs are no whole number of at least 1, or a bandwidth is not above 0.
    """

    accelerator: Accelerator
    gpus: int
    gpus_per_node: int = 8
    node_gb_per_second: float = 450.0
    network_gb_per_second: float = 50.0

    def __post_init__(self):
        whole("gpus", self.gpus)
        whole("gpus_per_node", self.gpus_per_node)
        positive("node_gb_per_second", self.node_gb_per_second)
        positive("network_gb_per_second", self.network_gb_per_second)


@dataclass(frozen=True)
class Transformer:
    """A transformer: its parameters and shape.

    Attributes
    ----------
    parameters : all of them, those of every expert and of the embeddings included.
    layers, hidden, sequence [tokens], vocabulary, heads (0: one for each 128 of `hidden`).
    active_parameters : that a token passes through, of a mixture of experts; None for a dense model.
    experts, experts_per_token : of each layer; 1 for a dense model.
    kv_heads : heads of keys and values, fewer with grouped-query attention (0: as many as `heads`).

    Raises
    ------
    OutOfRange : a field is not above 0, or more parameters are active than there are.
    """

    parameters: float
    layers: int
    hidden: int
    sequence: int = 4096
    vocabulary: int = 50_000
    heads: int = 0
    active_parameters: float | None = None
    experts: int = 1
    experts_per_token: int = 2
    kv_heads: int = 0

    def __post_init__(self):
        positive("parameters", self.parameters)
        for field in ("layers", "hidden", "sequence", "vocabulary", "experts", "experts_per_token"):
            whole(field, getattr(self, field))
        whole("heads", self.heads, 0)
        whole("kv_heads", self.kv_heads, 0)
        if self.active_parameters is not None:
            within("active_parameters", self.active_parameters, 0, self.parameters, above=True)
            if self.active_parameters < self.parameters and self.experts_per_token >= self.experts:
                raise OutOfRange(
                    f"experts must be more than the {self.experts_per_token} that a token passes through"
                    f" where fewer parameters are active than there are, not {self.experts}"
                )

    @classmethod
    def of_size(cls, parameters: float, **fields) -> "Transformer":
        """The usual shape for a parameter count (of the active ones, for a mixture of experts).

        Layers lie between those of published models (see `USUAL_SHAPES`) on the logarithm of the parameters, in fours;
        the width is what 12 * layers * hidden^2 + vocabulary * hidden makes of the rest.

        Parameters
        ----------
        fields : as those of the class, which go before the usual ones.
        """
        positive("parameters", parameters)
        size = fields.get("active_parameters") or parameters
        layers = fields.get("layers") or 4 * round(_between(USUAL_SHAPES, size) / 4)
        vocabulary = fields.get("vocabulary", cls.vocabulary)
        hidden = (np.sqrt(vocabulary**2 + 48.0 * layers * size) - vocabulary) / (24 * layers)
        step = 128 if hidden >= 256 else 16
        usual = {"layers": layers, "hidden": max(step, step * round(hidden / step))}
        return cls(parameters=parameters, **(usual | fields))

    @property
    def active(self) -> float:
        """Parameters that a token passes through."""
        return self.active_parameters or self.parameters

    @property
    def attention_heads(self) -> int:
        return self.heads or max(1, self.hidden // 128)

    @property
    def expert_parameters(self) -> float:
        """Parameters of all experts, of which a token passes through `experts_per_token / experts`."""
        if self.active == self.parameters or self.experts == 1:
            return 0.0
        return min(self.parameters, (self.parameters - self.active) / (1 - self.experts_per_token / self.experts))

    @property
    def usual_batch(self) -> int:
        """Sequences a batch that published models of this size were trained with (see `USUAL_BATCHES`)."""
        return max(1, round(_between(USUAL_BATCHES, self.active, logarithmic=True) / self.sequence))

    def flops_per_token(self, recompute: str = "none") -> float:
        """FLOPs of training on one token: 6 a parameter, and 12 * layers * hidden * sequence of attention.

        Those of an MFU where nothing is recomputed (Chowdhery et al. 2022, appendix B). Full recomputation adds
        another forward pass of all layers, selective recomputation one of the attention core.
        """
        attention = 12.0 * self.layers * self.hidden * self.sequence
        flops = 6.0 * self.active + attention
        match recompute:
            case "none":
                return flops
            case "selective":
                return flops + attention / 3
            case "full":
                logits = self.vocabulary * self.hidden
                return flops + 2.0 * max(self.active - logits, 0.0) + attention / 3
        raise OutOfRange(f"recompute must be one of {', '.join(RECOMPUTE)}, not {recompute!r}")


def training_flops(parameters, tokens, *, active_parameters=None, recompute: bool = False):
    """FLOPs of a training run: 6 * N * D, or 8 * N * D where every activation is recomputed.

    The 6 counts forward (2) and backward (4) and is what an MFU counts; the 8 counts a second forward pass, and goes
    with achieved TFLOP/s that count it too. Attention is left out (see `Transformer.flops_per_token`).

    Parameters
    ----------
    parameters : N; of a mixture of experts those that a token passes through count, `active_parameters`.
    tokens : D.

    Source: Kaplan et al. 2020, section 2.1; Narayanan et al. 2021, section 3.

    Raises
    ------
    OutOfRange : parameters or tokens are not above 0, or more parameters are active than there are.
    """
    counted = positive("parameters", parameters)
    if active_parameters is not None:
        active = positive("active_parameters", active_parameters)
        if np.any(active > counted):
            raise OutOfRange("active_parameters must be at most the parameters of the whole model")
        counted = active
    return (8.0 if recompute else 6.0) * counted * positive("tokens", tokens)


def iteration_flops(batch, sequence, layers, hidden, vocabulary, *, recompute: str = "full"):
    """FLOPs of one iteration of a GPT, embeddings and attention counted.

    96 * B*s*l*h^2 * (1 + s/(6h) + V/(16lh)) with every activation recomputed (Narayanan et al. 2021, equation 3), and
    72 * B*s*l*h^2 * (1 + s/(6h) + V/(12lh)) with none, which is what an MFU counts (Korthikanti et al. 2022, equation
    7); selective recomputation makes s/(3h) of s/(6h) in the latter.

    Parameters
    ----------
    batch : sequences B; sequence : tokens s; layers l, hidden h, vocabulary V.
    """
    batch, sequence = positive("batch", batch), positive("sequence", sequence)
    layers, hidden, vocabulary = (
        positive("layers", layers), positive("hidden", hidden), positive("vocabulary", vocabulary)
    )  # fmt: skip
    each = batch * sequence * layers * hidden**2
    match recompute:
        case "full":
            return 96.0 * each * (1 + sequence / (6 * hidden) + vocabulary / (16 * layers * hidden))
        case "none":
            return 72.0 * each * (1 + sequence / (6 * hidden) + vocabulary / (12 * layers * hidden))
        case "selective":
            return 72.0 * each * (1 + sequence / (3 * hidden) + vocabulary / (12 * layers * hidden))
    raise OutOfRange(f"recompute must be one of {', '.join(RECOMPUTE)}, not {recompute!r}")


def gpu_hours(flops, tflops, mfu):
    """GPU-hours of a work [FLOPs] at a peak [TFLOP/s a GPU] and the share of it that is achieved.

    Raises
    ------
    OutOfRange : a value is not above 0, or `mfu` above 1.
    """
    achieved = positive("tflops", tflops) * 1e12 * share("mfu", mfu, above=True)
    return positive("flops", flops) / achieved / 3600.0


def training_hours(flops, gpus, tflops, mfu):
    """Hours of a work [FLOPs] on a number of GPUs: FLOPs / (GPUs x peak TFLOP/s x MFU).

    Raises
    ------
    OutOfRange : a value is not above 0, GPUs below 1, or `mfu` above 1.
    """
    return gpu_hours(flops, tflops, mfu) / within("gpus", gpus, 1)


def model_flops_utilisation(flops, hours, gpus, tflops):
    """MFU of a run: FLOPs of the model, nothing recomputed, over those that its GPUs could have made.

    Parameters
    ----------
    flops : of the run without recomputation; hours : of wall time; tflops : peak a GPU.

    Source: Chowdhery et al. 2022 (PaLM), section 4.1.
    """
    possible = within("gpus", gpus, 1) * positive("tflops", tflops) * 1e12 * positive("hours", hours) * 3600.0
    return positive("flops", flops) / possible


def _between(points: dict[float, float], at: float, logarithmic: bool = False) -> float:
    """The value at a point, linear between known points on the logarithm of both or of the first, flat beyond them."""
    values = np.fromiter(points.values(), float)
    found = np.interp(np.log(at), np.log(list(points)), np.log(values) if logarithmic else values)
    return float(np.exp(found) if logarithmic else found)
