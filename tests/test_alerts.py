"""Alerts as they are kept: once each, with a state that only moves where it should."""

import shutil
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from dcbudget import alerts, warehouse
from dcbudget.errors import DatabaseMissing, DcbudgetError, OutOfRange
from dcbudget.models.anomaly import Finding, frame_of

JUNE = pd.Timestamp("2026-06-01")


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("alerts") / "empty.duckdb"
    with warehouse.connect(path, write=True):
        pass
    return path


@pytest.fixture
def kept(empty: Path, db: Path) -> Path:
    """A new database."""
    shutil.copy(empty, db)
    return db


def finding(subject="Network", since="2026-06-10", until=None, money=1234.567, kind="spend above expected"):
    return Finding(kind, "search", subject, pd.Timestamp(since), pd.Timestamp(until) if until else pd.NaT, money,
                   "effective", "what happened", "why it fired")  # fmt: skip


def record(db, *findings, day=date(2026, 6, 30), month=JUNE):
    return alerts.record(frame_of(findings), "USD", day, month, db)


def states(db) -> dict[str, str]:
    rows = alerts.stored(db)
    return dict(zip(rows["subject"], rows["state"], strict=True))


def test_an_alert_is_there_once_however_often_it_is_found(kept):
    for _ in range(2):
        record(kept, finding(), finding("Storage"))
    record(kept, finding(money=5000), finding("Storage"), day=date(2026, 7, 31), month=pd.Timestamp("2026-07-01"))
    rows = alerts.stored(kept)
    assert rows["subject"].tolist() == ["Network", "Storage"]
    assert rows["money"].tolist() == [5000.0, 1234.57]
    assert rows["found_on"].tolist() == [pd.Timestamp("2026-06-30")] * 2
    assert rows["judged_on"].tolist() == [pd.Timestamp("2026-07-31")] * 2
    assert set(rows["currency"]) == {"USD"} and set(rows["state"]) == {"open"}


def test_it_is_closed_by_itself_and_opens_again(kept):
    record(kept, finding())
    record(kept, finding(until="2026-07-03"), day=date(2026, 7, 31))
    row = alerts.stored(kept).iloc[0]
    assert (row["state"], row["closed_by"], row["until"]) == ("closed", "itself", pd.Timestamp("2026-07-03"))
    record(kept, finding(), day=date(2026, 8, 31))
    row = alerts.stored(kept).iloc[0]
    assert (row["state"], row["closed_by"]) == ("open", None) and pd.isna(row["until"])


def test_what_is_not_found_any_more_is_closed(kept):
    record(kept, finding(), finding("Storage"))
    record(kept, finding("Storage"), day=date(2026, 7, 31))
    assert states(kept) == {"Network": "closed", "Storage": "open"}
    assert alerts.stored(kept, state="closed")["until"].tolist() == [pd.Timestamp("2026-08-01")]


def test_acknowledged_is_kept_when_the_condition_ends(kept):
    record(kept, finding())
    alert_id = alerts.stored(kept)["alert_id"].iloc[0]
    row = alerts.acknowledge(alert_id[:4], "  asked\n the team ", kept).iloc[0]
    assert (row["state"], row["note"]) == ("acknowledged", "asked the team")
    record(kept, finding(until="2026-07-03"), day=date(2026, 7, 31))
    row = alerts.stored(kept).iloc[0]
    assert (row["state"], row["until"]) == ("acknowledged", pd.Timestamp("2026-07-03"))
    record(kept, day=date(2026, 8, 31))
    assert states(kept) == {"Network": "acknowledged"}
    row = alerts.close(alert_id, "", kept).iloc[0]
    assert (row["state"], row["closed_by"], row["note"]) == ("closed", "hand", "asked the team")


def test_closed_by_hand_stays_closed(kept):
    record(kept, finding())
    alerts.close(alerts.stored(kept)["alert_id"].iloc[0], "a test", kept)
    record(kept, finding(money=9), day=date(2026, 7, 31))
    row = alerts.stored(kept).iloc[0]
    assert (row["state"], row["closed_by"], row["money"]) == ("closed", "hand", 9.0)
    with pytest.raises(DcbudgetError, match="is closed; only an open one can be acknowledged"):
        alerts.acknowledge(row["alert_id"], "", kept)


