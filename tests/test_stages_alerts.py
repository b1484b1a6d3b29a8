"""The alerts of the sample: what was planted is found, quiet months are quiet, and the command keeps and sends them."""

import json
import re
import shutil
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
from typer.testing import CliRunner

from dcbudget import alerts, charts
from dcbudget.cli import app
from dcbudget.errors import DcbudgetError
from dcbudget.models.anomaly import runs
from dcbudget.stages import alerts as stage
from dcbudget.stages.alerts import Alerts
from tiny import budget as line
from tiny import egress, make

ROOT = Path(__file__).resolve().parents[1]
# Event of data/sample/truth.json -> the alert that tells of it: kind, and words of its scope.
TOLD = {
    "price-change": ("price change", "gpu-h100-8x"),
    "vision-overrun": ("over budget", "vision"),
    "egress-spike": ("spend above expected", "search, Network"),
    "idle-reservation": ("idle reservation", "ri-west-a100"),
    "rack-down": ("capacity down", "hall-1, A100"),
    "held-gpus": ("GPUs held and idle", "research, hall-1, A100"),
    "failing-run": ("failing run", "recommendation, job 290416"),
    "diverging-run": ("diverging run", "language, run-diverging"),
    "restated-month": ("restated bill", "Example Cloud"),
}
# Each of these is a comparison of two sums, or what the job log says; whether one is right is no matter of judgement.
FACTS = (
    "over budget", "year's budget spent", "year's budget nearly spent", "forecast over budget", "GPUs held and idle",
)  # fmt: skip


