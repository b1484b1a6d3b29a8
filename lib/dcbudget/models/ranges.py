"""Values that a model may not take, as errors that name the field and its range."""

import numpy as np

from dcbudget.errors import OutOfRange


def within(name: str, value, low: float = -np.inf, high: float = np.inf, *, above: bool = False):
    """The value or array itself, as float.

    Parameters
    ----------
    name : of the field, for the message.
    value : a number or array [any unit]; every element must be finite.
    low, high : the range, ends included; with `above` the lower end is excluded.

    Raises
    ------
    OutOfRange : an element is no number or lies outside; the first such is named.
    """
    try:
        values = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise OutOfRange(f"{name} must be a number {_range(low, high, above)}, not {value!r}") from None
    with np.errstate(invalid="ignore"):
        good = np.isfinite(values) & ((values > low) if above else (values >= low)) & (values <= high)
    if not good.all():
        raise OutOfRange(f"{name} must be {_range(low, high, above)}, not {values[~good].flat[0]:g}")
    return values if values.ndim else float(values)


def positive(name: str, value):
    """The value or array itself, above 0 and finite (see `within`)."""
    return within(name, value, 0, above=True)


def share(name: str, value, *, above: bool = False):
    """The value or array itself, a share from 0 to 1 (see `within`)."""
    return within(name, value, 0, 1, above=above)


def whole(name: str, value, low: int = 1, high: float = np.inf):
    """The value or array itself, whole numbers from `low` to `high` (see `within`)."""
    values = np.asarray(within(name, value, low, high))
    if (values != np.floor(values)).any():
        odd = values[values != np.floor(values)].flat[0]
        raise OutOfRange(f"{name} must be a whole number {_range(low, high, False)}, not {odd:g}")
    return values.astype(np.int64) if values.ndim else int(values)


def _range(low: float, high: float, above: bool) -> str:
    if low == -np.inf and high == np.inf:
        return "finite"
    floor = f"above {low:g}" if above else f"at least {low:g}"
    if high == np.inf:
        return f"{floor} and finite"
    return f"{floor} and at most {high:g}"
