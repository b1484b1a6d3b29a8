"""What is in the sample, counted before it was written: planted events, and totals for a loader to meet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from .bill import IDLE_RESERVED, LATE_DISCOUNT, SPIKE_FACTOR
from .catalog import DOWN_GPUS, PARTITIONS, PROJECTS, capacity_gpu_hours, events_in
from .focus import MONEY_PLACES, PRICE_RISE, QUANTUM, Line, decimal_text, list_price
from .jobs import STATES, held_idle, installed_gpus
from .runs import ABOUT_RUN
from .window import DAY, HOUR, Window, epoch


def _usd(value: int) -> str:
    return decimal_text(int(value), MONEY_PLACES)


def _months_of(event, window: Window) -> list[int]:
    return [m for m, name in enumerate(window.months) if event.start[:7] <= name < event.end[:7]]


def _price_change(**_) -> dict:
    before, after = (list_price("gpu-h100-8x", "Standard", m) for m in ("2026-03", "2026-04"))
    return {
        "sku": "gpu-h100-8x",
        "pricing_category": "Standard",
        "factor": PRICE_RISE,
        "list_price_before": decimal_text(before, 6),
        "list_price_after": decimal_text(after, 6),
    }


def _overrun(event, window: Window, costs: np.ndarray, budget: pd.DataFrame, **_) -> dict:
    names = [f"{window.months[m]}-01" for m in _months_of(event, window)]
    lines = budget[(budget["project"] == event.project) & budget["month"].isin(names)]
    planned = lines["amount"].astype(float).sum()
    spent = costs[PROJECTS.index(event.project)][:, _months_of(event, window)].sum()
    return {
        "months": [n[:7] for n in names],
        "budget_usd": round(planned, 2),
        "effective_usd": round(spent, 2),
        "over_budget": round(spent / planned - 1, 4),
    }


def _spike(event, charges: pd.DataFrame, tables: dict[str, np.ndarray], **_) -> dict:
    gateway = tables["resource"] == f"{event.project}-gateway"
    start = charges["start"].to_numpy()
    first, last = epoch(event.start), epoch(event.end)
    during = gateway & (start >= first) & (start < last)
    around = gateway & ~during & (start >= first - 14 * DAY) & (start < last + 14 * DAY)
    gb = charges["quantity"].to_numpy() / QUANTUM
    return {
        "resource_id": f"{event.project}-gateway",
        "factor": SPIKE_FACTOR,
        "gb_a_day_around": round(gb[around].mean(), 1),
        "gb_a_day_during": round(gb[during].mean(), 1),
        "effective_usd_during": _usd(charges["effective"].to_numpy()[during].sum()),
    }


def _idle_reservation(charges: pd.DataFrame, tables: dict[str, np.ndarray], **_) -> dict:
    here = (tables["commitment"] == "ri-west-a100") & (charges["effective"] > 0).to_numpy()
    unused = here & (tables["status"] == "Unused")
    hours, money = charges["committed"].to_numpy(), charges["effective"].to_numpy()
    return {
        "commitment_discount_id": "ri-west-a100",
        "nodes": IDLE_RESERVED,
        "gpus": IDLE_RESERVED * 8,
        "used_share": round(1 - hours[unused].sum() / hours[here].sum(), 4),
        "unused_effective_usd": _usd(money[unused].sum()),
    }


def _rack_down(event, **_) -> dict:
    return {"gpus": DOWN_GPUS, "gpu_hours": DOWN_GPUS * (epoch(event.end) - epoch(event.start)) / HOUR}


def _held_gpus(log: pd.DataFrame, window: Window, **_) -> dict:
    held = log.iloc[held_idle(log, window)]
    return {
        "job_ids": held["job_id"].tolist(),
        "gpu_hours": round(float((held["gpus"] * held["elapsed"]).sum()) / HOUR, 4),
    }


def _failing_run(log: pd.DataFrame, **_) -> dict:
    tries = log[log["retry"] >= 0]
    states = tries["state"].map(dict(enumerate(STATES)))
    return {
        "attempts": len(tries),
        "gpus": 64,
        "job_ids": tries["job_id"].tolist(),
        "states": {k: int(v) for k, v in states.value_counts().sort_index().items()},
        "gpu_hours": round(float((tries["gpus"] * tries["elapsed"]).sum()) / HOUR, 4),
    }


def _diverging(runs: dict[str, list[tuple]], **_) -> dict:
    loss = [float(row[7]) for row in runs["run-diverging"] if row[6] == "loss"]
    return {
        "run_id": "run-diverging",
        "job_id": runs["run-diverging"][0][1],
        "loss_first": loss[0],
        "loss_lowest": min(loss),
        "loss_last": loss[-1],
    }


def _restated(charges: pd.DataFrame, restated: pd.DataFrame, window: Window, **_) -> dict:
    month = charges[charges["month"] == window.months.index("2026-03")]
    return {
        "discount": round(1 - LATE_DISCOUNT, 4),
        "file": "billing/focus_2026-03_restated.csv",
        "billed_before": _usd(month["billed"].sum()),
        "billed_after": _usd(restated["billed"].sum()),
        "effective_before": _usd(month["effective"].sum()),
        "effective_after": _usd(restated["effective"].sum()),
    }


_EVIDENCE = {
    "price-change": _price_change,
    "vision-overrun": _overrun,
    "egress-spike": _spike,
    "idle-reservation": _idle_reservation,
    "rack-down": _rack_down,
    "held-gpus": _held_gpus,
    "failing-run": _failing_run,
    "diverging-run": _diverging,
    "restated-month": _restated,
}


def planted(window: Window, lines: list[Line], charges: pd.DataFrame, **given) -> list[dict]:
    """Return the planted events of the window, each with the numbers that prove it."""
    line = charges["line"].to_numpy()
    tables = {
        name: np.array([entry.columns.get(column, "") for entry in lines])[line]
        for name, column in (
            ("resource", "ResourceId"),
            ("commitment", "CommitmentDiscountId"),
            ("status", "CommitmentDiscountStatus"),
        )
    }
    events = []
    for key, event in events_in(window).items():
        if key == "diverging-run" and "run-diverging" not in given["runs"]:
            continue
        evidence = _EVIDENCE[key](event=event, window=window, charges=charges, tables=tables, **given)
        events.append(
            {
                "name": key,
                "kind": event.kind,
                "project": event.project,
                "start": event.start,
                "end": event.end,
                "about": event.about,
                "evidence": evidence,
            }
        )
    return events


def totals(
    window: Window,
    charges: pd.DataFrame,
    restated: pd.DataFrame | None,
    log: pd.DataFrame,
    budget: pd.DataFrame,
    runs: dict[str, list[tuple]],
    recorded: list[dict],
    requests: pd.DataFrame,
) -> dict:
    """Return what a loader must find in the files; the restated month counts as restated."""
    bill = {}
    for m, name in enumerate(window.months):
        rows = charges[charges["month"] == m]
        if restated is not None and name == "2026-03":
            rows = restated
        bill[name] = {
            "rows": len(rows),
            "BilledCost": _usd(rows["billed"].sum()),
            "EffectiveCost": _usd(rows["effective"].sum()),
        }
    seconds = log["gpus"] * log["elapsed"]
    state = log["state"].map(dict(enumerate(STATES)))
    by_state = seconds.groupby(state).sum()
    amounts = budget["amount"].str.replace(".", "", regex=False).astype(np.int64).groupby(budget["month"].str[:4]).sum()
    return {
        "billing": bill,
        "jobs": {
            "rows": len(log),
            "by_state": {k: int(v) for k, v in state.value_counts().sort_index().items()},
            "gpu_seconds": int(seconds.sum()),
            "gpu_hours": round(int(seconds.sum()) / HOUR, 4),
            "gpu_hours_by_state": {k: round(int(v) / HOUR, 4) for k, v in by_state.items()},
        },
        "runs": {"runs": len(runs), "metric_rows": sum(map(len, runs.values()))},
        "measured_runs": {
            "runs": len({row["run_id"] for row in recorded}),
            "metric_rows": sum(bool(row[name]) for row in recorded for name in row.keys() - ABOUT_RUN),
        },
        "requests": {
            window.months[month]: {
                "requests": len(rows),
                "input_tokens": int(rows["input_tokens"].sum()),
                "output_tokens": int(rows["output_tokens"].sum()),
            }
            for month, rows in requests.groupby("month")
        },
        "partition_gpus": {
            p.name: {n: int(g) for n, g in zip(window.months, installed_gpus(p, window), strict=True)}
            for p in PARTITIONS
        },
        "fleet_capacity_gpu_hours": {
            name: {model: int(hours[m]) for model, hours in capacity_gpu_hours(window).items()}
            for m, name in enumerate(window.months)
        },
        "budget": {year: decimal_text(int(cents), 2) for year, cents in amounts.items()},
    }


def write_truth(path: Path, seed: int, events: list[dict], counted: dict) -> None:
    """Write truth.json."""
    content = {"generated": True, "seed": seed, "currency": "USD", "events": events, "totals": counted}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
