"""GPUs in use and asked for over time, from spans of jobs."""

import numpy as np


def mean_gpus(begin, end, gpus, edges) -> np.ndarray:
    """Mean number of GPUs that spans take in each step of time.

    Parameters
    ----------
    begin, end : of each span [seconds], end at least begin (N).
    gpus : of each span (N).
    edges : increasing moments [seconds] (T + 1).

    Returns
    -------
    Array (T): the GPU-seconds of all spans within a step over its length.
    """
    begin, end, gpus, edges = (np.asarray(values, dtype=float) for values in (begin, end, gpus, edges))
    # what all spans took up to a moment: gpus x (moment - begin) of those that began, less the same of those that ended
    taken = _up_to(begin, gpus, edges) - _up_to(end, gpus, edges)
    return np.diff(taken) / np.diff(edges)


def _up_to(moments: np.ndarray, gpus: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Sum of gpus x (edge - moment) over the moments before each edge."""
    order = np.argsort(moments, kind="stable")
    at = np.searchsorted(moments[order], edges)
    count = np.concatenate([[0.0], np.cumsum(gpus[order])])[at]
    weighted = np.concatenate([[0.0], np.cumsum((gpus * moments)[order])])[at]
    return edges * count - weighted
