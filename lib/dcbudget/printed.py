"""What the command prints: results of loads, tables, plans and alerts."""

import json
import sys
from datetime import datetime
from decimal import Decimal


def result_as_dict(result) -> dict:
    """What came of one file, as JSON shows it."""
    return {
        "path": str(result.path),
        "format": result.format,
        "rows_read": result.rows_read,
        "rows_loaded": result.rows_loaded,
        "rows_rejected": result.rows_rejected,
        "rows_skipped": result.rows_skipped,
        "cost": [
            {
                "currency": c.currency,
                "read": _money(c.read),
                "loaded": _money(c.loaded),
                "rejected": _money(c.rejected),
            }
            for c in result.cost
        ],
        "status": result.status,
        "message": result.message,
    }


def print_results(results: list) -> None:
    """A table of what came of each file, and what was wrong with it."""
    rows = []
    for result in results:
        money = result.cost or [None]
        for cost in money:
            rows.append([
                result.path.name, result.format, result.status,
                f"{result.rows_read:,}", f"{result.rows_loaded:,}", f"{result.rows_rejected:,}",
                *([cost.currency, *(f"{amount:,.2f}" for amount in (cost.read, cost.loaded, cost.rejected))]
                  if cost else [""] * 4),
            ])  # fmt: skip
    head = [
        "file",
        "format",
        "status",
        "rows read",
        "loaded",
        "rejected",
        "currency",
        "money read",
        "loaded",
        "rejected",
    ]
    print_table(head, rows, right_from=3)
    for result in results:
        if result.status in ("failed", "refused"):
            print(f"{result.status}: {result.message}", file=sys.stderr)
        elif result.rows_rejected:
            print(f"{result.path.name}: {result.message}", file=sys.stderr)


def print_table(names: list[str], rows: list[list[str]], right_from: int = 10_000) -> None:
    """A table; its columns from `right_from` on are numbers."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, name in enumerate(names):
        table.add_column(escape(name), justify="right" if position >= right_from else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def print_plan(plan) -> None:
    """A plan version, and what is to be known of it."""
    print(plan)
    for remark in plan.remarks:
        print(remark)


def print_frame(frame, as_json: bool) -> None:
    """A table of plan versions or adjustments: months as YYYY-MM, money in cents, what is compared with its totals."""
    for name in (name for name in frame if str(frame[name].dtype).startswith("datetime")):
        frame[name] = frame[name].dt.strftime("%Y-%m")
    if as_json:
        print(json.dumps(frame.to_dict("records"), indent=2))
        return
    rows = frame.to_dict("records")
    if "change" in frame:
        totals = frame.groupby("currency", as_index=False)[["a", "b", "change"]].sum()
        rows += [{next(iter(frame)): "Total", **row} for row in totals.to_dict("records")]
    money = ("amount", "a", "b", "change", "promised")
    texts = [[f"{row[name]:z,.2f}" if name in money else row.get(name, "") for name in frame] for row in rows]
    numbers = [position for position, name in enumerate(frame) if name in ("lines", *money)]
    print_table(list(frame), texts, right_from=min(numbers))


def print_alerts(rows: list[dict]) -> None:
    """A table of alerts."""
    names = ["alert", "state", "kind", "scope", "since", "until", "money", "what", "note"]
    print_table(names, [
        [row["alert_id"], row["state"], row["kind"], row["scope"], row["since"], row["until"],
         "" if row["money"] is None else f"{row['money']:z,.0f} {row['currency']}", row["what"], row["note"]]
        for row in rows
    ])  # fmt: skip


def _money(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value):
    """A value as JSON and CSV show it: exact decimals, ISO times."""
    if isinstance(value, Decimal):
        return _money(value)
    if isinstance(value, datetime) or hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, int | float | str | bool | list | dict):
        return value
    return str(value)
