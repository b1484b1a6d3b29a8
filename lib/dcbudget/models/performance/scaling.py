"""How measured run times go on with more GPUs, how far that can be trusted, and which choices are worth their money."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, within


@dataclass(frozen=True)
class Scaling:
    """Run time over GPUs, t(n) = a/n + b: work that GPUs share, and time that none of them shortens (Amdahl 1967).

    Attributes
    ----------
    a_hours : GPU-hours of the work that is shared; b_hours : hours that stay.
    measured_gpus, measured_hours : what it was fitted on, by size.
    note : a sentence where the measured times do not follow the law; else empty.
    """

    a_hours: float
    b_hours: float
    measured_gpus: np.ndarray = field(default_factory=lambda: np.empty(0))
    measured_hours: np.ndarray = field(default_factory=lambda: np.empty(0))
    note: str = ""

    @classmethod
    def fit(cls, gpus, hours, *, toward_largest: float = 2.0) -> "Scaling":
        """The law nearest to measured run times by least squares of their relative errors.

        Parameters
        ----------
        gpus : sizes, at least two different ones; hours : of wall time, one each.
        toward_largest : an error counts by its size to this power. What is asked of the law is mostly the time on more
            GPUs than were measured, so the sizes next to those count most; 0 counts all alike.

        Raises
        ------
        OutOfRange : a value is out of its range, or there are fewer than two sizes.
        """
        n, t = np.ravel(within("gpus", gpus, 1)), np.ravel(positive("hours", hours))
        within("toward_largest", toward_largest, 0)
        if len(n) != len(t):
            raise OutOfRange(f"hours must be one a size: {len(t)} for {len(n)} sizes")
        if len(np.unique(n)) < 2:
            raise OutOfRange(
                f"gpus must be at least 2 different sizes to tell how time scales, not {len(np.unique(n))}"
            )
        order = np.argsort(n, kind="stable")
        n, t = n[order], t[order]
        a, b, note = _law(n, t, toward_largest)
        return cls(a, b, n, t, note)

    def hours(self, gpus):
        """Hours of wall time on a number of GPUs; vectorised."""
        return self.a_hours / within("gpus", gpus, 1) + self.b_hours

    def gpu_hours(self, gpus):
        """GPU-hours on a number of GPUs: a + b * n; vectorised."""
        return self.a_hours + self.b_hours * within("gpus", gpus, 1)

    def extrapolation(self, gpus):
        """How many times the largest measured size a number of GPUs is; 1 where it is no larger; vectorised."""
        return np.maximum(within("gpus", gpus, 1) / self.measured_gpus.max(initial=1.0), 1.0)

    @property
    def misses(self) -> np.ndarray:
        """Fitted less measured time of each size, as a share of the measured one."""
        return self.hours(self.measured_gpus) / self.measured_hours - 1

    @property
    def largest_missed(self) -> float:
        """By what share the law missed the largest size when fitted on the others; NaN with fewer than three sizes."""
        largest = self.measured_gpus == self.measured_gpus.max(initial=0.0)
        if len(np.unique(self.measured_gpus)) < 3:
            return float("nan")
        others = Scaling.fit(self.measured_gpus[~largest], self.measured_hours[~largest])
        return float(np.mean(others.hours(self.measured_gpus[largest]) / self.measured_hours[largest] - 1))

    def remark(self, gpus: float) -> str:
        """A sentence on how far the time on a number of GPUs can be trusted."""
        low, high = self.measured_gpus.min(), self.measured_gpus.max()
        factor = self.extrapolation(gpus)
        text = f"measured on {low:,.0f} to {high:,.0f} GPUs"
        if factor > 1:
            text += f"; {gpus:,.0f} are {factor:,.1f} times the largest"
            if not np.isnan(self.largest_missed):
                text += f", and without its largest size the law missed that by {abs(self.largest_missed):.1%}"
        return f"{text}; {self.note}" if self.note else text


@dataclass(frozen=True)
class StepScaling:
    """Time of a training step, a * batch/n + b: computing that n GPUs share, and what each step costs.

    Where sizes were measured with different batches, or needed more samples to the target with larger ones, run times
    follow no a/n + b; their steps do, and a run takes samples/batch of them.

    Attributes
    ----------
    gpu_hours_per_sample : a; hours_per_step : b.
    measured_gpus_per_sample : GPUs over batch of what it was fitted on.
    note : a sentence where the measured times do not follow the law; else empty.
    """

    gpu_hours_per_sample: float
    hours_per_step: float
    measured_gpus_per_sample: np.ndarray
    note: str = ""

    @classmethod
    def fit(cls, gpus, hours, batch, samples, *, toward_largest: float = 2.0) -> "StepScaling":
        """The law nearest to measured runs by least squares of the relative errors of their steps.

        Parameters
        ----------
        gpus, hours : sizes and wall time of the runs, one each; batch : samples a step; samples : of the whole run.
        toward_largest : see `Scaling.fit`, by GPUs over batch.

        Raises
        ------
        OutOfRange : a value is out of its range, or there are fewer than two different ratios of GPUs to batch.
        """
        within("toward_largest", toward_largest, 0)
        n, t, size, seen = np.broadcast_arrays(
            np.ravel(within("gpus", gpus, 1)), np.ravel(positive("hours", hours)), positive("batch", batch),
            positive("samples", samples),
        )  # fmt: skip
        each = n / size
        if len(np.unique(each)) < 2:
            raise OutOfRange(
                f"gpus must be in at least 2 different ratios to the batch to tell how steps scale, not"
                f" {len(np.unique(each))}"
            )
        order = np.argsort(each, kind="stable")
        a, b, note = _law(each[order], (t * size / seen)[order], toward_largest)
        return cls(a, b, each[order], note)

    def hours(self, gpus, batch, samples):
        """Hours of wall time of a run of so many samples; vectorised."""
        n, size = within("gpus", gpus, 1), positive("batch", batch)
        return positive("samples", samples) * (self.gpu_hours_per_sample / n + self.hours_per_step / size)

    def gpu_hours(self, gpus, batch, samples):
        """GPU-hours of a run of so many samples; vectorised."""
        return within("gpus", gpus, 1) * self.hours(gpus, batch, samples)

    def extrapolation(self, gpus, batch):
        """How many times the largest measured ratio of GPUs to batch this one is; 1 where it is no larger."""
        ratio = within("gpus", gpus, 1) / positive("batch", batch)
        return np.maximum(ratio / self.measured_gpus_per_sample.max(), 1.0)


def pareto(frame: pd.DataFrame, x: str, y: str) -> np.ndarray:
    """Whether no other row is at most as large in both columns and smaller in one, a bool a row.

    Rows that are null in either are never; equal rows are together.
    """
    xs, ys = frame[x].to_numpy(float), frame[y].to_numpy(float)
    known = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    order = known[np.lexsort((ys[known], xs[known]))]
    sorted_x, sorted_y = xs[order], ys[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(sorted_y)])[: len(order)]
    best = np.maximum.accumulate(np.where(sorted_y < before, np.arange(len(order)), 0))
    mask = np.zeros(len(frame), dtype=bool)
    mask[order] = (sorted_x == sorted_x[best]) & (sorted_y == sorted_y[best])
    return mask


def _law(n: np.ndarray, t: np.ndarray, toward_largest: float) -> tuple[float, float, str]:
    """a, b of t = a/n + b, neither below 0, and a sentence where one would be; sizes in ascending order."""
    weight = (n / n[-1]) ** toward_largest
    a, b = np.linalg.lstsq(np.stack([weight / (n * t), weight / t], axis=1), weight, rcond=None)[0]
    note = ""
    if b < 0:
        a, b = _one_term(weight / (n * t), weight), 0.0
        if np.max(n * t) > (1 + 1e-6) * t[-1] * n[-1]:
            note = "the time fell by more than the GPUs rose, so none of it is taken to stay; measure larger sizes"
    elif a <= 0:
        a, b = 0.0, _one_term(weight / t, weight)
        note = "the time did not fall with more GPUs, so all of it is taken to stay"
    return float(a), float(b), note


def _one_term(column: np.ndarray, wanted: np.ndarray) -> float:
    """The factor of least squares of one column."""
    return float(column @ wanted / (column @ column))
