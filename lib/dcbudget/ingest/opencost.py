"""Answers of OpenCost's and Kubecost's API: what Kubernetes workloads cost (allocation) and clouds' bills (cloudCost).

Schemas: https://opencost.io/docs/integrations/api and, for Kubecost's, its Allocation API. Both give amounts without a
currency: the one that their prices are in, USD unless they were set up otherwise (`--currency`).

An allocation is the cost that OpenCost reckons for a workload, of cores, GPUs, memory, volumes and network at the
prices that it knows. Nothing of it is an invoice: BilledCost and EffectiveCost are both that cost, and what it would be
at list prices stays unknown. Each part is a charge of its own, so that GPU money is told from the rest; the parts of an
allocation and its rounding sum to its totalCost, or it is rejected. `__idle__`, `__unallocated__` and `__unmounted__`
keep their names.

OpenCost tells of usage that a cloud bills: such a bill of the same month beside it is refused unless both are wanted.
"""

import json
from collections.abc import Iterator
from decimal import Decimal

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import native
from dcbudget.ingest.plan import BadRecord, Column, Options, Plan, Reader, Records, Rule, ref
from dcbudget.ingest.source import DAMAGE, Source, damaged
from dcbudget.quoting import literal

# Part of an allocation -> its service category, the field of its quantity and that one's unit.
PARTS = {
    "cpu": ("Compute", "cpuCoreHours", "Core Hours"),
    "gpu": ("Compute", "gpuHours", "GPU Hours"),
    "ram": ("Compute", "ramByteHours", "Byte Hours"),
    "pv": ("Storage", "pvByteHours", "Byte Hours"),
    "network": ("Networking", None, None),
    "loadBalancer": ("Networking", None, None),
    "shared": ("Other", None, None),
    "external": ("Other", None, None),
}
# A sum of binary numbers is off by less than this part of it.
BINARY = Decimal("1e-14")
PLACES = ("cluster", "namespace", "controller", "pod", "container", "node")
_MONTH = "date_trunc('month', to_utc([start], 'UTC'))"

PERIODS = {
    # No billing period is told: the calendar month in which a charge begins.
    "BillingPeriodStart": f"{_MONTH}::varchar",
    "BillingPeriodEnd": f"({_MONTH} + interval 1 month)::varchar",
    "ChargePeriodStart": "[start]",
    "ChargePeriodEnd": "[end]",
    "ChargeFrequency": "'Usage-Based'",
    "Tags": "[tags]",
}
ALLOCATION = {
    **PERIODS,
    "BilledCost": "[cost]",
    "EffectiveCost": "[cost]",
    "BillingAccountId": "[cluster]",
    "InvoiceIssuerName": "'OpenCost'",
    "ProviderName": "'Kubernetes'",
    "PublisherName": "'OpenCost'",
    "ChargeCategory": "case when [part] = 'rounding' then 'Adjustment' else 'Usage' end",
    "ChargeDescription": "[name] || ' ' || [part]",
    "ConsumedQuantity": "[quantity]",
    "ConsumedUnit": "[unit]",
    "ServiceCategory": "[category]",
    "ServiceName": "'Kubernetes ' || [part]",
    "SkuId": "[part]",
    "ResourceId": "[resource]",
    "ResourceName": "[name]",
    "SubAccountId": "[namespace]",
    "x_gpu_model": "case when [part] = 'gpu' then [gpu_model] end",
    "x_gpu_hours": "case when [part] = 'gpu' then to_double([quantity]) end",
    "x_extra": "[extra]",
}
ALLOCATION_FIELDS = ("name", "part", "category", "cost", "quantity", "unit", "start", "end", "cluster", "namespace",
                     "resource", "gpu_model", "tags", "extra", "fault")  # fmt: skip
PROVIDERS = {"AWS": ("AWS",), "Microsoft": ("Azure",), "Google Cloud": ("GCP",), "Oracle": ("Oracle", "OCI")}
CATEGORIES = {"Networking": ("Network",), "Management and Governance": ("Management",), "Compute": ("Compute",),
              "Storage": ("Storage",)}  # fmt: skip
