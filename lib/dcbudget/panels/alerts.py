"""The panel of alerts in 5_monitor: how far beyond what was expected, and how much money, makes an alert."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, choice, live, number_slider
from dcbudget.stages.alerts import Alerts


class AlertsPanel:
    """Sensitivity and least money, and whose daily spend is drawn; shows the alerts that there would be.

    The sliders answer when they are let go: the whole month is looked at anew.
    """

    def __init__(self, alerts: Alerts):
        rules = alerts.rules
        self.sensitivity = number_slider("Sensitivity", rules.sensitivity, 1.0, 10.0, 0.5, ",.1f")
        self.least_money = number_slider("Least money", rules.least_money, 0.0, 20_000.0, 100.0, ",.0f")
        for slider in (self.sensitivity, self.least_money):
            slider.continuous_update = False
        self._scopes = {" / ".join(part for part in scope if part): scope for scope in alerts.scopes()}
        self._tried = {(rules.sensitivity, rules.least_money): alerts}
        self._first = alerts
        self.scope = choice("Daily spend of", list(self._scopes), next(iter(self._scopes), None))
        self.view = View()
        self.box = live([self.sensitivity, self.least_money, self.scope], self.view, self._redraw)

    def alerts(self) -> Alerts:
        """The alerts as the controls have them."""
        rules = (self.sensitivity.value, self.least_money.value)
        if rules not in self._tried:
            self._tried[rules] = self._first.tried(*rules)
        return self._tried[rules]

    def _redraw(self) -> None:
        alerts = self.alerts()
        chart = alerts.spend_chart(*self._scopes[self.scope.value]) if self.scope.value else None
        self.view.show(alerts.headline(), chart, alerts.table())


def panel(alerts: Alerts) -> widgets.Widget:
    """The panel's widget."""
    return AlertsPanel(alerts).box
