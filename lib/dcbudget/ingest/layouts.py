"""The workbook's own plain CSV or Parquet layouts: fleet ledger, budget, price list and project rules.

A file of such a layout has the table's column names as its header, in any order; columns that are not required
may be left out.
"""

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.plan import Column, Dialect, Options, Plan, Reader, Rule, ref
from dcbudget.ingest.source import Source

TEXT, MONEY, NUMBER, INTEGER, TIME, DAY = "text", "money", "number", "integer", "time", "day"

# layout -> (table, what it is, required columns, other columns, rules, money, currency)
LAYOUTS: dict[str, tuple] = {
    "fleet": (
        "fleet",
        "Ledger of owned servers, storage and network",
        {"asset_id": TEXT, "kind": TEXT, "units": INTEGER, "in_service_date": DAY, "life_months": INTEGER,
         "purchase_price": MONEY, "currency": TEXT},
        {"cluster": TEXT, "partition": TEXT, "gpu_model": TEXT, "gpus_per_unit": INTEGER, "description": TEXT,
         "purchase_date": DAY, "retire_date": DAY, "residual_value": MONEY, "nameplate_kw": NUMBER,
         "power_fraction": NUMBER, "measured_kw": NUMBER, "pue": NUMBER, "tariff_per_kwh": NUMBER,
         "heat_credit_per_kwh": NUMBER, "staff_cost_per_month": MONEY, "space_cost_per_month": MONEY},
        [Rule("units", "units < 0", "must not be negative", "units::varchar"),
         Rule("life_months", "life_months < 1", "must be at least 1", "life_months::varchar"),
         Rule("purchase_price", "purchase_price < 0", "must not be negative", "purchase_price::varchar"),
         Rule("power_fraction", "power_fraction not between 0 and 1", "must lie between 0 and 1",
              "power_fraction::varchar"),
         Rule("pue", "pue < 1", "must be at least 1", "pue::varchar"),
         Rule("retire_date", "retire_date < in_service_date", "lies before in_service_date", "retire_date::varchar"),
         Rule("kind", "kind not in ('server', 'storage', 'network')", "must be server, storage or network", "kind")],
        "purchase_price * units", "currency",
    ),
    "downtime": (
        "downtime",
        "Spans in which GPUs of a cluster could not run jobs",
        {"cluster": TEXT, "gpus": NUMBER, "start_time": TIME, "end_time": TIME, "reason": TEXT},
        {"gpu_model": TEXT, "host": "host"},
        [Rule("gpus", "gpus < 0", "must not be negative", "gpus::varchar"),
         Rule("end_time", "end_time < start_time", "lies before start_time", "end_time::varchar")],
        None, None,
    ),
    "rates": (
        "rates",
        "Exchange rates by date: one unit of from_currency is rate units of to_currency",
        {"date": DAY, "from_currency": TEXT, "to_currency": TEXT, "rate": NUMBER},
        {},
        [Rule("rate", "rate <= 0", "must be above 0", "rate::varchar"),
         *(Rule(name, f"not regexp_full_match({name}, '[A-Z]{{3}}')", "must be a currency code such as USD", name)
           for name in ("from_currency", "to_currency"))],
        None, None,
    ),
    "budget": (
        "budget_lines",
        "Budget lines of a plan version, by month, project and category",
        {"plan_version": TEXT, "month": DAY, "project": TEXT, "category": TEXT, "amount": MONEY, "currency": TEXT},
        {"status": TEXT, "driver": TEXT},
        [Rule("month", "day(month) <> 1", "must be the first day of a month", "month::varchar")],
        "amount", "currency",
    ),
    "prices": (
        "prices",
        "Price list: unit prices by SKU and date",
        {"provider": TEXT, "sku": TEXT, "unit": TEXT, "unit_price": MONEY, "currency": TEXT, "effective_from": DAY},
        {"region": TEXT, "gpu_model": TEXT, "gpus": NUMBER, "pricing_category": TEXT},
        [Rule("unit_price", "unit_price < 0", "must not be negative", "unit_price::varchar")],
        None, None,
    ),
    "rules": (
        "project_rules",
        "Rules that give charges and jobs their project and cluster",
        {"assign": TEXT, "field": TEXT, "pattern": TEXT, "value": TEXT},
        {},
        [Rule("assign", "assign not in ('project', 'cluster')", "must be project or cluster", "assign")],
        None, None,
    ),
}  # fmt: skip


CURRENCY_CODE = Rule(
    "currency", "not regexp_full_match(currency, '[A-Z]{3}')", "must be a currency code such as USD", "currency"
)


def _reader(name: str) -> Reader:
    dataset, about, required, optional, rules, money, currency = LAYOUTS[name]
    names = {*required, *optional}

    def detect(source: Source) -> bool:
        header = {column.lower() for column in source.best_delimiter(names)[1]}
        return header >= required.keys()

    def plan(source: Source, options: Options) -> Plan:
        delimiter, header = source.best_delimiter(names)
        by_name = {column.lower(): column for column in reversed(header)}
        if missing := [column for column in required if column not in by_name]:
            raise UnreadableFile(f"{source.path.name}: no {name} file, column {', '.join(missing)} is missing")
        columns = {
            column: Column(ref(by_name[column]), kind, column in required)
            for column, kind in {**required, **optional}.items()
            if column in by_name
        }
        if "gpu_model" in columns:
            columns["gpu_model"] = Column(f"accelerator_model({columns['gpu_model'].sql})")
        checks = [*rules, CURRENCY_CODE] if "currency" in names else rules
        return Plan(name, dataset, header, columns, Dialect(delimiter), checks, timezone=options.timezone,
                    money=money, currency=currency)  # fmt: skip

    return Reader(name, dataset, about, detect, plan)


READERS = tuple(_reader(name) for name in LAYOUTS)
