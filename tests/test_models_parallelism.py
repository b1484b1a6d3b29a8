"""Memory and communication of a split model: published tables, cases by hand, limits, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.performance import (
    KERNEL_EFFICIENCY,
    Accelerator,
    Cluster,
    Transformer,
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
from dcbudget.models.performance.parallelism import activation_gb, state_gb

A100 = Accelerator("A100", 80, 312, 2039, 400)
# DGX A100: 600 GB/s NVLink in both directions, a 200 Gbit/s adapter a GPU.
SELENE = Cluster(A100, 1536, 8, 300, 25)
# Korthikanti et al. 2022, tables 3 and 5: layers, hidden, heads, tensor, pipeline, microbatch, batch, interleave, MFU.
TABLE_5 = [
    (48, 6144, 64, 8, 1, 4, 4, 1, 0.415), (96, 12_288, 96, 8, 8, 1, 64, 3, 0.514),
    (105, 20_480, 128, 8, 35, 1, 280, 3, 0.560), (128, 25_600, 160, 8, 64, 1, 512, 1, 0.563),
]  # fmt: skip
# Narayanan et al. 2021, table 2, PTD-P: layers, hidden, batch, stages, and GPUs -> TFLOP/s a GPU.
TABLE_2 = [
    (96, 12_288, 1536, 12, {384: 153, 768: 149, 1536: 141}),
    (105, 20_480, 2240, 35, {560: 171, 1120: 167, 2240: 159}),
]


def gpt(layers, hidden, heads=0):
    """As Megatron's: 2,048 tokens, a vocabulary of 51,200."""
    return Transformer(12 * layers * hidden**2 + 51_200 * hidden, layers, hidden, 2048, 51_200, heads)


def test_states_by_zero_stage_as_published():
    """Rajbhandari et al. 2020, figure 1: 7.5B on 64 GPUs."""
    found = state_gb(Transformer(7.5e9, 32, 4096), data=64, zero=np.array([0, 1, 2, 3]))
    assert found == pytest.approx([120, 31.4, 16.6, 1.9], abs=0.05)


@pytest.mark.parametrize("layers, hidden, heads, saved", [(96, 12_288, 96, 0.70), (105, 20_480, 128, 0.65)])
def test_selective_recomputation_saves_activations_as_published(layers, hidden, heads, saved):
    """Korthikanti et al. 2022, section 5: 70 % for GPT-3 and 65 % for MT-NLG."""
    model = gpt(layers, hidden, heads)
    all_, some = (activation_gb(model, tensor=8, pipeline=layers, recompute=how) for how in ("none", "selective"))
    assert 1 - some / all_ == pytest.approx(saved, abs=0.02)


def test_activations_by_hand():
    """One layer of sbh = 2 * 3 * 4 values, 2 heads: sbh(34 + 5 * 2 * 2/4), embedding 1, output 4(1 + 8/4)."""
    model = Transformer(1000, 1, 4, sequence=2, vocabulary=8, heads=2)
    found = [activation_gb(model, microbatch=3, recompute=how) * 1e9 for how in ("none", "selective", "full")]
    assert found == pytest.approx([24 * (39 + 1 + 12), 24 * (34 + 1 + 12), 24 * (2 + 1 + 34 + 12)])


def test_first_stage_holds_the_layers_of_all_microbatches_in_flight():
    model = gpt(96, 12_288)
    whole, staged = (
        activation_gb(model, tensor=8, pipeline=p, microbatches=64, recompute="selective") for p in (1, 8)
    )  # fmt: skip
    layers = 96 * 34 * 2048 * 12_288 / 8 / 1e9
    assert whole > layers and staged == pytest.approx(layers, rel=0.003)
    assert activation_gb(model, tensor=8, pipeline=8, microbatches=2) == pytest.approx(layers / 4, rel=0.003)


