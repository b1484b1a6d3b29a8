"""What is typed: the command `dcbudget`."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dcbudget.errors import DcbudgetError
from dcbudget.printed import plain, print_alerts, print_frame, print_plan, print_results, print_table, result_as_dict

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Budget management of data centres that train and serve large AI models.",
)

Database = Annotated[
    Path | None,
    typer.Option("--db", help="Database file; default $DCBUDGET_DB, else data/private/budget.duckdb."),
]
# As in warehouse, whose import takes longer than the help text.
WAIT_SECONDS = 60.0
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait while another process holds the database."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


@app.command()
def sample(
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("data/sample"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 7,
    months: Annotated[int, typer.Option(min=1, max=18, help="How many months, the last one being 2026-06.")] = 18,
    jobs: Annotated[int, typer.Option(min=100, help="About how many jobs.")] = 200_000,
) -> None:
    """Write generated data of an AI data centre: bills, job logs, fleet, budget, prices, run logs."""
    from dcbudget.sample import write_sample

    write_sample(out, seed=seed, months=months, jobs=jobs)
    print(f"generated sample data in {out}")


@app.command()
def load(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    format_name: Annotated[str | None, typer.Option("--as", help="Name the format instead of finding it.")] = None,
    db: Database = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 where rows were rejected.")] = False,
    as_json: Json = False,
    fields: Annotated[str, typer.Option(help="Fields of sacct text without a header: jobid,user,...")] = "",
    timezone: Annotated[str, typer.Option(help="Zone of times that name none, such as Europe/Berlin.")] = "UTC",
    overlap: Annotated[str, typer.Option(help="A billing period that is loaded already: ask, replace or add.")] = "ask",
    mapping: Annotated[list[str] | None, typer.Option("--map", help="GPU trace: target=column, repeatable.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Rows that begin later are rejected; default today. Price lists without dates hold from here."
        ),
    ] = None,
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Keep job names, which may name people.")] = False,
    currency: Annotated[str, typer.Option(help="Currency of amounts that name none (OpenCost), such as EUR.")] = "USD",
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Load billing exports, job logs, fleet, budget, prices, rules and run logs."""
    from dcbudget.ingest.load import load as load_files
    from dcbudget.progress import load_progress

    options = _options(fields, timezone, overlap, mapping or [], as_of, keep_names, currency)
    with load_progress(paths, shown=not as_json and sys.stderr.isatty()) as (on_start, on_result):
        results = load_files(
            paths,
            db,
            format_name=format_name,
            options=options,
            on_start=on_start,
            on_result=on_result,
            wait_seconds=wait,
        )
    if as_json:
        print(json.dumps({"files": [result_as_dict(result) for result in results]}, indent=2))
    else:
        print_results(results)
    if any(result.status in ("failed", "refused") for result in results):
        raise typer.Exit(1)
    if strict and any(result.rows_rejected for result in results):
        raise typer.Exit(3)


@app.command()
def formats() -> None:
    """List the formats that can be loaded."""
    from dcbudget.ingest import READERS

    print_table(["format", "table", "what it is"], [[r.name, r.dataset, r.about] for r in READERS])


@app.command()
def check(db: Database = None, as_json: Json = False) -> None:
    """Run every check; exit 1 where one finds rows. Where FOCUS bills do not keep to FOCUS is listed, and no error."""
    from dcbudget import conformance, warehouse

    found, findings = warehouse.check(db), conformance.findings(db)
    findings = findings.astype(object).where(findings.notna(), None)
    if as_json:
        print(json.dumps({"checks": found.to_dict("records"), "conformance": findings.to_dict("records")}, indent=2))
    else:
        print_table(list(found.columns), found.astype(str).values.tolist())
        if len(findings):
            print("\nFOCUS conformance: findings against the version of each file; rows are empty for a whole column")
            print_table(list(findings.columns), findings.fillna("").astype(str).values.tolist())
    if (found["offending_rows"] > 0).any():
        raise typer.Exit(1)


