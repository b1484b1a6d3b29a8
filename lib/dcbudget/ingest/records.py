"""What landed records (jobs, run metrics, fleet, budget, prices, rules) mean beside those already loaded."""

from dataclasses import dataclass

import duckdb

from dcbudget import privacy
from dcbudget.errors import RefusedFile
from dcbudget.ingest import rules
from dcbudget.ingest.plan import Options
from dcbudget.privacy import Pseudonyms


@dataclass(frozen=True)
class Keeping:
    """How a table is kept: `key` makes a record the same record, `scope` is what a file replaces as a whole."""

    key: tuple[str, ...]
    scope: tuple[str, ...] | None = None


KEEPING = {
    "jobs": Keeping(("cluster", "job_id", "submit_time")),
    "run_metrics": Keeping(("run_id", "metric", "step", "time")),
    "fleet": Keeping(("asset_id",)),
    "downtime": Keeping(("cluster", "gpu_model", "host", "start_time")),
    "rates": Keeping(("date", "from_currency", "to_currency")),
    "tariffs": Keeping(("tariff", "effective_from", "days", "from_hour"), ("tariff", "effective_from")),
    "power_readings": Keeping(("asset_id", "month")),
    "budget_lines": Keeping(("plan_version", "month", "project", "category", "currency"), ("plan_version",)),
    "contract_commitments": Keeping(("ContractCommitmentId", "ContractId", "ContractCommitmentPeriodStart")),
    "prices": Keeping(("provider", "region", "sku", "pricing_category", "effective_from")),
    "project_rules": Keeping(("assign", "field", "pattern"), ()),
}


def settle(con: duckdb.DuckDBPyConnection, dataset: str, table: str, load_id: int, file: str, options: Options) -> str:
    """Reject all but the last record of a key, and delete the loaded records that the file states anew.

    Returns
    -------
    "loaded", or "replaced" where loaded records were stated anew.

    Raises
    ------
    RefusedFile : it is unclear whether a serving log states loaded requests anew, or a plan version was approved.
    """
    if dataset == "requests":
        return _settle_requests(con, table, file, options)
    if dataset == "budget_lines":
        _refuse_approved(con, table, file)
    keeping = KEEPING[dataset]
    key = ", ".join(keeping.key)
    con.execute(f"""
        update {table} as t set x_reject = json_object('column', '{keeping.key[0]}',
            'reason', 'the same {key} as line ' || twin.last_row || ', which is kept')::varchar
        from (
            select rowid as row_id, x_source_row, max(x_source_row) over (partition by {key}) as last_row
            from {table} where x_reject is null
        ) twin where t.rowid = twin.row_id and twin.x_source_row < twin.last_row""")
    same = keeping.scope if keeping.scope is not None else keeping.key
    matching = " and ".join(f"old.{column} is not distinct from new.{column}" for column in same) or "true"
    replaced = con.execute(f"""
        delete from {dataset} as old
        where exists (select 1 from {table} as new where new.x_reject is null and {matching})""").fetchone()[0]
    return "replaced" if replaced else "loaded"


def _refuse_approved(con: duckdb.DuckDBPyConnection, table: str, file: str) -> None:
    """What was approved here, and so has no load, stays as it is; what a file says is approved another may restate."""
    frozen = con.execute(f"""
        select min(plan_version) from budget_lines where status = 'approved' and x_load_id is null
            and plan_version in (select plan_version from {table} where x_reject is null)""").fetchone()[0]
    if frozen is not None:
        raise RefusedFile(
            f"{file}: plan {frozen} was approved here and stays as it is; load it under another plan_version"
        )


def _settle_requests(con: duckdb.DuckDBPyConnection, table: str, file: str, options: Options) -> str:
    """Delete the loaded requests that a log states anew; no number tells them, but their times and tokens do.

    Of each project and model a log covers the time from its first to its last request. Where it holds all that is
    loaded of that time, it takes its place. Where it holds nothing at any of those times (another server's log), or
    meets what is loaded only at its first or last moment (the next part of a log), it is added. Between them it is
    unclear.
    """
    same = "{0}.project is not distinct from {1}.project and {0}.model is not distinct from {1}.model"
    con.execute(f"""
        create or replace temp table covered as
        with stated as (
            select project, model, time, input_tokens, output_tokens, count(*) as requests
            from {table} where x_reject is null group by all
        ),
        span as (select project, model, min(time) as first_time, max(time) as last_time from stated group by all),
        held as (
            select old.project, old.model, time, input_tokens, output_tokens, first_time, last_time,
                count(*) as requests
            from requests old join span on {same.format("old", "span")} and time between first_time and last_time
            group by all
        ),
        found as (
            select held.project, held.model, held.first_time, held.last_time,
                sum(held.requests)::bigint as held,
                sum(least(held.requests, coalesce(stated.requests, 0)))::bigint as again,
                coalesce(sum(held.requests) filter (moment.time is not null), 0) as at_its_times,
                coalesce(sum(held.requests) filter (held.time not in (first_time, last_time)), 0) as between_its_ends
            from held
            left join stated on {same.format("held", "stated")} and held.time = stated.time
                and held.input_tokens is not distinct from stated.input_tokens
                and held.output_tokens is not distinct from stated.output_tokens
            left join (select distinct project, model, time from stated) moment
                on {same.format("held", "moment")} and held.time = moment.time
            group by all
        )
        select *, case
            when again = held then 'replace'
            when at_its_times = 0 or (again = 0 and between_its_ends = 0) then 'add'
            else 'ask' end as fate
        from found""")
    unclear = con.execute(
        "select coalesce(project, '-'), coalesce(model, '-'), held, again from covered where fate = 'ask'"
        " order by all limit 1"
    ).fetchone()
    if unclear and options.overlap == "ask":
        project, model, held, again = unclear
        raise RefusedFile(
            f"{file}: {held:,} requests of project {project}, model {model} are loaded for its time and {again:,} of"
            " them are in it: --overlap replace takes it for a new statement of them, --overlap add for more"
        )
    which = {"ask": "fate = 'replace'", "replace": "true", "add": "false"}[options.overlap]
    replaced = con.execute(f"""
        delete from requests old where exists (
            select 1 from covered where {which} and {same.format("old", "covered")}
                and old.time between covered.first_time and covered.last_time)""").fetchone()[0]
    con.execute("drop table covered")
    return "replaced" if replaced else "loaded"


def publish(con: duckdb.DuckDBPyConnection, dataset: str, table: str, load_id: int, names: Pseudonyms) -> None:
    """Move the records to their table under pseudonyms; new rules are applied to all that is loaded."""
    con.execute(f"insert into {dataset} by name {privacy.cover(names, dataset, table)}")
    if dataset == "jobs":
        rules.assign_jobs(con, f"x_load_id = {load_id}")
    if dataset == "project_rules":
        rules.assign_all(con)
