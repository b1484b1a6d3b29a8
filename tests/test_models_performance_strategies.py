"""Which way to train: what is recommended and why, against trying every split, and the frontier of strategies."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.performance import (
    STRATEGIES,
    Accelerator,
    Cluster,
    Transformer,
    compare_strategies,
    failure_overhead,
    gpu_hours,
    iteration_seconds,
    memory_gb,
    recommend_parallelism,
)

H100 = Accelerator("H100", 80, 989.4, 3350, 700)
SINGLE, ACCUMULATION, DATA, SERVER, MODEL = STRATEGIES
SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]


def test_small_model_is_trained_data_parallel():
    found = recommend_parallelism(Transformer.of_size(1.3e9), Cluster(H100, 8))
    assert (found.choice, found.tensor, found.pipeline, found.data) == (DATA, 1, 1, 8)
    assert found.fits and found.memory_gb < 72 and found.gpus == 8
    assert found.reason.startswith("data parallel, 8-way data parallelism, on 8 GPUs: ")
    assert re.search(r"of 72 GB a GPU, [\d.]+ s an iteration", found.reason)
    assert re.search(r"parameter server takes 1\.\d\d times as long", found.reason)


def test_large_model_is_split_because_one_gpu_does_not_hold_it():
    found = recommend_parallelism(Transformer.of_size(175e9), Cluster(H100, 1024))
    assert found.choice == MODEL and found.tensor * found.pipeline > 1 and found.tensor <= 8
    assert found.tensor * found.pipeline * found.data == 1024
    assert re.search(r"parameter server does not fit \(7\d\d GB\)", found.reason)


def test_what_does_not_fit_says_what_it_needs():
    """70B in 16 bytes a parameter are 140 GB on each of 8 GPUs, without activations."""
    found = recommend_parallelism(Transformer.of_size(70e9), Cluster(H100, 8))
    assert found.choice == "does not fit" and not found.fits
    assert found.memory_gb > 140 and np.isnan(found.hours) and found.tensor == 0
    assert re.fullmatch(
        r"70B parameters do not fit: .* on 8 GPUs needs 14\d\.\d GB a GPU, and H100 has 72\.0 of its 80 usable",
        found.reason,
    )
    assert not found.candidates["fits"].any()


def test_parameter_server_wins_where_workers_are_uneven_and_servers_many():
    """Workers of one GPU behind one adapter, whose steps vary by 30 %, and a server for each."""
    model, cluster = Transformer.of_size(1.3e9), Cluster(H100, 64, gpus_per_node=1)
    assert recommend_parallelism(model, cluster, batch=1024).choice != SERVER
    found = recommend_parallelism(model, cluster, batch=1024, step_spread=0.3, servers=64)
    assert found.choice == SERVER and "data parallel takes 1." in found.reason
    stale = recommend_parallelism(model, cluster, batch=1024, step_spread=0.3, servers=64, staleness=2.0)
    assert stale.choice != SERVER


def test_experts_are_spread_where_nodes_are_large():
    model = Transformer.of_size(46.7e9, active_parameters=12.9e9, experts=8)
    found = recommend_parallelism(model, Cluster(H100, 64, gpus_per_node=64))
    assert found.choice == MODEL and found.expert > 1 and found.data % found.expert == 0
    assert "-way expert" in found.reason


@given(st.sampled_from([1e9, 7e9, 30e9, 175e9]), st.sampled_from([1, 8, 24, 64, 512]), st.integers(1, 4096))
@settings(max_examples=20, deadline=None)
def test_recommended_split_is_what_computing_it_alone_gives(size, gpus, batch):
    model, cluster = Transformer.of_size(size), Cluster(H100, gpus)
    found = recommend_parallelism(model, cluster, batch=batch)
    if not found.fits or found.choice == SERVER:
        return
    split = {"tensor": found.tensor, "pipeline": found.pipeline, "data": found.data, "zero": found.zero,
             "recompute": found.recompute, "microbatch": found.microbatch}  # fmt: skip
    assert found.tensor * found.pipeline * found.data <= gpus
    assert memory_gb(model, **split) >= found.memory_gb
    assert iteration_seconds(model, cluster, batch, **split) == pytest.approx(found.iteration_seconds)
    tokens = 20 * size
    assert found.hours == pytest.approx(tokens / (batch * 4096) * found.iteration_seconds / 3600)
    assert gpu_hours(model.flops_per_token() * tokens, 989.4, found.mfu) == pytest.approx(found.hours * gpus)
    fitting = found.candidates[found.candidates["fits"]]
    assert found.hours == fitting["hours"].min()


@pytest.mark.parametrize("size, gpus", [(7e9, 16), (30e9, 64)])
def test_no_even_split_is_quicker_than_the_recommended(size, gpus):
    """An independent answer: every tensor and pipeline size that divides the GPUs, one by one."""
    model, cluster, batch = Transformer.of_size(size), Cluster(H100, gpus), 256
    best = min(
        iteration_seconds(model, cluster, batch, **split)
        for tensor in (1, 2, 4, 8)
        for pipeline in range(1, gpus // tensor + 1)
        if gpus % (tensor * pipeline) == 0 and model.layers % pipeline == 0
        for recompute in ("selective", "full")
        for split in [{"tensor": tensor, "pipeline": pipeline, "data": gpus // tensor // pipeline,
                       "recompute": recompute, "zero": 1}]
        if memory_gb(model, **split) <= 72
    )  # fmt: skip
    assert recommend_parallelism(model, cluster, batch=batch).iteration_seconds <= best * (1 + 1e-9)


def test_cheapest_split_takes_fewer_gpu_hours_and_more_time():
    model, cluster = Transformer.of_size(7e9), Cluster(H100, 512)
    quick, cheap = (recommend_parallelism(model, cluster, objective=aim) for aim in ("hours", "gpu_hours"))
    assert quick.gpus == 512 > cheap.gpus
    assert cheap.hours > quick.hours and cheap.hours * cheap.gpus < quick.hours * quick.gpus


def test_strategies_have_a_row_for_each_size():
    found = compare_strategies(Transformer.of_size(7e9), SIZES, Cluster(H100, 8))
    assert list(found.columns[:10]) == [
        "strategy", "gpus", "nodes", "batch", "hours", "gpu_hours", "mfu", "memory_gb", "fits", "why",
    ]  # fmt: skip
    assert found.columns.is_unique and not found.duplicated(["strategy", "gpus"]).any()
    assert found["strategy"].value_counts().to_dict() == {SINGLE: 1, ACCUMULATION: 1, DATA: 11, SERVER: 11, MODEL: 11}
    alone = found[found["gpus"] == 1]
    assert not alone["fits"].any() and alone["hours"].isna().all()
    assert (alone["why"] == "needs 115 GB a GPU, H100 has 72 usable").all()
    held = found[found["fits"]]
    assert held["gpu_hours"].to_numpy() == pytest.approx((held["gpus"] * held["hours"]).to_numpy())
    assert (held["memory_gb"] <= 72).all() and held["mfu"].between(0, 0.6).all()
    assert (found["nodes"] == np.ceil(found["gpus"] / 8)).all()


def test_more_gpus_are_quicker_and_dearer_until_the_batch_is_shared_out():
    found = compare_strategies(Transformer.of_size(7e9), [8, 16, 32, 64, 128, 1024], Cluster(H100, 8), batch=512)
    data = found[found["strategy"] == DATA].set_index("gpus")
    assert (data["hours"].diff()[1:5] < 0).all() and (data["gpu_hours"].diff()[1:] > 0).all()
    assert data.loc[1024, "seconds"] >= iteration_seconds(
        Transformer.of_size(7e9), Cluster(H100, 512), 512, data=512, zero=1
    )


def test_accumulation_spares_optimizer_steps():
    found = compare_strategies(Transformer.of_size(1e9), [1], Cluster(H100, 1), batch=64, tokens=1e9)
    one, many = found.set_index("strategy").loc[[SINGLE, ACCUMULATION]].itertuples()
    assert (one.batch, many.batch) == (1, 64)
    saved = 63 * one.optimizer_seconds * 1e9 / (64 * 4096) / 3600
    assert one.hours - many.hours == pytest.approx(saved)
    assert one.optimizer_seconds == pytest.approx(2 * 16 / 3350)


def test_batch_beyond_the_critical_one_needs_more_tokens():
    """McCandlish et al. 2018: at the critical batch twice the tokens of a tiny one."""
    given_ = (Transformer.of_size(1e9), [1, 8], Cluster(H100, 8))
    plain = compare_strategies(*given_, batch=64)
    bound = compare_strategies(*given_, batch=64, critical_batch_tokens=64 * 4096)
    ratio = (bound["hours"] / plain["hours"]).to_numpy()
    assert ratio == pytest.approx(np.where(plain["batch"] == 64, 1, (1 + 1 / 64) / 2))


def test_failures_cost_large_clusters_more():
    given_ = (Transformer.of_size(7e9), [64, 2048], Cluster(H100, 8))
    plain = compare_strategies(*given_)
    failing = compare_strategies(*given_, mtbf_gpu_hours=50_000, checkpoint_seconds=60, restart_seconds=600)
    data = plain["strategy"] == DATA
    ratio = (failing["hours"] / plain["hours"])[data].to_numpy()
    assert ratio == pytest.approx(1 + failure_overhead(np.array([64, 2048]), 50_000, 60, 600))


def test_sizes_may_be_clusters():
    model = Transformer.of_size(1e9)
    given_ = compare_strategies(model, [Cluster(H100, 8), Cluster(H100, 16)])
    assert given_.equals(compare_strategies(model, [8, 16], Cluster(H100, 1)))


def test_sweep_is_quick_enough_for_a_slider():
    model, cluster = Transformer.of_size(7e9), Cluster(H100, 8)
    times = []
    for _ in range(5):
        start = time.process_time()
        compare_strategies(model, SIZES, cluster)
        times.append(time.process_time() - start)
    assert min(times) < 0.03


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda m, c: compare_strategies(m, [], c), "cluster_sizes must be at least one number"),
        (lambda m, c: compare_strategies(m, [0], c), "cluster_sizes must be at least 1"),
        (lambda m, c: compare_strategies(m, [8], c, batch=0), "batch must be at least 1"),
        (lambda m, c: compare_strategies(m, [8], c, tokens=np.inf), "tokens must be above 0 and finite"),
        (lambda m, c: compare_strategies(m, [8], c, critical_batch_tokens=0), "critical_batch_tokens must be above 0"),
        (lambda m, c: compare_strategies(m, [8], c, mtbf_gpu_hours=-1), "mtbf_gpu_hours must be above 0"),
        (lambda m, c: compare_strategies(m, [8], c, kernel_efficiency=0), "kernel_efficiency must be above 0"),
        (lambda m, c: compare_strategies(m, [8], c, staleness=-1), "staleness must be at least 0"),
        (lambda m, c: compare_strategies(m, [8], c, usable_memory=1.1), "usable_memory must be above 0 and at most 1"),
        (lambda m, c: recommend_parallelism(m, c, objective="fun"), "objective must be 'hours' or 'gpu_hours'"),
        (lambda m, c: compare_strategies(Transformer.of_size(1e12), [1, 8], c), "1,000B parameters do not fit: 8-way"),
    ],
)
def test_value_out_of_range_is_named(call, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        call(Transformer.of_size(1e9), Cluster(H100, 8))
