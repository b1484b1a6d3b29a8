"""Strategies with their money, the frontier, and measured runs by mode."""

import numpy as np
import pandas as pd
import pytest

from dcbudget.errors import OutOfRange
from dcbudget.models import strategies
from dcbudget.models.performance import Accelerator, Cluster, Transformer, compare_strategies, recommend_parallelism

H100 = Accelerator("H100", 80, 989, 3350)
RUNS = pd.DataFrame(
    {
        "strategy": ["one process"] * 3 + ["data parallel"] * 2,
        "processes": [1, 1, 1, 2, 2],
        "batch_size": [32] * 5,
        "accumulation": [1] * 5,
        "reached": [True, True, True, True, False],
        "seconds_to_target": [10.0, 14.0, 12.0, 8.0, np.nan],
        "server_hours": [10 / 3600, 14 / 3600, 12 / 3600, 16 / 3600, 60 / 3600],
        "final_accuracy": [0.97, 0.98, 0.99, 0.96, 0.5],
        "final_f1": [0.97, 0.98, 0.99, 0.96, 0.5],
    }
)


def rows(**columns):
    usual = {"strategy": "data parallel", "nodes": 1, "fits": True, "why": "because"}
    return pd.DataFrame(usual | columns, index=range(len(columns["gpus"])))


def test_money_and_the_frontier_by_hand():
    """1 GPU 100 h, 2 GPUs 60 h, 4 GPUs 80 h that both beat, and 8 GPUs that do not fit, at 2 an hour."""
    found = strategies.priced(
        rows(gpus=[1, 2, 4, 8], hours=[100.0, 60, 80, np.nan], gpu_hours=[100.0, 120, 320, np.nan],
             fits=[True, True, True, False]), 2.0,
    )  # fmt: skip
    assert found["gpus"].tolist() == [2, 4, 1]
    assert found["cost"].tolist() == [240, 640, 200]
    assert found["pareto"].tolist() == [True, False, True]


def test_parameter_servers_are_paid_for():
    """16 GPUs on 2 nodes for 10 h at 2, and 2 servers for 10 h at 3; other strategies have none."""
    both = rows(strategy=["parameter server", "data parallel"], gpus=[16, 16], nodes=[2, 2], hours=[10.0, 10.0],
                gpu_hours=[160.0, 160.0])  # fmt: skip
    found = strategies.priced(both, 2.0, price_per_server_hour=3.0).set_index("strategy")
    assert found["cost"].to_dict() == {"parameter server": 380, "data parallel": 320}
    assert found["pareto"].to_dict() == {"parameter server": False, "data parallel": True}


def test_spot_stretches_time_and_money_alike_and_large_jobs_most():
    plain = strategies.priced(rows(gpus=[8, 64], hours=[10.0, 2], gpu_hours=[80.0, 128]), 1.0).set_index("gpus")
    spot = strategies.priced(rows(gpus=[8, 64], hours=[10.0, 2], gpu_hours=[80.0, 128]), 1.0, 0.002).set_index("gpus")
    stretch = spot["hours"] / plain["hours"]
    assert stretch[64] > stretch[8] > 1
    assert (spot["cost"] / plain["cost"]).to_dict() == pytest.approx(stretch.to_dict())


def test_nothing_that_fits_says_why():
    with pytest.raises(OutOfRange, match="no strategy fits: needs 900 GB"):
        strategies.priced(rows(gpus=[8], hours=[np.nan], gpu_hours=[np.nan], fits=False, why="needs 900 GB"), 1.0)
    with pytest.raises(OutOfRange, match="price_per_gpu_hour"):
        strategies.priced(rows(gpus=[8], hours=[1.0], gpu_hours=[8.0]), -1.0)


def test_calibrated_kernels_give_the_measured_mfu_on_the_fewest_nodes():
    model, cluster = Transformer.of_size(7e9), Cluster(H100, 64)
    run = {"batch": 512, "tokens": 1e9}
    efficiency = strategies.calibrated(model, cluster, 0.37, **run)
    best = recommend_parallelism(model, Cluster(H100, 8), **run, kernel_efficiency=efficiency)
    assert best.mfu == pytest.approx(0.37, rel=2e-3)
    whole = compare_strategies(model, [64], cluster, **run, kernel_efficiency=efficiency)
    assert whole["mfu"].max() < 0.37


