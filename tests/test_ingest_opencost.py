"""Answers of OpenCost and Kubecost as charges."""

import json
from decimal import Decimal

import pytest

from focus_rows import ask, assert_conserved, load_one, write_focus
from focus_rows import charge as focus_charge
from native_rows import load_sound, rejected

COSTS = ("cpu", "gpu", "ram", "pv", "network", "loadBalancer", "shared", "external")


def allocation(name: str = "team-a", day: int = 1, **changes) -> dict:
    """A namespace's day on GPUs, with the fields of OpenCost 1.110."""
    costs = {"cpuCost": 2.4, "gpuCost": 48.96001, "ramCost": 0.5, "pvCost": 0.25, "networkCost": 0.03,
             "loadBalancerCost": 0.6, "sharedCost": 0, "externalCost": 0}  # fmt: skip
    made = {
        "name": name,
        "properties": {"cluster": "prod", "namespace": name, "labels": {"team": "vision"},
                       "namespaceLabels": {"team": "none", "env": "prod"}, "providerID": "i-1"},
        "window": {"start": f"2026-05-{day:02}T00:00:00Z", "end": f"2026-05-{day + 1:02}T00:00:00Z"},
        "start": f"2026-05-{day:02}T00:00:00Z",
        "end": f"2026-05-{day + 1:02}T00:00:00Z",
        "minutes": 1440.00001,
        "cpuCoreHours": 96.0,
        "gpuCount": 0.5,
        "gpuHours": 12.0,
        "ramByteHours": 1.5e12,
        "pvByteHours": 1e12,
        "networkCrossZoneCost": 0.03,
        "gpuAllocation": {"gpuModel": "NVIDIA A100-SXM4-80GB", "isGPUShared": False},
        **costs,
        **{f"{part}CostAdjustment": 0 for part in COSTS},
        **changes,
    }  # fmt: skip
    if "totalCost" not in changes:
        made["totalCost"] = float(sum(Decimal(str(made[f"{part}Cost"])) for part in COSTS))
    return made


def answer(*allocations: dict) -> dict:
    return {"code": 200, "status": "success", "data": [{one["name"]: one for one in allocations}]}


def write(path, document) -> None:
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def sums(db, column: str = "BilledCost", where: str = "true") -> Decimal:
    return ask(db, f"select coalesce(sum({column}), 0) from charges where {where}")[0][0]


def test_each_part_of_an_allocation_is_a_charge(tmp_path, db):
    result = load_sound(write(tmp_path / "a.json", answer(allocation())), db)
    assert (result.format, result.rows_read) == ("opencost_allocation", 6)
    rows = ask(
        db,
        "select SkuId, ServiceCategory, BilledCost::double, ConsumedQuantity::double, ConsumedUnit, x_gpu_hours,"
        " x_gpu_model from charges order by x_source_row",
    )
    assert rows == [
        ("cpu", "Compute", 2.4, 96.0, "Core Hours", None, None),
        ("gpu", "Compute", 48.96001, 12.0, "GPU Hours", 12.0, "A100"),
        ("ram", "Compute", 0.5, 1.5e12, "Byte Hours", None, None),
        ("pv", "Storage", 0.25, 1e12, "Byte Hours", None, None),
        ("network", "Networking", 0.03, None, None, None, None),
        ("loadBalancer", "Networking", 0.6, None, None, None, None),
    ]
    assert sums(db) == sums(db, "EffectiveCost") == Decimal("52.74001")
    assert ask(
        db,
        "select distinct BillingCurrency, ListCost, BillingAccountId, SubAccountId, Tags::json->>'team',"
        " Tags::json->>'env', Tags::json->>'cluster', BillingPeriodStart::date::varchar,"
        " ChargePeriodEnd::date::varchar from charges",
    ) == [("USD", None, "prod", "team-a", "vision", "prod", "prod", "2026-05-01", "2026-05-02")]


