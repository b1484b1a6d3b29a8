"""Who bears what nobody used: idle money shared among projects, to the cent."""

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange

WAYS = ("none", "proportional", "even", "fixed")


def share_idle(
    costs: pd.DataFrame, way: str, weights: dict[str, float] | None = None, idle: str = "Idle capacity"
) -> pd.DataFrame:
    """Costs with the idle line of every month and category shared among the projects.

    Shares are cut to whole cents by largest remainder (Hamilton's method), so that every month and category sums to
    what it summed to before; where nobody can bear it, idle money stays idle.

    Parameters
    ----------
    costs : `month`, `project`, `category`, `cost` [money], one row each.
    way : "none" leaves idle money by itself; "proportional" shares it by each project's cost of the month and
        category, or of the month where the category has none; "even" among the projects with costs in the month;
        "fixed" by `weights`.
    weights : project -> weight, for "fixed"; a project without one bears nothing.
    idle : the name of the line that is shared.

    Returns
    -------
    DataFrame : the same columns, sorted by month, project and category.

    Raises
    ------
    OutOfRange : an unknown way, or weights that are negative, all zero, or of no known project.
    """
    if way not in WAYS:
        raise OutOfRange(f"idle capacity is shared by {', '.join(WAYS)}, not {way!r}")
    weights = {name: float(weight) for name, weight in (weights or {}).items()}
    if way == "fixed":
        if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
            raise OutOfRange("fixed weights must be given, none negative and one above 0")
        if unknown := sorted(weights.keys() - set(costs["project"])):
            raise OutOfRange(f"a weight is given to {unknown[0]!r}, which has no costs")
    keys = ["month", "project", "category"]
    if way == "none":
        return costs.groupby(keys, as_index=False)["cost"].sum()
    is_idle = costs["project"] == idle
    bearers = costs[~is_idle & (costs["project"] != "Unallocated")]
    parts = [costs.loc[~is_idle, [*keys, "cost"]]]
    for (month, category), amount in costs[is_idle].groupby(["month", "category"])["cost"].sum().items():
        of_month = bearers[bearers["month"] == month]
        bases = [of_month[of_month["category"] == category], of_month] if way == "proportional" else [of_month]
        shares = pd.Series(dtype=float)
        for base in bases:
            sums = base.groupby("project")["cost"].sum()
            shares = sums[sums > 0]
            if len(shares):
                break
        if way == "even":
            shares = shares * 0 + 1.0
        if way == "fixed":
            shares = pd.Series(weights, dtype=float).loc[lambda w: w > 0]
        if shares.empty:
            shares = pd.Series({idle: 1.0})
        cents = split(amount, shares)
        parts.append(pd.DataFrame({"month": month, "project": cents.index, "category": category, "cost": cents.values}))
    return pd.concat(parts, ignore_index=True).groupby(keys, as_index=False)["cost"].sum()


def split(amount: float, weights: pd.Series) -> pd.Series:
    """An amount cut by weights into whole cents that sum to it; what is left below a cent goes to the largest part.

    Parameters
    ----------
    amount : money, of either sign.
    weights : at least one, none negative, their sum above 0.
    """
    return pd.Series(parts_of(amount, weights.to_numpy(dtype=float)), weights.index, name=weights.name)


def parts_of(amount: float, weights: np.ndarray) -> np.ndarray:
    """The parts alone (see `split`)."""
    exact = amount * weights / weights.sum()
    cents = np.floor(np.round(exact * 100, 6))
    left = round(amount * 100 - cents.sum())
    cents[np.argsort(cents - exact * 100, kind="stable")[: max(left, 0)]] += 1
    parts = cents / 100
    parts[np.abs(exact).argmax()] += amount - parts.sum()
    return parts


def whole_cents(amounts: np.ndarray) -> np.ndarray:
    """Amounts (..., T) in cents that sum, column by column, to the rounded sum (largest remainders)."""
    exact = amounts.reshape(-1, amounts.shape[-1]) * 100
    cents = np.floor(exact)
    left = np.rint(exact.sum(axis=0) - cents.sum(axis=0)).astype(int)
    order = np.argsort(cents - exact, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    return (cents + (rank < left)).reshape(amounts.shape)


def chargeback(
    costs: pd.DataFrame, way: str, weights: dict[str, float] | None = None, idle: str = "Idle capacity"
) -> pd.DataFrame:
    """What every user group is shown, what idle capacity adds to it, and what it is charged: their sum.

    A project's share of the idle money (see `share_idle`) is cut among its groups by what each is shown, in cents.

    Parameters
    ----------
    costs : `project`, `user_group`, `cost` [money], of one month; the project `idle` is shared.

    Returns
    -------
    DataFrame : one row a project and user group: `project`, `user_group` (null where nothing tells it), `showback`,
        `idle_share`, `chargeback` [money]; their sums are those of `costs`.

    Raises
    ------
    OutOfRange : see `share_idle`.
    """
    shown = costs.groupby(["project", "user_group"], dropna=False, as_index=False)["cost"].sum()
    by_project = shown.groupby("project", as_index=False)["cost"].sum().assign(month=0, category="")
    shared = share_idle(by_project, way, weights, idle).set_index("project")["cost"]
    frame = shown.rename(columns={"cost": "showback"}).assign(idle_share=0.0)
    for project, rows in frame.groupby("project").groups.items():
        shown_here = frame.loc[rows, "showback"]
        added = round(shared.get(project, 0.0) - shown_here.sum(), 9)
        if added:
            weights_here = shown_here.clip(lower=0)
            frame.loc[rows, "idle_share"] = split(added, weights_here if weights_here.sum() > 0 else weights_here + 1.0)
    return frame.assign(chargeback=frame["showback"] + frame["idle_share"])
