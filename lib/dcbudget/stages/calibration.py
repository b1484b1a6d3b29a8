"""Rates, shares and prices measured from what is loaded: the starting value of every slider."""

from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import budget, warehouse
from dcbudget.errors import DcbudgetError, MixedCurrencies
from dcbudget.models import calibration
from dcbudget.models.calibration import Measure, Spread
from dcbudget.models.currency import convert
from dcbudget.stages.period import months_with_bills, parse_month, whole_month
from dcbudget.stages.reading import POOL_MONEY, Reading
from dcbudget.tables import COUNT, Table

MONTHS = 12
HELD = ("useful", "failed or restarted", "held but idle")
PRICES = ("on-demand", "committed", "spot", "owned")
# What a kind of price is below on demand, where only that is known.
DISCOUNTS = {"committed": "commitment_discount", "spot": "spot_discount"}
# Source of a price that somebody paid.
BILLED = "bill, latest month"
# name -> label, unit
LABELS = {
    "mfu": ("Model FLOPs utilisation (MFU)", "share"),
    "allocation_rate": ("Allocated of capacity", "share"),
    "gpu_utilisation": ("GPU utilisation of allocated", "share"),
    "failure_share": ("Failed or restarted of allocated", "share"),
    "held_idle_share": ("Held but idle of allocated", "share"),
    "mtbf_gpu_hours": ("GPU-hours between failures of nodes", "GPU-hours"),
    "queue_wait_hours": ("Queue wait of a GPU job", "hours"),
    "demand_growth_per_year": ("Growth of allocated GPU-hours", "share a year"),
    "price_trend_per_year": ("Trend of on-demand prices", "share a year"),
    "commitment_share": ("Committed of rented GPU-hours", "share"),
    "commitment_discount": ("Commitment below on-demand", "share"),
    "spot_share": ("Spot of rented GPU-hours", "share"),
    "spot_discount": ("Spot below on-demand", "share"),
    "spot_interruptions_per_gpu_hour": ("Preemptions where jobs are preempted", "1 / GPU-hour"),
    "checkpoint_minutes": ("Training stands still for a checkpoint", "minutes"),
    "restart_minutes": ("From getting a GPU back to going on", "minutes"),
    "network_gb_per_second": ("Network between nodes, one direction", "GB a second and GPU"),
    "tokens_per_second_per_gpu": ("Tokens served", "tokens a second and GPU"),
    "gpu_watts": ("Power drawn at the servers", "W per owned GPU"),
    "pue": ("Power usage effectiveness (PUE)", "factor"),
    "power_price_per_kwh": ("Price of power", "money per kWh"),
    "kg_co2e_per_kwh": ("Carbon of power", "kg CO2e a kWh"),
    "server_life_years": ("Life of owned servers", "years"),
    "storage_price_per_tb_month": ("Price of rented storage", "money per TB-month"),
    "network_price_per_gb": ("Price of network", "money per GB"),
}
# What only reports know, from their scorecards: name -> label, unit, source.
LEARNED = {
    "forecast_bias_1": ("Forecasts above what came, 1 month ahead", "share", "backtests of the total"),
    "forecast_bias_3": ("Forecasts above what came, 3 months ahead", "share", "backtests of the total"),
    "forecast_bias_6": ("Forecasts above what came, 6 months ahead", "share", "backtests of the total"),
    "plan_bias": ("Budgets above what was spent", "share", "months with budget and bill"),
}  # fmt: skip