@pytest.mark.parametrize(
    ("changes", "gpu", "rounding"),
    [
        pytest.param({"gpuCostAdjustment": -8.96001, "totalCost": 43.78}, "40", "0", id="adjustment on top"),
        pytest.param({"gpuCostAdjustment": -8.96001, "totalCost": 52.74001}, "48.96001", "0", id="adjustment inside"),
        pytest.param({"totalCost": 52.74002}, "48.96001", "0.00001", id="rounded"),
        pytest.param({"gpuCost": 0.1, "cpuCost": 0.2, "totalCost": 0.1 + 0.2 + 1.38}, "0.1", "0", id="binary"),
    ],
)  # fmt: skip
def test_the_parts_sum_to_the_total(tmp_path, db, changes, gpu, rounding):
    made = allocation(**changes)
    load_sound(write(tmp_path / "a.json", answer(made)), db)
    assert sums(db, where="SkuId = 'gpu'") == Decimal(gpu)
    assert sums(db, where="SkuId = 'rounding'") == Decimal(rounding)
    assert sums(db) == Decimal(str(made["totalCost"]))


def test_a_total_that_its_parts_do_not_give_is_rejected_with_its_money(tmp_path, db):
    bad = allocation("team-b", totalCost=60)
    broken = {"name": "team-c", "window": {}}
    result = load_one(write(tmp_path / "a.json", answer(allocation(), bad, broken)), db)
    assert (result.rows_loaded, result.rows_rejected) == (6, 2)
    assert [(cost.read, cost.loaded) for cost in result.cost] == [(Decimal("112.74001"), Decimal("52.74001"))]
    said = [(line, found, reason) for line, _, found, reason in rejected(db)]
    assert said == [
        (7, "52.74001 of 60", "the parts do not sum to totalCost"),
        (8, None, "no allocation (KeyError: 'start')"),
    ]
    assert_conserved(result, db)


def test_idle_and_unallocated_keep_their_names(tmp_path, db):
    """What costs nothing is there all the same."""
    nothing = dict.fromkeys((f"{part}Cost" for part in COSTS), 0) | {"gpuHours": 0}
    idle = allocation("__idle__", properties={"cluster": "prod"}, gpuAllocation=None)
    document = answer(idle, allocation("__unallocated__", properties=None), allocation("quiet", **nothing))
    load_sound(write(tmp_path / "a.json", document), db)
    found = ask(db, "select ResourceName, count(*), sum(BilledCost)::double from charges group by 1 order by 1")
    assert found == [("__idle__", 6, 52.74001), ("__unallocated__", 6, 52.74001), ("quiet", 1, 0.0)]


def test_windows_and_kubecosts_sets(tmp_path, db):
    """Days side by side, one of them without an answer, and Kubecost's summary, which has no total."""
    document = {"code": 200, "data": [{"team-a": allocation(day=day)} for day in (1, 2)] + [None, {}]}
    load_sound(write(tmp_path / "days.json", document), db)
    assert sums(db) == 2 * Decimal("52.74001")
    summary = allocation("team-s", day=3)
    del summary["totalCost"]
    sets = {"code": 200, "data": {"sets": [{"allocations": {"team-s": summary}, "window": summary["window"]}]}}
    load_sound(write(tmp_path / "summary.json", sets), db)
    assert sums(db) == 3 * Decimal("52.74001")


def test_amounts_are_of_the_currency_that_is_named(tmp_path, db):
    result = load_one(write(tmp_path / "a.json", answer(allocation())), db, currency="EUR")
    assert [cost.currency for cost in result.cost] == ["EUR"]


def test_the_same_window_again_takes_its_place(tmp_path, db):
    load_one(write(tmp_path / "a.json", answer(allocation())), db)
    result = load_one(write(tmp_path / "b.json", answer(allocation(gpuCost=50), allocation("team-b"))), db)
    assert (result.status, sums(db)) == ("replaced", Decimal("53.78") + Decimal("52.74001"))