@pytest.fixture(scope="module")
def june(sample_db) -> Alerts:
    """The last month of the sample, with jobs and runs of all months."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "LOOK_BACK_MONTHS", 24)
        found = Alerts("2026-06", database=str(sample_db))
        assert len(found.findings)
    return found


@pytest.fixture(scope="module")
def all_found(june) -> pd.DataFrame:
    return june.findings.assign(scope=june._scoped(june.findings)["scope"])


@pytest.fixture(scope="module")
def truth() -> list[dict]:
    return json.loads((ROOT / "data/sample/truth.json").read_text())["events"]


def test_every_planted_event_is_found_when_it_was(all_found, truth):
    assert {event["name"] for event in truth} == TOLD.keys()
    for event in truth:
        kind, scope = TOLD[event["name"]]
        found = all_found[(all_found["kind"] == kind) & all_found["scope"].str.startswith(scope)]
        start, end = pd.Timestamp(event["start"]), pd.Timestamp(event["end"])
        found = found[(found["since"] < end) & ~(found["until"] <= start)]
        assert len(found[found["money"].abs() > 0]) >= 1, event["name"]


def test_money_of_planted_events(all_found, truth):
    events = {event["name"]: event["evidence"] for event in truth}

    def money(name):
        kind, scope = TOLD[name]
        found = all_found[(all_found["kind"] == kind) & all_found["scope"].str.startswith(scope)]
        return found.sort_values("since")["money"].iloc[-1]

    evidence = events["restated-month"]
    assert money("restated-month") == pytest.approx(
        float(evidence["billed_after"]) - float(evidence["billed_before"]), abs=0.01
    )
    assert money("idle-reservation") == pytest.approx(float(events["idle-reservation"]["unused_effective_usd"]), abs=1)
    evidence = events["vision-overrun"]
    assert money("vision-overrun") == pytest.approx(evidence["effective_usd"] - evidence["budget_usd"], abs=1)
    usual = float(events["egress-spike"]["effective_usd_during"]) / events["egress-spike"]["factor"]
    assert money("egress-spike") == pytest.approx(11 * usual, rel=0.02)


def test_spike_and_overrun_begin_and_end_on_their_days(all_found):
    spike = all_found[all_found["scope"] == "search, Network"].iloc[0]
    assert (spike["since"], spike["until"]) == (pd.Timestamp("2026-05-12"), pd.Timestamp("2026-05-15"))
    step = all_found[all_found["scope"] == "vision, Rented GPUs"].iloc[0]
    assert step["since"] == pd.Timestamp("2026-04-01")


def test_a_quiet_month_raises_at_most_one_false_alert(all_found, truth):
    """Months in which nothing was planted; every alert counts that is no plain fact."""
    starts = [(pd.Timestamp(event["start"]), pd.Timestamp(event["end"])) for event in truth]
    quiet = 0
    judged = all_found[~all_found["kind"].isin(FACTS)]
    for month in pd.date_range("2025-01-01", "2026-06-01", freq="MS"):
        end = month + pd.DateOffset(months=1)
        if any(start < end and stop > month for start, stop in starts):
            continue
        quiet += 1
        raised = judged[(judged["since"] >= month) & (judged["since"] < end)]
        assert len(raised) <= 1, raised[["kind", "scope", "since"]]
    assert quiet == 13


def test_alerts_about_budgets_are_true(june, all_found):
    lines = june.review.lines.groupby(["project", "month"])[["budget", "actual"]].sum()
    over = all_found[(all_found["kind"] == "over budget") & (all_found["project"] != "Total")]
    assert len(over) > 4
    for alert in over.itertuples():
        months = pd.date_range(alert.since, (alert.until if pd.notna(alert.until) else june.as_of), freq="MS",
                               inclusive="left")  # fmt: skip
        own = lines.loc[alert.project].loc[months]
        assert (own["actual"] > 1.05 * own["budget"]).all()
        assert alert.money == pytest.approx((own["actual"] - own["budget"]).sum())


def test_a_year_that_will_be_over_is_forecast_and_said_once(tmp_path):
    """Alpha spends 10,000 a day, twice its budget: by the run rate while three months are known, then by forecast."""
    months = pd.date_range("2025-08-01", "2026-01-01", freq="MS")
    charges = [egress(f"{month:%Y-%m}", str(10_000 * month.days_in_month)) for month in months]
    plan = [line(f"{month:%Y-%m}", "alpha", "Network", "155000") for month in pd.date_range("2025-08-01", periods=12,
                                                                                            freq="MS")]  # fmt: skip
    db = str(make(tmp_path, charges=charges, plan=plan))
    found = []
    for month in months[[2, 3, 5]]:
        told = Alerts(f"{month:%Y-%m}", db, fiscal_year_start=8)._budgets()
        found += [one for one in told if (one.kind, one.project) == ("forecast over budget", "alpha")]
    assert len(found) == 3 and {one.alert_id for one in found} == {found[0].alert_id}
    assert {one.since for one in found} == {pd.Timestamp("2025-08-01")} and all(pd.isna(one.until) for one in found)
    assert found[0].why == "3,680,000 by run rate, 1,860,000 budgeted; said in 3 months"
    assert re.fullmatch(r"3,650,000 by forecast \(P80 [4-9],.*\), 1,860,000 budgeted; said in 4 months", found[1].why)
    assert found[2].why == "3,650,000 by forecast (P80 3,650,000), 1,860,000 budgeted; said in 6 months"


def test_gpus_said_to_be_idle_were(june, all_found):
    jobs = june._jobs[june._jobs["gpu_utilisation"] < 0.05]
    for alert in all_found[all_found["kind"] == "GPUs held and idle"].itertuples():
        own = jobs[(jobs["project"] == alert.project) & (jobs["cluster"] + ", " + jobs["gpu_model"] == alert.subject)]
        own = own[(own["start_time"] >= alert.since) & (own["end_time"] <= alert.until)]
        hours = (own["end_time"] - own["start_time"]).dt.total_seconds() / 3600 * own["gpus"]
        assert alert.money == pytest.approx((hours * own["cost_per_gpu_hour"]).sum()) and alert.money >= 1000


def test_the_table_says_when_what_how_much_and_why(june):
    table = june.table()
    assert table.title.startswith("12 alerts in June 2026; the largest: forecast over budget, Total (USD)")
    assert [*table.columns.values()][:8] == ["Alert", "State", "Kind", "Scope", "Since", "Until", "Money", "Basis"]
    assert table.frame["money"].abs().is_monotonic_decreasing and not table.frame["why"].eq("").any()
    assert june.headline().lines()[0] == "Alerts: 12 (8 open, 4 closed)"
    assert repr(table) == repr(june.table())


def test_charts_of_spend(june):
    chart = june.spend_chart("vision", "Rented GPUs")
    assert charts.title_of(chart).startswith("vision, Rented GPUs: 28 days out of the ordinary, 24,365 USD beyond")
    assert "effective cost, USD" in charts.title_of(chart)
    quiet = charts.title_of(june.spend_chart())
    assert quiet.startswith("Total: every day is as was to be expected")
    assert june.scopes()[0] in {("vision", ""), ("Total", "")} and ("search", "Network") in june.scopes()
    with pytest.raises(DcbudgetError, match="no daily spend of project 'x' and category ''"):
        june.spend_chart("x")


@pytest.mark.parametrize(
    "given, told",
    [
        ({"sensitivity": 0.1}, "sensitivity must be at least 1"),
        ({"least_money": -1}, "least_money must be at least 0"),
        ({"persistence": 0}, "persistence must be"),
        ({"least_run_money": -1}, "least_run_money must lie between"),
        ({"as_of": "soon"}, "as_of must be a date"),
        ({"as_of": "2026-05-31"}, "as_of must be in 2026-06 or later, not 2026-05-31"),
        ({"month": "2030-01"}, "no charges in 2030-01"),
    ],
)
def test_bad_values_are_sentences(sample_db, given, told):
    with pytest.raises(DcbudgetError, match=told):
        Alerts(**{"month": "2026-06", "database": str(sample_db)} | given)


def test_the_command_records_sends_and_decides(sample_db, june, tmp_path, monkeypatch):
    """A run and a second one: each alert is there once, and its news are sent once."""
    posted = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if len(posted) == 1 else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    db, mail = tmp_path / "budget.duckdb", tmp_path / "alerts.eml"
    shutil.copy(sample_db, db)
    june.of_month, june.shown.names  # what the database says before anything is recorded  # noqa: B018
    june.db, before = str(db), june.db
    monkeypatch.setattr(stage, "Alerts", lambda *given, **named: june)

    def run(*words):
        return CliRunner().invoke(app, ["alerts", *words, "--db", str(db)])

    try:
        webhook = ("--webhook", f"http://127.0.0.1:{server.server_port}/key", "--mail-file", str(mail))
        failed = run(*webhook)
        assert isinstance(failed.exception, DcbudgetError) and "could not be sent to 127.0.0.1: 500" in str(
            failed.exception
        )
        first = run(*webhook, "--strict")
        assert first.exit_code == 3 and "dcbudget: 12 new alerts, June 2026" in first.output
        second = run(*webhook, "--json", "--strict")
        assert second.exit_code == 0 and json.loads(second.output)["new"] == []
        assert len(json.loads(second.output)["alerts"]) == 12
        assert [len(body["alerts"]) for body in posted] == [12, 12] and mail.read_bytes() == b""
    finally:
        server.shutdown()
        server.server_close()
        june.db = before
    listed = json.loads(run("list", "--json").output)
    assert len({row["alert_id"] for row in listed}) == len(listed) == 12
    assert posted[1]["alerts"] == [{**row} for row in listed]
    chosen = next(row["alert_id"] for row in listed if row["kind"] == "idle reservation")
    assert run("acknowledge", chosen, "--note", "asked the provider").exit_code == 0
    assert run("close", listed[0]["alert_id"][:6]).exit_code == 0
    assert [row["note"] for row in json.loads(run("list", "--state", "acknowledged", "--json").output)] == [
        "asked the provider"
    ]
    assert "no alert 'zz'" in str(run("close", "zz").exception)
    states = alerts.of_month(june.month, db)["state"].value_counts().to_dict()
    assert states == {"open": 6, "closed": 5, "acknowledged": 1}


def test_rules_that_are_tried_find_what_they_would_find_from_the_start(june):
    """What was found once of any money is cut at theirs."""
    for least in (0.0, 1000.0):
        tried = june.tried(june.rules.sensitivity, least).findings
        loops = list(runs.crash_loops(june._jobs, june.as_of, least))
        idle = list(runs.held_idle(june._jobs, june.as_of, least))
        assert loops and idle
        for kind, found in (("failing run", loops), ("GPUs held and idle", idle)):
            assert sorted(tried.loc[tried["kind"] == kind, "money"]) == sorted(one.money for one in found)