class Calibration:
    """What the months up to one measured, twelve at most; what they do not tell is as published.

    What a report recorded for the month (`dcbudget report --record`) goes before both, see `models.calibration.start`.

    Parameters
    ----------
    month : "YYYY-MM" or its first day, "" for the latest that is billed to its end.
    database : file, "" for the default one.
    currency : the currency of every price, "" for the only one there is.
    recorded : whether records count; without them everything is measured anew.

    Raises
    ------
    DcbudgetError : no database, no such month, several currencies without a rate.
    """

    def __init__(
        self, month: str | pd.Timestamp = "", database: str = "", currency: str = "", *, recorded: bool = True
    ):
        self.db = database or None
        self._with_records = recorded
        months = months_with_bills(self.db)
        text = f"{month:%Y-%m}" if isinstance(month, pd.Timestamp) else month
        self.month = parse_month(text or whole_month(months, self.db), months)
        self.months = pd.date_range(end=self.month, periods=MONTHS, freq="MS")
        self.reading = Reading(database, currency, self.month, least_group=1)  # shows no project
        self.currency = self.reading.currency
        self._measures: dict[str | tuple[str, str], Measure] = {}

    def __getitem__(self, name: str) -> Measure:
        """A measure by its name.

        Raises
        ------
        DcbudgetError : there is no measure of that name.
        """
        if name not in self._measures:
            self._measures[name] = self._measure(name)
        return self._measures[name]

    def _measure(self, name: str) -> Measure:
        if name in LEARNED:
            return self._start(calibration.measure(name, *LEARNED[name][:2], Spread(), "", None))
        if name not in LABELS:
            raise DcbudgetError(f"nothing is measured under the name {name!r}; there are {', '.join(LABELS)}")
        label, unit = LABELS[name]
        unit = self._in_currency(unit)
        found = self._found.get(name, (Spread(), ""))
        return self._start(calibration.measure(name, label, unit, *found, self._published(name)))

    def price(self, gpu_model: str, kind: str) -> Measure:
        """What a GPU-hour costs: of the bill, else of the price list, else a discount on demand, else as published.

        Parameters
        ----------
        gpu_model : as charges and jobs name it, such as H100.
        kind : on-demand, committed, spot or owned (effective cost of capacity, power and staff included).

        Returns
        -------
        Measure : money per GPU-hour of capacity, effective basis; NaN where nobody tells.

        Raises
        ------
        DcbudgetError : no such kind.
        """
        if kind not in PRICES:
            raise DcbudgetError(f"a kind of price is one of {', '.join(PRICES)}, not {kind!r}")
        key = gpu_model, kind
        if key not in self._measures:
            self._measures[key] = self._price(gpu_model, kind)
        return self._measures[key]

    def money(self, gpu_model: str, kind: str) -> float:
        """The value of `price`.

        Raises
        ------
        DcbudgetError : nobody tells it.
        """
        found = self.price(gpu_model, kind).value
        if not np.isfinite(found):
            raise DcbudgetError(
                f"no price of {gpu_model}, {kind}, is known; load a bill or a price list that has it,"
                " or choose another accelerator or kind of price"
            )
        return found

    @cached_property
    def gpu_models(self) -> list[str]:
        """Models that are paid for, the dearest in sum first, then those of the price list."""
        paid = self._prices.groupby("gpu_model")["effective_cost"].sum().sort_values(ascending=False)
        listed = self._listed["gpu_model"].dropna().unique()
        return list(dict.fromkeys([*paid.index, *sorted(listed)]))

    def measured(self) -> list[Measure]:
        """What is measured; prices are those that somebody paid."""
        prices = [self._price(model, kind) for model in self.gpu_models for kind in PRICES]
        measures = [*(self[name] for name in LABELS), *(price for price in prices if price.source.startswith(BILLED))]
        return [measure for measure in measures if measure.count]

    def table(self) -> Table:
        """Every measure beside what is published of it."""
        prices = [self._price(model, kind) for model in self.gpu_models for kind in PRICES]
        learned = [self[name] for name in LEARNED]
        measures = [*(self[name] for name in LABELS), *(found for found in (*learned, *prices) if found.count)]
        rows = [(m.label, *m.cells[:3], m.count or None, m.unit, m.source, m.cells[3]) for m in measures]
        names = {"label": "What", "value": "Value", "low": "P10", "high": "P90", "count": "Measurements",
                 "unit": "Unit", "source": "Source", "published": "Published"}  # fmt: skip
        measured = sum(m.count > 0 for m in measures)
        title = (
            f"{measured} of {len(measures)} starting values are measured ({self.months[0]:%b %Y} to {self.month:%b %Y};"
            f" prices effective, {self.currency}{self.reading.rates_remark})"
        )
        return Table(pd.DataFrame(rows, columns=list(names)), names, title, {"count": COUNT})

    def _start(self, found: Measure) -> Measure:
        records = self._recorded
        mine = records[(records["name"] == found.name) & (records["unit"] == found.unit)]
        return calibration.start(found, mine, self.month)

    # What is read.

    @cached_property
    def _recorded(self) -> pd.DataFrame:
        frame = budget.recorded_calibration(self.db)
        return frame[frame["month"] <= self.month] if self._with_records else frame.head(0)

    def _mart(self, name: str, amounts: list[str]) -> pd.DataFrame:
        frame = self.reading.mart(name, amounts)
        return frame[frame["month"].isin(self.months)]

    def _monthly(self, frame: pd.DataFrame, *columns: str) -> list[np.ndarray]:
        """Sums by month, one value for each of `months`, NaN where a month has none."""
        sums = frame.groupby("month")[list(columns)].sum(min_count=1).reindex(self.months)
        return [sums[column].to_numpy(dtype=float) for column in columns]

    @cached_property
    def _pools(self) -> pd.DataFrame:
        return self._mart("gpu_hours_monthly", POOL_MONEY)

    @cached_property
    def _held(self) -> pd.DataFrame:
        """GPU-hours that jobs held, by project and bucket."""
        ledger = self._mart("gpu_ledger_monthly", ["effective_cost", "billed_cost"])
        return ledger[ledger["bucket"].isin(HELD)]

    @cached_property
    def _prices(self) -> pd.DataFrame:
        return self._mart("gpu_prices_monthly", ["effective_cost", "list_cost", "effective_cost_per_gpu_hour"])

    @cached_property
    def _listed(self) -> pd.DataFrame:
        """The price list as it holds at the end of the month: the mean over regions and SKUs of a model."""
        frame = warehouse.query(
            "select gpu_model, pricing_category, currency, unit_price / gpus as price from prices"
            " where gpu_model is not null and gpus > 0 and lower(unit) in ('hour', 'hours', 'hrs')"
            " and effective_from < $1 + interval 1 month qualify effective_from = max(effective_from)"
            " over (partition by provider, region, sku, pricing_category)",
            self.db,
            [self.month.to_pydatetime()],
        )
        frame["kind"] = frame["pricing_category"].map(
            {"Standard": "on-demand", "Committed": "committed", "Dynamic": "spot"}
        )
        return self.reading.convert(frame.assign(month=self.month), ["price"])

    @cached_property
    def _jobs(self) -> pd.DataFrame:
        """Failures, preemptions and GPU-hours of the jobs that ended in each month, by partition."""
        return warehouse.query(
            "select date_trunc('month', end_time) as month, cluster, partition,"
            " sum(gpus * elapsed_seconds / 3600) as gpu_hours,"
            " count(*) filter (state = 'NODE_FAIL') as node_failures,"
            " count(*) filter (state = 'PREEMPTED') as preemptions"
            " from jobs where gpus > 0 and end_time >= $1 and end_time < $2 group by all",
            self.db,
            [self.months[0].to_pydatetime(), (self.month + pd.DateOffset(months=1)).to_pydatetime()],
        )

    @cached_property
    def _waits(self) -> Spread:
        frame = warehouse.query(
            "select quantile_cont(epoch(start_time - submit_time) / 3600, [0.1, 0.5, 0.9]) as hours, count(*) as jobs"
            " from jobs where start_time is not null and gpus > 0 and submit_time >= $1 and submit_time < $2",
            self.db,
            [self.months[0].to_pydatetime(), (self.month + pd.DateOffset(months=1)).to_pydatetime()],
        ).iloc[0]
        if not frame["jobs"]:
            return Spread()
        low, middle, high = (float(hours) for hours in frame["hours"])
        return Spread(middle, low, high, int(frame["jobs"]))

    @cached_property
    def _mfu(self) -> Spread:
        frame = warehouse.query(
            "select mean_mfu, gpu_hours from runs where mean_mfu > 0 and end_time >= $1 and end_time < $2",
            self.db,
            [self.months[0].to_pydatetime(), (self.month + pd.DateOffset(months=1)).to_pydatetime()],
        )
        linked = frame.dropna(subset="gpu_hours")
        return calibration.quantiles(linked["mean_mfu"], linked["gpu_hours"]) if len(linked) else (
            calibration.quantiles(frame["mean_mfu"]))  # fmt: skip

    @cached_property
    def _fleet(self) -> pd.DataFrame:
        """Owned units that are in service in the month."""
        frame = warehouse.query("select *, purchase_price * units as worth from fleet", self.db)
        in_use = pd.to_datetime(frame["in_service_date"]) < self.month + pd.DateOffset(months=1)
        kept = frame["retire_date"].isna() | (pd.to_datetime(frame["retire_date"]) > self.month)
        return frame[in_use & kept]

    # What is measured: name -> (spread, source); what no log tells is not among it.

    @cached_property
    def _found(self) -> dict[str, tuple[Spread, str]]:
        return {**self._of_jobs(), **self._of_rented_gpus(), **self._of_the_fleet(), **self._of_services()}

    def _of_jobs(self) -> dict[str, tuple[Spread, str]]:
        pools = self._pools[self._pools["capacity_gpu_hours"] > 0]
        capacity, allocated, used, measured = self._monthly(
            pools, "capacity_gpu_hours", "allocated_gpu_hours", "used_gpu_hours", "measured_gpu_hours"
        )
        ledger = self._held
        failed, idle = (ledger["gpu_hours"].where(ledger["bucket"] == bucket, 0.0) for bucket in HELD[1:])
        failed, idle, held = self._monthly(ledger.assign(failed=failed, idle=idle), "failed", "idle", "gpu_hours")
        hours, failures = self._monthly(self._jobs, "gpu_hours", "node_failures")
        risky = self._jobs.groupby(["cluster", "partition"], dropna=False)["preemptions"].transform("sum") > 0
        risky_hours, preemptions = self._monthly(self._jobs[risky], "gpu_hours", "preemptions")
        months = "by month"
        return {
            "mfu": (self._mfu, "training runs, by GPU-hours"),
            "allocation_rate": (calibration.ratio(allocated, capacity), f"job log and bill, {months}"),
            "gpu_utilisation": (calibration.ratio(used, measured), f"jobs that measured it, {months}"),
            "failure_share": (calibration.ratio(failed, held), f"GPU ledger, {months}"),
            "held_idle_share": (calibration.ratio(idle, held), f"GPU ledger, {months}"),
            "mtbf_gpu_hours": (calibration.ratio(hours, failures), f"jobs that ended as NODE_FAIL, {months}"),
            "queue_wait_hours": (self._waits, "GPU jobs that started"),
            "demand_growth_per_year": (calibration.growth_per_year(allocated), "allocated GPU-hours, by month"),
            "spot_interruptions_per_gpu_hour": (
                calibration.ratio(preemptions, risky_hours),
                f"jobs that ended as PREEMPTED, {months}",
            ),
        }

    def _of_rented_gpus(self) -> dict[str, tuple[Spread, str]]:
        rented = self._prices[self._prices["kind"] != "owned"]
        part = {kind: rented["gpu_hours"].where(rented["kind"] == kind, 0.0) for kind in PRICES[:3]}
        committed, spot, hours = self._monthly(
            rented.assign(committed=part["committed"], spot=part["spot"]), "committed", "spot", "gpu_hours"
        )
        by_kind = rented.pivot_table(
            index=["month", "gpu_model"], columns="kind", values=["gpu_hours", "effective_cost"], aggfunc="sum"
        )
        found = {
            "commitment_share": (calibration.ratio(committed, hours), "bill, by month"),
            "spot_share": (calibration.ratio(spot, hours), "bill, by month"),
            "commitment_discount": (self._discount(by_kind, "committed"), "bill, by month and GPU model"),
            "spot_discount": (self._discount(by_kind, "spot"), "bill, by month and GPU model"),
        }
        trends = []
        for _, frame in rented[rented["kind"] == "on-demand"].groupby("gpu_model"):
            cost, gpu_hours = self._monthly(frame, "effective_cost", "gpu_hours")
            trends.append((calibration.growth_per_year(cost / gpu_hours), np.nansum(gpu_hours)))
        trends = [(spread, weight) for spread, weight in trends if spread.count]
        found["price_trend_per_year"] = (_mean(trends), "on-demand GPU-hours of the bill, by GPU model")
        return found

    def _discount(self, by_kind: pd.DataFrame, kind: str) -> Spread:
        """Below on-demand of the same model and month, by GPU-hours."""
        columns = [("effective_cost", "on-demand"), ("gpu_hours", "on-demand"), ("effective_cost", kind),
                   ("gpu_hours", kind)]  # fmt: skip
        if not set(columns) <= set(by_kind.columns):
            return Spread()
        both = by_kind[columns].dropna()
        cost, hours, other_cost, other_hours = (both[column].to_numpy(dtype=float) for column in columns)
        return calibration.quantiles(1 - (other_cost / other_hours) / (cost / hours), other_hours)

    def _of_the_fleet(self) -> dict[str, tuple[Spread, str]]:
        servers = self._fleet[self._fleet["kind"] == "server"]
        energy = self._mart("energy_monthly", ["effective_cost"])
        kwh, cost = self._monthly(energy, "kwh", "effective_cost")
        carbon = energy.dropna(subset="kg_co2e")
        kg, kg_kwh = self._monthly(carbon, "kg_co2e", "kwh")
        pools = self._pools[self._pools["owned"].astype("boolean").fillna(False)]
        (owned,) = self._monthly(pools, "capacity_gpu_hours")
        (of_servers,) = self._monthly(energy[energy["kind"] == "server"], "kwh")
        pue = calibration.quantiles(servers["pue"], servers["units"])
        at_servers = of_servers / (pue.value if pue.count else 1.0)
        return {
            "pue": (pue, "fleet, by servers"),
            "power_price_per_kwh": (calibration.latest(cost, kwh), "power of the fleet, latest month"),
            "kg_co2e_per_kwh": (calibration.latest(kg, kg_kwh), "power of the fleet, latest month"),
            "gpu_watts": (calibration.ratio(1000 * at_servers, owned), "power of the fleet less PUE, by month"),
            "server_life_years": (
                calibration.quantiles(servers["life_months"] / 12, servers["worth"]),
                "fleet, by purchase price",
            ),
        }

    def _of_services(self) -> dict[str, tuple[Spread, str]]:
        resources = self._mart("resource_monthly", ["effective_cost"])
        rented = resources[~resources["owned"].astype(bool)]
        storage = rented[(rented["resource"] == "storage") & (rented["unit"] == "GB-Months")]
        network = rented[(rented["resource"] == "network") & (rented["unit"] == "GB")]
        cost, gb_months = self._monthly(storage, "effective_cost", "quantity")
        egress, gb = self._monthly(network, "effective_cost", "quantity")
        served = self._mart("tokens_monthly", [])
        served = served.assign(tokens=served["input_tokens"].fillna(0) + served["output_tokens"].fillna(0))
        held = self._held.groupby(["month", "project"], as_index=False)["gpu_hours"].sum()
        both = served.groupby(["month", "project"], as_index=False)["tokens"].sum().merge(held)
        tokens, gpu_hours = self._monthly(both, "tokens", "gpu_hours")
        return {
            "storage_price_per_tb_month": (calibration.latest(1000 * cost, gb_months), BILLED),
            "network_price_per_gb": (calibration.latest(egress, gb), BILLED),
            "tokens_per_second_per_gpu": (
                calibration.ratio(tokens, 3600 * gpu_hours),
                "serving log over all GPU-hours of its projects, by month",
            ),
        }

    def _price(self, gpu_model: str, kind: str) -> Measure:
        name, label = f"price:{gpu_model}:{kind}", f"{gpu_model}, {kind}"
        unit = self._in_currency("money per GPU-hour")
        billed = self._prices[(self._prices["gpu_model"] == gpu_model) & (self._prices["kind"] == kind)]
        found, source = calibration.latest(*self._monthly(billed, "effective_cost", "gpu_hours")), BILLED
        if not found.count:
            listed = self._listed[(self._listed["gpu_model"] == gpu_model) & (self._listed["kind"] == kind)]
            found, source = calibration.quantiles(listed["price"]), "price list"
        if not found.count and kind in DISCOUNTS:
            below, on_demand = self[DISCOUNTS[kind]], self.price(gpu_model, "on-demand")
            if on_demand.count:
                value, low, high = (on_demand.value * (1 - share) for share in (below.value, below.high, below.low))
                found = Spread(value, low, high, on_demand.count)
                source = f"on demand as measured, less {below.value:.0%} ({below.source})"
        return self._start(
            calibration.measure(name, label, unit, found, source, self._published_price(gpu_model, kind))
        )

    # What is published.

    @cached_property
    def _known(self) -> pd.DataFrame:
        return warehouse.reference("published").set_index("name")

    def _published(self, name: str) -> pd.Series | None:
        """A published figure, in the currency of the reading; None where no rate leads there."""
        if name not in self._known.index:
            return None
        found = self._known.loc[[name]].assign(month=self.month)
        try:
            return convert(found, self.reading.rates, self.currency, ["value", "low", "high"]).iloc[0]
        except MixedCurrencies:
            return None

    def _published_price(self, gpu_model: str, kind: str) -> pd.Series | None:
        """On-demand as published; the others at a published discount below it."""
        known = self._published(f"on_demand_price:{gpu_model}")
        if known is None or kind == "owned":
            return None
        if kind == "on-demand":
            return known
        discount = self._known.loc["commitment_discount" if kind == "committed" else "spot_discount"]
        price = float(known["value"])
        return pd.Series(
            {
                "value": price * (1 - discount["value"]),
                "low": price * (1 - discount["high"]),
                "high": price * (1 - discount["low"]),
                "source": f"{known['source']}, less {discount['source']}",
            }
        )

    def _in_currency(self, unit: str) -> str:
        return unit.replace("money", self.currency)


def _mean(spreads: list[tuple[Spread, float]]) -> Spread:
    """Spreads of like things as one, by weight."""
    total = sum(weight for _, weight in spreads)
    if not total:
        return Spread()
    value, low, high = (
        sum(getattr(spread, end) * weight for spread, weight in spreads) / total for end in ("value", "low", "high")
    )
    return Spread(value, low, high, sum(spread.count for spread, _ in spreads))
