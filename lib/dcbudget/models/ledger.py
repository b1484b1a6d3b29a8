"""Where paid GPU-hours went: the buckets of the ledger, in hours and in money."""

import pandas as pd

# From worked for to paid for nothing; idle comes before it is shared.
BUCKETS = (
    "useful", "failed or restarted", "held but idle", "unallocated", "reserved but unused", "down", "unmatched",
)  # fmt: skip


def by_bucket(ledger: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """GPU-hours and money by bucket, with their shares of the whole.

    Parameters
    ----------
    ledger : `bucket`, `gpu_hours` [GPU-hours], `effective_cost`, `billed_cost` [money] and the columns of `by`.
    by : further columns to group by.

    Returns
    -------
    DataFrame : `by`, `bucket` in the order of BUCKETS (those that occur), the sums, `hours_share` and `cost_share` of
        all rows, decimals, null where the whole is 0.
    """
    keys = [*(by or []), "bucket"]
    frame = ledger.groupby(keys, as_index=False)[["gpu_hours", "effective_cost", "billed_cost"]].sum()
    frame["bucket"] = pd.Categorical(frame["bucket"], BUCKETS)
    frame = frame.sort_values(keys, ignore_index=True).astype({"bucket": str})
    for share, amount in (("hours_share", "gpu_hours"), ("cost_share", "effective_cost")):
        whole = frame[amount].sum()
        frame[share] = frame[amount] / whole if whole else float("nan")
    return frame


def by_project(ledger: pd.DataFrame) -> pd.DataFrame:
    """Money of every project by bucket, a column a bucket that occurs, with `total`; largest total first.

    Parameters
    ----------
    ledger : `project` (null where no job or rule names one), `bucket`, `effective_cost` [money].
    """
    named = ledger.assign(project=ledger["project"].fillna("No project"))
    frame = named.pivot_table(index="project", columns="bucket", values="effective_cost", aggfunc="sum", fill_value=0.0)
    frame = frame[[bucket for bucket in BUCKETS if bucket in frame]]
    frame["total"] = frame.sum(axis=1)
    frame = frame.sort_values(["total"], ascending=False, kind="stable")
    return frame.rename_axis(None, axis=1).reset_index()


ABOVE_USE = "held above use"


def held_above_use(ledger: pd.DataFrame, unused: pd.Series) -> pd.DataFrame:
    """Money of every project by what became of it, the useful part without what its jobs held above their use.

    Parameters
    ----------
    ledger : `project`, `bucket`, `effective_cost` [money].
    unused : project -> money of useful GPU-hours x (1 - utilisation) where it was measured; at most the useful money
        of the project counts.

    Returns
    -------
    DataFrame : `project`, `part` (a bucket, or ABOVE_USE) and `effective_cost`, whose sums by project are those of
        `ledger`; from useful to paid for nothing.
    """
    frame = ledger.groupby(["project", "bucket"], as_index=False)["effective_cost"].sum()
    useful = frame[frame["bucket"] == "useful"].set_index("project")["effective_cost"]
    above = unused.reindex(useful.index).fillna(0.0).clip(upper=useful, lower=0.0)
    frame["effective_cost"] -= frame["project"].map(above).where(frame["bucket"] == "useful", 0.0)
    parts = above[above > 0].rename_axis("project").reset_index(name="effective_cost").assign(bucket=ABOVE_USE)
    frame = pd.concat([frame, parts], ignore_index=True).rename(columns={"bucket": "part"})
    order = {part: place for place, part in enumerate((BUCKETS[0], ABOVE_USE, *BUCKETS[1:]))}
    return frame.sort_values(
        ["part", "project"], key=lambda column: column.map(order) if column.name == "part" else column,
        ignore_index=True,
    )  # fmt: skip