@pytest.mark.parametrize("layers, hidden, heads, tensor, pipeline, micro, batch, interleave, mfu", TABLE_5)
def test_published_configurations_fit_and_leave_kernels_a_usual_share(
    layers, hidden, heads, tensor, pipeline, micro, batch, interleave, mfu
):
    """They ran on 80 GB, with gradients in four bytes; their kernels reach more than the MFU."""
    model, split = gpt(layers, hidden, heads), {"tensor": tensor, "pipeline": pipeline, "microbatch": micro}
    assert 40 < memory_gb(model, **split, gradient_bytes=4) < 80
    found = kernel_efficiency_of(mfu, model, SELENE, batch, **split, interleave=interleave)
    assert found == pytest.approx(KERNEL_EFFICIENCY, abs=0.12) and found > mfu
    split |= {"interleave": interleave, "kernel_efficiency": found}
    assert utilisation_of(model, SELENE, batch, **split) == pytest.approx(mfu, rel=1e-4)


@pytest.mark.parametrize("layers, hidden, batch, pipeline, tflops", TABLE_2)
def test_smallest_size_of_megatron_predicts_the_larger(layers, hidden, batch, pipeline, tflops):
    """With the kernel efficiency of the smallest, TFLOP/s a GPU on two and four times as many within 1.5 %."""
    model, (small, *larger) = gpt(layers, hidden), tflops
    split = {"tensor": 8, "pipeline": pipeline, "recompute": "full"}
    counted = model.flops_per_token("full") / model.flops_per_token()
    efficiency = kernel_efficiency_of(
        tflops[small] / 312 / counted, model, SELENE, batch, **split, data=small // (8 * pipeline)
    )
    for gpus in larger:
        found = utilisation_of(
            model, SELENE, batch, **split, data=gpus // (8 * pipeline), kernel_efficiency=efficiency
        )  # fmt: skip
        assert found * 312 * counted == pytest.approx(tflops[gpus], rel=0.015)


def test_llama_3_loses_as_little_on_twice_the_gpus_as_published():
    """Grattafiori et al. 2024, table 4: 405B in 16M tokens a batch, 8-way tensor and 16 stages, MFU 43 % on 8,192 H100
    and 41 % on 16,384; gradients and optimiser sharded; each layer a part of the pipeline; 80 GiB.
    """
    model = Transformer(405e9, 126, 16_384, 8192, 128_256, 128, kv_heads=8)
    cluster = Cluster(Accelerator("H100", 80, 989.4, 3350), 16_384)
    split = {"tensor": 8, "pipeline": 16}
    assert memory_gb(model, **split, data=64, zero=2) < 80 * 1.024**3
    split |= {"interleave": 8, "zero": 1}
    efficiency = kernel_efficiency_of(0.43, model, cluster, 2048, **split, data=64)
    found = utilisation_of(model, cluster, 2048, **split, data=128, kernel_efficiency=efficiency)
    assert found == pytest.approx(0.41, rel=0.02)


def test_experts_take_memory_by_all_and_compute_by_the_active():
    dense = Transformer(12.9e9, 32, 4096)
    mixtral = Transformer(46.7e9, 32, 4096, active_parameters=12.9e9, experts=8)
    assert state_gb(mixtral) == pytest.approx(16 * 46.7) and state_gb(dense) == pytest.approx(16 * 12.9)
    assert state_gb(mixtral, data=8, expert=8) == pytest.approx(16 * (1.633 + 45.067 / 8), rel=0.001)
    assert state_gb(mixtral, data=64, expert=8, zero=3) == pytest.approx(state_gb(mixtral) / 64)
    one, other = (iteration_parts(model, SELENE, 8)["compute_seconds"] for model in (dense, mixtral))
    assert one == other


def test_ring_by_hand():
    """8 GB over 4 ranks at 10 GB/s: 2 * 3/4 * 8 / 10 s; nothing alone, at the most twice the bytes."""
    assert ring_seconds(8, np.array([1, 4, 10**9]), 10) == pytest.approx([0, 1.2, 1.6])


