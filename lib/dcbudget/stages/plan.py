"""1_plan: what will the next year cost, by project and month, and how sure are we?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property

import pandas as pd

from dcbudget import budget, warehouse
from dcbudget.errors import DcbudgetError, OutOfRange
from dcbudget.models import planning
from dcbudget.models.planning import IDLE, Settings
from dcbudget.models.review import variance_by
from dcbudget.stages.calibration import Calibration
from dcbudget.stages.outlook import MEASURED, STARTS, TEMPLATE, Outlook, listed
from dcbudget.stages.period import in_range, named_values, plan_for, whole_in_range
from dcbudget.tables import CENTS, COUNT, MONEY, RATE, SIGNED, SIGNED_RATE, Headline, Table

# Months after the measured one in which a plan may begin.
FARTHEST = 24
KINDS = {"demand": "Demand", "owned": "Owned", "committed": "Committed", "spot": "Spot", "on_demand": "On demand"}


class Draft:
    """One state of a plan: its settings and drivers, and what follows from them.

    Parameters
    ----------
    model : what it is worked out from.
    settings : what it supposes.
    factors : the draws of the simulation.
    """

    def __init__(self, model: planning.Model, settings: Settings, factors: planning.Factors):
        self.model, self.settings, self._factors = model, settings, factors

    @cached_property
    def lines(self) -> pd.DataFrame:
        """Budget lines in whole cents: `month`, `project`, `category`, `amount`, `driver`."""
        return planning.lines(self.model, self.settings)

    @cached_property
    def simulation(self) -> planning.Simulation:
        return planning.simulate(self.model, self.settings, self._factors)

    @cached_property
    def risks(self) -> pd.DataFrame:
        return planning.tornado(self.model, self.settings)

    @cached_property
    def gpu_hours(self) -> pd.DataFrame:
        return planning.gpu_hours(self.model, self.settings)

    @cached_property
    def quantities(self) -> pd.DataFrame:
        """GPU-hours that the lines count, with their part of the money."""
        return planning.quantities(self.model, self.settings)

    @cached_property
    def by_month(self) -> pd.Series:
        """Sum of the lines of every month."""
        sums = self.lines.groupby("month")["amount"].sum()
        return sums.reindex(self.model.months).fillna(0.0)

    @property
    def total(self) -> float:
        return float(self.lines["amount"].sum())


class Plan:
    """A budget of some months ahead: measured demand carried forward, and what the drivers add.

    Parameters
    ----------
    month : "YYYY-MM", the last month that counts as measured; "" for the latest that is billed to its end.
    first_month : "YYYY-MM", the first month of the plan, after `month` and within two years; "" for the next one.
    months : how many, 1 to 36.
    database : file, "" for the default one.
    currency : the currency of every amount, "" for the only one there is.
    drivers : what is added to the measured demand, mappings as `models.planning.demand` takes them. Besides,
        `{"project": ..., "driver": "template", "template": "language", "scale": 1, "start": ...}` begins a project,
        and `{"project": ..., "driver": "measured", "scale": 1, "growth_per_year": ...}` changes what was measured.
    settings : name -> value in place of what was measured (see `models.planning.Settings`); `foreign_share` and
        `correlation` too.
    budget : an amount for all these months, or the name of a plan version; 0 for the last approved plan where it covers
        them all, else this plan's own lines.
    draws, seed : of the simulation.

    Raises
    ------
    DcbudgetError : no database, no such month, a value out of range, several currencies without a rate.
    """

    def __init__(
        self,
        month: str = "",
        first_month: str = "",
        months: int = 12,
        database: str = "",
        currency: str = "",
        drivers: Sequence[Mapping] = (),
        settings: Mapping[str, float] | None = None,
        budget: float | str = 0,
        draws: int = 10_000,
        seed: int = 1,
    ):
        self.db = database or None
        self.draws = whole_in_range("draws", draws, 100, 1_000_000)
        self.seed = whole_in_range("seed", seed, 0, 2**32 - 1)
        count = whole_in_range("months", months, 1, 36)
        self.known = Calibration(month, database, currency)
        self.month, self.currency = self.known.month, self.known.currency
        possible = list(pd.date_range(self.month, periods=FARTHEST + 1, freq="MS")[1:])
        first = _first_month(first_month, possible)
        self.months = pd.date_range(first, periods=count, freq="MS")
        self.outlook = Outlook(self.known, self.months, database)
        self.drivers = listed(drivers)
        told = named_values("settings", settings)
        self._shares = {name: told.pop(name) for name in ("foreign_share", "correlation") if name in told}
        self.settings = self._with(self.outlook.base, told)
        self._given = budget if isinstance(budget, str) else in_range("budget", budget, 0, 1e15)
        self._drafts: dict[str, tuple[planning.Model, planning.Factors]] = {}
        self.span = f"{self.months[0]:%b %Y} to {self.months[-1]:%b %Y}"
        self.basis = f"effective cost, {self.currency}{self.outlook.reading.rates_remark}"

    def draft(self, added: Sequence[Mapping] = (), **changes: float) -> Draft:
        """The plan with further drivers and other settings; without any, as the parameters have it.

        Raises
        ------
        OutOfRange : a setting or a driver that there is not, or a value outside its range.
        """
        key = repr(list(added))
        if key not in self._drafts:
            model = self._model(added)
            self._drafts = dict(list(self._drafts.items())[-3:])
            self._drafts[key] = model, planning.draws(model, self.draws, self.seed)
        model, factors = self._drafts[key]
        return Draft(model, self._with(self.settings, changes), factors)

    @cached_property
    def base(self) -> Draft:
        """The plan as the parameters have it."""
        return self.draft()

    @property
    def projects(self) -> list[str]:
        """Projects of the plan, those that drivers add included."""
        told = [str(driver["project"]) for driver in self.drivers if driver.get("project")]
        return list(dict.fromkeys([*self.outlook.projects, *told]))

    def _with(self, settings: Settings, changes: Mapping[str, float]) -> Settings:
        if unknown := sorted(changes.keys() - asdict(settings).keys()):
            names = ", ".join([*asdict(settings), "foreign_share", "correlation"])
            raise OutOfRange(f"settings has no {unknown[0]!r}; it has {names}")
        return replace(settings, **changes)

    def _model(self, added: Sequence[Mapping]) -> planning.Model:
        return self.outlook.model([*self.drivers, *added], **self._shares)

    # The budget that is compared with.

    @cached_property
    def budget(self) -> pd.Series:
        """What is budgeted, by month."""
        if isinstance(self._given, str) and self._given:
            return self._of_version(self._given)
        if self._given:
            return self.base.by_month * self._given / self.base.total if self.base.total else self.base.by_month
        return self._of_version(self._approved) if self._approved else self.base.by_month

    @cached_property
    def _approved(self) -> str:
        """The last approved plan version that covers all months, "" where none does."""
        names = {plan_for(month, "", self.db) for month in self.months}
        return names.pop() if len(names) == 1 else ""

    @property
    def budget_name(self) -> str:
        """What the budget is."""
        if isinstance(self._given, str) and self._given:
            return f"plan {self._given}"
        if self._given:
            return "given amount"
        return f"plan {self._approved}" if self._approved else "this plan's lines"

    def _of_version(self, name: str) -> pd.Series:
        sums = self.lines_of(name).groupby("month")["amount"].sum()
        missing = [month for month in self.months if month not in sums.index]
        if missing:
            raise DcbudgetError(f"plan {name} has no line in {missing[0]:%Y-%m}; a budget must cover {self.span}")
        return sums.reindex(self.months)

    def lines_of(self, name: str) -> pd.DataFrame:
        """The lines of a saved plan version in the plan's currency."""
        return self.outlook.reading.convert(budget.lines_of(name, self.db), ["amount"])

    # What is shown.

    @staticmethod
    def show(chart):
        """A chart for where it is shown, live or as a picture."""
        from dcbudget import charts

        return charts.show(chart)

    def headline(self, draft: Draft | None = None) -> Headline:
        """What the months cost, how sure that is, and what to hold."""
        draft = draft or self.base
        middle, p80, p90 = draft.simulation.of_year(0.5, 0.8, 0.9)
        whole, risk = float(self.budget.sum()), draft.settings.risk
        hold = draft.simulation.contingency(whole, risk)
        figures = [
            ("Plan", self._money(draft.total), f"sum of its lines; {self._spent_before()}"),
            ("P50", self._money(middle), "as likely above as below"),
            ("P80", self._money(p80), "holds in 80 of 100 cases"),
            ("P90", self._money(p90), "holds in 90 of 100 cases"),
            ("Budget", self._money(whole), self.budget_name),
            ("Chance of overrun", f"{draft.simulation.chance_over(whole):.1%}", "of the budget"),
            ("Contingency", self._money(hold), f"beside the budget, to hold in {risk:.0%} of the cases"),
        ]
        return Headline(f"Budget {self.span} ({self.basis})", figures)

    def fan_chart(self, draft: Draft | None = None):
        """Range of every month; an Altair chart, for a panel to show."""
        from dcbudget.charts import plan as charts

        draft = draft or self.base
        p10, p50, risky, p90 = draft.simulation.by_month(0.1, 0.5, draft.settings.risk, 0.9)
        months = pd.DataFrame({"month": self.months, "p10": p10, "p90": p90})
        named = {"P50": p50, f"P{100 * draft.settings.risk:.0f}": risky, self.budget_name: self.budget.to_numpy()}
        lines = pd.concat(
            [pd.DataFrame({"month": self.months, "line": name, "amount": values}) for name, values in named.items()]
        )
        whole = float(self.budget.sum())
        title = f"The budget is overrun in {draft.simulation.chance_over(whole):.0%} of the cases"
        return charts.fan(months, lines, title, f"{self.basis}, by month")

    def tornado_chart(self, draft: Draft | None = None):
        """What moves the sum most; an Altair chart."""
        from dcbudget.charts import plan as charts

        draft = draft or self.base
        middle = draft.total
        frame = draft.risks.head(12)
        frame = frame.assign(low=frame["at_low"] - middle, high=frame["at_high"] - middle)
        what = f"change of the sum {self.span} at the risk's P10 and P90, {self.basis}"
        return charts.tornado(frame, self._risk_finding(draft), what)

    def projects_chart(self, draft: Draft | None = None):
        """Money by month and project; an Altair chart."""
        from dcbudget.charts import plan as charts

        draft = draft or self.base
        frame = draft.lines.groupby(["month", "project"], as_index=False)["amount"].sum()
        order = frame.groupby("project")["amount"].sum().sort_values(ascending=False).index
        frame = frame.set_index("project").loc[[*order.drop(IDLE, errors="ignore"), *order.intersection([IDLE])]]
        return charts.by_project(frame.reset_index(), self._project_finding(draft), f"plan, {self.basis}, by month")

    def supply_chart(self, draft: Draft | None = None):
        """Where the GPU-hours come from; an Altair chart."""
        from dcbudget.charts import plan as charts

        draft = draft or self.base
        frame = draft.gpu_hours.groupby("month", as_index=False)[["owned", "committed", "spot", "on_demand"]].sum()
        frame = frame.melt("month", var_name="source", value_name="gpu_hours").replace({"source": KINDS})
        return charts.supply(frame, self._supply_finding(draft), "GPU-hours of capacity, all models, by month")

    def projects_table(self, draft: Draft | None = None) -> Table:
        """The plan by project and category."""
        draft = draft or self.base
        frame = draft.lines.pivot_table(index="project", columns="category", values="amount", aggfunc="sum")
        categories = [name for name in planning.CATEGORIES if name in frame]
        frame = frame.reindex(columns=categories).fillna(0.0)
        frame["total"] = frame.sum(axis=1)
        frame = frame.sort_values("total", ascending=False).reset_index()
        names = {"project": "Project", **{name: name for name in categories}, "total": "All"}
        title = f"{self._project_finding(draft)} ({self.span}, {self.basis})"
        return Table(frame, names, title, dict.fromkeys([*categories, "total"], MONEY), (*categories, "total"))

    def months_table(self, draft: Draft | None = None) -> Table:
        """The plan by month with its percentiles."""
        draft = draft or self.base
        frame = pd.DataFrame({"month": [f"{month:%Y-%m}" for month in self.months], "plan": draft.by_month.to_numpy(),
                              "budget": self.budget.to_numpy()})  # fmt: skip
        shares = {"p50": 0.5, "p80": 0.8, "p90": 0.9}
        for name, values in zip(shares, draft.simulation.by_month(*shares.values()), strict=True):
            frame[name] = values
        names = {"month": "Month", "plan": "Plan", "p50": "P50", "p80": "P80", "p90": "P90", "budget": "Budget"}
        year = draft.simulation.of_year(*shares.values())
        told = ", ".join(f"{name.upper()} {MONEY.format(value)}" for name, value in zip(shares, year, strict=True))
        title = f"All months together: {told} {self.currency}, which is not the sum of the months' ({self.basis})"
        return Table(frame, names, title, dict.fromkeys(list(names)[1:], MONEY), ("plan", "budget"))

    def drivers_table(self, draft: Draft | None = None) -> Table:
        """What every project needs a month, and what moves that."""
        draft = draft or self.base
        frame = draft.model.demand.drivers
        frame = frame.assign(since=pd.to_datetime(frame["start"]).dt.strftime("%Y-%m"),
                             growth=(1 + frame["growth_per_month"]) ** 12 - 1)  # fmt: skip
        names = {"project": "Project", "driver": "Driver", "resource": "Of", "per_month": "A month", "unit": "Unit",
                 "since": "From", "growth": "Growth a year", "low": "P10", "high": "P90",
                 "source": "Source"}  # fmt: skip
        formats = {"per_month": COUNT, "since": "{}", "growth": SIGNED_RATE, "low": CENTS, "high": CENTS}
        title = f"{len(frame)} drivers of {frame['project'].nunique()} projects, mean of {self.span}"
        return Table(frame, names, f"{title} (P10 and P90 as parts of it)", formats)

    def supply_table(self, draft: Draft | None = None) -> Table:
        """Where the GPU-hours come from and what rented ones cost, by GPU model."""
        draft = draft or self.base
        amounts = ["demand", "owned", "committed", "spot", "on_demand", "idle", "rented_cost"]
        frame = draft.gpu_hours.groupby("gpu_model", as_index=False)[amounts].sum()
        capacity = frame["demand"] + frame["idle"]
        frame["allocation_rate"] = frame["demand"] / capacity.where(capacity > 0)
        names = {"gpu_model": "GPU", "demand": "Demand", "owned": "Owned", "committed": "Committed", "spot": "Spot",
                 "on_demand": "On demand", "idle": "Idle", "allocation_rate": "Demand / capacity",
                 "rented_cost": "Cost of rented"}  # fmt: skip
        formats = dict.fromkeys(amounts[:-1], COUNT) | {"allocation_rate": RATE, "rented_cost": MONEY}
        title = f"{self._supply_finding(draft)} (GPU-hours {self.span}; {self.basis})"
        return Table(frame, names, title, formats, tuple(amounts))

    def risks_table(self, draft: Draft | None = None) -> Table:
        """What the sum would be at every risk's P10 and P90."""
        draft = draft or self.base
        names = {"risk": "Risk", "at_low": "At its P10", "at_high": "At its P90", "swing": "Between them"}
        title = f"{self._risk_finding(draft)} ({self.span}, {self.basis})"
        return Table(draft.risks, names, title, dict.fromkeys(list(names)[1:], MONEY))

    def settings_table(self, draft: Draft | None = None) -> Table:
        """What the plan supposes, beside what was measured."""
        draft = draft or self.base
        spreads = self.outlook.spreads
        rows = []
        for name, measure in STARTS.items():
            found = self.known[measure]
            low, high = spreads.loc[name, ["low", "high"]] if name in spreads.index else (None, None)
            plan = replace(found, value=getattr(draft.settings, name)).cells[0]
            rows.append((found.label, plan, found.cells[0], low, high, found.unit, found.source))
        frame = pd.DataFrame(rows, columns=["what", "plan", "measured", "low", "high", "unit", "source"])
        names = {"what": "What", "plan": "Plan", "measured": "Starting value", "unit": "Unit", "low": "P10",
                 "high": "P90", "source": "Source"}  # fmt: skip
        formats = {"plan": "{}", "measured": "{}", "low": CENTS, "high": CENTS}
        return Table(frame, names, "What the plan supposes (P10 and P90 as parts of it)", formats)

    # Versions.

    def changes(
        self,
        project: str,
        growth_per_year: float | None = None,
        billion_parameters: float = 0.0,
        billion_tokens: float = 0.0,
        gpu_model: str = "",
        start: str = "",
        template: str = "",
    ) -> list[dict]:
        """Drivers that a panel adds: another growth of a project, a training run of it, or the whole of a template.

        Parameters
        ----------
        project : "" for none; then there is neither growth nor run.
        growth_per_year : of what was measured of the project, None to leave it.
        billion_parameters, billion_tokens : of a training run, neither 0.
        gpu_model, start : of the run; `start` ("YYYY-MM") of the template too.
        template : kind of project, "" for none.
        """
        found: list[dict] = []
        if project in self.outlook.projects and growth_per_year is not None:
            found.append({"project": project, "driver": MEASURED, "growth_per_year": growth_per_year})
        if project and billion_parameters and billion_tokens:
            found.append({
                "project": project, "driver": "training", "parameters": 1e9 * billion_parameters,
                "tokens": 1e9 * billion_tokens, "gpu_model": gpu_model, "start": start, "source": "added",
            })  # fmt: skip
        if template:
            found.append({"project": f"new {template}", "driver": TEMPLATE, "template": template, "start": start})
        return found

    def growth_of(self, project: str) -> float:
        """Measured growth a year of a project's GPU-hours, 0 where it had none."""
        rows = self.base.model.demand.drivers
        rows = rows[(rows["project"] == project) & (rows["driver"] == "gpu_hours")]
        return float((1 + rows["growth_per_month"].iloc[0]) ** 12 - 1) if len(rows) else 0.0

    def growth_without_bias(self, growth_per_year: float) -> float:
        """Growth of demand a year, corrected by how far recorded forecasts lay from what came; as it is without any."""
        months, bias = self._forecast_bias
        return planning.growth_without_bias(growth_per_year, bias, months) if months else growth_per_year

    @property
    def bias_remark(self) -> str:
        """What `growth_without_bias` corrects by."""
        months, bias = self._forecast_bias
        if not months:
            return "no report has recorded how wrong forecasts were"
        growth = self.settings.demand_growth
        return (f"forecasts {months} months ahead lay {abs(bias):.1%} {'above' if bias > 0 else 'below'} what came: a"
                f" growth of {growth:.1%} a year becomes {self.growth_without_bias(growth):.1%}")  # fmt: skip

    @property
    def _forecast_bias(self) -> tuple[int, float]:
        """Months ahead of the farthest forecasts whose bias a report recorded, and that bias; 0 and 0 without any."""
        for months in (6, 3):
            bias = self.known[f"forecast_bias_{months}"].value
            if pd.notna(bias):
                return months, float(bias)
        return 0, 0.0

    @property
    def gpu_models(self) -> list[str]:
        """GPU models that a run can be planned on, those in use first."""
        used = self.base.model.supply.gpu_models
        return [*used, *sorted(self.outlook.tflops.keys() - set(used))]

    @property
    def template_names(self) -> list[str]:
        return sorted(warehouse.reference("project_templates")["template"].unique())

    @property
    def remarks(self) -> dict[str, str]:
        """Setting -> where its first value comes from."""
        foreign = self.base.model.foreign_share
        said = f"{foreign:.0%} of rented money is priced in another currency" if foreign else (
            f"nothing rented is priced in another currency than {self.currency} (settings: foreign_share)")  # fmt: skip
        return {
            **{name: self.known[measure].remark for name, measure in STARTS.items()},
            "exchange_rate": f"change of its rate; {said}",
            "risk": "share of the cases in which budget and contingency hold",
        }

    def save(self, name: str, draft: Draft | None = None) -> str:
        """Save the lines as a draft of this name and say so; "" saves nothing."""
        if not name:
            return "nothing was saved: no name was given"
        draft = draft or self.base
        lines, hours = (frame.assign(currency=self.currency) for frame in (draft.lines, draft.quantities))
        return f"saved {budget.save_plan(lines, name, 'draft', self.db, quantities=hours)}"

    def approve(self, name: str) -> str:
        """Approve a saved version and say so."""
        found = budget.approve(name, self.db)
        return " ".join([f"approved {found}.", *found.remarks])

    @property
    def version_names(self) -> list[str]:
        return sorted(budget.versions(self.db)["plan_version"].unique())

    def versions(self) -> Table:
        """Every saved plan version."""
        frame = budget.versions(self.db)
        frame["span"] = [f"{row.first_month:%Y-%m} to {row.last_month:%Y-%m}" for row in frame.itertuples()]
        names = {"plan_version": "Version", "status": "Status", "span": "Months", "lines": "Lines", "amount": "Amount",
                 "currency": "Currency"}  # fmt: skip
        approved = int((frame.drop_duplicates("plan_version")["status"] == "approved").sum())
        title = f"{frame['plan_version'].nunique()} plan versions, {approved} of them approved"
        return Table(frame.assign(amount=frame["amount"].astype(float)), names, title,
                     {"lines": COUNT, "amount": CENTS})  # fmt: skip

    def comparison(self, name: str, draft: Draft | None = None) -> Table:
        """This plan beside a saved version, by project, in the months that both cover."""
        draft = draft or self.base
        other = self.lines_of(name)
        common = self.months[self.months.isin(other["month"])]
        if not len(common):
            raise DcbudgetError(f"plan {name} has no line from {self.span}; there is nothing to compare")
        frame = pd.concat([
            draft.lines[draft.lines["month"].isin(common)].assign(actual=lambda lines: lines["amount"], budget=0.0),
            other[other["month"].isin(common)].assign(budget=lambda lines: lines["amount"], actual=0.0),
        ])  # fmt: skip
        frame = variance_by(frame, "project")
        names = {"project": "Project", "budget": name, "actual": "This plan", "variance": "Change",
                 "variance_rate": "Change / version"}  # fmt: skip
        formats = {"budget": MONEY, "actual": MONEY, "variance": SIGNED, "variance_rate": SIGNED_RATE}
        change = frame["variance"].sum()
        title = f"{self._money(abs(change))} {'more' if change >= 0 else 'less'} than {name}"
        span = f"{common[0]:%b %Y} to {common[-1]:%b %Y}"
        return Table(frame, names, f"{title} ({span}, {self.basis})", formats, ("budget", "actual", "variance"))

    # Findings.

    def _spent_before(self) -> str:
        spent, past = self.outlook.spent["cost"].sum(), len(self.outlook.past)
        return f"the last {f'{past} months' if past > 1 else 'month'} cost {self._money(spent)}"

    def _risk_finding(self, draft: Draft) -> str:
        if draft.risks.empty:
            return "Nothing is uncertain in this plan"
        worst = draft.risks.iloc[0]
        return f"{worst['risk']} moves the sum most, by {self._money(worst['swing'])}"

    def _project_finding(self, draft: Draft) -> str:
        sums = draft.lines.groupby("project")["amount"].sum()
        if sums.empty:
            return "The plan is empty"
        named = sums.drop(IDLE, errors="ignore")
        idle = f"; idle capacity is {sums.get(IDLE, 0.0) / sums.sum():.0%} of the plan"
        if named.empty:
            return f"No project costs anything{idle}"
        return f"{named.idxmax()} costs most, {self._money(named.max())}{idle}"

    def _supply_finding(self, draft: Draft) -> str:
        hours = draft.gpu_hours[["owned", "committed", "spot", "on_demand"]].sum()
        if hours.sum() <= 0:
            return "The plan has no GPU-hours"
        shares = [f"{share:.0%} {KINDS[name].lower()}" for name, share in (hours / hours.sum()).items()]
        return f"Capacity is {', '.join(shares)}"

    def _money(self, amount: float) -> str:
        return f"{MONEY.format(amount)} {self.currency}"


def _first_month(text: str, possible: list[pd.Timestamp]) -> pd.Timestamp:
    if not text:
        return possible[0]
    if isinstance(text, str) and len(text) == 7:
        month = pd.to_datetime(text, format="%Y-%m", errors="coerce")
        if month in possible:
            return month
    raise OutOfRange(f"first_month must lie between {possible[0]:%Y-%m} and {possible[-1]:%Y-%m}, not {text!r}")