@app.command()
def rotate_key(db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Give every pseudonym of users and hosts a new form, under a new key."""
    from dcbudget import privacy

    print(f"{privacy.rotate(db, wait):,} names have new pseudonyms")


@app.command()
def query(
    statement: Annotated[str, typer.Argument(metavar="SQL")],
    db: Database = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Ask the database; it is opened for reading only."""
    from dcbudget import warehouse

    with warehouse.connect(db, wait_seconds=wait, alone=True) as con:
        # reading a database is no way to write files
        con.execute("set enable_external_access = false; set lock_configuration = true")
        result = con.execute(statement)
        names = [column[0] for column in result.description or []]
        rows = result.fetchall() if names else []
    if as_json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=plain, indent=2))
    elif as_csv:
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([["" if value is None else plain(value) for value in row] for row in rows])
    else:
        print_table(names, [["" if value is None else str(plain(value)) for value in row] for row in rows])


@app.command()
def report(
    month: Annotated[str | None, typer.Option(help="YYYY-MM; default the latest month with charges.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="YYYY-MM; every month from this one on.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="YYYY-MM, the last of them; default the latest.")] = None,
    db: Database = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of reports; the month's folder is made in it.")] = Path(
        "reports"
    ),
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="name=value, repeatable.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep what the month measured in the database; 1_plan starts from it.")
    ] = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Render the monthly budget review: notebook, HTML and spreadsheet.

    With --from, those of many months: one that fails is named at the end, with exit 1, and the others are rendered.
    """
    from dcbudget.report import render

    if last and not first:
        raise DcbudgetError("--to needs --from")
    if first:
        _report_months(month, first, last, db, out, _parameters(parameter or []), wait, record)
        return
    rendered = render(month, db, out, _parameters(parameter or []), wait, record)
    for line in rendered.headline:
        print(line)
    if record:
        print(f"recorded: {rendered.recorded} measured values, from which the next plan starts")
    print(f"report: {rendered.html}")


def _report_months(
    month: str | None, first: str, last: str | None, db, out: Path, parameters: dict, wait: float, record: bool
) -> None:
    from dcbudget.progress import months_progress
    from dcbudget.report import Failed, render_months

    if month:
        raise DcbudgetError("--month is of a single report, --from and --to of several")
    with months_progress(shown=sys.stderr.isatty()) as (on_months, on_month):
        done = render_months(first, last, db, out, parameters, wait, record, on_months, on_month)
    failed = [one for one in done if isinstance(one, Failed)]
    for one in done:
        if one not in failed:
            print(f"report: {one.html}")
    for one in failed:
        print(f"dcbudget: {one.month} failed: {one.reason}", file=sys.stderr)
    if failed:
        print(f"dcbudget: {len(failed)} of {len(done)} months failed", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def export(
    what: Annotated[list[str], typer.Argument(metavar="[TABLE] FILE", help="A table, view or mart, and where to.")],
    project: Annotated[
        list[str] | None,
        typer.Option("--project", help="Only what viewers of the project may see; repeatable."),
    ] = None,
    db: Database = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Write a table to a .csv, .parquet or .xlsx file.

    With --project, a new database (.duckdb) or a folder of Parquet files that holds the project's own rows.
    """
    if len(what) != 2 and not (project and len(what) == 1):
        raise DcbudgetError("export takes a table and a file, or --project and a .duckdb file or a folder")
    table, file = (what[0] if len(what) == 2 else None), Path(what[-1])
    if not project:
        from dcbudget.export import export_table

        rows = export_table(table, file, db, wait)
    elif table:
        from dcbudget.viewer import export_project_table

        rows = export_project_table(project, table, file, db, wait)
    else:
        from dcbudget.viewer import export_projects

        exported = export_projects(project, file, db, wait)
        print_table(["table", "rows"], [[name, f"{count:,}"] for name, count in exported.items()], right_from=1)
        print(f"of {', '.join(sorted(set(project)))} in {file}")
        return
    print(f"{rows:,} rows of {table} in {file}")


