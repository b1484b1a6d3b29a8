"""How a reader says what a file means: columns in SQL over the file's own fields, and the rules a row must keep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from dcbudget.ingest.source import NULL_WORDS, Source
from dcbudget.quoting import quote

MACROS = {
    "money": ("to_money", "a decimal number with at most 24 decimals"),
    "quantity": ("to_quantity", "a decimal number"),
    "number": ("to_double", "a number"),
    "measure": ("to_measure", "a number, NaN or Infinity"),
    "integer": ("to_integer", "a whole number"),
    "time": ("to_utc", "a time such as 2026-05-01T00:00:00Z"),
    "day": ("to_day", "a date such as 2026-05-01"),
}


def ref(field: str) -> str:
    """SQL for a raw field of the file, as text."""
    return quote("f:" + field)


@dataclass(frozen=True)
class Column:
    """A target column: SQL over the raw fields, and the kind of value that must come of it.

    `text` columns are what the SQL gives; the other kinds go through a macro of `sql/staging/macros.sql`,
    and a row whose text gives no value is rejected. `typed` SQL already gives the value.
    """

    sql: str
    kind: str = "text"
    required: bool = False


@dataclass(frozen=True)
class Rule:
    """A row for which `broken` (SQL over the target columns) holds is rejected; `found` is shown with it."""

    column: str
    broken: str
    reason: str
    found: str = "null"


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    header: bool = True
    quoted: bool = True


@dataclass(frozen=True)
class BadRecord:
    """A record that is no row: the line that it begins on (from 1), what is wrong, and its text."""

    line: int
    reason: str
    text: str


# A file's records: the line or number of each (from 1) with its fields as text, or what is wrong with it.
Records = Iterator[tuple[int, list[str | None]] | BadRecord]


@dataclass(frozen=True)
class Plan:
    """What to do with one file.

    Attributes
    ----------
    format : its name with its version, as `loads.format` shows it.
    dataset : the table it goes to.
    fields : names of the raw fields, in file order.
    columns : target column -> Column.
    rules : beyond typing.
    records : SQL over the raw fields; rows for which it is false are no records (job steps, comments).
    finish : statements over `{table}` once it has landed with its line numbers, non-records included.
    timezone : zone of times that name none.
    nulls : words that stand for "nothing here".
    convert : for files that DuckDB cannot read as they are (nested documents, event files, other databases): gives
        the records with their `fields` in order; the dialect then does not matter.
    money, currency : target columns whose sums are accounted for.
    """

    format: str
    dataset: str
    fields: list[str]
    columns: dict[str, Column]
    dialect: Dialect = Dialect()
    rules: list[Rule] = field(default_factory=list)
    records: str = "true"
    finish: tuple[str, ...] = ()
    timezone: str = "UTC"
    nulls: tuple[str, ...] = NULL_WORDS
    convert: Callable[[Source], Records] | None = None
    money: str | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Options:
    """What the user says about a load.

    Attributes
    ----------
    fields : names of the fields of a file without a header.
    timezone : zone of times without one, an IANA name.
    as_of : charges and jobs that begin more than a day later are rejected as lying in the future.
    prices_from : the day from which a price list holds that names none.
    overlap : "ask" (refuse what is unclear), "replace" or "add", for a billing period that is already loaded.
    mapping : target column -> field of the file, for the generic GPU trace.
    keep_names : whether names of jobs, which are free text, are kept.
    currency : of amounts for which a format tells none, a code such as USD.
    """

    fields: tuple[str, ...] = ()
    timezone: str = "UTC"
    as_of: datetime = datetime(9999, 1, 1)
    prices_from: date | None = None
    overlap: str = "ask"
    mapping: dict[str, str] = field(default_factory=dict)
    keep_names: bool = False
    currency: str = "USD"


@dataclass(frozen=True)
class Reader:
    """One format: its name, the table it fills, a sentence for `dcbudget formats`, and its two functions."""

    name: str
    dataset: str
    about: str
    detect: Callable[[Source], bool]
    plan: Callable[[Source, Options], Plan]
