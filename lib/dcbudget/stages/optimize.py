"""4_optimize: the answers in short, and the choice as a proposed adjustment."""

from collections.abc import Mapping

import pandas as pd

from dcbudget import adjustments
from dcbudget.errors import OutOfRange
from dcbudget.models.replay import EASY, FIFO
from dcbudget.stages.energy import Energy
from dcbudget.stages.frontier import Frontier
from dcbudget.stages.job_log import REQUESTED, JobLog
from dcbudget.stages.period import named_values
from dcbudget.stages.replays import Replays, Setting
from dcbudget.stages.sharing import Sharing
from dcbudget.stages.workloads import Workloads
from dcbudget.tables import MONEY, Table

SOURCE = "4_optimize"
MONTHS = 12


class Optimize:
    """One month of one pool: replays, the frontier, reservations, the plan of workloads, energy, and the choice.

    Parameters
    ----------
    month, partition, database, currency, supposed : see `JobLog`.
    policy, policy_now, planned_by : see `Replays`.
    planning : what `Workloads` takes beside: `months`, `worth`, `limits`.

    Raises
    ------
    DcbudgetError : no database, no such month or pool, a name that there is not, or a value out of range.
    """

    def __init__(
        self,
        month: str = "",
        partition: str = "",
        database: str = "",
        currency: str = "",
        policy: str = EASY.name,
        policy_now: str = FIFO.name,
        planned_by: str = REQUESTED,
        supposed: Mapping[str, float] | None = None,
        planning: Mapping[str, object] | None = None,
    ):
        self.log = JobLog(month, partition, database, currency, supposed=supposed)
        self.replays = Replays(self.log, policy, policy_now, planned_by)
        self.frontier, self.sharing = Frontier(self.replays), Sharing(self.replays)
        told = named_values("planning", planning)
        if unknown := sorted(told.keys() - {"months", "worth", "limits"}):
            raise OutOfRange(f"planning has no {unknown[0]!r}; it has months, worth, limits")
        self.workloads = Workloads(self.log.known, database=database, **told)
        self.energy = Energy(self.replays)
        self.first_month = self.log.end
        self.last_month = self.first_month + pd.DateOffset(months=MONTHS - 1)

    show = staticmethod(Replays.show)

    def saving(self, setting: Setting) -> float:
        """GPUs' money that a setting spares in the months of a proposal; waiting is on no bill and left out."""
        fewer = (self.log.nodes - setting.nodes) * self.log.gpus_per_node
        return MONTHS * fewer * self.log.hours * self.log.price

    def proposal(self, setting: Setting | None = None) -> str:
        """What a proposal would say."""
        setting = setting or self.replays.first
        return (f"{self.replays.finding(setting)}; GPUs {self._money(self.saving(setting))} less in {MONTHS} months"
                f" ({self.log.where}, {self.replays.basis})")  # fmt: skip

    def propose(self, owner: str, setting: Setting | None = None) -> str:
        """Write the choice into the ledger of adjustments and say so; without an owner nothing is written.

        Raises
        ------
        DcbudgetError : the setting cannot be replayed, or the database cannot be written to.
        """
        if not owner:
            return f"not proposed, no owner was given: {self.proposal(setting)}"
        setting = setting or self.replays.first
        found = adjustments.propose(
            owner=owner, date=self.log.end.date(), promised_saving=round(self.saving(setting), 2),
            currency=self.log.currency, first_month=self.first_month.date(), last_month=self.last_month.date(),
            reason=self.proposal(setting), source=SOURCE, counterfactual=adjustments.RUN_RATE, db=self.log.db,
        )  # fmt: skip
        return f"proposed {found}"

    def answers(self) -> Table:
        """Each question with its answer in a sentence."""
        rows = [
            ("Which policy?", self.replays.finding()),
            ("How many GPUs?", self.frontier.finding()),
            (f"GPUs for {self.sharing.important}?", self.sharing.reservation_finding()),
            ("Rent while jobs wait?", self.sharing.renting_finding(self.sharing.rentings())),
            ("More money?", self.workloads.finding()),
        ]
        frame = pd.DataFrame(rows, columns=["question", "answer"])
        title = f"What to do with {self.log.where} ({self.replays.basis})"
        return Table(frame, {"question": "Question", "answer": "Answer"}, title)

    def suppositions(self) -> Table:
        """What is supposed and not measured."""
        labels = {
            "waiting_price_per_hour": f"Money of an hour of a person who waits, {self.log.currency}",
            "people_share": "Share of a job's wait in which a person waits for it",
            "idle_power_share": "Draw of an idle GPU over that of a busy one",
            "checkpoint_minutes": "Minutes between checkpoints of a job that is preempted",
            "restart_minutes": "Minutes of its restart",
            "important_weight": "An hour that the important project waits counts as so many",
            "unknown_job_hours": "Hours of a job without history and requested time",
        }
        frame = pd.DataFrame({"name": list(labels), "what": list(labels.values()),
                              "value": [self.log.supposed[name] for name in labels]})  # fmt: skip
        return Table(frame, {"name": "Name", "what": "What", "value": "Value"},
                     "Supposed, not measured: the parameter `supposed` changes it", {"value": "{:,g}"})  # fmt: skip

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.log.currency}"
