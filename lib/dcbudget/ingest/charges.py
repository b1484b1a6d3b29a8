"""What a landed bill means beside the bills already loaded: a restatement, a further part, or the same twice."""

import duckdb

from dcbudget.errors import RefusedFile
from dcbudget.ingest import rules
from dcbudget.ingest.plan import Options
from dcbudget.privacy import Pseudonyms

SCOPE = ("provider", "account", "billing_period")
SCOPE_SQL = (
    "coalesce(ProviderName, '') as provider, coalesce(BillingAccountId, '') as account,"
    " BillingPeriodStart as billing_period"
)
# What workloads of a cluster cost is told without the cloud's provider and account: it may be the usage of any bill.
ANY_BILL = "opencost_allocation"
# A cloud's bill that need not name the account.
ANY_ACCOUNT = "opencost_cloud"
# The kind of an export: its format without the version.
KIND = "regexp_replace({}, ' [0-9.]+$', '')"
# What makes a charge the same charge in two exports, its amounts apart.
IDENTITY = (
    "InvoiceIssuerName", "SubAccountId", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass",
    "ChargeDescription", "PricingCategory", "ServiceName", "SkuId", "SkuPriceId", "ResourceId", "RegionId",
    "AvailabilityZone", "CommitmentDiscountId", "CommitmentDiscountStatus",
)  # fmt: skip
AMOUNTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingQuantity", "ConsumedQuantity")
# A few columns that nearly always tell rows apart: the cheap first look for identical rows.
TELLING = ("ChargePeriodStart", "ResourceId", "SkuPriceId", "BilledCost", "EffectiveCost", "PricingQuantity")
# A file that holds this share of an earlier file's charges is its next edition, whatever the amounts ...
NEXT_EDITION = 0.9
# ... where amounts changed, so is one that holds this share ...
RESTATED = 0.5
# ... and where up to this share of the smaller file changed, both are parts, which may overlap; what lies between
# is refused until the user says which.
SEPARATE = 0.1


def settle(con: duckdb.DuckDBPyConnection, dataset: str, table: str, load_id: int, file: str, options: Options) -> str:
    """Reject identical rows, decide about billing periods that are loaded already, and delete what is replaced.

    Returns
    -------
    "loaded", or "replaced" where charges of an earlier load were replaced.

    Raises
    ------
    RefusedFile : it is not clear whether the file restates or completes a loaded period.
    """
    _reject_repeated(con, table)
    con.execute(
        f"create or replace temp table scopes as select distinct {SCOPE_SQL} from {table} where x_reject is null"
    )
    shared = con.execute(
        f"select {', '.join(SCOPE)}, load_id from load_scopes semi join scopes using ({', '.join(SCOPE)})"
        f" where load_id <> {load_id} order by all"
    ).fetchall()
    status = "loaded"
    if shared:
        replaced = _decide(con, table, {row[3] for row in shared}, options, file)
        for *scope, other in shared:
            if (*scope, other) in replaced:
                _replace(con, tuple(scope), other, load_id)
                status = "replaced"
    con.execute(f"insert into load_scopes select {load_id}, * from scopes")
    return status


def refuse_other_export(con: duckdb.DuckDBPyConnection, table: str, form: str, file: str, options: Options) -> None:
    """Two exports of the same usage must not add up: actual and amortised costs, a cloud's own format and FOCUS, what
    OpenCost reckons for a cluster and any bill of the month.

    Raises
    ------
    RefusedFile : a billing period is loaded from another kind of export, and `add` was not said, nor `replace` where
        both name the period alike.
    """
    if options.overlap == "add":
        return
    found = con.execute(
        f"""select o.provider, o.account, o.billing_period, loads.format, loads.file
        from load_scopes as o
        join loads using (load_id)
        join (select distinct {SCOPE_SQL} from {table} where x_reject is null) as n
            on date_trunc('month', n.billing_period) = date_trunc('month', o.billing_period)
            and ('{ANY_BILL}' in (loads.format, ?) or n.provider = o.provider and (
                '{ANY_ACCOUNT}' in (loads.format, ?)
                -- FOCUS has Azure's accounts as paths
                or lower(regexp_extract(n.account, '[^/]*$')) = lower(regexp_extract(o.account, '[^/]*$'))))
        where {KIND.format("loads.format")} <> {KIND.format("?")}
            and (? = 'ask' or (n.provider, n.account, n.billing_period) <> (o.provider, o.account, o.billing_period))
        order by all""",
        [form, form, form, options.overlap],
    ).fetchone()
    if found:
        provider, account, month, other, other_file = found
        choice = "--overlap add" if ANY_BILL in (form, other) else "--overlap replace or --overlap add"
        raise RefusedFile(
            f"{file}: {provider} account {account}, {month:%Y-%m}, is loaded already from {other_file} ({other}), and"
            f" this file ({form}) tells of the same usage; say {choice}"
        )


