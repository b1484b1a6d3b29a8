"""The errors a user can meet; each docstring is the sentence that it stands for."""


class DcbudgetError(Exception):
    """Something that the user can put right went wrong; the message says what and where."""


class UnreadableFile(DcbudgetError):
    """A file could not be read at all, so that nothing of it was loaded."""


class RefusedFile(DcbudgetError):
    """A file would count the same money twice or change an approved budget, so that nothing of it was loaded."""


class DatabaseMissing(DcbudgetError):
    """The database does not exist yet; `dcbudget load` makes it."""


class DatabaseBusy(DcbudgetError):
    """Another process holds the database and did not let go of it in time."""


class WrongKey(DcbudgetError):
    """The database is encrypted, and its key is missing or another one."""


class MixedCurrencies(DcbudgetError):
    """A sum was asked for over several currencies without a rate between them."""


class BudgetDoesNotTie(DcbudgetError):
    """Totals of a budget that was handed back are not the sums of their lines; `places` names each of them."""

    def __init__(self, message: str, places: list[str]):
        super().__init__("\n  ".join([message, *places]))
        self.places = places


class ConflictingDemands(DcbudgetError):
    """Nothing meets all demands; `demands` conflict, and without any one of them the others can be met."""

    def __init__(self, demands: list[str]):
        super().__init__(f"these demands conflict, and any one of them less would do: {'; '.join(demands)}")
        self.demands = demands


class OutOfRange(DcbudgetError):
    """A value lies outside the range that its field allows."""


class ReportError(DcbudgetError):
    """A report could not be rendered; no half-written report was left behind."""
