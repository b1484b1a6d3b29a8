"""What 4_optimize tells of a log: by hand on a few jobs, and on the sample."""

import pandas as pd
import pytest

from dcbudget import warehouse
from dcbudget.errors import ConflictingDemands, DcbudgetError, OutOfRange
from dcbudget.models.replay.occupancy import mean_gpus
from dcbudget.stages.energy import Energy
from dcbudget.stages.frontier import Frontier
from dcbudget.stages.job_log import JobLog
from dcbudget.stages.replays import POLICIES, Replays
from dcbudget.stages.sharing import Sharing
from dcbudget.stages.workloads import Limits, Workloads


@pytest.fixture(scope="module")
def replays(sample_db):
    return Replays(JobLog("2026-06", database=str(sample_db)))


def test_mean_gpus_by_hand():
    """Two GPUs from 5 to 15 and one from 10 to 40, in steps of ten seconds."""
    assert mean_gpus([5, 10], [15, 40], [2, 1], [0, 10, 20, 30]) == pytest.approx([1.0, 2.0, 1.0])


def test_sample_pool_is_the_busiest_owned_one(replays):
    log = replays.log
    assert (log.name, log.nodes, log.gpus_per_node) == ("h100", 32, 8)
    held = log.jobs.loc[log.jobs["carried"], "gpus"].sum()
    assert 0 < held <= log.gpus  # what ran at the month's begin fits, as it did


def test_policies_differ_only_through_the_policy(replays):
    frame = replays.policies().set_index("policy")
    assert set(frame.index) == set(POLICIES)
    assert frame.loc["EASY backfill", "mean_wait_seconds"] < frame.loc["FIFO", "mean_wait_seconds"]
    held = frame["allocated_gpu_hours"] - frame["lost_gpu_hours"]
    assert held.to_numpy() == pytest.approx(held.iloc[0])


def test_wrong_values_are_sentences(replays, sample_db):
    with pytest.raises(OutOfRange, match="policy must be one of FIFO, Smallest first"):
        Replays(replays.log, "LIFO")
    with pytest.raises(OutOfRange, match="partition must be one of the owned pools h100, a100, inference"):
        JobLog("2026-06", "cloud-h100", str(sample_db))
    with pytest.raises(OutOfRange, match="gpus must be at most the 8 of pool h100"):
        replays.headline(replays.with_changes(nodes=1))
    with pytest.raises(OutOfRange, match="nodes must lie between 1 and"):
        replays.with_changes(nodes=0)


def test_frontier_agrees_with_single_replays_and_is_kept(replays):
    frontier = Frontier(replays)
    told = []
    frontier.points(lambda done, count, name: told.append((done, count)))
    assert told == [] or told[-1] == (frontier.count, frontier.count)
    frame = frontier.money("FIFO")
    row = frame[frame["gpus"] == replays.log.gpus].iloc[0]
    figures = replays.figures(replays.now)
    assert row["total_cost"] == pytest.approx(figures["money"])
    assert Frontier(replays).known()


def test_long_sweep_takes_every_core(replays, monkeypatch):
    assert Frontier(replays).processes == 1 and Frontier(replays, processes=3).processes == 3
    monkeypatch.setattr("dcbudget.stages.frontier.LONG", Frontier(replays).count * len(replays.log.jobs))
    monkeypatch.setattr("joblib.cpu_count", lambda: 7)
    assert Frontier(replays).processes == 7 and Frontier(replays, processes=3).processes == 3
    with pytest.raises(OutOfRange, match="processes must lie between 0 and 256"):
        Frontier(replays, processes=-1)


def test_stopped_sweep_keeps_nothing(replays):
    frontier = Frontier(Replays(replays.log, placement="spread"))
    with pytest.raises(DcbudgetError, match="stopped after 0 of"):
        frontier.points(cancelled=lambda: True)
    assert not frontier.known()


def test_week_holds_what_the_jobs_held(replays):
    frame = replays.week(replays.now)
    in_use = frame[frame["what"] == "in use"]
    assert in_use["gpus"].max() <= replays.log.gpus + 0.01
    assert pd.Series(in_use["hour"]).nunique() == 7 * 24


@pytest.fixture(scope="module")
def energy(replays):
    return Energy(replays)


def test_cheap_hours_fit_beside_the_other_jobs(energy, replays):
    """Without slack hardly anything moves; with it money falls, never beyond the GPUs that the others leave."""
    none, day = energy.shifted(0), energy.shifted(24)
    assert day.money < none.money <= none.money_before + 1e-6
    assert (day.hours["gpus"] <= energy.free + 1e-3).all()
    assert day.jobs["money"].sum() == pytest.approx(day.money)
    assert day.hours["kwh"].sum() == pytest.approx(day.hours["kwh_before"].sum())


def test_tariff_is_that_of_the_local_hour(energy):
    """New York's weekday peak from 16 to 20, four hours later in UTC in summer."""
    tariff = energy.tariff.set_index("hour")["price_per_kwh"]
    peak = tariff[tariff == tariff.max()].index
    assert set(peak.hour) == {20, 21, 22, 23} and set(peak.day_of_week) <= {0, 1, 2, 3, 4}


