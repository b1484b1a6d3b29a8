"""Training time, failures and serving: published tables, cases by hand, limits, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.performance import (
    PUBLISHED_MTBF_GPU_HOURS,
    Accelerator,
    Cluster,
    Transformer,
    checkpoint_interval,
    failure_overhead,
    gpu_hours,
    inference_throughput,
    iteration_flops,
    model_flops_utilisation,
    repair_overhead,
    serve,
    serving_gpu_hours,
    training_flops,
    training_hours,
)
from dcbudget.models.performance.inference import kv_cache_bytes_per_token

A100 = Accelerator("A100", 80, 312, 2039, 400)
H100 = Accelerator("H100", 80, 989.4, 3350, 700)
S, V = 2048, 51_200

# Narayanan et al. 2021, table 2: 300B tokens; batch, layers, hidden, GPUs, achieved TFLOP/s, days. PTD-P and ZeRO-3.
TABLE_2 = [
    (1536, 96, 12_288, 384, 153, 84), (1536, 96, 12_288, 768, 149, 43), (1536, 96, 12_288, 1536, 141, 23),
    (1536, 96, 12_288, 384, 144, 90), (1536, 96, 12_288, 768, 88, 74), (1536, 96, 12_288, 1536, 44, 74),
    (2240, 105, 20_480, 560, 171, 156), (2240, 105, 20_480, 1120, 167, 80), (2240, 105, 20_480, 2240, 159, 42),
    (2560, 105, 20_480, 640, 138, 169), (2240, 105, 20_480, 1120, 98, 137), (2240, 105, 20_480, 2240, 48, 140),
]  # fmt: skip
# Korthikanti et al. 2022, tables 3 and 5: layers, hidden, batch, GPUs, seconds an iteration, MFU and HFU of selective
# recomputation on A100.
TABLE_5 = [
    (48, 6144, 4, 8, 1.10, 0.415, 0.437), (96, 12_288, 64, 64, 13.75, 0.514, 0.528),
    (105, 20_480, 280, 280, 37.83, 0.560, 0.570), (128, 25_600, 512, 512, 71.49, 0.563, 0.570),
]  # fmt: skip


@pytest.mark.parametrize("batch, layers, hidden, gpus, tflops, days", TABLE_2)
def test_training_days_of_megatron(batch, layers, hidden, gpus, tflops, days):
    flops = 300e9 / (batch * S) * iteration_flops(batch, S, layers, hidden, V, recompute="full")
    assert training_hours(flops, gpus, tflops, 1.0) / 24 == pytest.approx(days, rel=0.02)


def test_short_form_runs_low_and_its_eight_counts_recomputation():
    """days = 8TP/(nX) is 1.4 to 3 % below the published days."""
    flops = training_flops(174.6e9, 300e9, recompute=True)
    days = training_hours(flops, np.array([384, 768, 1536]), np.array([153, 149, 141]), 1.0) / 24
    assert ((days / [84, 43, 23] > 0.96) & (days / [84, 43, 23] < 1)).all()
    assert flops / training_flops(174.6e9, 300e9) == pytest.approx(8 / 6)


@pytest.mark.parametrize("layers, hidden, batch, gpus, seconds, mfu, hfu", TABLE_5)
def test_mfu_counts_no_recomputation(layers, hidden, batch, gpus, seconds, mfu, hfu):
    for recompute, published in (("none", mfu), ("selective", hfu)):
        flops = iteration_flops(batch, S, layers, hidden, V, recompute=recompute)
        found = model_flops_utilisation(flops, seconds / 3600, gpus, 312)
        assert found == pytest.approx(published, rel=0.005)


def test_training_flops_of_llama_3():
    """405B on 15.6T tokens are 3.8e25 FLOPs (Grattafiori et al. 2024); DeepSeek-V3 takes 37B of 671B."""
    assert training_flops(405e9, 15.6e12) == pytest.approx(3.8e25, rel=0.01)
    assert training_flops(671e9, 1e12, active_parameters=37e9) == 6 * 37e9 * 1e12


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_flops_per_token_agree_with_the_published_formula(recompute):
    model = Transformer(174.6e9, 96, 12_288, sequence=S, vocabulary=V)
    whole = iteration_flops(1, S, 96, 12_288, V, recompute=recompute)
    assert model.flops_per_token(recompute) * S == pytest.approx(whole, rel=0.002)


@given(st.floats(1e21, 1e26), st.integers(1, 20_000), st.floats(10, 2000), st.floats(0.05, 1))
@settings(max_examples=50, deadline=None)
def test_hours_times_gpus_is_the_work(flops, gpus, tflops, mfu):
    hours = training_hours(flops, gpus, tflops, mfu)
    assert hours * gpus == pytest.approx(gpu_hours(flops, tflops, mfu))
    assert model_flops_utilisation(flops, hours, gpus, tflops) == pytest.approx(mfu)


# Brown et al. 2020, table 2.1, and Narayanan et al. 2021, table 1.
@pytest.mark.parametrize(
    "size, layers, hidden",
    [(1.3e9, 24, 2048), (6.7e9, 32, 4096), (13e9, 40, 5120), (175e9, 96, 12_288), (1.008e12, 128, 25_600)],
)
def test_usual_shape(size, layers, hidden):
    model = Transformer.of_size(size, sequence=S)
    assert model.layers == layers
    assert model.hidden == pytest.approx(hidden, rel=0.03)
    assert 12 * model.layers * model.hidden**2 + model.vocabulary * model.hidden == pytest.approx(size, rel=0.05)


def test_mixture_of_experts_has_the_shape_of_what_is_active():
    """Mixtral 8x7B: 46.7B, 12.9B active, 2 of 8: 45.1B in experts (32 layers x 8 x 3 x 4096 x 14336)."""
    model = Transformer.of_size(46.7e9, active_parameters=12.9e9, experts=8)
    assert model.expert_parameters == pytest.approx(45.1e9, rel=0.005)
    assert model.layers == Transformer.of_size(12.9e9).layers
    assert Transformer.of_size(7e9).expert_parameters == 0


# Daly 2006.
def test_checkpoint_interval_as_published():
    minutes = checkpoint_interval(300, np.array([24 * 3600, 6 * 3600, 900])) / 60
    assert minutes == pytest.approx([117, 57, 9.1], abs=0.5)
    assert minutes[2] == pytest.approx(9.1, abs=0.05)


def test_checkpoint_interval_at_its_limits():
    assert checkpoint_interval(0, 3600) == 0
    assert checkpoint_interval(7200, 3600) == 3600
    assert checkpoint_interval(1, 3600) == pytest.approx(np.sqrt(2 * 3600), rel=0.01)
    assert isinstance(checkpoint_interval(300, 3600), float)


def test_mtbf_of_llama_3():
    assert round(PUBLISHED_MTBF_GPU_HOURS) == 50_677
    assert round(PUBLISHED_MTBF_GPU_HOURS / 16_384, 2) == 3.09


def test_failure_overhead_of_rare_failures_is_of_first_order():
    """Half an interval and a restart for each failure, and a checkpoint an interval: sqrt(2d/M) + R/M."""
    m = 1e6 / 1000 * 3600
    assert failure_overhead(1000, 1e6, 5, 300) == pytest.approx(np.sqrt(2 * 5 / m) + 300 / m, rel=0.02)


def test_failure_overhead_is_the_mean_of_runs_with_failures():
    """An independent answer: runs drawn event by event."""
    gpus, mtbf, d, r = 4096, 40_960.0, 300.0, 900.0
    m = mtbf / gpus * 3600
    tau, work, rng, walls = checkpoint_interval(d, m), 40 * 24 * 3600.0, np.random.default_rng(7), []
    for _ in range(100):
        wall, done, failure = 0.0, 0.0, rng.exponential(m)
        while done < work:
            if wall + tau + d <= failure:
                wall, done = wall + tau + d, done + tau
                continue
            wall, failure = failure, failure + rng.exponential(m)
            while wall + r > failure:
                wall, failure = failure, failure + rng.exponential(m)
            wall += r
        walls.append(wall / done - 1)
    assert failure_overhead(gpus, mtbf, d, r) == pytest.approx(np.mean(walls), rel=0.02)


def test_failure_overhead_at_its_limits():
    assert failure_overhead(1, 1e12, 0, 0) == 0
    assert failure_overhead(8, 1e9, 60, 600) < 0.002
    grows = failure_overhead(np.array([8, 64, 512, 4096, 16_384]), 50_000, 60, 600)
    assert (np.diff(grows) > 0).all()
    with pytest.raises(OutOfRange, match="mtbf_gpu_hours must be larger: on 100,000 GPUs a failure every 36 seconds"):
        failure_overhead(100_000, 1000, 60, 600)


def test_elastic_job_goes_on_without_its_node():
    """1,024 GPUs fail every 50 h; 5 h of repair are a tenth of a node out at a time, 1/1,280 of 128 nodes."""
    given_ = (1024, 51_200, 60, 600)
    base = failure_overhead(*given_)
    assert (1 + repair_overhead(*given_, 5)) / (1 + base) == pytest.approx(1 / (1 - 0.1 / 128))
    assert (1 + repair_overhead(*given_, 5, elastic=False)) / (1 + base) == pytest.approx(1.1)
    assert repair_overhead(*given_, 0) == repair_overhead(*given_, 0, elastic=False) == pytest.approx(base)
    alone = (8, 51_200, 60, 600, 5)
    assert repair_overhead(*alone) == pytest.approx(repair_overhead(*alone, elastic=False), abs=1e-5)
    with pytest.raises(OutOfRange, match="repair_hours must be shorter"):
        repair_overhead(8, 100, 60, 600, 100)


def test_kv_cache_of_opt_13b():
    """Kwon et al. 2023: 800 KB a token; Llama 2 70B keeps 8 of 64 heads, 320 KB."""
    assert kv_cache_bytes_per_token(Transformer(13e9, 40, 5120)) == 800 * 1024
    assert kv_cache_bytes_per_token(Transformer(70e9, 80, 8192, heads=64, kv_heads=8)) == 320 * 1024


def test_decode_of_one_request_reads_the_weights_once_a_token():
    """7B in two bytes over 2,039 GB/s are 145.6 tokens a second at the most."""
    found = serve(Transformer.of_size(7e9), A100, batch=1, input_tokens=1, output_tokens=1, bandwidth_efficiency=1.0)
    assert found.decode_tokens_per_second == pytest.approx(2039 / 14, rel=0.001)
    assert found.decode_bound == "memory bandwidth"


def test_decode_reads_the_cache_of_every_request():
    """10 requests, half of whose 1,000 output tokens are there on average: 14 GB and 10 * 1.5 * 0.524 GB a step."""
    model = Transformer(7e9, 32, 4096)
    found = serve(model, A100, batch=10, input_tokens=1000, output_tokens=1000, bandwidth_efficiency=1.0)
    step = (14e9 + 10 * 1500 * 2 * 2 * 32 * 4096) / 2039e9
    assert found.decode_tokens_per_second == pytest.approx(10 / step)
    prefill = 10 * 1000 / found.prefill_tokens_per_second
    assert found.seconds_per_request == pytest.approx(prefill + 1000 * step)
    assert found.tokens_per_second_per_gpu == pytest.approx(10 * 2000 / found.seconds_per_request)
    assert found.memory_gb == pytest.approx(14 + 10 * found.kv_cache_gb)


def test_large_batches_with_short_contexts_are_bound_by_compute():
    """From 2,039 GB/s * 0.7 against 312 TFLOP/s * 0.5 on, at about 109 requests of 2 bytes for 2 FLOPs a parameter."""
    model = Transformer(7e9, 32, 4096)
    bounds = [serve(model, A100, batch=batch, input_tokens=1, output_tokens=1).decode_bound for batch in (100, 120)]
    assert bounds == ["memory bandwidth", "compute"]


@pytest.mark.parametrize(
    "accelerator, tokens_per_second",
    [(Accelerator("H100", 80, 1978.9, 3350), 24_525), (Accelerator("H200", 141, 1979, 4800), 34_864)],
)
def test_throughput_is_near_the_published_one(accelerator, tokens_per_second):
    """MLPerf Inference v4.1, Llama 2 70B offline on 8 GPUs in FP8, about 294 tokens out: within a quarter, unfitted."""
    model = Transformer(70e9, 80, 8192, heads=64, kv_heads=8)
    found = serve(model, accelerator, input_tokens=294, output_tokens=294, gpus=2, bytes_per_parameter=1.0)
    assert found.tokens_per_second_per_gpu / 2 == pytest.approx(tokens_per_second / 8, rel=0.25)


def test_prefill_is_bound_by_compute():
    """2 FLOPs a parameter, and half of 4 * layers * hidden * inputs of attention, at half of 312 TFLOP/s."""
    model = Transformer(7e9, 32, 4096)
    found = serve(model, A100, batch=1, input_tokens=1000)
    assert found.prefill_tokens_per_second == pytest.approx(156e12 / (14e9 + 2 * 32 * 4096 * 1000))


def test_batches_serve_more_tokens_until_the_memory_is_full():
    model = Transformer.of_size(7e9)
    each = [inference_throughput(model, A100, batch=batch) for batch in (1, 2, 4, 8, 16)]
    assert (np.diff(each) > 0).all()
    most = serve(model, A100)
    assert most.memory_gb <= 72 < most.memory_gb + most.kv_cache_gb
    assert most.tokens_per_second_per_gpu > each[-1]


def test_mixture_of_experts_decodes_by_what_it_touches():
    mixtral = Transformer(46.7e9, 32, 4096, active_parameters=12.9e9, experts=8, kv_heads=8)
    one = serve(mixtral, H100, batch=1, gpus=2, input_tokens=1, output_tokens=1, bandwidth_efficiency=1.0)
    assert one.decode_tokens_per_second == pytest.approx(2 * 3350 / (2 * 12.9), rel=0.001)
    many = serve(mixtral, H100, batch=64, gpus=2, input_tokens=1, output_tokens=1, bandwidth_efficiency=1.0)
    assert many.decode_tokens_per_second == pytest.approx(64 * 2 * 3350 / (2 * 46.7), rel=0.001)


def test_replica_takes_the_gpus_that_it_needs_and_says_when_it_does_not_fit():
    assert serve(Transformer.of_size(70e9), A100).gpus == 4
    with pytest.raises(OutOfRange, match=r"gpus must have 8\d\d\.\d GB together .* 8 A100 have 576.0 usable"):
        serve(Transformer.of_size(405e9), A100)


def test_serving_gpu_hours_by_hand():
    """3.6M tokens at 1,000 a second are an hour, two where half of the time nobody asks."""
    assert serving_gpu_hours(3e6, 0.6e6, 1000, 0.5) == pytest.approx(2)
    assert list(serving_gpu_hours(np.array([0, 3.6e6]), 0, 1000, 1)) == [0, 1]


@pytest.mark.parametrize(
    "call, field",
    [
        (lambda: training_flops(-1, 1), "parameters must be above 0"),
        (lambda: training_flops(1, np.nan), "tokens must be above 0"),
        (lambda: training_flops(1e9, 1, active_parameters=2e9), "active_parameters must be at most"),
        (lambda: training_hours(1e20, 0, 312, 0.4), "gpus must be at least 1"),
        (lambda: training_hours(1e20, 8, 312, 1.1), "mfu must be above 0 and at most 1, not 1.1"),
        (lambda: gpu_hours(np.array([1e20, np.inf]), 312, 0.4), "flops must be above 0 and finite, not inf"),
        (lambda: gpu_hours(1e20, "fast", 0.4), "tflops must be a number above 0 and finite, not 'fast'"),
        (lambda: iteration_flops(1, 1, 1, 1, 1, recompute="some"), "recompute must be one of none, selective, full"),
        (lambda: checkpoint_interval(-1, 3600), "checkpoint_seconds must be at least 0"),
        (lambda: failure_overhead(8, 0, 60, 60), "mtbf_gpu_hours must be above 0"),
        (lambda: serving_gpu_hours(1, 1, 1, 0), "utilisation must be above 0 and at most 1"),
        (lambda: serve(Transformer.of_size(7e9), Accelerator("X", 80, 300)), "memory_gb_per_second of X must be known"),
        (lambda: Accelerator("X", 0, 300), "memory_gb of X must be above 0"),
        (lambda: Cluster(A100, 0), "gpus must be at least 1 and finite, not 0"),
        (lambda: Cluster(A100, 2.5), "gpus must be a whole number at least 1 and finite, not 2.5"),
        (lambda: Transformer(1e9, 0, 128), "layers must be at least 1"),
        (lambda: Transformer(1e9, 2, 128, active_parameters=2e9), "active_parameters must be above 0 and at most"),
        (lambda: Transformer(2e9, 2, 128, active_parameters=1e9), "experts must be more than the 2"),
    ],
)
def test_value_out_of_range_is_named(call, field):
    with pytest.raises(OutOfRange, match=field):
        call()
