"""The panel of 1_plan: what the months cost, how sure that is, and which of it to save."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, beside, button, choice, live, number_slider, rate_slider
from dcbudget.stages.plan import Plan

AS_MEASURED, NONE = "as measured", "none"
# Setting -> label, lowest, highest.
RATES = {
    "demand_growth": ("Growth a year", -0.9, 3.0),
    "allocation_rate": ("Utilisation (allocated)", 0.05, 1.0),
    "mfu": ("MFU", 0.01, 1.0),
    "failure_share": ("Failed work", 0.0, 0.9),
    "price_trend": ("GPU prices a year", -0.9, 1.0),
    "commitment_share": ("Commitment share", 0.0, 1.0),
    "spot_share": ("Spot share", 0.0, 1.0),
    "exchange_rate": ("Exchange rate", -0.5, 1.0),
    "risk": ("Risk percentile", 0.5, 0.99),
}
VIEWS = {
    "Months": ("fan_chart", "months_table"),
    "What moves it": ("tornado_chart", "risks_table"),
    "Projects": ("projects_chart", "projects_table"),
    "Supply": ("supply_chart", "supply_table"),
}


class PlanPanel:
    """Settings, a project's own changes, and versions; shows the headline with one chart and its table."""

    def __init__(self, plan: Plan):
        self._plan = plan
        settings = plan.settings
        self.rates = {name: rate_slider(label, getattr(settings, name), low, high)
                      for name, (label, low, high) in RATES.items()}  # fmt: skip
        self.numbers = {
            "pue": number_slider("PUE", settings.pue, 1.0, 3.0, 0.01),
            "power_price_per_kwh": number_slider(
                "Power, money per kWh", settings.power_price_per_kwh, 0.0, 1.0, 0.005, ",.3f"
            ),
        }
        self.unbiased = widgets.Checkbox(False, description="Correct for forecast bias", indent=False,
                                         layout={"width": "360px"})  # fmt: skip
        self.project = choice("Project", [AS_MEASURED, *plan.projects], AS_MEASURED)
        self.growth = rate_slider("Its growth a year", 0.0, -0.9, 3.0)
        self.parameters = number_slider("Run: billion parameters", 0.0, 0.0, 2000.0, 1.0, ",.0f")
        self.tokens = number_slider("Run: billion tokens", 0.0, 0.0, 20000.0, 10.0, ",.0f")
        self.gpu_model = choice("Run: GPU", plan.gpu_models, plan.gpu_models[0])
        months = [f"{month:%Y-%m}" for month in plan.months]
        self.start = choice("From", months, months[0])
        self.template = choice("New project", [NONE, *plan.template_names], NONE)
        self.show = widgets.ToggleButtons(options=list(VIEWS), value=next(iter(VIEWS)))
        self.view = View()
        self._moves_itself = False
        self.project.observe(self._of_project, names="value")
        self.box = live(
            [*self.rates.values(), *self.numbers.values(), self.unbiased, self.project, self.growth, self.parameters,
             self.tokens, self.gpu_model, self.start, self.template, self.show],
            self.view, self._redraw, self._shown(),
        )  # fmt: skip

    def draft(self):
        """The plan as the controls have it."""
        added = self._plan.changes(
            self.project.value if self.project.value != AS_MEASURED else "",
            self.growth.value, self.parameters.value, self.tokens.value, self.gpu_model.value, self.start.value,
            self.template.value if self.template.value != NONE else "",
        )  # fmt: skip
        settings = {name: slider.value for name, slider in (self.rates | self.numbers).items()}
        if self.unbiased.value:
            settings["demand_growth"] = self._plan.growth_without_bias(settings["demand_growth"])
        return self._plan.draft(added, **settings)

    def _redraw(self) -> None:
        if self._moves_itself:
            return
        draft = self.draft()
        chart, table = VIEWS[self.show.value]
        self.view.show(self._plan.headline(draft), getattr(self._plan, chart)(draft), getattr(self._plan, table)(draft))

    def _of_project(self, _) -> None:
        """Another project starts from its own growth."""
        if self.project.value != AS_MEASURED:
            self._moves_itself = True
            self.growth.value = self._plan.growth_of(self.project.value)
            self._moves_itself = False

    def _shown(self) -> list[widgets.Widget]:
        remarks = self._plan.remarks
        sliders = [beside(slider, remarks[name]) for name, slider in (self.rates | self.numbers).items()]
        own = widgets.VBox([self.project, self.growth, self.parameters, self.tokens, self.gpu_model, self.start,
                            self.template])  # fmt: skip
        return [
            *sliders,
            beside(self.unbiased, self._plan.bias_remark),
            widgets.Accordion([own], titles=["A project's own growth, a further run, a new project"]),
            self.show,
        ]  # fmt: skip


class VersionsPanel:
    """A name, buttons that save and approve under it, and a comparison with another version."""

    def __init__(self, plan: Plan, first: PlanPanel):
        self._plan, self._first = plan, first
        self.name = widgets.Text(description="Save as", style={"description_width": "160px"})
        self.other = choice("Compare with", [NONE, *plan.version_names], NONE)
        self.view = View()
        self.save = button("Save draft", self.view, self._save)
        self.approve = button("Approve", self.view, self._approve)
        self.box = live([self.other], self.view, self._redraw,
                        [self.name, widgets.HBox([self.save, self.approve]), self.other])  # fmt: skip

    def _save(self) -> str:
        return self._done(self._plan.save(self.name.value, self._first.draft()))

    def _approve(self) -> str:
        return self._done(self._plan.approve(self.name.value))

    def _done(self, sentence: str) -> str:
        self.other.options = [NONE, *self._plan.version_names]
        self._redraw()
        return sentence

    def _redraw(self) -> None:
        if self.other.value == NONE:
            self.view.show(table=self._plan.versions())
        else:
            self.view.show(table=self._plan.comparison(self.other.value, self._first.draft()))


def panel(plan: Plan) -> widgets.Widget:
    """The panel's widget."""
    first = PlanPanel(plan)
    return widgets.VBox([first.box, VersionsPanel(plan, first).box])