def test_all_reduce_in_two_levels_by_hand():
    """2 nodes of 4: 1.2 s inside at 10 GB/s, and 2 * 1/2 * 2 GB at 1 GB/s between them."""
    assert all_reduce_seconds(8, 8, 4, 10, 1) == pytest.approx(1.2 + 2)
    assert all_reduce_seconds(8, 4, 8, 10, 1) == pytest.approx(1.2)
    assert all_reduce_seconds(8, 8, 1, 10, 1) == pytest.approx(ring_seconds(8, 8, 1))


def test_parameter_server_by_hand():
    """8 workers, 2 servers of 1 GB/s, 3 GB: 24 s; with 8 servers each worker's own 6 s bind; a ring takes 5.25."""
    assert list(parameter_server_seconds(3, 8, np.array([2, 8, 16]), 1, 1)) == [24, 6, 6]
    assert ring_seconds(3, 8, 1) == 5.25


def test_bubble_by_hand():
    assert list(bubble(4, np.array([1, 4, 12]))) == pytest.approx([3 / 4, 3 / 7, 1 / 5])
    assert bubble(1, 7) == 0
    parts = iteration_parts(gpt(96, 12_288), SELENE, 64, tensor=8, pipeline=8, kernel_efficiency=1e-6)
    assert parts["pipeline_seconds"] / parts["seconds"] == pytest.approx(bubble(8, 64), rel=1e-3)
    halved = iteration_parts(gpt(96, 12_288), SELENE, 64, tensor=8, pipeline=8, kernel_efficiency=1e-6, interleave=2)
    assert halved["pipeline_seconds"] == pytest.approx(parts["pipeline_seconds"] / 2, rel=1e-3)


def test_tensor_parallelism_by_hand():
    """4 all-reduces of 2bsh bytes in each of 2 layers; with full recomputation 6."""
    model = Transformer(1e6, 2, 1000, sequence=1000, heads=8)
    each = 2 * 2 * 7 / 8 * 1e6 / 300e9
    parts = iteration_parts(model, SELENE, 3, tensor=8)
    assert parts["tensor_seconds"] == pytest.approx(3 * 2 * 4 * each)
    parts = iteration_parts(model, SELENE, 3, tensor=np.array([8]), recompute="full")
    assert parts["tensor_seconds"] == pytest.approx(3 * 2 * 6 * each)


def test_experts_send_every_copy_of_a_token_and_back():
    """4 all-to-alls of 2 copies of 2bsh bytes in each of 2 layers, 7/8 of them to others."""
    model = Transformer(8e6, 2, 1000, sequence=1000, active_parameters=4e6, experts=8)
    parts = iteration_parts(model, SELENE, 8, data=8, expert=8)
    assert parts["expert_seconds"] == pytest.approx(2 * 4 * 2 * 7 / 8 * 2e6 / 300e9)
    slower = iteration_parts(model, Cluster(A100, 8, 4, 300, 25), 8, data=8, expert=8)
    assert slower["expert_seconds"] == pytest.approx(12 * parts["expert_seconds"])


def test_gradients_hide_behind_the_backward_pass_only():
    model = Transformer.of_size(1e9)
    bare, half, all_ = (
        iteration_parts(model, SELENE, 16, data=16, overlap=overlap)["data_seconds"] for overlap in (0, 0.5, 1)
    )  # fmt: skip
    assert bare == pytest.approx(all_reduce_seconds(2, 16, 8, 300, 25))
    assert half == pytest.approx(bare / 2) and all_ == 0
    slow = iteration_parts(model, Cluster(A100, 16, 8, 300, 0.01), 16, data=16, overlap=1)
    bare = all_reduce_seconds(2, 16, 8, 300, 0.01)
    tokens = 6e9 + 12 * model.layers * model.hidden * 4096
    backward = 2 / 3 * tokens * 4096 / (312e12 * KERNEL_EFFICIENCY)
    assert slow["data_seconds"] == pytest.approx(bare - backward, rel=1e-6)


