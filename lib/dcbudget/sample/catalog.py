"""The data centre that the sample describes: who works in it, what it owns, what it rents.

Prices are in US dollars, power in kilowatts, times UTC. Sources of the figures:

- GPU server prices to rent: inside the range of the public on-demand lists of 2023-2025 collected in
  the-full-stack/cloud-gpus (MIT): 2.0-10.0 USD a GPU-hour for H100, 0.6-5.1 for A100 80 GB, about 1 for L4.
- Nameplate power: vendors' data sheets (8-GPU H100 system 10.2 kW, 8-GPU A100 system 6.5 kW, L4 72 W).
- Purchase prices, staff, space and tariffs: round figures of the right order; no vendor's quotation.
- Hours and weekdays of submission: shares of the 82,247 jobs of Microsoft's Philly trace, Sep-Dec 2017.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from .window import HOUR, Window, epoch

PROJECTS = ("search", "recommendation", "vision", "language", "research", "platform")
TEAMS = {
    "search": ("search-ranking", "search-index"),
    "recommendation": ("recommendation-core", "recommendation-ads"),
    "vision": ("vision-detect", "vision-video"),
    "language": ("language-pretrain", "language-serve"),
    "research": ("research-lab",),
    "platform": ("platform-eng",),
}
USERS_PER_PROJECT = {
    "search": 9,
    "recommendation": 11,
    "vision": 10,
    "language": 13,
    "research": 12,
    "platform": 5,
}

GPU_MEMORY_MB = {"H100": 81_559, "A100": 81_920, "L4": 23_034}
GPU_WATTS_IDLE = {"H100": 70.0, "A100": 52.0, "L4": 16.0}
GPU_WATTS_MAX = {"H100": 700.0, "A100": 400.0, "L4": 72.0}
GPU_PEAK_FLOPS = {"H100": 989e12, "A100": 312e12, "L4": 121e12}  # dense bf16, vendors' data sheets

_HOURS = (
    ".0531 .0410 .0466 .0460 .0292 .0480 .0697 .0870 .0462 .0419 .0427 .0362 "
    ".0312 .0294 .0266 .0270 .0367 .0278 .0334 .0303 .0423 .0382 .0472 .0421"
)
PHILLY_HOURS = np.array([float(share) for share in _HOURS.split()])
PHILLY_WEEKDAYS = np.array([0.1232, 0.1523, 0.1626, 0.1838, 0.2061, 0.0870, 0.0850])  # Monday first


@dataclass(frozen=True)
class Partition:
    """One queue of one cluster, all of whose nodes are alike.

    `load` is the demand at the first and the last month of the full sample, as a fraction of the GPUs
    installed; `sizes` maps GPUs a job to its share of the jobs; `shares` gives each project's part of
    the GPU-hours, in the order of PROJECTS; `pace` multiplies run times; `cap_hours` is the time limit.
    """

    name: str
    cluster: str
    gpu_model: str
    nodes: int
    node_name: str
    cpus_per_gpu: int
    memory_gb_per_gpu: int
    job_share: float
    load: tuple[float, float]
    sizes: dict[int, float]
    shares: tuple[float, ...]
    pace: float
    cap_hours: int


TRAINING = {1: 0.690, 2: 0.095, 4: 0.075, 8: 0.115, 16: 0.018, 32: 0.0052, 64: 0.0014, 128: 0.0004}
SMALL = {1: 0.73, 2: 0.10, 4: 0.08, 8: 0.09}
SERVING = {1: 0.60, 2: 0.18, 4: 0.14, 8: 0.08}

PARTITIONS = (
    Partition(
        name="h100",
        cluster="hall-1",
        gpu_model="H100",
        nodes=32,
        node_name="h100",
        cpus_per_gpu=12,
        memory_gb_per_gpu=112,
        job_share=0.3,
        load=(0.7, 0.74),
        sizes=TRAINING,
        shares=(0.1, 0.2, 0.16, 0.36, 0.14, 0.04),
        pace=1.0,
        cap_hours=120,
    ),
    Partition(
        name="a100",
        cluster="hall-1",
        gpu_model="A100",
        nodes=24,
        node_name="a100",
        cpus_per_gpu=16,
        memory_gb_per_gpu=120,
        job_share=0.3,
        load=(0.7, 0.66),
        sizes={1: 0.72, 2: 0.1, 4: 0.07, 8: 0.092, 16: 0.014, 32: 0.004},
        shares=(0.16, 0.22, 0.24, 0.14, 0.18, 0.06),
        pace=1.0,
        cap_hours=120,
    ),
    Partition(
        name="inference",
        cluster="hall-1",
        gpu_model="L4",
        nodes=16,
        node_name="l4",
        cpus_per_gpu=8,
        memory_gb_per_gpu=32,
        job_share=0.2,
        load=(0.6, 0.71),
        sizes=SERVING,
        shares=(0.34, 0.26, 0.12, 0.16, 0.04, 0.08),
        pace=2.2,
        cap_hours=168,
    ),
    Partition(
        name="cloud-h100",
        cluster="cloud",
        gpu_model="H100",
        nodes=24,
        node_name="cloud-h100",
        cpus_per_gpu=12,
        memory_gb_per_gpu=112,
        job_share=0.09,
        load=(0.31, 0.4),
        sizes={1: 0.6, 2: 0.11, 4: 0.09, 8: 0.16, 16: 0.03, 32: 0.01},
        shares=(0.08, 0.2, 0.18, 0.38, 0.12, 0.04),
        pace=1.0,
        cap_hours=72,
    ),
    Partition(
        name="cloud-a100",
        cluster="cloud",
        gpu_model="A100",
        nodes=10,
        node_name="cloud-a100",
        cpus_per_gpu=12,
        memory_gb_per_gpu=112,
        job_share=0.06,
        load=(0.24, 0.3),
        sizes=SMALL,
        shares=(0.1, 0.25, 0.25, 0.15, 0.15, 0.1),
        pace=1.0,
        cap_hours=72,
    ),
    Partition(
        name="cloud-spot",
        cluster="cloud",
        gpu_model="A100",
        nodes=10,
        node_name="cloud-spot",
        cpus_per_gpu=12,
        memory_gb_per_gpu=112,
        job_share=0.05,
        load=(0.2, 0.28),
        sizes=SMALL,
        shares=(0.05, 0.1, 0.25, 0.15, 0.4, 0.05),
        pace=0.8,
        cap_hours=48,
    ),
)
PARTITION_NAMES = tuple(p.name for p in PARTITIONS)
INFERENCE = PARTITION_NAMES.index("inference")
OWNED_CLUSTER, CLOUD_CLUSTER = "hall-1", "cloud"

_FLEET_TABLE = """\
asset_id,kind,cluster,partition,gpu_model,gpus_per_unit,units,description,\
purchase_date,in_service_date,retire_date,life_months,purchase_price,interconnect_price,residual_value,sale_price,\
currency,depreciation,declining_rate,nameplate_kw,power_fraction,measured_kw,pue,tariff,tariff_per_kwh,\
heat_credit_per_kwh,staff_cost_per_month,space_cost_per_month
srv-h100-1,server,hall-1,h100,H100,8,16,Generated: 8-GPU H100 server (batch 1),\
2024-04-15,2024-07-01,,60,285000,,28500,,USD,,,10.2,0.70,7.05,1.28,grid,,0,780,520
srv-h100-2,server,hall-1,h100,H100,8,16,Generated: 8-GPU H100 server (batch 2),\
2025-05-12,2025-07-01,,60,240000,22000,26200,,USD,straight-line,,10.2,0.70,,1.22,grid,,0.01,780,520
srv-a100-1,server,hall-1,a100,A100,8,24,Generated: 8-GPU A100 server,\
2022-05-10,2022-07-01,,60,149000,,9000,,USD,,,6.5,0.68,4.60,1.38,grid,,0,640,410
srv-l4-1,server,hall-1,inference,L4,8,16,Generated: 8-GPU L4 inference server,\
2023-08-21,2023-10-01,,60,46000,,3000,,USD,declining,0.35,2.0,0.55,,1.38,,0.112,0,420,210
sto-nvme-1,storage,hall-1,,,0,3,Generated: all-flash storage array,\
2024-04-15,2024-07-01,,60,240000,,12000,,USD,,,3.2,0.80,,1.38,,0.112,0,650,350
net-leaf-1,network,hall-1,,,0,12,Generated: 400G leaf or spine switch,\
2024-04-15,2024-07-01,,60,31000,,1000,,USD,,,1.1,0.75,,1.38,,0.112,0,120,60
"""
FLEET = tuple(csv.DictReader(_FLEET_TABLE.splitlines()))
FLEET_COLUMNS = tuple(FLEET[0])

_TARIFF_TABLE = """\
tariff,effective_from,days,from_hour,to_hour,price_per_kwh,currency,timezone
grid,2022-01-01,,21,7,0.086,USD,America/New_York
grid,2022-01-01,,7,21,0.118,USD,America/New_York
grid,2022-01-01,weekday,16,20,0.164,USD,America/New_York
grid,2026-01-01,,21,7,0.089,USD,America/New_York
grid,2026-01-01,,7,21,0.122,USD,America/New_York
grid,2026-01-01,weekday,16,20,0.169,USD,America/New_York
"""
TARIFF = tuple(csv.DictReader(_TARIFF_TABLE.splitlines()))
TARIFF_COLUMNS = tuple(TARIFF[0])
METERED = "srv-a100-1"  # the batch whose energy is read off a meter


def node_ready(partition: Partition) -> list[int]:
    """Return when each node of a partition comes into service, in seconds since 1970 (0: always there)."""
    batches = [asset for asset in FLEET if asset["partition"] == partition.name]
    ready = [epoch(asset["in_service_date"]) for asset in batches for _ in range(int(asset["units"]))]
    return ready or [0] * partition.nodes


def installed_units(asset: dict, window: Window) -> np.ndarray:
    """Return the units of a fleet row in service in each month."""
    return np.where(window.edges[:-1] >= epoch(asset["in_service_date"]), int(asset["units"]), 0)


def capacity_gpu_hours(window: Window) -> dict[str, np.ndarray]:
    """Return the owned capacity by GPU model: GPU-hours of each month."""
    totals: dict[str, np.ndarray] = {}
    for asset in FLEET:
        if asset["gpu_model"]:
            hours = installed_units(asset, window) * int(asset["gpus_per_unit"]) * window.hours
            totals[asset["gpu_model"]] = totals.get(asset["gpu_model"], 0) + hours
    return totals


def metered_kwh(window: Window) -> np.ndarray:
    """Return the energy of the metered batch in each month, in kWh to one decimal."""
    asset = next(asset for asset in FLEET if asset["asset_id"] == METERED)
    swing = 1 + 0.02 * np.sin(np.array(window.ages))
    return np.round(float(asset["measured_kw"]) * int(asset["units"]) * window.hours * swing, 1)


def tariff_price(window: Window) -> np.ndarray:
    """Return the mean price of a kWh at the tariff in each month: that of each local hour, in USD."""
    zone = ZoneInfo(TARIFF[0]["timezone"])
    prices = np.zeros(len(window.months))
    for m, (start, end) in enumerate(zip(window.edges[:-1], window.edges[1:], strict=True)):
        for second in range(int(start), int(end), HOUR):
            prices[m] += _price_at(datetime.fromtimestamp(second, zone))
    return prices / window.hours


def _price_at(local: datetime) -> float:
    lines = [line for line in TARIFF if line["effective_from"] <= f"{local:%Y-%m-%d}"]
    newest = max(line["effective_from"] for line in lines)
    found = 0.0
    for line in lines:  # prices of weekdays stand behind those of every day
        first, last = int(line["from_hour"]), int(line["to_hour"])
        inside = first <= local.hour < last if first < last else local.hour >= first or local.hour < last
        if line["effective_from"] == newest and inside and (not line["days"] or local.weekday() < 5):
            found = float(line["price_per_kwh"])
    return found


@dataclass(frozen=True)
class Event:
    """Something planted in the sample for the workbook to find; dates are half-open."""

    key: str
    kind: str
    project: str
    start: str
    end: str
    about: str


DOWN_GPUS = 16
HELD_JOBS = 3

EVENTS = {
    event.key: event
    for event in (
        Event(
            "price-change",
            "price change",
            "",
            "2026-04-01",
            "2026-07-01",
            "The on-demand price of H100 instances rises by 12 % on 2026-04-01; the budget did not know.",
        ),
        Event(
            "vision-overrun",
            "overrun",
            "vision",
            "2026-04-01",
            "2026-07-01",
            "vision rents more on-demand H100 nodes and runs more jobs than its 2026-Q2 budget allows.",
        ),
        Event(
            "egress-spike",
            "cost spike",
            "search",
            "2026-05-12",
            "2026-05-15",
            "Network egress of search is twelve times its normal level for three days.",
        ),
        Event(
            "idle-reservation",
            "idle reservation",
            "",
            "2026-02-01",
            "2026-07-01",
            "A reserved block of 4 A100 nodes in a second region is used about 5 % of the time.",
        ),
        Event(
            "rack-down",
            "downtime",
            "",
            "2026-04-06",
            "2026-04-18",
            "Two A100 nodes of the hall stand still for twelve days until a switch is replaced.",
        ),
        Event(
            "held-gpus",
            "held but idle",
            "research",
            "2026-05-01",
            "2026-06-01",
            "The three jobs of research that held the most A100 GPU-hours of the month left them idle.",
        ),
        Event(
            "failing-run",
            "failing run",
            "recommendation",
            "2026-06-08",
            "2026-06-13",
            "A foundation-model run on 64 GPUs fails every few hours and restarts for five days.",
        ),
        Event(
            "diverging-run",
            "diverging run",
            "language",
            "2026-05-01",
            "2026-06-01",
            "The loss of one training run falls, then grows without bound.",
        ),
        Event(
            "restated-month",
            "restated month",
            "",
            "2026-03-01",
            "2026-04-01",
            "The provider restated 2026-03 with a late discount of 3 % on on-demand H100 instances.",
        ),
    )
}


def events_in(window: Window) -> dict[str, Event]:
    """Return the planted events that lie in the window, or began before it and go on in it.

    A price change is over once it has happened, so it must begin in the window.
    """
    return {
        key: event
        for key, event in EVENTS.items()
        if epoch(event.start if key == "price-change" else event.end) >= window.start + (key != "price-change")
    }
