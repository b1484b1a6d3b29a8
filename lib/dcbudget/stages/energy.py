"""4_optimize: what energy of the pool could be spared: cheap hours, power caps, heat; money and carbon of each."""

from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.models.energy import PowerCurve, Shift, pue_at, sell_heat, shift, under_caps
from dcbudget.models.replay.occupancy import mean_gpus
from dcbudget.stages.period import in_range, whole_in_range
from dcbudget.stages.replays import WEEK_DAYS, Replays
from dcbudget.tables import COUNT, MONEY, Headline, Table

# Share of a week's GPU-hours that the largest jobs hold which are moved; the rest stays where it is.
MOVED_SHARE = 0.8
MOST_MOVED = 60
HOURS = 24 * WEEK_DAYS
# Under a power limit, where no run was measured: draw that does not depend on the clock, and the exponent of the rest.
STATIC_SHARE, EXPONENT = 0.35, 3.0
# Of the hall's losses, what is there without load, and what grows with its square.
NO_LOAD_SHARE, SQUARE_SHARE = 0.4, 0.1


class Energy:
    """What the pool draws by hour, and what moving, capping and selling would change.

    Parameters
    ----------
    replays : the log; the week is that in which jobs wait most.
    """

    def __init__(self, replays: Replays):
        self.replays, self.log = replays, replays.log
        self.begin = self.log.month + pd.Timedelta(days=replays.week_day)
        self._kept: dict[int, Shift] = {}

    @cached_property
    def kwh_price(self) -> float:
        """Effective price of a kWh in the month [money], of the pool's servers, else as calibrated."""
        energy = self.log.energy
        kwh = float(energy["kwh"].sum())
        return (
            float(energy["effective_cost"].sum()) / kwh
            if kwh > 0
            else float(self.log.known["power_price_per_kwh"].value)
        )

    @cached_property
    def carbon(self) -> float:
        """kg CO2e a kWh: as the ledger tells, else as calibrated."""
        return float(self.log.known["kg_co2e_per_kwh"].value)

    @cached_property
    def tariff(self) -> pd.DataFrame:
        """Price of each hour of the week: `hour` (UTC), `price_per_kwh`; flat where no tariff by hour is loaded."""
        hours = pd.date_range(self.begin, periods=HOURS, freq="h")
        rows = warehouse.query(
            "select distinct tariffs.tariff, effective_from, days, from_hour, to_hour, price_per_kwh::double as price,"
            " tariffs.currency, coalesce(timezone, 'UTC') as zone from tariffs join fleet using (tariff)"
            " where cluster = $1 and gpu_model = $2 and effective_from <= $3"
            " qualify tariffs.tariff = min(tariffs.tariff) over () and effective_from ="
            " max(effective_from) over (partition by tariffs.tariff) order by days nulls first, from_hour",
            self.log.db,
            [self.log.cluster_name, self.log.gpu_model, self.begin.to_pydatetime()],
        )
        prices = np.full(HOURS, self.kwh_price)
        if len(rows):
            rows = self.log.reading.convert(rows.assign(month=self.log.month), ["price"])
            local = hours.tz_localize("UTC").tz_convert(rows["zone"].iloc[0])
            for row in rows.itertuples():
                prices[_holds(row, local)] = float(row.price)
        return pd.DataFrame({"hour": hours, "price_per_kwh": prices})

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """The largest jobs that start and end in the week as they are replayed, as `models.energy.shift` takes them:
        they hold `MOVED_SHARE` of the GPU-hours of all such, `MOST_MOVED` of them at most. `row` is that of the log.
        """
        found, log = self.replays.replayed(self.replays.first), self.log
        start, end = ((seconds + self._origin) / 3600 for seconds in (found.start, found.end))
        frame = pd.DataFrame({
            "row": np.arange(len(start)), "job": log.jobs["job_id"], "gpus": log.jobs["gpus"],
            "kw": log.jobs["gpus"] * log.pool().busy_watts_per_gpu / 1000, "hours": found.held_seconds / 3600,
            "earliest": np.floor(start), "ends": np.ceil(end), "gpu_hours": found.jobs["gpu_hours"],
        })  # fmt: skip
        frame = frame[(start >= 0) & (frame["ends"] <= HOURS) & (frame["hours"] > 0)]
        frame = frame.sort_values("gpu_hours", ascending=False, kind="stable", ignore_index=True)
        upto = frame["gpu_hours"].cumsum().shift(fill_value=0.0) < MOVED_SHARE * frame["gpu_hours"].sum()
        return frame[upto].head(MOST_MOVED).astype({"earliest": int, "ends": int})

    @property
    def _origin(self) -> float:
        """Seconds of the replay's first moment since the week's begin."""
        return (self.replays.replayed(self.replays.first).log.origin - self.begin) / pd.Timedelta(seconds=1)

    @cached_property
    def free(self) -> np.ndarray:
        """GPUs of the pool that all other jobs leave, in the mean of each hour of the week."""
        found = self.replays.replayed(self.replays.first)
        held = found.placements[~found.placements["row"].isin(self.jobs["row"])]
        edges = 3600.0 * np.arange(HOURS + 1) - self._origin
        used = mean_gpus(held["from_seconds"], held["to_seconds"], held["gpus"], edges)
        return np.maximum(self.replays.first.nodes * self.log.gpus_per_node - used, 0.0) + 1e-6

    def shifted(self, slack_hours: int) -> Shift:
        """These jobs in the cheapest hours, each done at most so many hours later than at once; kept.

        Jobs may be interrupted, at their checkpoints; the other jobs stay where they are.

        Raises
        ------
        OutOfRange : no job fits in the week, or slack out of range.
        ConflictingDemands : they do not all fit on the pool.
        """
        slack = whole_in_range("slack_hours", slack_hours, 0, HOURS)
        if slack not in self._kept:
            jobs = self.jobs
            deadline = np.minimum(jobs["ends"] + slack, HOURS)
            self._kept[slack] = shift(
                jobs.assign(deadline=deadline),
                self.tariff["price_per_kwh"].to_numpy(),
                self.carbon,
                gpus=self.free,
            )
        return self._kept[slack]

    # What is shown.

    def headline(self, slack_hours: int) -> Headline:
        """What waiting for cheap hours spares in the week."""
        found = self.shifted(slack_hours)
        saved = found.money_before - found.money
        prices = self.tariff["price_per_kwh"]
        figures = [
            ("Energy at once", self._money(found.money_before), f"{len(found.jobs):,} largest jobs of the week"),
            ("In cheap hours", self._money(found.money), f"each at most {slack_hours:,} h later"),
            ("Saved", self._money(saved), f"{saved / found.money_before:.1%}" if found.money_before else "–"),
            ("Price of a kWh", f"{prices.min():.3f} to {prices.max():.3f}", f"{self.log.currency}, by hour"),
        ]  # fmt: skip
        last = self.begin + pd.Timedelta(days=WEEK_DAYS - 1)
        return Headline(
            f"Energy of {self.log.name}, {self.begin:%d %b} to {last:%d %b %Y} ({self.replays.basis})", figures
        )

    def chart(self, slack_hours: int):
        """Energy by hour, at once and in cheap hours, with the price; an Altair chart."""
        from dcbudget.charts import optimize as charts

        found = self.shifted(slack_hours)
        hours = found.hours.assign(hour=self.tariff["hour"].to_numpy())
        long = hours.melt(["hour", "price_per_kwh"], ["kwh_before", "kwh"], "when", "kwh_moved")
        long = long.replace({"when": {"kwh_before": "at once", "kwh": "in cheap hours"}})
        saved = found.money_before - found.money
        part = saved / found.money_before if found.money_before else 0.0
        title = f"Waiting for cheap hours spares {part:.1%} of the energy's money"
        return charts.energy(long, title, f"kWh by hour of the largest jobs, {self.log.where}; {self.replays.basis}")

    def measures(self, slack_hours: int = 24, cap: float = 0.8, heat_price: float = 0.02, recovered: float = 0.5):
        """Each way to spare energy beside doing nothing: `measure`, `money`, `kg_co2e`, `remark`; a month.

        Parameters
        ----------
        slack_hours : by which the largest jobs may be late.
        cap : power limit of a GPU over its draw at work.
        heat_price : of a kWh of heat [money]; recovered : of the heat, as a share.
        """
        log = self.log
        hours = float((log.jobs["gpus"] * log.jobs["elapsed_seconds"]).sum() / 3600)
        busy = log.pool().busy_watts_per_gpu
        found = self.shifted(slack_hours)
        weeks = log.hours / HOURS
        curve = PowerCurve(STATIC_SHARE * busy, busy, EXPONENT)
        whole = float(np.nan_to_num(log.price))
        told = {"price_per_kwh": self.kwh_price, "kg_co2e_per_kwh": self.carbon}
        limit = in_range("cap", cap, 0.4, 1) * busy
        capped = under_caps(curve, limit, hours, price_per_gpu_hour=whole, **told).iloc[1]
        alone = under_caps(curve, limit, hours, **told).iloc[1]
        kwh = float(np.nan_to_num(log.watts)) / 1000 * log.gpus * log.hours
        pue = float(log.known["pue"].value)
        heat = sell_heat(kwh / pue, recovered, heat_price, kg_co2e_per_kwh_heat=0.0)
        full = pue_at(1.0, pue, NO_LOAD_SHARE, SQUARE_SHARE)
        load = max(log.watts / busy, 0.01) if busy > 0 else 1.0
        loss = (pue_at(load, pue, NO_LOAD_SHARE, SQUARE_SHARE) - full) * kwh / pue
        longer = capped["slowdown"] - 1
        rows = [
            ("cheap hours", (found.money_before - found.money) * weeks, (found.kg_before - found.kg) * weeks,
             f"the largest jobs up to {slack_hours} h later, as in the week"),
            (f"power cap at {cap:.0%}", capped["money_saved"], alone["kg_saved"],
             f"{alone['money_saved']:,.0f} of energy, less the GPU-hours of jobs that take {longer:.0%} longer"),
            (f"sell {recovered:.0%} of the heat", heat.money, heat.kg_saved, f"at {heat_price:g} a kWh, as it is"),
            ("hall at full load", loss * self.kwh_price, loss * self.carbon,
             f"PUE falls with load: {NO_LOAD_SHARE:.0%} of its losses are there without load"),
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["measure", "money", "kg_co2e", "remark"])

    def measures_table(self, slack_hours: int = 24, **how: float) -> Table:
        """What each measure spares a month."""
        frame = self.measures(slack_hours, **how)
        best = frame.loc[frame["money"].idxmax()]
        names = {"measure": "Measure", "money": "Spares", "kg_co2e": "kg CO2e", "remark": "How"}
        title = (f"{best['measure'].capitalize()} spares most, {self._money(best['money'])} a month "
                 f"({self.log.where}; {self.replays.basis})")  # fmt: skip
        return Table(frame, names, title, {"money": MONEY, "kg_co2e": COUNT})

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.log.currency}"


def _holds(row, local: pd.DatetimeIndex) -> np.ndarray:
    """Hours in which a row of a tariff holds; over midnight where it does not end later than it begins."""
    at = local.hour.to_numpy()
    inside = (at >= row.from_hour) & (at < row.to_hour)
    if row.to_hour <= row.from_hour:
        inside = (at >= row.from_hour) | (at < row.to_hour)
    weekend = local.day_of_week.to_numpy() >= 5
    if row.days == "weekday":
        inside &= ~weekend
    if row.days == "weekend":
        inside &= weekend
    return inside
