"""The panel of 3_control: strategies, commitments, spot, and owning against renting, each under a tab."""

import ipywidgets as widgets

from dcbudget.panels.controls import View, beside, choice, live, number_slider, pick_slider, rate_slider, whole_slider
from dcbudget.stages.calibration import PRICES
from dcbudget.stages.commitments import DEMANDS, MOST_MONTHS, Commitments
from dcbudget.stages.strategies import Strategies


class StrategiesTab:
    """A training run: its size, its tokens, the cluster and its price; shows time against cost."""

    def __init__(self, stage: Strategies):
        self._stage = stage
        mfu = stage.known["mfu"]
        self.parameters = pick_slider("Parameters", stage.model_sizes, stage.model_parameters)
        self.tokens = pick_slider("Tokens", stage.token_counts, stage.tokens)
        self.accelerator = choice("Accelerator", stage.accelerators, stage.accelerator)
        self.gpus = pick_slider("GPUs, at most", stage.cluster_sizes, stage.gpus)
        self.gpus_per_node = pick_slider("GPUs per node", stage.node_sizes, stage.gpus_per_node)
        self.batch = pick_slider("Batch, sequences", stage.batches, stage.batch)
        self.network = number_slider("Network, GB/s per GPU", stage.network_gb_per_second, 1, 400, 1, ",.0f")
        self.price_kind = choice("Price", list(PRICES), stage.price_kind)
        self.mfu = rate_slider("MFU", mfu.value, 0.05, 0.9)
        self.view = View()
        controls = [self.parameters, self.tokens, self.accelerator, self.gpus, self.gpus_per_node, self.batch,
                    self.network, self.price_kind, self.mfu]  # fmt: skip
        self.box = live(controls, self.view, self._redraw, [
            *controls[:-3], beside(self.network, stage.known["network_gb_per_second"].remark), self.price_kind,
            beside(self.mfu, mfu.remark),
        ])  # fmt: skip

    def _redraw(self) -> None:
        compared = self._stage.compare(
            self.parameters.value, self.tokens.value, self.accelerator.value, self.gpus.value,
            self.gpus_per_node.value, self.batch.value, self.network.value, self.price_kind.value, self.mfu.value,
        )  # fmt: skip
        self.view.show(
            self._stage.comparison_headline(compared),
            self._stage.comparison_chart(compared),
            self._stage.comparison_table(compared),
        )


class CommitmentsTab:
    """Growth of demand and prices; shows how many GPUs to commit to."""

    def __init__(self, stage: Commitments):
        self._stage = stage
        growth = stage.known["demand_growth_per_year"]
        self.gpu_model = choice("GPU", stage.rented_models, next(iter(stage.rented_models), None))
        self.growth = rate_slider("Growth a year", growth.value, -0.9, 3.0, 0.05)
        self.discount = rate_slider("Discount", stage.commitment_discount.value, 0.0, 0.9)
        self.months = whole_slider("Months to come", 12, 1, MOST_MONTHS)
        self.demand = choice("Demand to come", list(DEMANDS), stage.usual_demand)
        self.view = View()
        controls = [self.gpu_model, self.demand, self.growth, self.discount, self.months]
        self.box = live(controls, self.view, self._redraw, [
            self.gpu_model, beside(self.demand, stage.demand_remark), beside(self.growth, growth.remark),
            beside(self.discount, stage.commitment_discount.remark), self.months,
        ])  # fmt: skip

    def _redraw(self) -> None:
        purchase = self._stage.buy(
            self.gpu_model.value, self.growth.value, self.discount.value, self.months.value, self.demand.value
        )
        self.view.show(
            self._stage.buy_headline(purchase), self._stage.buy_chart(purchase), self._stage.buy_table(purchase)
        )


