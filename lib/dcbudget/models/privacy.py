"""Groups of too few people are shown together."""

import pandas as pd

from dcbudget.errors import OutOfRange

MERGED = "Small groups"
# What numbers are usual: inside an organisation, and for publishing.
INSIDE, PUBLISHED = 5, 11


def small_groups(people: pd.Series, least: int) -> set[str]:
    """The groups that a report must show as one.

    A group of fewer than `least` people is merged. Where that leaves a single group, or fewer than `least` people
    together, the next smallest groups join (complementary suppression): else the merged line, or the total less the
    lines that are shown, would be the small group's own number. A group without people is no secret and stays.

    Parameters
    ----------
    people : group -> number of people behind its numbers.
    least : smallest number of people that may stand alone, at least 1.

    Returns
    -------
    Names of the groups to merge; empty where none is small.

    Raises
    ------
    OutOfRange : `least` is below 1.
    """
    if least < 1:
        raise OutOfRange(f"the smallest group must be of at least 1 person, not {least}")
    counted = people[people > 0].rename_axis("group").reset_index(name="people").sort_values(["people", "group"])
    small = int((counted["people"] < least).sum())
    if not small:
        return set()
    while small < len(counted) and (small < 2 or counted["people"].iloc[:small].sum() < least):
        small += 1
    return set(counted["group"].iloc[:small])