def test_calibration_looks_at_more_nodes_where_the_model_does_not_fit_on_one():
    model = Transformer.of_size(70e9)
    efficiency = strategies.calibrated(model, Cluster(H100, 128), 0.35, batch=512, tokens=1e9)
    fitting = next(n for n in (8, 16, 32, 64, 128)
                   if recommend_parallelism(model, Cluster(H100, n), batch=512, tokens=1e9).fits)  # fmt: skip
    assert fitting > 8
    best = recommend_parallelism(model, Cluster(H100, fitting), batch=512, tokens=1e9, kernel_efficiency=efficiency)
    assert best.mfu == pytest.approx(0.35, rel=2e-2)


def test_mfu_that_cannot_be_reached():
    with pytest.raises(OutOfRange, match="mfu"):
        strategies.calibrated(Transformer.of_size(7e9), Cluster(H100, 8), 1.5, batch=512, tokens=1e9)


def test_measured_shape_is_moved_to_the_smallest_common_size():
    """Half the time on twice the GPUs would cost the same; 0.6 of it costs 1.2 times."""
    points = pd.DataFrame({"gpus": [4, 8, 16], "hours": [20.0, 10, 6], "cost": [800.0, 800, 960]})
    measured = pd.DataFrame({"gpus": [8, 16], "minutes": [10.0, 6]})
    found = strategies.scaled(points, measured)
    assert found["hours"].tolist() == pytest.approx([10, 6])
    assert found["cost"].tolist() == pytest.approx([800, 960])
    assert strategies.scaled(points, measured.assign(gpus=[3, 5])).empty


def test_modes_by_hand():
    """One process: 10, 12, 14 s at 3 a server-hour; two processes of which one run reached its target."""
    found = strategies.by_mode(RUNS, 3.0).set_index("mode")
    one, two = found.loc["one process, batch 32"], found.loc["data parallel x 2, batch 64"]
    assert (one["runs"], one["reached"], one["seconds"], one["seconds_low"], one["seconds_high"]) == (3, 1, 12, 10, 14)
    assert one["cost"] == pytest.approx(12 / 3600 * 3)
    assert (two["runs"], two["reached"], two["seconds"]) == (2, 0.5, 8)
    # the run that never got there is in nobody's cost
    assert two["cost"] == pytest.approx(16 / 3600 * 3)
    assert found.index[0] == "data parallel x 2, batch 64"


def test_mode_that_never_reached_its_target_is_last_and_has_no_cost():
    found = strategies.by_mode(RUNS.assign(reached=[True] * 3 + [False] * 2), 1.0)
    assert found["mode"].tolist()[-1] == "data parallel x 2, batch 64"
    assert np.isnan(found["cost"].iloc[-1]) and np.isnan(found["seconds"].iloc[-1])


def test_law_of_the_smaller_sizes_and_its_miss():
    """a = 80 GPU-minutes, b = 1 minute: 11, 6 and 3.5; 4.5 minutes on 64 GPUs is twice what the law says, 2.25."""
    measured = pd.DataFrame({"job": "j", "gpus": [8, 16, 32, 64], "minutes": [11.0, 6, 3.5, 4.5]})
    found = strategies.measured_law(measured)
    assert found["law"].tolist() == pytest.approx([11, 6, 3.5, 2.25])
    assert found["off"].tolist() == pytest.approx([0, 0, 0, -0.5], abs=1e-9)
    assert found["beyond"].tolist() == [1, 1, 1, 2]
    assert found["price"].iloc[-1] == pytest.approx(64 * 4.5 / (8 * 11))


def test_published_frontiers():
    """R4: GPT-3 on 3,584 H100 within 5 % from the smaller sizes; LoRA on B200 takes 1.44 to 4.10 GPU-hours."""
    from dcbudget import warehouse

    found = strategies.measured_law(warehouse.reference("measured_scaling"))
    lora, gpt = (found[found["job"].str.startswith(job)] for job in ("Llama 2 70B LoRA", "GPT-3"))
    assert lora["gpu_hours"].round(2).tolist() == [1.44, 1.60, 1.88, 2.43, 4.10]
    assert abs(gpt["off"].iloc[-1]) < 0.05 and gpt["beyond"].iloc[-1] == pytest.approx(3584 / 1536)
