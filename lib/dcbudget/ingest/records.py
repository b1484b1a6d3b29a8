"""What landed records (jobs, run metrics, fleet, budget, prices, rules) mean beside those already loaded."""

from dataclasses import dataclass

import duckdb

from dcbudget.ingest import rules
from dcbudget.ingest.plan import Options


@dataclass(frozen=True)
class Keeping:
    """How a table is kept: `key` makes a record the same record, `scope` is what a file replaces as a whole."""

    key: tuple[str, ...]
    scope: tuple[str, ...] | None = None


KEEPING = {
    "jobs": Keeping(("cluster", "job_id", "submit_time")),
    "run_metrics": Keeping(("run_id", "metric", "step", "time")),
    "fleet": Keeping(("asset_id",)),
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
    """
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


def publish(con: duckdb.DuckDBPyConnection, dataset: str, table: str, load_id: int) -> None:
    """Move the records to their table; new rules are applied to all that is loaded."""
    con.execute(f"insert into {dataset} by name select * exclude (x_reject) from {table}")
    if dataset == "jobs":
        rules.assign_jobs(con, f"x_load_id = {load_id}")
    if dataset == "project_rules":
        rules.assign_all(con)
