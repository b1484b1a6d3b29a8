"""Measured run times on more GPUs: published frontiers, cases by hand, and what must always hold."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcbudget.errors import OutOfRange
from dcbudget.models.performance import Scaling, StepScaling, pareto

# MLPerf Training v3.0, GPT-3 on H100, and v5.1, Llama 2 70B LoRA on one site's B200: GPUs -> minutes.
GPT_3 = {512: 64.26, 768: 45.61, 1536: 23.61, 3584: 10.94}
LORA = {8: 10.8, 16: 6.0, 32: 3.53, 64: 2.28, 128: 1.92}
# Batch, and samples that the run took to the target, of the same logs.
LORA_STEPS = {8: (8, 3456), 16: (16, 3840), 32: (8, 3840), 64: (8, 4224), 128: (16, 6912)}
# Narayanan et al. 2021, table 2: GPUs -> TFLOP/s a GPU, of PTD-P on 175B and on 530B; hours are work / (n * TFLOP/s).
MEGATRON = ({384: 153, 768: 149, 1536: 141}, {560: 171, 1120: 167, 2240: 159})


def fit(minutes, sizes):
    return Scaling.fit(sizes, [minutes[size] / 60 for size in sizes])


def test_small_sizes_of_gpt_3_predict_the_large_one():
    """Within 5 %, on 2.3 times as many GPUs; pure 1/n from any of them misses by more."""
    law = fit(GPT_3, [512, 768, 1536])
    assert law.hours(3584) * 60 == pytest.approx(10.94, rel=0.05)
    assert law.extrapolation(3584) == pytest.approx(3584 / 1536)
    for size in (512, 768, 1536):
        assert GPT_3[size] * size / 3584 < 0.93 * 10.94


def test_small_sizes_of_lora_predict_double_and_not_fourfold():
    """64 GPUs within 5 %; on 128 the batch doubles and samples to the target rise from 4,224 to 6,912."""
    law = fit(LORA, [8, 16, 32])
    assert law.hours(64) * 60 == pytest.approx(2.28, rel=0.05)
    assert LORA[32] * 32 / 64 < 0.8 * 2.28
    assert law.hours(128) * 60 == pytest.approx(1.92, rel=0.15)
    assert law.remark(128).startswith("measured on 8 to 32 GPUs; 128 are 4.0 times the largest, and without its")


def test_steps_of_small_lora_runs_predict_the_large_ones():
    """64 and 128 GPUs within 5 %, given their batch and samples; pure 1/n per sample misses by more."""
    small, large = [8, 16, 32], np.array([64, 128])
    batch, samples = (np.array([LORA_STEPS[size][part] for size in small]) for part in (0, 1))
    law = StepScaling.fit(small, [LORA[size] / 60 for size in small], batch, samples)
    found = law.hours(large, *np.array([LORA_STEPS[size] for size in large]).T) * 60
    assert found == pytest.approx([2.28, 1.92], rel=0.03)
    assert list(law.extrapolation(large, [8, 16])) == [2, 2]
    linear = LORA[32] * 32 / large * [4224 / 3840, 6912 / 3840]
    assert (linear / [2.28, 1.92] < 0.86).all()


@given(st.floats(1e-6, 1), st.floats(0, 1), st.lists(st.tuples(st.integers(1, 999), st.integers(1, 99)), min_size=2))
@settings(max_examples=50, deadline=None)
def test_steps_find_the_law_that_made_them(a, b, sizes):
    n, batch = np.array(sizes, dtype=float).T
    if len(np.unique(n / batch)) < 2:
        with pytest.raises(OutOfRange, match="at least 2 different ratios"):
            StepScaling.fit(n, n, batch, 1000)
        return
    law = StepScaling.fit(n, 1000 / batch * (a * batch / n + b), batch, 1000)
    assert law.hours(n, batch, 1000) == pytest.approx(1000 * (a / n + b / batch), rel=1e-4)
    assert law.gpu_hours(n, batch, 500) == pytest.approx(n * law.hours(n, batch, 1000) / 2)
    assert (law.extrapolation(n, batch) == 1).all()


def test_distribution_buys_time_and_pays_for_it():
    law = fit(LORA, list(LORA))
    assert (np.diff(law.hours(list(LORA))) < 0).all()
    assert (np.diff(law.gpu_hours(list(LORA))) > 0).all()
    assert law.gpu_hours(128) == pytest.approx(4.10, rel=0.01)


@pytest.mark.parametrize("achieved", MEGATRON)
def test_two_sizes_of_megatron_predict_the_third(achieved):
    small, middle, large = achieved
    hours = {size: 1e6 / (size * tflops) for size, tflops in achieved.items()}
    law = Scaling.fit([small, middle], [hours[small], hours[middle]])
    assert law.hours(large) == pytest.approx(hours[large], rel=0.005)
    assert hours[middle] * middle / large < 0.96 * hours[large]


@given(st.floats(0.1, 1e5), st.floats(0, 100), st.lists(st.integers(1, 5000), min_size=2, max_size=8, unique=True))
@settings(max_examples=50, deadline=None)
def test_fit_finds_the_law_that_made_the_times(a, b, sizes):
    n = np.array(sizes)
    law = Scaling.fit(n, a / n + b)
    assert law.hours(n) == pytest.approx(a / n + b, rel=1e-5)
    assert law.gpu_hours(n) == pytest.approx(law.hours(n) * n)
    assert abs(law.misses).max() < 1e-5 and not law.note
    assert (law.extrapolation(n) == 1).all() and law.extrapolation(2 * max(sizes)) == 2


def test_largest_missed_by_hand():
    """Fitted on 1 and 2 GPUs, 8/n + 1 is 3 h on 4; they took 2.5."""
    assert Scaling.fit([1, 2, 4], [9, 5, 2.5]).largest_missed == pytest.approx(3 / 2.5 - 1)
    assert np.isnan(Scaling.fit([1, 2], [9, 5]).largest_missed)


def test_times_that_follow_no_law_are_told():
    superlinear = Scaling.fit([1, 2, 4], [8, 3.9, 1.9])
    assert superlinear.b_hours == 0 and superlinear.hours(8) == pytest.approx(0.95, rel=0.03)
    assert "fell by more than the GPUs rose" in superlinear.remark(8)
    worse = Scaling.fit([1, 2, 4], [1, 1.1, 1.3])
    assert worse.a_hours == 0 and 1 < worse.hours(8) < 1.3
    assert "did not fall with more GPUs" in worse.note


@pytest.mark.parametrize(
    "gpus, hours, sentence",
    [
        ([8], [1], "gpus must be at least 2 different sizes to tell how time scales, not 1"),
        ([8, 8], [1, 2], "at least 2 different sizes"),
        ([], [], "at least 2 different sizes"),
        ([8, 16], [1], "hours must be one a size: 1 for 2 sizes"),
        ([8, 0], [1, 2], "gpus must be at least 1"),
        ([8, 16], [1, -2], "hours must be above 0"),
        ([8, 16], [1, np.nan], "hours must be above 0 and finite, not nan"),
    ],
)
def test_what_cannot_be_fitted_is_said(gpus, hours, sentence):
    with pytest.raises(OutOfRange, match=sentence):
        Scaling.fit(gpus, hours)


def test_pareto_by_hand():
    frame = pd.DataFrame({"hours": [1, 2, 2, 3, 4, np.nan, 3], "cost": [9, 5, 5, 6, 1, 0, 1]})
    assert list(pareto(frame, "hours", "cost")) == [True, True, True, False, False, False, True]
    assert list(pareto(frame.iloc[:0], "hours", "cost")) == []


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=25))
@settings(max_examples=100, deadline=None)
def test_pareto_is_what_comparing_every_pair_gives(points):
    frame = pd.DataFrame(points, columns=["x", "y"], dtype=float)
    expected = [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]
    assert list(pareto(frame, "x", "y")) == expected