@app.command()
def measure(
    out: Annotated[Path, typer.Option("--out", help="Log to write, CSV.")] = Path("data/private/measured.csv"),
    seeds: Annotated[int, typer.Option(help="Runs of each way to train.")] = 3,
    target: Annotated[float, typer.Option(help="Accuracy on the test images at which a run ends, 0 to 1.")] = 0.97,
    processes: Annotated[int, typer.Option(help="Processes that train in parallel: a power of 2.")] = 2,
    epochs: Annotated[int, typer.Option(help="After so many a run ends without its target.")] = 40,
    load: Annotated[bool, typer.Option("--load", help="Load the log into the database.")] = False,
    db: Database = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Train a small model on this machine in several ways, and log what each takes to the same accuracy.

    One process, a larger batch at once and accumulated, and data parallel over processes. Needs PyTorch.
    """
    from dcbudget import measure as measuring

    if processes > (cores := os.cpu_count() or 1):
        print(
            f"{processes} processes on {cores} cores: without a GPU for each they wait for one another", file=sys.stderr
        )

    def told(records: list[dict]) -> None:
        last = records[-1]
        print(f"{last['run_id']}: {last['status']}, {last['epoch']} epochs in {last['elapsed_seconds']:.2f} s,"
              f" accuracy {last['accuracy']:.4f}, F1 {last['f1']:.4f}", flush=True)  # fmt: skip

    measuring.measure(out, seeds, target, processes, epochs, on_run=told)
    if load or db:
        from dcbudget.ingest.load import load as load_files

        results = load_files([out], db, wait_seconds=wait)
        print_results(results)
        if any(result.status == "failed" for result in results):
            raise typer.Exit(1)
    else:
        print(f"load it: dcbudget load {out}")


@app.command()
def encrypt(db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Encrypt the database with the key in the file $DCBUDGET_KEY_FILE, or in $DCBUDGET_KEY.

    The plain file is deleted, not wiped: its bytes may stay on the disk until others take their place.
    """
    from dcbudget import warehouse

    print(f"encrypted {warehouse.convert(db, encrypted=True, wait_seconds=wait)}")


@app.command()
def decrypt(db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Put a plain database in the place of the encrypted one."""
    from dcbudget import warehouse

    print(f"decrypted {warehouse.convert(db, encrypted=False, wait_seconds=wait)}")


budget = typer.Typer(no_args_is_help=True, help="Plan versions: list, compare and approve them, and have them edited.")
app.add_typer(budget, name="budget")
PlanName = Annotated[str, typer.Argument(metavar="VERSION", help="A plan version.")]


@budget.command("list")
def budget_list(db: Database = None, as_json: Json = False) -> None:
    """List the plan versions with their status, months and amounts."""
    from dcbudget.budget import versions

    print_frame(versions(db), as_json)


@budget.command("export")
def budget_export(
    version: PlanName,
    file: Annotated[Path, typer.Argument(help="The .xlsx file to write.")],
    db: Database = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Write a plan version as a spreadsheet that a finance department can edit and hand back."""
    from dcbudget.budget import export_workbook

    print(f"{export_workbook(version, file, db, wait_seconds=wait)}, in {file}")


@budget.command("import")
def budget_import(
    file: Annotated[Path, typer.Argument(help="The .xlsx file that was handed back.")],
    name: Annotated[
        str | None, typer.Option("--as", help="The draft's name; default that of the version with -returned behind it.")
    ] = None,
    db: Database = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Save a spreadsheet that was handed back as a new draft, or say which of its cells do not tie."""
    from dcbudget.budget import import_workbook

    print_plan(import_workbook(file, name, db, wait_seconds=wait))


@budget.command("approve")
def budget_approve(version: PlanName, db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Approve a plan version, which then stays as it is; reports compare with the last approved one by name."""
    from dcbudget.budget import approve

    print_plan(approve(version, db, wait_seconds=wait))


@budget.command("compare")
def budget_compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A plan version.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another; the change is B - A.")],
    by: Annotated[str, typer.Option(help="What a row is: month, project, category, or several.")] = "project,category",
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Show two plan versions beside each other, with their totals."""
    from dcbudget.budget import compare

    print_frame(compare(a, b, db, by=[name.strip() for name in by.split(",") if name.strip()]), as_json)


adjust = typer.Typer(no_args_is_help=True, help="Adjustments: list, accept and reject what was proposed.")
app.add_typer(adjust, name="adjust")
Adjustment = Annotated[str, typer.Argument(metavar="ADJUSTMENT", help="An adjustment, such as 2026-07-03-01.")]
Day = Annotated[str, typer.Option("--date", metavar="DAY", help="The day of the decision, such as 2026-07-03.")]


@adjust.command("list")
def adjust_list(
    status: Annotated[str, typer.Option(help="Only proposed, accepted or rejected ones.")] = "",
    db: Database = None,
    as_json: Json = False,
) -> None:
    """List the adjustments with what they promised and what they saved."""
    from dcbudget.adjustments import summary

    print_frame(summary(status, db), as_json)


@adjust.command("accept")
def adjust_accept(
    adjustment: Adjustment,
    day: Day,
    consent: Annotated[str, typer.Option(help="Who agreed for the project that gives money.")] = "",
    name: Annotated[str, typer.Option("--as", help="Name of the new plan version.")] = "",
    draft: Annotated[bool, typer.Option("--draft", help="Save the new version as a draft.")] = False,
    db: Database = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Accept an adjustment: its money moves in a new plan version."""
    from dcbudget.adjustments import accept

    status = "draft" if draft else "approved"
    found, plan = accept(adjustment, day, consent=consent, plan_version=name, status=status, db=db, wait_seconds=wait)
    print(found)
    if plan is not None:
        print_plan(plan)


@adjust.command("reject")
def adjust_reject(adjustment: Adjustment, day: Day, db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Decide against an adjustment, which stays in the ledger."""
    from dcbudget.adjustments import reject

    print(reject(adjustment, day, db=db, wait_seconds=wait))


alerts = typer.Typer(
    invoke_without_command=True, help="Find what is out of the ordinary, keep it, and say what was done about it."
)
app.add_typer(alerts, name="alerts")
AlertId = Annotated[str, typer.Argument(metavar="ID", help="An alert, or how its ID begins.")]
Note = Annotated[str, typer.Option("--note", help="What was found out or done, 400 characters at most.")]


@alerts.callback()
def alerts_find(
    context: typer.Context,
    month: Annotated[str, typer.Option(help="YYYY-MM; default the latest that is billed to its end.")] = "",
    as_of: Annotated[str, typer.Option(help="The last day that is known, YYYY-MM-DD; default the month's last.")] = "",
    currency: Annotated[str, typer.Option(help="Of every amount; default the only one there is.")] = "",
    sensitivity: Annotated[float, typer.Option(help="Robust standard deviations from which a day counts.")] = 4.0,
    least_money: Annotated[float, typer.Option(help="What an alert must be worth.")] = 1000.0,
    persistence: Annotated[int, typer.Option(help="Days beyond the band before an alert of spend.")] = 2,
    webhook: Annotated[
        str, typer.Option(envvar="DCBUDGET_ALERT_WEBHOOK", show_envvar=True, help="Address to post news to.")
    ] = "",
    mail_file: Annotated[
        Path | None,
        typer.Option(envvar="DCBUDGET_ALERT_MAIL_FILE", show_envvar=True, help="File to write news to, as a mail."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 where there are news.")] = False,
    db: Database = None,
    as_json: Json = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Find and record the alerts of a month, and send what is news."""
    if context.invoked_subcommand:
        return
    from dcbudget.alerts import mark_told
    from dcbudget.stages.alerts import Alerts

    found = Alerts(
        month, str(db or ""), currency, sensitivity=sensitivity, least_money=least_money, persistence=persistence,
        as_of=as_of,
    )  # fmt: skip
    untold = found.record(wait_seconds=wait)
    news, shown = found.told(untold), found.told(found.of_month)
    if as_json:
        print(json.dumps({"title": found.title(len(news)), "new": news, "alerts": shown}, indent=2))
    else:
        print(found.title(len(news)))
        print_alerts(shown)
    if webhook or mail_file:
        from dcbudget import notify

        if mail_file:
            notify.write_mail(mail_file, found.title(len(news)), news)
        if webhook and news:
            notify.send(webhook, found.title(len(news)), news)
    mark_told(untold["alert_id"], db, wait_seconds=wait)
    if strict and news:
        raise typer.Exit(3)


@alerts.command("list")
def alerts_list(
    state: Annotated[str, typer.Option(help="open, acknowledged or closed; default all.")] = "",
    db: Database = None,
    as_json: Json = False,
) -> None:
    """List the alerts that were recorded, most money first."""
    from dcbudget.alerts import stored, told

    rows = told(stored(db, state=state))
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_alerts(rows)


@alerts.command("acknowledge")
def alerts_acknowledge(alert_id: AlertId, note: Note = "", db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Take note of an alert, which then keeps its state until it is closed."""
    from dcbudget.alerts import acknowledge, told

    print_alerts(told(acknowledge(alert_id, note, db, wait_seconds=wait)))


@alerts.command("close")
def alerts_close(alert_id: AlertId, note: Note = "", db: Database = None, wait: Wait = WAIT_SECONDS) -> None:
    """Close an alert by hand, for good."""
    from dcbudget.alerts import close, told

    print_alerts(told(close(alert_id, note, db, wait_seconds=wait)))


def main() -> None:
    """Run the command; what the user can put right is one line and exit 1."""
    import duckdb

    try:
        app(standalone_mode=True)
    except DcbudgetError as error:
        print(f"dcbudget: {error}", file=sys.stderr)
        sys.exit(1)
    except duckdb.Error as error:
        print(f"dcbudget: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(1)


def _options(
    fields: str,
    timezone: str,
    overlap: str,
    mapping: list[str],
    as_of: str | None,
    keep_names: bool,
    currency: str,
):
    from zoneinfo import available_timezones

    from dcbudget.ingest.plan import Options

    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise DcbudgetError(f"--currency must be a code such as EUR, not {currency!r}")
    if overlap not in ("ask", "replace", "add"):
        raise DcbudgetError(f"--overlap must be ask, replace or add, not {overlap!r}")
    if timezone not in available_timezones():
        raise DcbudgetError(f"--timezone must be a zone such as Europe/Berlin, not {timezone!r}")
    if wrong := [pair for pair in mapping if "=" not in pair]:
        raise DcbudgetError(f"--map must be target=column, not {wrong[0]!r}")
    try:
        day = datetime.strptime(as_of, "%Y-%m-%d") if as_of else datetime.now(UTC).replace(tzinfo=None)
    except ValueError:
        raise DcbudgetError(f"--as-of must be a date such as 2026-06-30, not {as_of!r}") from None
    return Options(
        fields=tuple(name.strip() for name in fields.split(",") if name.strip()),
        timezone=timezone,
        as_of=day,
        prices_from=day.date() if as_of else None,
        overlap=overlap,
        currency=currency,
        mapping=dict(pair.split("=", 1) for pair in mapping),
        keep_names=keep_names,
    )


def _parameters(pairs: list[str]) -> dict[str, object]:
    """name=value pairs; what reads as JSON (a number, an object) becomes that."""
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise DcbudgetError(f"--parameter must be name=value, not {pair!r}")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


if __name__ == "__main__":
    main()