def publish(con: duckdb.DuckDBPyConnection, dataset: str, table: str, load_id: int, names: Pseudonyms) -> None:
    """Give the charges their project, cluster and GPU-hours."""
    rules.assign_charges(con, table)


def _reject_repeated(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Reject every row after the first that equals an earlier one in all fields."""
    few = ", ".join(TELLING)
    suspects = con.execute(
        f"select count(*) from (select hash({few}) from {table} where x_reject is null group by 1 having count(*) > 1)"
    ).fetchone()[0]
    if not suspects:
        return
    every = ", ".join(f'"{c[0]}"' for c in con.execute(f"describe {table}").fetchall()
                      if c[0] not in ("x_source_row", "x_load_id", "x_reject"))  # fmt: skip
    con.execute(f"""
        update {table} as t set x_reject = json_object('reason', 'the same as line ' || twin.first_row)::varchar
        from (
            select row_id, first_row from (
                select rowid as row_id, x_source_row, min(x_source_row) over (partition by {every}) as first_row
                from {table}
                where x_reject is null and hash({few}) in (
                    select hash({few}) from {table} where x_reject is null group by 1 having count(*) > 1))
            where x_source_row > first_row
        ) twin where t.rowid = twin.row_id""")


def _decide(con, table: str, others: set[int], options: Options, file: str) -> set[tuple]:
    """Which billing periods of which earlier loads the file replaces: (provider, account, billing period, load).

    Rows that an earlier load brought already and keeps are rejected.
    """
    charge = f"hash({', '.join(IDENTITY)}) as charge, hash({', '.join(IDENTITY + AMOUNTS)}) as exact"
    old = " union all ".join(
        f"select {SCOPE_SQL}, {charge}, x_load_id as other from landed.charges_{other}" for other in sorted(others)
    )
    keys = ", ".join(SCOPE)
    con.execute(f"create or replace temp table held as select * from ({old}) semi join scopes using ({keys})")
    con.execute(
        f"create or replace temp table given as select {SCOPE_SQL}, {charge}, rowid as row_id"
        f" from {table} where x_reject is null"
    )
    overlap = con.execute(f"""
        with h as (select {keys}, other, charge from held group by all),
        g as (select {keys}, charge from given group by all),
        common as (select {keys}, other, count(*) as n from h semi join g using ({keys}, charge) group by all),
        exact as (
            select {keys}, other, count(distinct held.charge) as n
            from held semi join given using ({keys}, exact) group by all)
        select {keys}, other, h.n, least(h.n, g.n), coalesce(common.n, 0), coalesce(exact.n, 0)
        from (select {keys}, other, count(*) as n from h group by all) h
        join (select {keys}, count(*) as n from g group by all) g using ({keys})
        left join common using ({keys}, other) left join exact using ({keys}, other)
        order by all""").fetchall()
    replaced = set()
    for *key, held, smaller, common, exact in overlap:
        covered, changed = common / held, (common - exact) / smaller
        next_edition = covered >= NEXT_EDITION or (covered >= RESTATED and changed > SEPARATE)
        if options.overlap == "replace" or (options.overlap == "ask" and next_edition):
            replaced.add(tuple(key))
        elif options.overlap == "ask" and changed > SEPARATE:
            raise RefusedFile(
                f"{file}: {changed:.0%} of its charges of {key[0]} account {key[1]}, {key[2]:%Y-%m}, are loaded"
                " already with other amounts; say --overlap replace or --overlap add"
            )
    con.execute(
        "create or replace temp table replaced (provider text, account text, billing_period timestamp, other int)"
    )
    if replaced:
        con.executemany("insert into replaced values (?, ?, ?, ?)", [list(key) for key in replaced])
    con.execute(f"""
        update {table} as t set x_reject = json_object('reason', 'already loaded from ' || twin.file)::varchar
        from (
            select row_id, any_value(loads.file) as file
            from given
            join (select * from held anti join replaced using ({keys}, other)) kept using ({keys}, exact)
            join loads on loads.load_id = kept.other
            group by row_id
        ) twin where t.rowid = twin.row_id""")
    return replaced


def _replace(con, scope: tuple, other: int, load_id: int) -> None:
    """Take a billing period's charges out of an earlier load and write down how much that was."""
    where = "coalesce(ProviderName, '') = ? and coalesce(BillingAccountId, '') = ? and BillingPeriodStart = ?"
    con.execute(
        f"""insert into load_replacements
        select {other}, {load_id}, BillingCurrency, count(*), sum(BilledCost)
        from landed.charges_{other} where {where} group by BillingCurrency""",
        list(scope),
    )
    con.execute(f"delete from landed.charges_{other} where {where}", list(scope))
    con.execute(
        "delete from load_scopes where load_id = ? and provider = ? and account = ? and billing_period = ?",
        [other, *scope],
    )