CLOUD = {
    **PERIODS,
    "BilledCost": "[invoicedCost]",
    "EffectiveCost": "[amortizedNetCost]",
    "ListCost": "[listCost]",
    "BillingAccountId": "[invoiceEntityID]",
    "BillingAccountName": "[invoiceEntityName]",
    "InvoiceIssuerName": native.choose("[provider]", PROVIDERS, "[provider]"),
    "ProviderName": native.choose("[provider]", PROVIDERS, "[provider]"),
    "PublisherName": native.choose("[provider]", PROVIDERS, "[provider]"),
    "ChargeCategory": "'Usage'",
    "ChargeDescription": "[name]",
    "ServiceCategory": f"coalesce({native.choose('[category]', CATEGORIES)}, 'Other')",
    "ServiceName": "coalesce([service], [name])",
    "ResourceId": "[providerID]",
    "RegionId": "[regionID]",
    "AvailabilityZone": "[availabilityZone]",
    "SubAccountId": "[accountID]",
    "SubAccountName": "[accountName]",
    "x_extra": "[extra]",
}
CLOUD_COSTS = ("invoicedCost", "amortizedNetCost", "listCost", "netCost", "amortizedCost")
CLOUD_PROPERTIES = ("provider", "invoiceEntityID", "invoiceEntityName", "accountID", "accountName", "regionID",
                    "availabilityZone", "service", "category", "providerID")  # fmt: skip
CLOUD_FIELDS = ("name", "start", "end", *CLOUD_COSTS, *CLOUD_PROPERTIES, "tags", "extra")


def detect_allocations(source: Source) -> bool:
    return _is_answer(source) and all(f'"{name}"' in source.head for name in ("cpuCost", "ramCost"))


def detect_cloud(source: Source) -> bool:
    return _is_answer(source) and '"cloudCosts"' in source.head


def _is_answer(source: Source) -> bool:
    return source.kind == "text" and source.head.lstrip()[:1] == "{" and '"data"' in source.head


def plan_allocations(source: Source, options: Options) -> Plan:
    fault = ref("fault")
    rules = [Rule("BilledCost", f"{fault} is not null", "the parts do not sum to totalCost", fault)]
    return _plan("opencost_allocation", ALLOCATION_FIELDS, ALLOCATION, frozenset({"cost"}), rules, allocations, options)


def plan_cloud(source: Source, options: Options) -> Plan:
    return _plan("opencost_cloud", CLOUD_FIELDS, CLOUD, frozenset(CLOUD_COSTS[:3]), [], cloud_costs, options)


def _plan(name, fields, mapping, amounts, rules, convert, options: Options) -> Plan:
    def find(field: str) -> str | None:
        return ref(field) if field in fields else None

    columns = native.map_columns(mapping, find, amounts)
    columns["BillingCurrency"] = Column(literal(options.currency))
    return Plan(
        format=name,
        dataset="charges",
        fields=list(fields),
        columns=columns,
        rules=[*rules, *native.charge_rules(options, amounts, find)],
        convert=convert,
        money="BilledCost",
        currency="BillingCurrency",
    )


def allocations(source: Source) -> Records:
    """The charges of a file, numbered from 1: each part of each allocation of each window."""
    number = 0
    for window in _sets(source, "allocations"):
        for name, allocation in window.items():
            try:
                charges = list(_charges(name, allocation))
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
                number += 1
                yield BadRecord(number, f"no allocation ({type(error).__name__}: {error})", json.dumps(allocation))
                continue
            for charge in charges:
                number += 1
                yield number, [charge.get(field) for field in ALLOCATION_FIELDS]


def cloud_costs(source: Source) -> Records:
    """The charges of a file, numbered from 1: each item of each window."""
    number = 0
    for window in _sets(source, "cloudCosts"):
        for name, item in window.items():
            number += 1
            try:
                properties, period = item.get("properties") or {}, item["window"]
                costs = {cost: (item.get(cost) or {}).get("cost") for cost in CLOUD_COSTS}
                share = (item.get("netCost") or {}).get("kubernetesPercent")
                extra = {"netCost": costs["netCost"], "amortizedCost": costs["amortizedCost"], "kubernetesShare": share}
                charge = {"name": name, "start": period["start"], "end": period["end"], **costs, **properties,
                          "tags": _json(properties.get("labels")), "extra": _json(extra)}  # fmt: skip
                yield number, [charge.get(field) for field in CLOUD_FIELDS]
            except (AttributeError, KeyError, TypeError) as error:
                yield BadRecord(number, f"no cloud cost ({type(error).__name__}: {error})", json.dumps(item))


