"""Price tables of rented GPU servers as the cloud-gpus collection publishes them: USD an hour, on demand and spot.

Columns: https://github.com/the-full-stack/website (docs/cloud-gpus/cloud-gpus.csv). A row is a server, and On-demand
and Spot are the prices of the whole server. Per-GPU is left alone: some rows have the server's price there, and where
nothing stands in the other two columns no one can tell which it is.
"""

import re
from collections.abc import Callable
from datetime import date

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import damage
from dcbudget.ingest.plan import BadRecord, Column, Dialect, Options, Plan, Reader, Records, Rule, ref
from dcbudget.ingest.source import Source
from dcbudget.quoting import literal

FIELDS = ("Cloud", "GPU Type", "GPUs", "vCPUs", "RAM", "On-demand", "Spot", "Name")
# The table's price columns as FOCUS's pricing categories.
PRICES = {"On-demand": "Standard", "Spot": "Dynamic"}
DATE = re.compile(r"(?<!\d)(20\d\d)-(\d\d)-(\d\d)(?!\d)")
# How a GPU is built in, which is no part of its model.
FORM = r" *(\(.*|NVLINK|PCIE|HGX|SXM).*$"
_GPUS = f"{ref('GPUs')} || 'x ' || {ref('GPU Type')}"
# Google's N1 machines have GPUs attached to them, so that their name does not tell which; some clouds name nothing.
_SKU = (
    f"case when {ref('Name')} is null then {_GPUS} || ', ' || coalesce({ref('vCPUs')}, '?') || ' vCPUs, '"
    f" || coalesce({ref('RAM')}, '?') || ' GB' when {ref('Name')} like 'n1-%' then {ref('Name')} || ' + ' || {_GPUS}"
    f" else {ref('Name')} end"
)


def detect(source: Source) -> bool:
    return source.kind == "text" and _named(FIELDS) <= _named(_table(source).fields)


def plan(source: Source, options: Options) -> Plan:
    """Two price columns become two rows of the same line; the day from which they hold is said nowhere in the file."""
    table = _table(source)
    if missing := [name for name in FIELDS if name.lower() not in _named(table.fields)]:
        raise UnreadableFile(f"{source.path.name}: no price table of GPUs, column {', '.join(missing)} is missing")
    day = options.prices_from or _day_in_name(source)
    if day is None:
        raise UnreadableFile(
            f"{source.path.name}: its prices have no date; say --as-of, or put a date such as 2026-05-01 into its name"
        )
    return Plan(
        format="cloud_gpus",
        dataset="prices",
        fields=[*FIELDS, "price", "pricing_category"],
        columns={
            "provider": Column(ref("Cloud"), required=True),
            "sku": Column(_SKU, required=True),
            "gpu_model": Column(f"nullif(regexp_replace(upper({ref('GPU Type')}), {literal(FORM)}, ''), '')"),
            "gpus": Column(ref("GPUs"), "number", required=True),
            "pricing_category": Column(ref("pricing_category")),
            "unit": Column("'Hours'"),
            "unit_price": Column(ref("price"), "money", required=True),
            "currency": Column("'USD'"),
            "effective_from": Column(literal(day.isoformat()), "day"),
        },
        rules=[Rule("unit_price", "unit_price < 0", "must not be negative", "unit_price::varchar")],
        convert=_prices(table),
    )


def _table(source: Source) -> Plan:
    """The file's own fields, as its records are read."""
    delimiter, header = source.best_delimiter(_named(FIELDS))
    return Plan("cloud_gpus", "prices", header, {}, Dialect(delimiter))


def _prices(table: Plan) -> Callable[[Source], Records]:
    """A record for each price of a row, and one without a price where it has none."""
    position = {name.lower(): at for at, name in reversed(list(enumerate(table.fields)))}

    def convert(source: Source) -> Records:
        for line, fields, wrong in damage.records(source, table):
            if wrong:
                yield wrong
                continue
            if line == 1:
                continue
            while len(fields) > len(table.fields) and not fields[-1]:
                fields.pop()
            if len(fields) != len(table.fields):
                yield BadRecord(line, f"{len(fields)} fields where {len(table.fields)} are expected", ",".join(fields))
                continue
            row = {name: fields[position[name.lower()]].strip() for name in FIELDS}
            for name, category in PRICES.items():
                if row[name] or (name == "On-demand" and not row["Spot"]):
                    yield line, [*row.values(), row[name], category]

    return convert


def _named(names) -> set[str]:
    return {name.lower() for name in names}


def _day_in_name(source: Source) -> date | None:
    """The last resort: the files of the collection's history are named by day."""
    found = DATE.search(source.path.name)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


READER = Reader("cloud_gpus", "prices", "Prices of rented GPU servers (cloud-gpus tables), CSV", detect, plan)