class SpotTab:
    """A job, its checkpoints and how often it is interrupted; shows what a useful GPU-hour costs."""

    def __init__(self, stage: Strategies):
        self._stage = stage
        known = stage.known
        often, checkpoint, restart = (
            known[name] for name in ("spot_interruptions_per_gpu_hour", "checkpoint_minutes", "restart_minutes")
        )
        self.accelerator = choice("Accelerator", stage.accelerators, stage.accelerator)
        self.gpus = pick_slider("GPUs of the job", stage.cluster_sizes, stage.spot_gpus)
        self.interruptions = number_slider("Interruptions / 1,000 h", stage.interruptions_per_1000, 0, 50, 0.1)
        self.checkpoint = number_slider("Checkpoint, minutes", checkpoint.value, 0, 60, 0.5)
        self.restart = number_slider("Restart, minutes", restart.value, 0, 120, 1, ",.1f")
        self.view = View()
        controls = [self.accelerator, self.gpus, self.interruptions, self.checkpoint, self.restart]
        self.box = live(controls, self.view, self._redraw, [
            self.accelerator, self.gpus, beside(self.interruptions, often.times(1000).remark),
            beside(self.checkpoint, checkpoint.remark), beside(self.restart, restart.remark),
        ])  # fmt: skip

    def _redraw(self) -> None:
        spot = self._stage.spot(
            self.accelerator.value, self.gpus.value, self.interruptions.value, self.checkpoint.value, self.restart.value
        )
        self.view.show(self._stage.spot_headline(spot), self._stage.spot_chart(spot))


class OwnershipTab:
    """Life, power and use of an owned GPU; shows from when on owning pays."""

    def __init__(self, stage: Strategies):
        self._stage = stage
        known = stage.known
        self.accelerator = choice("Accelerator", stage.accelerators, stage.accelerator)
        self.utilisation = rate_slider("Hours in use", known["allocation_rate"].value, 0.05, 1.0)
        self.life = number_slider("Life, years", known["server_life_years"].value, 1, 10, 0.5, ",.1f")
        self.watts = number_slider("Power, W per GPU", known["gpu_watts"].value, 50, 2500, 10, ",.0f")
        self.pue = number_slider("PUE", known["pue"].value, 1, 3, 0.01)
        self.price_per_kwh = number_slider(
            "Power, money per kWh", known["power_price_per_kwh"].value, 0, 1, 0.005, ",.3f"
        )
        self.view = View()
        measured = {
            "allocation_rate": self.utilisation, "server_life_years": self.life, "gpu_watts": self.watts,
            "pue": self.pue, "power_price_per_kwh": self.price_per_kwh,
        }  # fmt: skip
        shown = [self.accelerator, *(beside(control, known[name].remark) for name, control in measured.items())]
        self.box = live([self.accelerator, *measured.values()], self.view, self._redraw, shown)

    def _redraw(self) -> None:
        stage, accelerator = self._stage, self.accelerator.value
        owned = stage.owned(
            accelerator, life_years=self.life.value, watts=self.watts.value, pue=self.pue.value,
            price_per_kwh=self.price_per_kwh.value,
        )  # fmt: skip
        ownership = stage.own_or_rent(owned, accelerator, self.utilisation.value)
        self.view.show(stage.ownership_headline(ownership), stage.ownership_chart(ownership))


class ControlPanel:
    """The four tabs; each redraws by itself."""

    def __init__(self, commitments: Commitments, strategies: Strategies):
        self.strategies = StrategiesTab(strategies)
        self.commitments = CommitmentsTab(commitments)
        self.spot = SpotTab(strategies)
        self.ownership = OwnershipTab(strategies)
        tabs = {"Strategies": self.strategies, "Commitments": self.commitments, "Spot": self.spot,
                "Own or rent": self.ownership}  # fmt: skip
        self.box = widgets.VBox([widgets.Tab([tab.box for tab in tabs.values()], titles=list(tabs))])


def panel(commitments: Commitments, strategies: Strategies) -> widgets.Widget:
    """The panel's widget."""
    return ControlPanel(commitments, strategies).box