@pytest.mark.parametrize("first", ["opencost", "bill"])
def test_a_clouds_bill_of_the_month_is_refused_beside_it(tmp_path, db, first):
    files = {"opencost": write(tmp_path / "a.json", answer(allocation())),
             "bill": write_focus(tmp_path / "bill.csv", [focus_charge(3)])}  # fmt: skip
    june = {"BillingPeriodStart": "2026-06-01T00:00:00Z", "BillingPeriodEnd": "2026-07-01T00:00:00Z"}
    assert load_one(write_focus(tmp_path / "june.csv", [focus_charge(4, **june)]), db).status == "loaded"
    one, other = sorted(files, reverse=first == "opencost")
    assert load_one(files[one], db).status == "loaded"
    for overlap in ("ask", "replace"):
        result = load_one(files[other], db, overlap=overlap)
        assert result.status == "refused" and "say --overlap add" in result.message
    assert load_one(files[other], db, overlap="add").status == "loaded"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"code": 200, "data": [{"a": {"cpuCost": 1, "ramCost"', "no JSON"),
        ('{"code": 200, "data": {"cpuCost": 1, "ramCost": 2}}', "no answer of OpenCost"),
        ('{"code": 200, "data": []}', "its format is not known"),
    ],
)
def test_other_json_is_no_answer(tmp_path, db, text, message):
    result = load_one(write(tmp_path / "a.json", text), db)
    assert result.status == "failed" and message in result.message


def test_cloud_costs(tmp_path, db):
    def cost(amount: float) -> dict:
        return {"cost": amount, "kubernetesPercent": 0.5}

    item = {
        "properties": {"provider": "GCP", "invoiceEntityID": "A-1", "accountID": "p-1", "service": "GKE",
                       "category": "Network", "labels": {"team": "vision"}},
        "window": {"start": "2026-05-01T00:00:00Z", "end": "2026-05-02T00:00:00Z"},
        "listCost": cost(12), "netCost": cost(11), "amortizedNetCost": cost(10.1234567890625),
        "invoicedCost": cost(9e-05), "amortizedCost": cost(8),
    }  # fmt: skip
    sets = [{"cloudCosts": {"a": item, "b": {"window": item["window"]}}, "window": item["window"]}]
    result = load_one(write(tmp_path / "c.json", {"code": 200, "data": {"sets": sets}}), db)
    assert (result.format, result.rows_loaded, result.rows_rejected) == ("opencost_cloud", 1, 1)
    assert ask(
        db,
        "select BilledCost, EffectiveCost, ListCost, ContractedCost, ProviderName, BillingAccountId, SubAccountId,"
        " ServiceName, ServiceCategory, Tags::json->>'team' from charges",
    ) == [(Decimal("0.00009"), Decimal("10.1234567890625"), 12, None, "Google Cloud", "A-1", "p-1", "GKE",
           "Networking", "vision")]  # fmt: skip
    assert [reason for *_, reason in rejected(db)] == ["is empty"]
    bill = [focus_charge(1, ProviderName="Google Cloud", BillingAccountId="A-1-B")]
    assert load_one(write_focus(tmp_path / "bill.csv", bill), db).status == "refused"
    assert load_one(write_focus(tmp_path / "other.csv", [focus_charge(1)]), db).status == "loaded"


@pytest.mark.real
def test_answers_from_opencosts_own_pages(real, db, tmp_path):
    folder = real / "kubernetes"
    load_sound(folder / "allocation-example-output.json", db)
    assert sums(db) == Decimal("1.52743") + Decimal("0.10937") + Decimal("0.14136")
    assert sums(db, where="SkuId = 'rounding'") == Decimal("0.00001")

    other = tmp_path / "cloud"
    result = load_sound(folder / "cloudCost-example-output.json", other)
    answer = json.loads((folder / "cloudCost-example-output.json").read_text(), parse_float=Decimal)
    items = [item for window in answer["data"]["sets"] for item in window["cloudCosts"].values()]
    assert result.rows_read == len(items)
    for column, cost in (
        ("BilledCost", "invoicedCost"),
        ("EffectiveCost", "amortizedNetCost"),
        ("ListCost", "listCost"),
    ):
        assert sums(other, column) == sum(item[cost]["cost"] for item in items)