def test_an_earlier_day_changes_nothing_of_a_later_one(kept):
    record(kept, finding(money=5000), day=date(2026, 7, 31))
    record(kept, finding(money=1), finding("Storage"), day=date(2026, 6, 30))
    record(kept, day=date(2026, 6, 30))
    rows = alerts.stored(kept)
    assert rows["money"].tolist() == [5000.0, 1234.57]
    assert states(kept) == {"Network": "open", "Storage": "closed"}


def test_what_ended_before_the_month_is_not_added(kept):
    record(kept, finding(since="2026-04-10", until="2026-06-01"), finding("Storage", "2026-04-10", "2026-06-02"))
    assert states(kept) == {"Storage": "closed"}


def test_of_month_is_what_lasted_in_it(kept):
    record(kept, finding("a", "2026-05-10", "2026-06-01"), finding("b", "2026-05-10", "2026-06-02"), finding("c"),
           finding("d", "2026-07-01"), month=pd.Timestamp("2026-05-01"))  # fmt: skip
    assert set(alerts.of_month(JUNE, kept)["subject"]) == {"b", "c"}
    assert set(alerts.of_month(pd.Timestamp("2026-05-01"), kept)["subject"]) == {"a", "b"}
    assert set(alerts.of_month(pd.Timestamp("2026-09-01"), kept)["subject"]) == {"c", "d"}


def test_news_are_told_once(kept):
    assert record(kept, finding())["subject"].tolist() == ["Network"]
    untold = record(kept, finding(), finding("Storage"))
    assert set(untold["subject"]) == {"Network", "Storage"}
    alerts.mark_told(untold["alert_id"], kept)
    assert record(kept, finding(), finding("Storage")).empty


def test_money_that_is_not_known_is_kept_as_such(kept):
    record(kept, finding(money=float("nan")))
    assert pd.isna(alerts.stored(kept)["money"].iloc[0])


def test_unknown_and_ambiguous_alerts_are_named(kept):
    record(kept, *(finding(f"s{n}") for n in range(40)))
    for wrong in ("zz", ""):
        with pytest.raises(DcbudgetError, match=f"no alert '{wrong}'; dcbudget alerts list shows all"):
            alerts.acknowledge(wrong, "", kept)
    firsts = alerts.stored(kept)["alert_id"].str[0]
    with pytest.raises(DcbudgetError, match="several alerts begin with"):
        alerts.close(firsts[firsts.duplicated()].iloc[0], "", kept)
    with pytest.raises(OutOfRange, match="at most 400 characters, not 401"):
        alerts.close(alerts.stored(kept)["alert_id"].iloc[0], "x" * 401, kept)
    with pytest.raises(OutOfRange, match="state must be one of open, acknowledged, closed, not 'new'"):
        alerts.stored(kept, state="new")


def test_wrong_findings_change_nothing(kept):
    frame = frame_of([finding()])
    with pytest.raises(OutOfRange, match="must be there once, and is there twice"):
        alerts.record(pd.concat([frame, frame]), "USD", date(2026, 6, 30), JUNE, kept)
    with pytest.raises(OutOfRange, match="money is missing"):
        alerts.record(frame.drop(columns="money"), "USD", date(2026, 6, 30), JUNE, kept)
    with pytest.raises(OutOfRange, match="currency must be a code"):
        alerts.record(frame, "dollars", date(2026, 6, 30), JUNE, kept)
    assert alerts.stored(kept).empty


def test_no_database(db):
    with pytest.raises(DatabaseMissing, match="there is no database"):
        record(db, finding())


def test_the_same_thing_has_the_same_name():
    ids = {one.alert_id for one in (finding(), finding(money=1, until="2026-06-12"))}
    assert len(ids) == 1 and len(ids.pop()) == 8
    others = [finding("x"), finding(since="2026-06-11"), finding(kind="spend below expected")]
    assert len({one.alert_id for one in [finding(), *others]}) == 4