def _sets(source: Source, name: str) -> Iterator[dict]:
    """The windows of an answer: a list of them, or `sets` that hold them under a name; numbers stay texts."""
    try:
        with source.open_bytes() as stream:
            text = stream.read().decode(source.encoding)
        answer = json.loads(text.lstrip("\ufeff"), parse_float=str, parse_int=str)
    except DAMAGE as error:
        raise damaged(source.path, source.compression, error) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{source.path.name}: no JSON ({error})") from None
    data = answer.get("data")
    sets = data.get("sets") if isinstance(data, dict) else data
    if not isinstance(sets, list) or not all(isinstance(one, dict | None) for one in sets):
        raise UnreadableFile(f"{source.path.name}: no answer of OpenCost, `data` is no list of windows")
    for one in sets:
        held = ((one or {}).get(name) or {}) if isinstance(data, dict) else (one or {})
        if not isinstance(held, dict):
            raise UnreadableFile(f"{source.path.name}: no answer of OpenCost, `{name}` is no object")
        yield held


def _charges(name: str, allocation: dict) -> Iterator[dict]:
    """The charges of one allocation."""
    properties, window = allocation.get("properties") or {}, allocation.get("window") or {}
    common = {
        "name": allocation.get("name") or name,
        "start": allocation.get("start") or window["start"],
        "end": allocation.get("end") or window["end"],
        "cluster": properties.get("cluster"),
        "namespace": properties.get("namespace"),
        "resource": "/".join(properties[place] for place in PLACES[:-1] if properties.get(place)) or name,
        "gpu_model": _gpu_model(allocation, properties),
        "tags": _tags(properties),
        "extra": _json({"window": window or None, "minutes": allocation.get("minutes"),
                        "providerID": properties.get("providerID"), "efficiency": allocation.get("totalEfficiency")}),
    }  # fmt: skip
    parts, rounding, fault = _parts(allocation)
    if fault:
        parts = {}
        yield {**common, "part": "total", "category": "Other", "cost": allocation["totalCost"], "fault": fault}
        return
    told = 0
    for part, (category, quantity, unit) in PARTS.items():
        used = allocation.get(quantity) if quantity else None
        if parts[part] or (part == "gpu" and used and Decimal(used)):
            told += 1
            yield {**common, "part": part, "category": category, "cost": str(parts[part]), "quantity": used,
                   "unit": unit if used else None}  # fmt: skip
    if rounding or not told:
        yield {**common, "part": "rounding" if rounding else "total", "category": "Other", "cost": str(rounding)}


def _parts(allocation: dict) -> tuple[dict[str, Decimal], Decimal, str | None]:
    """The cost of each part, what rounding leaves of the total, and what is wrong with it.

    An adjustment is what a later look at the cloud's bill added to a part; Kubecost's own exports may have it in the
    part already: the total tells.
    """
    cost = {part: Decimal(allocation.get(f"{part}Cost") or 0) for part in PARTS}
    adjusted = {part: cost[part] + Decimal(allocation.get(f"{part}CostAdjustment") or 0) for part in PARTS}
    total = allocation.get("totalCost")
    if total is None:
        return adjusted, Decimal(0), None
    total = Decimal(total)
    finest = min(value.as_tuple().exponent for value in (total, *adjusted.values()))
    terms = 1 + sum(1 for value in adjusted.values() if value)
    rounding = max(terms * Decimal(5).scaleb(finest - 1), abs(total) * BINARY)
    for parts in (adjusted, cost):
        left = total - sum(parts.values())
        if abs(left) <= rounding:
            return parts, left, None
    return {}, Decimal(0), f"{sum(adjusted.values())} of {total}"


def _gpu_model(allocation: dict, properties: dict) -> str | None:
    """The model of the GPUs, where the answer tells it: of newer OpenCost, or by the label of NVIDIA's operator."""
    told = allocation.get("gpuAllocation") or allocation.get("GPUAllocation") or {}
    labels = properties.get("labels") or {}
    return told.get("gpuModel") or told.get("gpuDevice") or labels.get("nvidia_com_gpu_product")


def _tags(properties: dict) -> str | None:
    """Labels, with the places of the workload where no label is called so."""
    places = {place: properties.get(place) for place in PLACES}
    return _json({**places, **(properties.get("namespaceLabels") or {}), **(properties.get("labels") or {})})


def _json(pairs: dict | None) -> str | None:
    told = {name: value for name, value in (pairs or {}).items() if value not in (None, "")}
    return json.dumps(told) if told else None


READERS = (
    Reader("opencost_allocation", "charges", "OpenCost or Kubecost allocation (JSON)", detect_allocations,
           plan_allocations),
    Reader("opencost_cloud", "charges", "OpenCost cloudCost (JSON)", detect_cloud, plan_cloud),
)  # fmt: skip