def test_reservation_moves_waiting_between_projects(replays):
    sharing = Sharing(replays)
    frame = sharing.reservation_projects("vision", 64)
    before, after = sharing.reserved("vision", 0), sharing.reserved("vision", 64)
    moved = (after["wait_seconds"] - before["wait_seconds"]).sum() / 3600
    assert frame["waited_hours_change"].sum() == pytest.approx(moved)
    assert frame.set_index("group").loc["vision", "change_seconds"] < 0 < moved
    with pytest.raises(OutOfRange, match="must be at most the 256 of pool h100, not 300"):
        sharing.reserved("vision", 300)


@pytest.mark.parametrize(
    "project, said", [("language", "wait no less"), ("platform", "costs the others more"), ("vision", "saves")]
)
def test_reservation_is_said_to_help_whom_it_helps(replays, project, said):
    sharing = Sharing(replays)
    frame, found = sharing.reservations(project), sharing.reservation_finding(project)
    waits, money = frame["important_wait"], frame["waiting_cost"]
    assert said in found
    assert (waits.min() < waits.iloc[0] - 1) == (said != "wait no less")
    assert (money.min() < money.iloc[0]) == (said == "saves")


def test_renting_is_priced_by_its_hours(replays):
    frame = Sharing(replays).rentings(price=2.0)
    assert frame["rented_cost"].to_numpy() == pytest.approx(2.0 * frame["rented_gpu_hours"].to_numpy())
    assert frame["mean_wait_seconds"].iloc[-1] < frame["mean_wait_seconds"].iloc[0]


@pytest.fixture(scope="module")
def workloads(replays, sample_db):
    return Workloads(replays.log.known, months=1, worth={"vision": 3}, database=str(sample_db))


def test_plan_keeps_to_its_money_and_capacity(workloads):
    found = workloads.plan()
    most = workloads.cheapest.money_fixed + 0.9 * workloads.cheapest.money_by_use
    assert found.money_by_use + found.money_fixed <= most + 1  # whole cents of many rows
    used = found.rows.groupby("kind")["gpu_hours"].sum()
    there = workloads.capacity.set_index("kind")["gpu_hours"]
    assert (used <= there.reindex(used.index) * (1 + 1e-6) + 1e-6).all()


def test_one_more_of_money_is_worth_what_it_brings(workloads):
    """The shadow price against the plan solved again with a little more."""
    more = 1000.0 / workloads.cheapest.money_by_use
    first, then = workloads.plan(Limits(0.6, 0.2)), workloads.plan(Limits(0.6 + more, 0.2))
    worth = workloads.worth_of_money(Limits(0.6, 0.2))
    assert (then.value - first.value) / 1000 == pytest.approx(worth.max(), rel=0.05)
    assert "One more USD is worth" in workloads.finding(Limits(0.6, 0.2))


def test_one_more_gpu_is_worth_beyond_its_price_by_the_hour_and_before_it_where_it_is_fixed(workloads):
    """A month's price stands beside the worth of what is paid used or not, and of nothing that the worth has paid."""
    limits = Limits(0.9, 0.5)
    table, worth = workloads.worth_table(limits), workloads.plan(limits).worth
    paid = workloads.capacity.set_index("kind")
    rows = table.frame.set_index("kind")
    assert {"fixed", "use"} == set(paid.loc[rows.index, "paid"]) and "by the hour beyond its price" in table.title
    for kind, row in rows.iterrows():
        fixed = paid.loc[kind, "paid"] == "fixed"
        hours = 24 * workloads.months[0].days_in_month
        price = paid.loc[kind, "price_per_gpu_hour"] * hours if fixed else float("nan")
        assert row["price"] == pytest.approx(price, nan_ok=True)
        assert row["worth"] == worth[(worth["kind"] == kind) & worth["project"].isna()]["worth"].item()


def test_conflicts_are_told_in_short(workloads, sample_db):
    with pytest.raises(ConflictingDemands, match="workloads have a minimum service, such as") as told:
        workloads.plan(Limits(0.0, 1.0))
    assert len(str(told.value)) < 500
    with pytest.raises(OutOfRange, match="limits has no 'money'"):
        Workloads(workloads.known, limits={"money": 1}, database=str(sample_db))
    with pytest.raises(OutOfRange, match="worth must name projects of"):
        Workloads(workloads.known, worth={"nobody": 1}, database=str(sample_db))


def test_what_jobs_that_ran_before_count(replays):
    """A job that ran when the month began holds its GPUs from then on for the rest of its run."""
    log = replays.log
    carried = log.jobs[log.jobs["carried"]]
    assert (carried["submit_time"] <= log.month + pd.Timedelta(seconds=1)).all()
    found = replays.replayed(replays.now).jobs
    assert (found.loc[carried.index, "wait_seconds"] < 1).all()
    with_parts = warehouse.query(
        "select sum(gpus * epoch(least(coalesce(end_time, start_time + to_seconds(elapsed_seconds)), $2) - $1)) / 3600"
        " as hours from jobs where partition = 'h100' and gpus > 0 and start_time < $1"
        " and start_time + to_seconds(elapsed_seconds) > $1",
        log.db, [log.month.to_pydatetime(), (log.end + pd.DateOffset(years=1)).to_pydatetime()],
    )  # fmt: skip
    assert (carried["gpus"] * carried["elapsed_seconds"]).sum() / 3600 == pytest.approx(with_parts["hours"].iloc[0])
