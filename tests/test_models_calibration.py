"""Measured values and their spread: worked by hand, at the limits, and against numpy."""

from math import expm1, isnan, log, nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcbudget.models.calibration import Spread, growth_per_year, latest, measure, quantiles, ratio

PUBLISHED = pd.Series({"value": 0.41, "low": 0.38, "high": nan, "source": "a paper"})


def test_quantiles_by_weight():
    """A run of 90 GPU-hours counts nine times as much as one of ten."""
    assert quantiles([0.5, 0.2, 0.3], [1, 90, 9]) == Spread(0.2, 0.2, 0.2, 3)
    assert quantiles([0.5, 0.2, 0.3], [20, 40, 40]) == Spread(0.3, 0.2, 0.5, 3)


def test_what_is_no_number_or_weighs_nothing_is_left_out():
    assert quantiles([1.0, nan, np.inf, 7.0, 9.0], [1, 1, 1, 0, nan]) == Spread(1.0, 1.0, 1.0, 1)
    assert quantiles([]).count == 0 and isnan(quantiles([nan]).value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_equal_weights_are_the_quantiles_of_numpy(values):
    found = quantiles(values)
    wanted = np.quantile(values, [0.1, 0.5, 0.9], method="inverted_cdf")
    assert [found.low, found.value, found.high] == pytest.approx(list(wanted))


def test_ratio_is_of_the_sums_and_its_range_of_the_months():
    """The second month has three quarters of the weight: 0.25, where the mean of 0.1 and 0.3 is 0.2."""
    found = ratio([10, 90], [100, 300])
    assert found.value == pytest.approx(100 / 400)
    assert (found.low, found.high) == (pytest.approx(0.12), pytest.approx(0.28)) and found.count == 2


def test_ratio_leaves_out_months_without_a_whole():
    assert ratio([1, 5, nan], [2, 0, 4]) == Spread(0.5, 0.5, 0.5, 1)
    assert ratio([1], [0]).count == 0


def test_latest_is_the_last_month_that_is_known():
    found = latest([10, 30, nan], [10, 10, 10])
    assert (found.value, found.count) == (3.0, 2)
    assert latest([10, 30, 5], [10, 10, 0]).value == 3.0


def test_growth_of_a_steady_series_is_exact():
    """2 % a month is 26.8 % a year, and a month without a value does not bend the line."""
    series = 100 * 1.02 ** np.arange(12)
    for hole in (None, 5):
        monthly = series.copy()
        if hole:
            monthly[hole] = 0
        found = growth_per_year(monthly)
        assert found.value == pytest.approx(1.02**12 - 1)
        assert (found.low, found.high) == (pytest.approx(found.value), pytest.approx(found.value))
    assert growth_per_year([1.0, 2.0]).count == 0


def test_growth_is_the_slope_of_least_squares_with_its_error():
    monthly = np.array([100, 120, 90, 130, 140, 125.0])
    (slope, _), covariance = np.polyfit(np.arange(6), np.log(monthly), 1, cov="unscaled")
    residuals = np.log(monthly) - np.polyval(np.polyfit(np.arange(6), np.log(monthly), 1), np.arange(6))
    error = np.sqrt(residuals @ residuals / 4 * covariance[0, 0])
    found = growth_per_year(monthly)
    assert log(1 + found.value) == pytest.approx(12 * slope)
    assert found.high == pytest.approx(expm1(12 * (slope + 1.2815515655446004 * error)))
    assert found.low < found.value < found.high


def test_a_measured_value_stands_beside_the_published_one():
    found = measure("mfu", "MFU", "share", Spread(0.39, 0.33, 0.43, 114), "training runs", PUBLISHED)
    assert (found.value, found.low, found.high, found.count, found.published) == (0.39, 0.33, 0.43, 114, 0.41)
    assert found.remark == "measured 39.0%, P10 33.0% to P90 43.0%, training runs; published 41.0%"


def test_a_smaller_unit_moves_all_numbers_alike():
    found = measure("x", "X", "1 / GPU-hour", Spread(0.005, 0.004, 0.006, 3), "jobs", PUBLISHED).times(1000)
    assert found.remark == "measured 5, P10 4 to P90 6, jobs; published 410" and found.count == 3


def test_where_nothing_was_measured_the_published_value_holds():
    found = measure("mfu", "MFU", "share", Spread(), "training runs", PUBLISHED)
    assert (found.value, found.low, found.high, found.count, found.source) == (0.41, 0.38, 0.41, 0, "a paper")
    assert found.remark == "nothing measured; published: 41.0% (a paper)"


def test_where_nothing_is_known_the_value_is_none_of_ours():
    found = measure("x", "X", "W", Spread(), "here", None)
    assert (
        isnan(found.value) and found.source == "nothing known" and found.cells == ("unknown", "unknown", "unknown", "–")
    )
    assert found.remark == "nothing measured, and nothing published; give a value"


def test_a_default_that_nobody_published_is_not_called_published():
    default = pd.Series({"value": 0.0, "low": nan, "high": nan, "source": "nothing assumed"})
    assert measure("x", "X", "share", Spread(), "here", default).remark == "nothing measured; nothing assumed"
    found = measure("x", "X", "share", Spread(0.2, 0.1, 0.3, 5), "the bill", default)
    assert found.remark == "measured 20.0%, P10 10.0% to P90 30.0%, the bill" and found.cells[3] == "–"
