"""The European Central Bank's reference rates: one row a day, one column a currency, units of it for one euro.

Format: https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates (eurofxref-hist.csv).
"""

import re

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import damage
from dcbudget.ingest.plan import BadRecord, Column, Options, Plan, Reader, Records, Rule, ref
from dcbudget.ingest.source import Source

FIELDS = ["date", "to_currency", "rate"]
CODE = re.compile("[A-Z]{3}")


def detect(source: Source) -> bool:
    header = source.header(",")
    named = [name for name in header[1:] if not name.startswith("column ")]
    return header[:1] == ["Date"] and len(named) > 2 and all(CODE.fullmatch(name) for name in named)


def plan(source: Source, options: Options) -> Plan:
    """Currencies without a rate on a day ("N/A") have none; days that are not published have no row."""
    if not detect(source):
        raise UnreadableFile(f"{source.path.name}: no ECB rates, its header is not Date and currency codes")
    return Plan(
        format="ecb_rates",
        dataset="rates",
        fields=FIELDS,
        columns={
            "date": Column(ref("date"), "day", required=True),
            "from_currency": Column("'EUR'"),
            "to_currency": Column(ref("to_currency")),
            "rate": Column(ref("rate"), "number", required=True),
        },
        rules=[Rule("rate", "rate <= 0", "must be above 0", "rate::varchar")],
        convert=_records,
    )


def _records(source: Source) -> Records:
    """One record a day and currency."""
    codes = source.header(",")
    for number, row, wrong in damage.records(source, Plan("ecb_rates", "rates", codes, {})):
        if wrong:
            yield wrong
        elif number > 1 and (len(row) > len(codes) or len(row) < 2):
            if any(row):
                yield BadRecord(number, f"{len(row)} fields where {len(codes)} are expected", ",".join(row))
        elif number > 1:
            for code, rate in zip(codes[1:], row[1:], strict=False):
                if CODE.fullmatch(code) and rate.strip() not in ("", "N/A"):
                    yield number, [row[0].strip(), code, rate.strip()]


READER = Reader("ecb_rates", "rates", "Reference rates of the European Central Bank (eurofxref CSV)", detect, plan)
