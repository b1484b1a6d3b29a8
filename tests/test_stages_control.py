"""What 3_control tells: small databases by hand, the sample against its own bill, and errors as sentences."""

import numpy as np
import pytest

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError, MixedCurrencies, OutOfRange
from dcbudget.models import cost
from dcbudget.stages.commitments import Commitments
from dcbudget.stages.control import Control
from dcbudget.stages.strategies import Strategies
from dcbudget.tables import Headline, Table
from tiny import charge, egress, job, make, make_world, shown


@pytest.fixture(autouse=True)
def charts_as_svg(monkeypatch):
    monkeypatch.setenv("DCBUDGET_CHARTS", "svg")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return str(make_world(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def may(world):
    return Control("2026-05", world, least_group=1)


@pytest.fixture(scope="module")
def june(sample_db):
    return Control("2026-06", str(sample_db))


@pytest.fixture(scope="module")
def ways(june):
    return Strategies(june)


# By hand.


def test_showback_and_chargeback(may):
    """Idle is 1,184.35: to alpha 100 of its and beta's 232 (10 hours at 10, 12 at 10 and a node of 12)."""
    table = may.showback()
    assert shown(table.frame, "project", "showback", "idle_share", "chargeback") == [
        ("beta", 132.0, 673.85, 805.85),
        ("alpha", 100.0, 510.5, 610.5),
        ("Unallocated", 95.65, 0.0, 95.65),
        ("Idle capacity", 1184.35, -1184.35, 0.0),
    ]
    assert "beta is charged most: 806 USD" in table.title and "effective cost, USD" in table.title


def test_showback_without_sharing(world):
    frame = Control("2026-05", world, share_idle="none", least_group=1).showback().frame
    assert (frame["idle_share"] == 0).all() and frame["chargeback"].sum() == pytest.approx(1512)


def test_groups_and_their_failures(may):
    frame = may.groups().frame.set_index("user_group")
    assert frame.loc["c-x", "failed_share"] == 1 and frame.loc["a-x", "failed_share"] == 0
    assert frame.loc["a-x", "useful"] == 10 and frame.loc["a-x", "chargeback"] == pytest.approx(610.5)
    assert "c-x of Unallocated lost most to failures: 100%" in may.groups().title


def test_losses_by_hand(may):
    """Alpha's 10 hours were half used: 50 of its 100."""
    frame = may.losses_table().frame.set_index("project")
    assert frame.loc["alpha", ["useful", "held above use", "lost"]].tolist() == [50, 50, 50]
    assert frame.loc["Unallocated", "failed or restarted"] == pytest.approx(95.65)
    assert may.losses["effective_cost"].sum() == pytest.approx(1512)


def test_small_groups_of_a_project_stand_together(tmp_path):
    """Alpha has a group of two users and two of one; at two at least, the two small ones stand together."""
    users = ["u1", "u2", "u3", "u4"]
    accounts = ["a-large", "a-large", "a-one", "a-two"]
    jobs = [job(n, account, "east", "h100", 1, "2026-05-02T00:00:00", "2026-05-02T00:00:00", "2026-05-02T10:00:00",
                user=user) for n, (user, account) in enumerate(zip(users, accounts, strict=True), 1)]  # fmt: skip
    bill = [charge("nodes", "100", gpus=("H100", 4, 10), tags='{"cluster":"east"}')]
    db = str(make(tmp_path, charges=bill, jobs=jobs))
    found = Control("", db, least_group=2).groups().frame.set_index("user_group")["useful"]
    assert found.to_dict() == {"a-large": 20, "Small groups": 20}
    assert set(Control("", db, least_group=1).groups().frame["user_group"]) == {"a-large", "a-one", "a-two"}
    # a project of too few people is one line, whatever its groups
    assert set(Control("", db, least_group=5).groups().frame["user_group"]) == {"Small groups"}
    for table in (Control("", db, least_group=5).groups(), Control("", db, least_group=2).groups()):
        assert not set(users) & set(repr(table).split())


def test_month_without_gpus(tmp_path):
    control = Control("", str(make(tmp_path, charges=[egress("2026-05", "1")])))
    commitments = Commitments(control)
    assert control.showback().frame.empty and control.groups().frame.empty and commitments.buys().frame.empty
    assert "No GPUs are rented" in commitments.buys().title
    assert isinstance(control.headline(), Headline) and isinstance(control.ways_of_paying(), Table)
    with pytest.raises(OutOfRange, match="gpu_model must be one that is rented, of none"):
        commitments.buy()


# On the sample.


def test_sample_chargeback_is_the_ledger_to_the_cent(june, sample_db):
    total = warehouse.query("select sum(effective_cost)::double as cost from gpu_ledger_monthly"
                            " where month = '2026-06-01'", sample_db)["cost"].iloc[0]  # fmt: skip
    for column in ("showback", "chargeback"):
        assert june.charged[column].sum() == pytest.approx(total, abs=0.005)
    assert june.losses["effective_cost"].sum() == pytest.approx(total, abs=0.005)
    assert june.charged.set_index("project")["chargeback"]["Idle capacity"] == pytest.approx(0, abs=0.005)


def test_sample_savings_are_the_bill_of_the_month(june, sample_db):
    """All that providers billed for use but taxes and support, once more from the charges."""
    bill = warehouse.query(
        "select sum(EffectiveCost)::double as cost from charges where ProviderName <> 'Owned'"
        " and ChargeCategory = 'Usage' and ServiceName not ilike '%support%'"
        " and BillingPeriodStart = timestamp '2026-06-01'", sample_db)["cost"].iloc[0]  # fmt: skip
    assert june.ways_of_paying().frame["effective_cost"].sum() == pytest.approx(bill, abs=0.01)


def test_sample_jobs_ask_for_more_wall_time_than_they_use(june):
    """None runs on beyond what it asked for."""
    asked = june.losses_table().frame["asked"].dropna()
    assert len(asked) > 3 and asked.min() >= 1 and asked.max() > 1.2


def test_every_table_names_its_basis_and_every_chart_draws(june, ways):
    tables = [june.showback(), june.groups(), june.losses_table(), june.ways_of_paying(), Commitments(june).buys(),
              ways.spot_table(), ways.ownership_table(), ways.comparison_table(ways.compare())]  # fmt: skip
    for table in tables:
        assert "USD" in table.title and len(table.frame) and "<table" in table._repr_html_()
    for drawn in (june.losses_chart(), june.rates_chart()):
        assert "<svg" in drawn._repr_mimebundle_()["image/svg+xml"]


# Strategies.


def test_strategies_are_priced_at_what_is_paid(ways, june):
    compared = ways.compare(mfu=0.4)
    price = june.known.price("H100", "on-demand").value
    assert compared.accelerator == "H100" and compared.price == price
    points = compared.points
    servers = points["nodes"] * points["hours"] * (points["strategy"] == "parameter server")  # at 1 an hour
    assert servers.any() and ((points["cost"] - servers) / points["gpu_hours"]).to_numpy() == pytest.approx(price)
    assert compared.points["pareto"].any() and compared.advice
    quickest, nearly, cheapest = compared.choices
    assert quickest["hours"] <= nearly["hours"] <= cheapest["hours"]
    assert nearly["cost"] <= 1.1 * cheapest["cost"]


def test_lower_mfu_takes_longer_and_smaller_models_less(ways):
    best = [ways.compare(mfu=mfu).choices[2]["hours"] for mfu in (0.2, 0.4)]
    assert best[0] == pytest.approx(2 * best[1], rel=0.1)
    assert ways.compare(model_parameters=1e9, mfu=0.4).choices[0]["hours"] < ways.compare(mfu=0.4).choices[0]["hours"]


def test_slow_network_costs_large_clusters(ways):
    fast, slow = (ways.compare(mfu=0.4, network_gb_per_second=gb).choices[0] for gb in (400.0, 5.0))
    assert slow["hours"] > fast["hours"]


@pytest.mark.parametrize(
    "asked, sentence",
    [
        ({"accelerator": "H1000"}, "accelerator must be one of .*H100.*, not 'H1000'"),
        ({"accelerator": "MI355X"}, "no price of MI355X, on-demand, is known"),
        ({"gpus": 0}, "gpus must lie between 1 and 65536, not 0"),
        ({"model_parameters": 5e12, "gpus": 8}, "parameters do not fit"),
        ({"model_parameters": -1.0}, "parameters must be above 0"),
        ({"mfu": 1.2}, "mfu must be"),
        ({"mfu": float("nan")}, "mfu must be"),
        ({"network_gb_per_second": 0.0}, "network_gb_per_second must be above 0"),
        ({"price_kind": "free"}, "a kind of price is one of"),
    ],
)
def test_bad_values_of_a_comparison_are_sentences(ways, asked, sentence):
    with pytest.raises(DcbudgetError, match=sentence):
        ways.compare(**asked)


def test_bad_parameters_are_sentences(june):
    for name, value in (("gpus", 0), ("server_price", -1.0), ("tokens", 0.0), ("model_parameters", float("inf"))):
        with pytest.raises(OutOfRange, match=name):
            Strategies(june, **{name: value})
    with pytest.raises(OutOfRange, match="training_run has no 'gpu'; it has model_parameters, tokens, accelerator"):
        Strategies.told(june, {"gpu": 8})
    assert Strategies.told(june, {"gpus": 8}).gpus == 8 and Strategies.told(june, {}).gpus == 256
    with pytest.raises(OutOfRange, match="idle_weights must be names with their values"):
        Control(idle_weights=[1], database=june.database)


def test_spot_is_its_price_and_what_is_repeated(ways, june):
    found = ways.spot("A100", 8, 2.0, 5, 10)
    price = june.known.price("A100", "spot").value
    assert found.cost_per_gpu_hour == pytest.approx(cost.spot_cost(1, price, 0.002, gpus=8, checkpoint_seconds=300,
                                                                   restart_seconds=600))  # fmt: skip
    assert ways.spot("A100", 8, 0.0).cost_per_gpu_hour == pytest.approx(price)
    # at its own limit spot costs what on demand does
    limit = ways.spot("A100", 8, 1000 * found.worth_up_to, 5, 10)
    assert limit.cost_per_gpu_hour == pytest.approx(found.on_demand_price, rel=1e-6)


def test_spot_pays_for_the_same_restarts_in_a_comparison(ways):
    """One GPU on spot: the work alone, and what the published checkpoints and restarts add to it."""
    alone, spot = (ways.compare(accelerator="A100", price_kind=kind).points for kind in ("on-demand", "spot"))
    more = [frame.loc[frame["gpus"] == 64, "hours"].min() for frame in (alone, spot)]
    assert more[1] / more[0] == pytest.approx(1 + ways.spot("A100", 64).overhead, rel=1e-6)


def test_spot_refuses_what_cannot_be(ways):
    for name, value in (("interruptions_per_1000_gpu_hours", -1.0), ("checkpoint_minutes", float("nan")), ("gpus", 0)):
        with pytest.raises(OutOfRange, match=name):
            ways.spot("A100", **{name: value})
    with pytest.raises(OutOfRange, match=r"accelerator must be one of .*, not 'H1000'"):
        ways.spot("H1000")
    lost = ways.spot("A100", 65_536, 500.0, 60, 120)
    with pytest.raises(OutOfRange, match=r"interruptions_per_1000_gpu_hours must be fewer .* not 500; spot pays up to"):
        ways.spot_headline(lost)


def test_ownership_refuses_what_cannot_be(ways):
    with pytest.raises(OutOfRange, match=r"accelerator must be one of .*, not 'H1000'"):
        ways.owned("H1000")
    with pytest.raises(OutOfRange, match="rental_price must be above 0 and finite, not 0"):
        ways.own_or_rent(ways.owned(), rental_price=0)


def test_owning_and_renting_cost_the_same_where_they_break_even(ways):
    owned = ways.owned("H100")
    found = ways.own_or_rent(owned, "H100", 0.5)
    assert 0 < found.break_even < 1
    assert cost.owned_cost_per_gpu_hour(owned, found.break_even) == pytest.approx(found.rental_price)
    assert ways.own_or_rent(owned, "H100", 1.0).owned_cost < found.owned_cost


def test_fleet_tells_purchase_prices_and_published_ones_stand_in(ways, sample_db):
    """As the ledger of the sample has them: the purchase and the interconnect of the last batch, by its GPUs."""
    fleet = warehouse.query(
        "select (purchase_price + coalesce(interconnect_price, 0)) / gpus_per_unit as price from fleet"
        " where gpu_model = 'H100' order by in_service_date desc",
        sample_db,
    )
    assert ways.purchase_price("H100") == pytest.approx(float(fleet["price"].iloc[0]))
    assert ways.purchase_price("V100") == 18625
    with pytest.raises(DcbudgetError, match="no purchase price of L40S is known"):
        ways.purchase_price("L40S")


def test_article_claims_what_it_does_not_save(ways):
    """R8: 100, 50 and 50 million printed, 100 million each by the formula, 10,000 at a rental of 1."""
    table = ways.article()
    rows = {row[0]: row[2:] for row in table.cells()}
    assert rows["As printed"] == ["100,000,000", "50,000,000", "50,000,000"]
    assert rows["By the formula"] == ["100,000,000"] * 3
    assert rows["Rental"] == ["10,000"] * 3
    assert "does not exist" in table.title and "money times hours" in table.title


def test_measured_frontier_says_how_far_the_law_is_off(ways):
    table = ways.measured_frontier()
    assert "5.6 times as quick" in table.title and "2.8 times the GPU-hours" in table.title and "MLPerf" in table.title
    assert np.isfinite(table.frame["off"]).all()


def test_two_currencies_need_a_rate(tmp_path):
    db = make(tmp_path, charges=[egress("2026-05", "1"), egress("2026-06", "2", BillingCurrency="EUR")])
    with pytest.raises(MixedCurrencies):
        Control("", str(db))


def test_parameters_of_control_are_checked(world):
    for name, value in (("share_idle", "half"), ("least_group", 0)):
        with pytest.raises(OutOfRange):
            Control("2026-05", world, **{name: value}).showback()
    with pytest.raises(DcbudgetError, match="no charges in 2020-01"):
        Control("2020-01", world)
