"""The months that the sample covers, and its clock: seconds since 1970, UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

FIRST_MONTH, LAST_MONTH, MOST_MONTHS = (2025, 1), (2026, 6), 18
HOUR, DAY = 3600, 86_400


@dataclass(frozen=True)
class Window:
    """The months of the sample.

    `months` are names like "2026-06"; `edges` their half-open bounds in seconds since 1970 UTC, one
    more than months; `ages` count months since 2025-01, so that a short sample equals the end of a long one
    in its trends.
    """

    months: tuple[str, ...]
    edges: np.ndarray
    ages: tuple[int, ...]

    @classmethod
    def ending(cls, months: int) -> Window:
        """Return the window of `months` calendar months whose last is 2026-06."""
        if not 1 <= months <= MOST_MONTHS:
            raise ValueError(f"months must be between 1 and {MOST_MONTHS}, found {months}")
        last = LAST_MONTH[0] * 12 + LAST_MONTH[1] - 1
        serials = range(last - months + 1, last + 2)
        starts = [datetime(s // 12, s % 12 + 1, 1, tzinfo=UTC) for s in serials]
        origin = FIRST_MONTH[0] * 12 + FIRST_MONTH[1] - 1
        return cls(
            tuple(f"{s:%Y-%m}" for s in starts[:-1]),
            np.array([int(s.timestamp()) for s in starts]),
            tuple(s - origin for s in serials)[:-1],
        )

    @property
    def start(self) -> int:
        return int(self.edges[0])

    @property
    def end(self) -> int:
        return int(self.edges[-1])

    @property
    def hours(self) -> np.ndarray:
        """Hours of each month."""
        return np.diff(self.edges) // HOUR

    def month_of(self, seconds: np.ndarray) -> np.ndarray:
        """Return the index of the month in which each time lies."""
        return np.searchsorted(self.edges, seconds, side="right") - 1

    def overlap_seconds(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return how long each interval lies in each month: seconds, shape (intervals, months)."""
        lower = np.maximum(start[:, None], self.edges[:-1])
        return np.clip(np.minimum(end[:, None], self.edges[1:]) - lower, 0, None)


def epoch(text: str) -> int:
    """Return the seconds since 1970 of an ISO date or time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def iso(seconds: int) -> str:
    """Return a time as ISO text with a trailing Z."""
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
