"""What `charges` says after a load is what the bills and the fleet's ledger say."""

import duckdb
import pytest

from dcbudget import privacy, published, warehouse
from dcbudget.ingest.load import load
from dcbudget.ingest.plan import Options
from focus_rows import ask
from tiny import FLEET, RULES, charge, egress, job, write, write_jobs

READING = {"asset_id": "srv-1", "month": "2026-02-01", "kwh": "1234.5"}


def both(db) -> tuple[list, list]:
    """All charges as they are shown, and as the live views tell them."""
    statement = "select * from charges order by all"
    with warehouse.connect(db, write=True) as con:
        shown = con.execute(statement).fetchall()
        con.execute("begin")
        published.show_live(con)
        live = con.execute(statement).fetchall()
        con.execute("rollback")
    return shown, live


def parts(db) -> str:
    return ask(db, "select sql from duckdb_views() where view_name = 'imported'")[0][0]


@pytest.fixture
def bills(tmp_path, monkeypatch):
    """Three months of one charge each; as many as are kept together."""
    monkeypatch.setattr(published, "BILLS_APART", 2)
    return [write(tmp_path / f"2026-{month}.csv", [egress(f"2026-{month}", month, who)])
            for month, who in (("01", "alpha"), ("02", "beta"), ("03", "alpha"))]  # fmt: skip


def test_every_load_leaves_what_the_live_views_say(tmp_path, db, bills):
    """The fleet, jobs that move its last month, bills, one of them restated, power that was read, and rules."""
    restated = write(
        tmp_path / "restated.csv", [egress("2026-02", "20", "beta"), charge("more", "3", start="2026-02-01")]
    )
    june = "2026-06-01T00:00:00"
    steps = [
        [write(tmp_path / "fleet.csv", [FLEET | {"life_months": "12"}])],
        [write_jobs(tmp_path / "jobs.txt", [job(1, "a", "hall", "h100", 1, june, june, "2026-06-02T00:00:00")])],
        bills, [restated], [write(tmp_path / "power.csv", [READING])], [write(tmp_path / "rules.csv", RULES)],
    ]  # fmt: skip
    seen = [[]]
    for paths in steps:
        results = load(paths, db, options=Options(overlap="replace"))
        assert {result.status for result in results} <= {"loaded", "replaced"}
        shown, live = both(db)
        assert shown == live
        assert shown != seen[-1] or paths == steps[0]
        seen.append(shown)
    assert "together" in parts(db)
    assert ask(db, "select count(*) from landed.owned")[0][0] > 0
    check = warehouse.check(db)
    assert list(check.loc[check.offending_rows > 0, "check"]) == []


def test_large_bills_stay_apart(tmp_path, db, bills, monkeypatch):
    monkeypatch.setattr(published, "ROWS_TOGETHER", 3)
    large = write(tmp_path / "large.csv", [egress("2026-05", str(n)) for n in range(1, 6)])
    load([*bills, large], db)
    assert "together" in parts(db) and "charges_4" in parts(db) and "charges_1" not in parts(db)
    shown, live = both(db)
    assert shown == live and len(shown) == 8


def test_few_bills_are_read_themselves(db, bills):
    load(bills[:1], db)
    assert "together" not in parts(db)
    assert ask(db, "select count(*) from landed.together") == [(0,)]


def test_a_load_of_something_else_keeps_nothing_anew(tmp_path, db, bills, monkeypatch):
    load(bills, db)
    monkeypatch.setattr(published, "keep", None)
    rates = write(
        tmp_path / "rates.csv", [{"date": "2026-01-01", "from_currency": "EUR", "to_currency": "USD", "rate": "1.1"}]
    )
    assert load([rates, bills[0]], db)[0].status == "loaded"


def test_new_pseudonyms_reach_what_is_kept(tmp_path, db, bills):
    named = [write(tmp_path / path.name, [egress(path.stem, "1") | {"Tags": '{"user":"anna"}'}]) for path in bills]
    load(named, db)
    before, _ = both(db)
    assert "together" in parts(db)
    privacy.rotate(db)
    shown, live = both(db)
    assert shown == live != before


def test_a_fleet_beyond_all_money_stops_no_load(tmp_path, db, bills):
    """Its charges cannot be worked out, which is told to those who ask for them."""
    beyond = FLEET | {"staff_cost_per_month": "99999999999999"}
    results = load([*bills, write(tmp_path / "fleet.csv", [beyond])], db)
    assert [result.status for result in results] == ["loaded"] * 4
    assert ask(db, "select count(*) from landed.imported") == [(3,)]
    with pytest.raises(duckdb.Error):
        ask(db, "select sum(EffectiveCost) from charges")
    assert load([write(tmp_path / "fifth.csv", [egress("2026-05", "9")])], db)[0].status == "loaded"
    assert ask(db, "select count(*) from landed.imported") == [(4,)]
