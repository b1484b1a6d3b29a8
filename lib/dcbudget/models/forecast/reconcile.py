"""Parts that sum to the whole: forecasts of projects and of their total made to agree, to the cent."""

import numpy as np

from dcbudget.models.ranges import within


def reconcile(parts, total, variances, total_variance: float) -> np.ndarray:
    """Forecasts of the parts after the total's own forecast was heard, each by how uncertain it is.

    MinT with a diagonal covariance (Wickramasuriya, Athanasopoulos and Hyndman 2019, "WLS"): of all parts that sum to
    their total, those whose squared distances from the forecasts, over their variances, are least. For one level that
    is closed: each part takes the share variance / (sum of variances + total's variance) of the gap.

    Parameters
    ----------
    parts : forecasts, (..., n) [money].
    total : the whole's own forecast, (...) [money].
    variances : of the parts' errors, (n,), at least 0; a part of variance 0 stays as it is.
    total_variance : of the whole's error, at least 0.

    Returns
    -------
    array (..., n) : the reconciled total is its sum over the last axis.
    """
    parts, total = within("parts", np.asarray(parts, dtype=float)), np.asarray(within("total", total))
    variances = within("variances", np.atleast_1d(variances), 0)
    whole = variances.sum() + within("total_variance", total_variance, 0)
    if whole == 0:
        return parts
    return parts + (total - parts.sum(axis=-1))[..., None] * variances / whole


def to_cents(parts) -> np.ndarray:
    """Parts in whole cents whose sum is that of the parts, rounded: cut cumulatively along the last axis."""
    upto = np.round(np.cumsum(within("parts", np.asarray(parts, dtype=float)), axis=-1), 2)
    return np.round(np.diff(upto, axis=-1, prepend=0.0), 2)
