"""The workbook's own plain CSV or Parquet layouts: fleet, tariffs, power, downtime, budget, prices, rates, rules.

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
         "purchase_date": DAY, "retire_date": DAY, "interconnect_price": MONEY, "residual_value": MONEY,
         "sale_price": MONEY, "depreciation": TEXT, "declining_rate": NUMBER, "nameplate_kw": NUMBER,
         "power_fraction": NUMBER, "measured_kw": NUMBER, "pue": NUMBER, "tariff": TEXT, "tariff_per_kwh": NUMBER,
         "heat_credit_per_kwh": NUMBER, "kg_co2e_per_kwh": NUMBER, "staff_cost_per_month": MONEY,
         "space_cost_per_month": MONEY},
        [Rule("units", "units < 0", "must not be negative", "units::varchar"),
         Rule("life_months", "life_months < 1", "must be at least 1", "life_months::varchar"),
         Rule("life_months", "life_months > 1200", "must not exceed 1200", "life_months::varchar"),
         *(Rule(name, f"{name} < 0", "must not be negative", f"{name}::varchar")
           for name in ("purchase_price", "interconnect_price", "residual_value", "sale_price", "nameplate_kw",
                        "measured_kw", "kg_co2e_per_kwh", "staff_cost_per_month", "space_cost_per_month")),
         Rule("residual_value", "residual_value > purchase_price + coalesce(interconnect_price, 0)",
              "exceeds what was paid", "residual_value::varchar"),
         Rule("sale_price", "sale_price is not null and retire_date is null", "is given without a retire_date",
              "sale_price::varchar"),
         Rule("depreciation", "depreciation not in ('straight-line', 'declining')",
              "must be straight-line or declining", "depreciation"),
         Rule("declining_rate", "not (declining_rate > 0 and declining_rate <= 2)",
              "must lie above 0 and not above 2", "declining_rate::varchar"),
         Rule("power_fraction", "power_fraction not between 0 and 1", "must lie between 0 and 1",
              "power_fraction::varchar"),
         Rule("pue", "pue < 1", "must be at least 1", "pue::varchar"),
         Rule("retire_date", "retire_date < in_service_date", "lies before in_service_date", "retire_date::varchar"),
         Rule("kind", "kind not in ('server', 'storage', 'network')", "must be server, storage or network", "kind")],
        "(purchase_price + coalesce(interconnect_price, 0)) * units", "currency",
    ),
    "tariffs": (
        "tariffs",
        "Prices of power by hour of the day, from a date on",
        {"tariff": TEXT, "effective_from": DAY, "from_hour": INTEGER, "to_hour": INTEGER, "price_per_kwh": MONEY,
         "currency": TEXT},
        {"days": TEXT, "timezone": TEXT},
        [Rule("from_hour", "from_hour not between 0 and 23", "must lie between 0 and 23", "from_hour::varchar"),
         Rule("to_hour", "to_hour not between 0 and 24", "must lie between 0 and 24", "to_hour::varchar"),
         Rule("to_hour", "to_hour = from_hour", "must differ from from_hour", "to_hour::varchar"),
         Rule("days", "days not in ('weekday', 'weekend')", "must be weekday, weekend or empty", "days"),
         Rule("timezone", "timezone is not null and timezone not in (select name from pg_timezone_names())",
              "is no time zone such as Europe/Berlin", "timezone")],
        None, None,
    ),
    "power_readings": (
        "power_readings",
        "Energy metered at owned units, by month",
        {"asset_id": TEXT, "month": DAY, "kwh": NUMBER},
        {},
        [Rule("month", "day(month) <> 1", "must be the first day of a month", "month::varchar"),
         Rule("kwh", "kwh < 0", "must not be negative", "kwh::varchar")],
        None, None,
    ),
    "downtime": (
        "downtime",
        "Spans in which GPUs of a cluster could not run jobs",
        {"cluster": TEXT, "gpus": NUMBER, "start_time": TIME, "end_time": TIME, "reason": TEXT},
        {"gpu_model": TEXT, "host": TEXT},
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


# A version of a tariff has one currency and one zone: those of its first line.
ONE_TARIFF = """
    update {table} as t set x_reject = json_object('column', wrong, 'found', found, 'reason',
        'differs from line ' || first_row || ' of the same tariff and date')::varchar
    from (
        select rowid as row_id, min(x_source_row) over one as first_row,
            case when currency <> first(currency) over one then 'currency'
                when timezone is distinct from first(timezone) over one then 'timezone' end as wrong,
            case wrong when 'currency' then currency else timezone end as found
        from {table}
        where x_reject is null
        window one as (partition by tariff, effective_from order by x_source_row)
    ) as line
    where t.rowid = line.row_id and wrong is not null"""


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
        finish = (ONE_TARIFF,) if name == "tariffs" else ()
        return Plan(name, dataset, header, columns, Dialect(delimiter), checks, finish=finish,
                    timezone=options.timezone, money=money, currency=currency)  # fmt: skip

    return Reader(name, dataset, about, detect, plan)


READERS = tuple(_reader(name) for name in LAYOUTS)
