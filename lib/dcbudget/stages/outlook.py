"""What a plan begins with: the measured demand of every project carried forward, and the supply that is known ahead."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models import calibration, planning
from dcbudget.models.cost import spot_cost
from dcbudget.models.planning import IDLE, RANGES, RECENT, Settings, Supply
from dcbudget.stages.calibration import Calibration
from dcbudget.stages.period import in_range, months_with_bills, named_values
from dcbudget.stages.reading import Reading

MEASURED, TEMPLATE = "measured", "template"
UNKNOWN_GPU = "unknown"
NOBODY = "Unallocated"
# Buckets of GPU-hours that no job held.
EMPTY = ("down", "unallocated", "reserved but unused")
# Setting -> the measure that it starts from.
STARTS = {
    "demand_growth": "demand_growth_per_year", "allocation_rate": "allocation_rate", "mfu": "mfu",
    "failure_share": "failure_share", "price_trend": "price_trend_per_year", "commitment_share": "commitment_share",
    "spot_share": "spot_share", "pue": "pue", "power_price_per_kwh": "power_price_per_kwh",
}  # fmt: skip
RISKS = {
    "demand_growth": "Growth of demand", "price_trend": "Prices of rented GPUs", "allocation_rate": "Allocation rate",
    "mfu": "MFU", "failure_share": "Failed and restarted work", "power_price_per_kwh": "Price of power",
    "exchange_rate": "Exchange rate", "month": "Single months",
}  # fmt: skip
# P10 and P90 of a year's change of an exchange rate where no rates of a year are loaded: typical of large currencies.
EXCHANGE_SPREAD = (0.92, 1.08)
# What is rented by the TB, the GB and as a service: category -> driver, its quantity, its price.
SERVICES = {
    "Storage": ("storage", "tb", "price_per_tb_month"),
    "Network": ("network", "gb_per_month", "price_per_gb"),
    "Other services": ("services", "cost_per_month", ""),
}
RENTED = ("Rented GPUs", *SERVICES)


class Outlook:
    """Demand and supply of some months ahead, as one month knows them.

    Parameters
    ----------
    known : what was measured up to that month.
    months : first days of the months ahead.
    database : file, "" for the default one.
    """

    def __init__(self, known: Calibration, months: pd.DatetimeIndex, database: str = ""):
        self.db = database or None
        self.known, self.month, self.months = known, known.month, months
        self.reading = Reading(database, known.currency, known.month, least_group=1)  # budgets name every project
        since = (months.year - self.month.year) * 12 + months.month - self.month.month
        self.years_ahead = since.to_numpy() / 12
        # what a panel asks for again at every move
        self._known_drivers: dict[tuple[str, str], list[dict]] = {}
        self._known_supply: dict[tuple[str, ...], Supply] = {}

    @cached_property
    def base(self) -> Settings:
        """The settings as measured, or as published where nothing is, to three decimals and within their ranges."""
        found = {name: np.nan_to_num(self.known[measure].value) for name, measure in STARTS.items()}
        return Settings(**{name: round(float(np.clip(value, *RANGES[name])), 3) for name, value in found.items()})

    @cached_property
    def past(self) -> pd.DatetimeIndex:
        """The measured months, twelve at most, none before the first bill."""
        billed = [month for month in months_with_bills(self.db) if month <= self.month]
        return pd.DatetimeIndex(billed[-12:])

    @cached_property
    def held(self) -> pd.DataFrame:
        """GPU-hours of the past by month, GPU model and project, named as showback names them."""
        frame = self.reading.mart("gpu_ledger_monthly", ["effective_cost", "billed_cost"])
        frame = frame[frame["month"].isin(self.past)].copy()
        idle = frame["bucket"].isin(EMPTY) & frame["cluster"].notna()
        frame["project"] = frame["project"].fillna(idle.map({True: IDLE, False: NOBODY}))
        frame["gpu_model"] = frame["gpu_model"].fillna(UNKNOWN_GPU)
        frame["gpu_hours"] = frame["gpu_hours"].astype(float)
        return frame.groupby(["month", "gpu_model", "project"], as_index=False)["gpu_hours"].sum()

    @cached_property
    def spent(self) -> pd.DataFrame:
        """Actual cost of the past by month, project and category."""
        frame = self.reading.mart("showback_monthly", ["effective_cost"])
        frame = frame[frame["month"].isin(self.past)]
        return frame.assign(cost=frame["effective_cost"].astype(float))

    @cached_property
    def projects(self) -> list[str]:
        """Projects with costs or GPU-hours in the past."""
        return sorted((set(self.held["project"]) | set(self.spent["project"])) - {IDLE})

    def drivers(self, changes: Mapping[str, Mapping] | None = None) -> list[dict]:
        """The measured demand of every project as drivers.

        Parameters
        ----------
        changes : project -> `scale` (times what was measured, 0 ends it) and `growth_per_year` in place of its own.
        """
        changes = dict(changes or {})
        if unknown := sorted(changes.keys() - set(self.projects)):
            raise OutOfRange(
                f"project of a measured driver must be one of {', '.join(self.projects)}, not {unknown[0]!r}"
            )
        return [driver for project in self.projects for driver in self._carried_once(project, changes.get(project, {}))]

    def _carried_once(self, project: str, change: Mapping) -> list[dict]:
        """The same drivers for the same changes; a panel changes one project at a time."""
        key = project, repr(sorted(change.items()))
        if key not in self._known_drivers:
            self._known_drivers[key] = self._carried(project, change)
        return self._known_drivers[key]

    def _carried(self, project: str, change: Mapping) -> list[dict]:
        if strange := sorted(set(change) - {"project", "driver", "scale", "growth_per_year"}):
            raise OutOfRange(f"measured driver of {project} has no field {strange[0]!r}; it has scale, growth_per_year")
        scale = in_range(f"scale of {project}", change.get("scale", 1.0), 0, 1000)
        yearly, ahead = change.get("growth_per_year"), float(self.years_ahead.mean())
        recent = self.past[-RECENT:]
        common = {
            "project": project, "start": f"{recent[len(recent) // 2]:%Y-%m}",
            "source": f"measured, mean of {len(recent)} months",
        }  # fmt: skip

        def driver(kind: str, told: dict, found: planning.Trend) -> dict:
            spread = {"growth_per_month": found.growth_per_month, "low": found.low, "high": found.high}
            return common | {"driver": kind} | told | spread

        hours = self._series(self.held[self.held["project"] == project], "gpu_hours", "gpu_model", daily=True)
        whole = planning.trend(hours.sum(axis=1), ahead, yearly)
        found = [driver("gpu_hours", {"gpu_model": model, "gpu_hours_per_month": scale * level}, whole)
                 for model, level in hours.iloc[-RECENT:].mean().items() if level > 0]  # fmt: skip
        costs = self._series(self.spent[self.spent["project"] == project], "cost", "category")
        for category, (kind, quantity, price) in SERVICES.items():
            if category not in costs or costs[category].iloc[-RECENT:].sum() == 0:
                continue
            series = costs[category] if kind != "network" else self._daily(costs[category])
            carried = planning.trend(series, ahead, yearly)
            unit_price = self._unit_price(project, category) if price else 1.0
            told = {quantity: scale * carried.level / unit_price}
            found.append(driver(kind, told | ({price: unit_price} if price else {}), carried))
        return found

    def _series(self, frame: pd.DataFrame, value: str, by: str, daily: bool = False) -> pd.DataFrame:
        """One row a month of the past, one column a value of `by`."""
        table = frame.pivot_table(index="month", columns=by, values=value, aggfunc="sum")
        table = table.reindex(self.past).astype(float).fillna(0.0)
        return self._daily(table) if daily else table

    def _daily(self, table):
        """The same per month of mean length: a flow is larger in March than in February."""
        return table.div(self.past.days_in_month / planning.DAYS_PER_MONTH, axis=0)

    def _unit_price(self, project: str, category: str) -> float:
        """What a project pays for a TB or GB, or all do where its own bill does not tell; 1 where nobody knows."""
        part = self._quantities[(self._quantities["project"] == project) & (self._quantities["category"] == category)]
        part = part[part["month"].isin(self.past[-RECENT:])]
        paid, units = part["cost"].sum(), part["quantity"].sum()
        if paid > 0 and units > 0:
            return float(paid / units)
        known = self._price_of(category)
        return known if known > 0 else 1.0

    def _price_of(self, category: str) -> float:
        name = {"Storage": "storage_price_per_tb_month", "Network": "network_price_per_gb"}[category]
        return float(self.known[name].value)

    @cached_property
    def _quantities(self) -> pd.DataFrame:
        """TB-months of rented storage and GB of network by month, project and category, with their cost."""
        frame = warehouse.query(
            "select month, coalesce(project, 'Unallocated') as project, category, currency,"
            " sum(quantity / if(category = 'Storage', 1000, 1))::double as quantity,"
            " sum(effective_cost)::double as cost"
            " from cost_lines where not owned and gpu_model is null"
            " and ((category = 'Storage' and unit = 'GB-Months') or (category = 'Network' and unit = 'GB'))"
            " group by all order by all",
            self.db,
        )
        return self.reading.convert(frame, ["cost"])

    def model(self, drivers: Sequence[Mapping], **shares: float) -> planning.Model:
        """What a plan of these months is worked out from.

        Parameters
        ----------
        drivers : what is added to the measured demand, as `stages.plan.Plan` takes it.
        shares : `foreign_share` and `correlation` in place of what is known.

        Raises
        ------
        OutOfRange : a driver that there is not, or a value outside its range.
        """
        changes: dict[str, dict] = {}
        others = []
        for driver in drivers:
            if driver.get("driver") == MEASURED:
                changes.setdefault(str(driver.get("project")), {}).update(driver)
            elif driver.get("driver") == TEMPLATE:
                others += self._from_template(driver)
            elif driver.get("driver") in planning.DRIVERS:
                others.append(driver)
            else:
                kinds = ", ".join([MEASURED, TEMPLATE, *planning.DRIVERS])
                raise OutOfRange(f"driver must be one of {kinds}, not {driver.get('driver')!r}")
        demand = planning.demand([*self.drivers(changes), *others], self.months, self.base, self.tflops)
        models = sorted(set(demand.drivers["resource"]) & self.tflops.keys())
        shares = {"foreign_share": self.foreign_share} | shares
        return planning.Model(
            months=self.months, years_ahead=self.years_ahead, demand=demand,
            supply=self.supply(models), base=self.base, spreads=self.spreads,
            tax_rates=self.tax_rates, **shares,
        )  # fmt: skip

    def _from_template(self, driver: Mapping) -> list[dict]:
        if strange := sorted(set(driver) - {"project", "driver", "template", "scale", "start"}):
            raise OutOfRange(f"template has no field {strange[0]!r}; it has project, template, scale, start")
        if not driver.get("project"):
            raise OutOfRange("project of the driver template must be given")
        start = planning.month_of(driver.get("start"), self.months[0], f"template of {driver['project']}")
        return planning.from_template(
            warehouse.reference("project_templates"), str(driver.get("template")), str(driver["project"]), start,
            driver.get("scale", 1.0),
        )  # fmt: skip

    # Supply.

    def supply(self, gpu_models: list[str]) -> Supply:
        """What meets the demand for GPUs of these models, and of those that are owned or committed."""
        if tuple(gpu_models) not in self._known_supply:
            self._known_supply[tuple(gpu_models)] = self._supply(gpu_models)
        return self._known_supply[tuple(gpu_models)]

    def _supply(self, gpu_models: list[str]) -> Supply:
        fleet = self._fleet
        owned = [model for model in fleet["gpu_model"].dropna().unique() if model not in gpu_models]
        committed = [model for model in self._committed.index if model not in {*gpu_models, *owned}]
        models = [*gpu_models, *owned, *committed]
        rows = [*models, None]
        table = {
            column: np.array([self._ahead(fleet, model, column) for model in rows])
            for column in ("gpu_hours", "depreciation", "upkeep", "kwh")
        }
        prices = {kind: np.array([self._price(model, kind) for model in models])
                  for kind in ("on-demand", "committed", "spot")}  # fmt: skip
        days = self.months.days_in_month.to_numpy() / planning.DAYS_PER_MONTH
        hours = self._rented_by_model.reindex(models).fillna(0.0)
        flexible = hours["spot"] + hours["on-demand"]
        return Supply(
            gpu_models=tuple(models),
            allocation_rate=np.array([self._allocation_rate(model) for model in models]),
            owned_gpu_hours=table["gpu_hours"][:-1],
            owned_hardware=table["depreciation"],
            facility_and_staff=table["upkeep"],
            owned_kwh=table["kwh"] * self._metered,
            full_commitment_gpu_hours=self._full_commitment(models)[:, None] * days,
            spot_share=(hours["spot"] / flexible.where(flexible > 0, np.inf)).to_numpy(dtype=float),
            on_demand_price=prices["on-demand"],
            committed_price=prices["committed"],
            spot_price=self._with_interruptions(prices["spot"]),
            storage_price_per_tb_month=self._price_of("Storage"),
            network_price_per_gb=self._price_of("Network"),
        )

    @cached_property
    def _fleet(self) -> pd.DataFrame:
        """The owned fleet by month, past and ahead."""
        return self.reading.mart("fleet_monthly", ["depreciation", "upkeep"])

    def _ahead(self, fleet: pd.DataFrame, model: str | None, column: str) -> np.ndarray:
        part = fleet[fleet["gpu_model"].isna() if model is None else fleet["gpu_model"] == model]
        return part.groupby("month")[column].sum().reindex(self.months).fillna(0.0).to_numpy(dtype=float)

    @cached_property
    def _metered(self) -> float:
        """Energy at the units as the bill of power has it over what the ledger's kW say, in the past."""
        energy = self.reading.mart("energy_monthly", ["effective_cost"])
        billed = energy.loc[energy["month"].isin(self.past), "kwh"].sum() / self.base.pue
        expected = self._fleet.loc[self._fleet["month"].isin(self.past), "kwh"].sum()
        return float(billed / expected) if billed > 0 and expected > 0 else 1.0

    @cached_property
    def _rented_by_model(self) -> pd.DataFrame:
        """Rented GPU-hours of a month of mean length by GPU model and kind of price, mean of the last months."""
        frame = self.reading.mart("gpu_prices_monthly", ["effective_cost"])
        recent = self.past[-RECENT:]
        frame = frame[frame["month"].isin(recent) & (frame["kind"] != "owned")]
        table = frame.pivot_table(index="gpu_model", columns="kind", values="gpu_hours", aggfunc="sum").astype(float)
        table = table.reindex(columns=["committed", "spot", "on-demand"]).fillna(0.0)
        return table / recent.days_in_month.to_numpy().sum() * planning.DAYS_PER_MONTH

    @cached_property
    def _committed(self) -> pd.Series:
        found = self._rented_by_model["committed"]
        return found[found > 0]

    def _full_commitment(self, models: list[str]) -> np.ndarray:
        """GPU-hours a month that a commitment share of 1 buys: at the measured share, what is committed today."""
        share, hours = self.base.commitment_share, self._rented_by_model.reindex(models).fillna(0.0)
        if share > 0 and hours["committed"].sum() > 0:
            return (hours["committed"] / share).to_numpy()
        return hours.sum(axis=1).to_numpy()

    def _allocation_rate(self, model: str) -> float:
        """Share of a model's capacity that projects held in the last months, the rate of all where none did."""
        part = self.held[(self.held["gpu_model"] == model) & self.held["month"].isin(self.past[-RECENT:])]
        whole, busy = part["gpu_hours"].sum(), part.loc[part["project"] != IDLE, "gpu_hours"].sum()
        return float(min(busy / whole, 1.0)) if whole > 0 and busy > 0 else self.base.allocation_rate

    def _price(self, model: str, kind: str) -> float:
        """Money per GPU-hour; where nobody tells it, of another kind of the same model."""
        for other in (kind, "on-demand", "committed", "owned", "spot"):
            value = self.known.price(model, other).value
            if np.isfinite(value):
                return value
        raise DcbudgetError(
            f"no price of a GPU-hour of {model} is known in {self.known.currency}; load a price list that has one"
        )

    def _with_interruptions(self, price: np.ndarray) -> np.ndarray:
        """Spot prices with the work that interruptions repeat."""
        return spot_cost(1.0, price, self.known["spot_interruptions_per_gpu_hour"].value)

    # Chance.

    @cached_property
    def spreads(self) -> pd.DataFrame:
        """P10 and P90 of every risk as parts of what is expected.

        Measures of months spread as their months did; MFU, which is measured by run, as the mean of twelve runs; a
        growth and a trend as the yearly factor that their line's error leaves open.
        """
        rows = {}
        for name in RISKS:
            if name == "month":
                rows[name] = self._of_single_months
            elif name == "exchange_rate":
                rows[name] = self._of_exchange if self.foreign_share else (1.0, 1.0)
            else:
                found = self.known[STARTS[name]]
                ends, value = np.array([found.low, found.high], dtype=float), found.value
                if name in ("demand_growth", "price_trend"):
                    ends, value = 1 + ends, 1 + value
                part = np.nan_to_num(ends / value, nan=1.0, posinf=1.0) if value > 0 else np.ones(2)
                rows[name] = part ** (1 / 12**0.5) if name == "mfu" else part
        frame = pd.DataFrame(rows, index=["low", "high"]).T
        frame["low"], frame["high"] = frame["low"].clip(0.1, 1), frame["high"].clip(1, 10)
        return frame.assign(label=pd.Series(RISKS))

    @property
    def _of_single_months(self) -> tuple[float, float]:
        """What months of the past lay beside their common trend."""
        hours = self._series(self.held[self.held["project"] != IDLE], "gpu_hours", "gpu_model", daily=True).sum(axis=1)
        if len(hours) < 4 or (hours <= 0).any():
            return 1.0, 1.0
        logs, at = np.log(hours.to_numpy()), np.arange(len(hours))
        residuals = logs - np.polyval(np.polyfit(at, logs, 1), at)
        width = calibration.Z90 * np.sqrt(residuals @ residuals / (len(logs) - 2))
        return float(np.exp(-width)), float(np.exp(width))

    @property
    def _of_exchange(self) -> tuple[float, float]:
        """Changes over twelve months of the loaded rates."""
        rates = self.reading.rates
        if rates.empty:
            return EXCHANGE_SPREAD
        monthly = rates.assign(month=pd.to_datetime(rates["date"]).dt.to_period("M"))
        monthly = monthly.groupby(["from_currency", "to_currency", "month"])["rate"].mean().astype(float)
        changes = monthly.groupby(level=[0, 1]).transform(lambda rate: rate / rate.shift(12)).dropna()
        if len(changes) < 12:
            return EXCHANGE_SPREAD
        width = float(np.quantile(np.abs(np.log(changes)), 0.8))
        return float(np.exp(-width)), float(np.exp(width))

    @cached_property
    def foreign_share(self) -> float:
        """Part of the rented money of the past that was billed in another currency."""
        rows = warehouse.mart("cost_monthly", self.db)
        rows = rows[(rows["provider"] != "Owned") & rows["category"].isin(RENTED)]
        foreign = (rows["currency"] != self.known.currency).to_numpy()
        cost = self.reading.convert(rows.copy(), ["effective_cost"])["effective_cost"].astype(float)
        cost = cost.where(pd.to_datetime(rows["month"]).isin(self.past), 0.0).to_numpy()
        return float(cost[foreign].sum() / cost.sum()) if cost.sum() > 0 else 0.0

    @cached_property
    def tax_rates(self) -> dict[str, float]:
        """Taxes, support and credits of every project as a part of all rented money of the past."""
        cost = self.spent.groupby(["category", "project"])["cost"].sum()
        rented = cost[cost.index.get_level_values("category").isin(RENTED)].sum()
        if "Tax and support" not in cost.index.get_level_values("category") or rented <= 0:
            return {}
        return (cost["Tax and support"] / rented).to_dict()

    @cached_property
    def tflops(self) -> dict[str, float]:
        """Peak of the GPU models at the training precision; 1 where no datasheet is known and no run can be planned."""
        frame = warehouse.query(
            "select gpu_model, coalesce(bf16_tflops, fp16_tflops, tf32_tflops, fp32_tflops)::double as tflops"
            " from accelerators where usual",
            self.db,
        )
        return dict.fromkeys(self.held["gpu_model"], 1.0) | frame.dropna().set_index("gpu_model")["tflops"].to_dict()


def listed(drivers) -> list[dict]:
    """The parameter `drivers` of a notebook, checked to be a list of mappings.

    Raises
    ------
    OutOfRange : it is not.
    """
    if isinstance(drivers, str | Mapping) or not isinstance(drivers, Sequence):
        raise OutOfRange(f'drivers must be a list such as [{{"project": ..., "driver": ...}}], not {drivers!r}')
    return [named_values("a driver", driver) for driver in drivers]