def test_zero_3_gathers_the_weights_for_each_microbatch():
    model = Transformer.of_size(1e9)
    plain = iteration_parts(model, SELENE, 64, data=16, overlap=0)["data_seconds"]
    assert iteration_parts(model, SELENE, 64, data=16, overlap=0, zero=3)["data_seconds"] == pytest.approx(4.5 * plain)
    larger = iteration_parts(model, SELENE, 64, data=16, overlap=0, zero=3, microbatch=4)["data_seconds"]
    assert larger == pytest.approx(1.5 * plain)


def test_workers_of_a_parameter_server_do_not_wait_for_each_other():
    model, split = Transformer.of_size(1e9), {"data": 64, "step_spread": 0.1}
    waiting = iteration_parts(model, SELENE, 64, **split)
    assert waiting["waiting_seconds"] == pytest.approx(0.1 * np.sqrt(2 * np.log(64)) * waiting["compute_seconds"])
    served = iteration_parts(model, SELENE, 64, **split, sync="parameter server", servers=64)
    assert served["waiting_seconds"] == 0
    assert served["data_seconds"] == pytest.approx(2 * 2 / 25 / 2)


@given(
    st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 16]), st.integers(1, 512)
)
@settings(max_examples=50, deadline=None)
def test_parts_make_the_whole_and_arrays_are_their_elements(tensor, pipeline, data, batch):
    model = Transformer.of_size(6.7e9)
    split = {"tensor": tensor, "pipeline": pipeline, "data": data}
    parts = iteration_parts(model, SELENE, batch, **split)
    assert parts.pop("seconds") == pytest.approx(sum(parts.values()))
    assert all(seconds >= 0 for seconds in parts.values())
    assert 0 < utilisation_of(model, SELENE, batch, **split) <= KERNEL_EFFICIENCY
    many = iteration_seconds(model, SELENE, batch, **split | {"tensor": np.array([1, tensor])})
    assert many[1] == pytest.approx(iteration_seconds(model, SELENE, batch, **split))
    divided = memory_gb(model, **split, zero=1)
    assert divided <= memory_gb(model) and divided >= memory_gb(model, **split, zero=3)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"tensor": 0}, "tensor must be at least 1"),
        ({"pipeline": 33}, "pipeline must be at least 1 and at most 32, not 33"),
        ({"data": 2.5}, "data must be a whole number at least 1"),
        ({"expert": 2}, "expert must be at least 1 and at most 1"),
        ({"microbatch": -1}, "microbatch must be at least 1"),
        ({"zero": 4}, "zero must be at least 0 and at most 3"),
        ({"recompute": "some"}, "recompute must be one of none, selective, full, not 'some'"),
    ],
)
def test_split_out_of_range_is_named(fields, sentence):
    model = Transformer.of_size(6.7e9)
    for call in (lambda: memory_gb(model, **fields), lambda: iteration_seconds(model, SELENE, 8, **fields)):
        with pytest.raises(OutOfRange, match=sentence):
            call()


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"kernel_efficiency": 1.5}, "kernel_efficiency must be above 0 and at most 1, not 1.5"),
        ({"overlap": -0.1}, "overlap must be at least 0 and at most 1"),
        ({"step_spread": np.nan}, "step_spread must be at least 0 and finite, not nan"),
        ({"servers": 0}, "servers must be at least 1"),
        ({"server_gb_per_second": 0}, "server_gb_per_second must be above 0"),
        ({"sync": "gossip"}, "sync must be 'all-reduce' or 'parameter server', not 'gossip'"),
    ],
)
def test_condition_out_of_range_is_named(fields, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        iteration_seconds(Transformer.of_size(6.7e9), SELENE, 8, **fields)


def test_experts_lie_on_ranks_of_data():
    with pytest.raises(OutOfRange, match="expert must divide data"):
        memory_gb(Transformer(8e9, 4, 512, active_parameters=4e9, experts=8), data=2, expert=4)


def test_mfu_that_a_split_cannot_have_is_said():
    with pytest.raises(OutOfRange, match=r"mfu must be from 0\.001 to 0\.\d+ for this split and cluster, not 0\.99"):
        kernel_efficiency_of(0.99, gpt(96, 12_288), SELENE, 8, tensor=8, pipeline=8)
