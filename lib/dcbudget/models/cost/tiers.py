"""What storage and network cost at graduated prices."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import within


def tiered_cost(quantity, price, tiers: Sequence[tuple[float, float]] = ()):
    """Money for a quantity at graduated prices: each price holds for what lies above its bound.

    Parameters
    ----------
    quantity : in the unit of the bounds.
    price : up to the first bound [money per unit].
    tiers : (bound, price above it), bounds rising.

    Raises
    ------
    OutOfRange : a negative value, bounds that do not rise.
    """
    amount, before = within("quantity", quantity, 0), within("price", price, 0)
    if any(second <= first for (first, _), (second, _) in pairwise(tiers)):
        raise OutOfRange("the bounds of tiers must rise")
    money = amount * before
    for bound, above in tiers:
        beyond = np.maximum(amount - within("bound of a tier", bound, 0), 0)
        money = money + beyond * (within("price of a tier", above, 0) - before)
        before = above
    return money


def storage_cost(gb_months, price_per_gb_month, tiers: Sequence[tuple[float, float]] = ()):
    """Money for storage: GB kept for a month, by class of storage in arrays, at graduated prices as `tiered_cost`."""
    return tiered_cost(within("gb_months", gb_months, 0), within("price_per_gb_month", price_per_gb_month, 0), tiers)


def network_cost(egress_gb, price_per_gb, tiers: Sequence[tuple[float, float]] = ()):
    """Money for data sent out in a month, at graduated prices as `tiered_cost`; a free quota is a first price of 0."""
    return tiered_cost(within("egress_gb", egress_gb, 0), within("price_per_gb", price_per_gb, 0), tiers)
