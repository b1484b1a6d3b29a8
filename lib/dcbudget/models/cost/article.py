"""A published formula of training's cost: as printed, what it gives, and what the same plans soundly cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.models.cost.hardware import energy_kwh, straight_line_depreciation_per_hour
from dcbudget.models.cost.rental import rented_cost
from dcbudget.models.ranges import positive, within


def strategy_saving(servers, hours, baseline_servers, baseline_hours):
    """Share of server-hours, and so of money, that another way of training saves; negative where it costs more.

    1 - servers x hours / (baseline servers x baseline hours): positive only where hours fall by more than servers
    rise.

    Raises
    ------
    OutOfRange : a value that is not above 0.
    """
    spent = positive("servers", servers) * positive("hours", hours)
    return 1 - spent / (positive("baseline_servers", baseline_servers) * positive("baseline_hours", baseline_hours))


@dataclass(frozen=True)
class ArticleCost:
    """Plans of training by the formula servers x price x epochs x hours per epoch x unit price, and soundly.

    Attributes
    ----------
    plans : one row a plan: `plan`, `servers` (all of its nodes), `hours`, `server_hours`, `printed` and `formula`
        [unit of the formula], `printed_saving` and `saving` on the first plan (of what is printed, and of
        server-hours), `rental`, `energy` and an `owned_<years>_years` for every life [money].
    lives_years : of straight-line depreciation.
    """

    plans: pd.DataFrame
    lives_years: tuple[float, ...]

    unit = "money x hours"
    why = (
        "(money per server) x servers x epochs x (hours per epoch) is money times hours: the whole purchase price is "
        "charged again in every hour."
    )

    @property
    def rows(self) -> pd.DataFrame:
        """The plans as a table to read: one row a figure, with its `unit`, and one column a plan."""
        figures = [
            ("As printed", "printed", self.unit),
            ("By the formula", "formula", self.unit),
            ("Servers", "servers", "servers"),
            ("Time", "hours", "hours"),
            ("Work", "server_hours", "server-hours"),
            ("Rental", "rental", "money"),
            *((f"Owned, straight-line over {life:g} years", f"owned_{life:g}_years", "money")
              for life in self.lives_years),
            ("Energy, on top of owned", "energy", "money"),
        ]  # fmt: skip
        values = [[name, unit, *self.plans[column]] for name, column, unit in figures]
        return pd.DataFrame(values, columns=["figure", "unit", *self.plans["plan"]])

    @property
    def finding(self) -> str:
        """What is left of the printed saving."""
        work, best = self.plans["server_hours"], self.plans["printed_saving"].max()
        if np.allclose(work, work.iloc[0]):
            first = f"All {len(work)} plans take the same {work.iloc[0]:,.0f} server-hours"
            first += f", so that the printed saving of {best:.0%} does not exist" if best > 0 else ""
        else:
            first = f"The plans take {work.min():,.0f} to {work.max():,.0f} server-hours"
        return f"{first}. A strategy saves money only where its measured hours fall by more than its servers rise."


def article_cost(
    servers,
    price_per_server,
    epochs,
    hours_per_epoch,
    unit_price,
    *,
    nodes=1,
    plans: Sequence[str] = ("plan",),
    printed=np.nan,
    lives_years: Sequence[float] = (5, 3),
    server_kw=0.0,
    pue=1.0,
    price_per_kwh=0.0,
) -> ArticleCost:
    """The formula cost = servers x price per server x epochs x hours per epoch x unit price, beside sound money.

    Parameters
    ----------
    servers, epochs, hours_per_epoch, nodes : of each plan, numbers or arrays; `servers` on each of its `nodes`.
    price_per_server : of purchase [money].
    unit_price : the formula's last factor; read soundly, the rental [money per server-hour].
    plans : their names.
    printed : what is claimed of each plan, nan where nothing is.
    server_kw, pue, price_per_kwh : of the energy: mean draw of a server [kW], facility over IT energy, [money].

    Raises
    ------
    OutOfRange : a value outside its range.
    """
    names = list(plans)
    each = np.ones(len(names))
    count = each * positive("servers", servers) * positive("nodes", nodes)
    hours = each * positive("epochs", epochs) * positive("hours_per_epoch", hours_per_epoch)
    price, unit_price = within("price_per_server", price_per_server, 0), within("unit_price", unit_price, 0)
    claimed = each * np.asarray(printed, dtype=float)
    frame = pd.DataFrame({"plan": names, "servers": count, "hours": hours, "server_hours": count * hours})
    frame["printed"] = claimed
    frame["formula"] = count * price * hours * unit_price
    frame["printed_saving"] = 1 - claimed / claimed[0]
    frame["saving"] = strategy_saving(count, hours, count[0], hours[0])
    frame["rental"] = rented_cost(frame["server_hours"], unit_price)
    for life in lives_years:
        frame[f"owned_{life:g}_years"] = count * hours * straight_line_depreciation_per_hour(price, 0, life)
    frame["energy"] = energy_kwh(count * hours, 1000 * within("server_kw", server_kw, 0), pue)
    frame["energy"] *= within("price_per_kwh", price_per_kwh, 0)
    return ArticleCost(frame, tuple(lives_years))
