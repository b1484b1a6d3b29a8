"""Rules for which waiting job starts next."""

from dataclasses import dataclass, replace

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import positive, whole

ORDERS = ("fifo", "smallest", "shortest", "given", "fair_share")
BACKFILLS = (None, "easy", "conservative")


@dataclass(frozen=True)
class Policy:
    """One rule, told apart from another by these values alone.

    Attributes
    ----------
    name : for tables and titles.
    order : in which jobs wait. "fifo": by submission; "smallest": fewest GPUs first; "shortest": least requested time
        first; "given": by the keys that `replay(order=...)` takes, low first; "fair_share": the account first that has
        used least of its share. Ties go by submission, then by the row of the log.
    backfill : None: nobody passes the head of the queue. "easy": a job passes where it does not delay the head's start,
        by requested times. "conservative": every job is promised a start when it is submitted, and none is delayed.
    depth : jobs behind the head that "easy" looks at.
    preemptive : a job of a higher class (`replay(priority=...)`) takes the GPUs of running jobs of lower classes: the
        lowest class first, then who started last. Classes come before the order.
    half_life_seconds : of the use that "fair_share" remembers.

    Raises
    ------
    OutOfRange : a value is unknown or outside its range, or two do not go together.
    """

    name: str
    order: str = "fifo"
    backfill: str | None = None
    depth: int = 100
    preemptive: bool = False
    half_life_seconds: float = 7 * 86400.0

    def __post_init__(self):
        if self.order not in ORDERS:
            raise OutOfRange(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if self.backfill not in BACKFILLS:
            raise OutOfRange(f"backfill must be None, easy or conservative, not {self.backfill!r}")
        whole("depth", self.depth, 1, 1e9)
        positive("half_life_seconds", self.half_life_seconds)
        if self.backfill == "conservative" and (self.preemptive or self.order == "fair_share"):
            raise OutOfRange("conservative backfill promises starts, so it goes with neither preemption nor fair share")
        if self.preemptive and self.order == "fair_share":
            raise OutOfRange("preemption goes by classes and fair share by use, so that they do not go together")

    @property
    def needs_requested(self) -> bool:
        """Whether it decides by requested times."""
        return self.order == "shortest" or self.backfill is not None

    def named(self, name: str) -> "Policy":
        """The same rule under another name."""
        return replace(self, name=name)


FIFO = Policy("FIFO")
SMALLEST_FIRST = Policy("Smallest first", "smallest")
SHORTEST_FIRST = Policy("Shortest first", "shortest")
GIVEN_ORDER = Policy("Given order", "given")
EASY = Policy("EASY backfill", backfill="easy")
CONSERVATIVE = Policy("Conservative backfill", backfill="conservative")
PRIORITY = Policy("Priority classes", preemptive=True)
FAIR_SHARE = Policy("Fair share", "fair_share")
