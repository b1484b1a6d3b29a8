"""Training time against plan: what was planned by hand or in a budget, or else what the performance model expects."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.performance.work import training_hours
from dcbudget.models.ranges import positive, within

# What a plan of a run may tell, with its range.
FIELDS = {"hours": (0, 1e7), "gpu_hours": (0, 1e12), "tokens": (0, 1e18), "parameters": (1, 1e16), "gpus": (1, 1e7),
          "mfu": (0.01, 1), "accuracy": (0, 1), "f1": (0, 1)}  # fmt: skip
# A budget line's driver that plans a run: "run lm-70b: 120 hours", "run lm-70b: 2000 GPU-hours".
DRIVER = re.compile(r"^\s*run\s+(\S+?):?\s+([\d,.]+)\s*(GPU-hours|hours|h)\s*$", re.I)


def checked(plans: Sequence[Mapping]) -> list[dict]:
    """The plans of the parameter, every field known and in its range.

    Raises
    ------
    OutOfRange : a plan names no run, has a field that there is not, or a value out of its range.
    """
    found = []
    for plan in plans:
        if not isinstance(plan, Mapping) or not str(plan.get("run", "")).strip():
            raise OutOfRange(f'a plan must name its run, such as {{"run": "lm-70b", "hours": 120}}, not {plan!r}')
        strange = sorted(set(plan) - {"run", *FIELDS})
        if strange:
            raise OutOfRange(f"a plan has no {strange[0]!r}; it has run, {', '.join(FIELDS)}")
        values = {
            name: within(f"{name} of {plan['run']}", plan[name], *FIELDS[name]) for name in FIELDS if name in plan
        }
        found.append({"run": str(plan["run"]), **values})
    return found


def of_drivers(drivers: Sequence[str | None]) -> list[dict]:
    """Plans of runs that the drivers of budget lines tell; lines of one run add up."""
    found: dict[str, dict] = {}
    for driver in drivers:
        if told := DRIVER.match(driver or ""):
            name, number, unit = told.groups()
            field = "gpu_hours" if unit.lower() == "gpu-hours" else "hours"
            plan = found.setdefault(name, {"run": name})
            plan[field] = plan.get(field, 0.0) + float(number.replace(",", ""))
    return list(found.values())


def against_plan(
    runs: pd.DataFrame,
    plans: Sequence[Mapping],
    drivers: Sequence[Mapping],
    tflops: Mapping[str, float],
    usual_mfu: Mapping[str, float],
) -> pd.DataFrame:
    """Training time of every run beside what was planned of it.

    The first that tells counts: `plans`, `drivers`, the performance model. Where a plan tells tokens, parameters and
    GPUs, but no hours, hours = 6 * parameters * tokens / (GPUs * peak * MFU). The model does the same with the tokens
    that the run has kept, the parameters that its MFU and tokens a second imply, its GPUs, and the usual MFU of its
    GPU kind: what the same work would have taken without failures at that MFU.

    Parameters
    ----------
    runs : of `training_runs.summary`.
    plans : of `checked`; `run` may be a pattern as in file names.
    drivers : of `of_drivers`.
    tflops : GPU model -> peak [TFLOP/s]; usual_mfu : GPU model -> MFU.

    Returns
    -------
    DataFrame : `run`, `held_hours`, `planned_hours`, `source` (plan, budget, model or ""), `overrun` (held over
        planned - 1), `tokens`, `planned_tokens`, `progress` (kept tokens over planned ones), `expected_hours` (held
        hours over progress: at the pace so far), `accuracy`, `planned_accuracy`, `f1`, `planned_f1`.
    """
    rows = [_planned(run, plans, drivers, tflops, usual_mfu) for run in runs.itertuples()]
    found = pd.DataFrame(rows, columns=["planned_hours", "source", "planned_tokens", "planned_accuracy", "planned_f1"])
    frame = runs[["run", "held_hours", "tokens", "accuracy", "f1"]].reset_index(drop=True).join(found)
    frame["overrun"] = frame["held_hours"] / frame["planned_hours"].where(frame["planned_hours"] > 0) - 1
    frame["progress"] = frame["tokens"] / frame["planned_tokens"].where(frame["planned_tokens"] > 0)
    frame["expected_hours"] = frame["held_hours"] / frame["progress"].where(frame["progress"] > 0)
    return frame


def implied_parameters(tokens_per_second, mfu, gpus, tflops):
    """Parameters that a throughput and its MFU imply: MFU x GPUs x peak / (6 x tokens a second).

    Source: Kaplan et al. 2020, section 2.1 (6 FLOPs a parameter and token).
    """
    return mfu * gpus * positive("tflops", tflops) * 1e12 / (6 * positive("tokens_per_second", tokens_per_second))


def _planned(run, plans, drivers, tflops, usual_mfu) -> tuple[float, str, float, float, float]:
    for source, given in (("plan", plans), ("budget", drivers)):
        for plan in given:
            if fnmatchcase(run.run, plan["run"]):
                hours = _hours(run, plan, tflops, usual_mfu)
                told = [plan.get(name, np.nan) for name in ("tokens", "accuracy", "f1")]
                return hours, source if hours == hours else "", *told
    hours = _model(run, tflops, usual_mfu)
    return hours, "model" if hours == hours else "", np.nan, np.nan, np.nan


def _hours(run, plan: Mapping, tflops: Mapping, usual_mfu: Mapping) -> float:
    gpus = plan.get("gpus", run.gpus)
    if "hours" in plan:
        return plan["hours"]
    if "gpu_hours" in plan:
        return plan["gpu_hours"] / gpus if gpus > 0 else np.nan
    mfu = plan.get("mfu", usual_mfu.get(run.gpu_model, np.nan))
    if "tokens" not in plan or not mfu > 0 or not gpus >= 1 or run.gpu_model not in tflops:
        return np.nan
    parameters = plan.get("parameters") or _parameters(run, tflops)
    return _of_work(parameters, plan["tokens"], gpus, tflops[run.gpu_model], mfu)


def _model(run, tflops: Mapping, usual_mfu: Mapping) -> float:
    mfu = usual_mfu.get(run.gpu_model, np.nan)
    if run.gpu_model not in tflops or not mfu > 0 or not run.gpus >= 1:
        return np.nan
    return _of_work(_parameters(run, tflops), run.tokens, run.gpus, tflops[run.gpu_model], mfu)


def _of_work(parameters: float, tokens: float, gpus: float, tflops: float, mfu: float) -> float:
    if not parameters > 0 or not tokens > 0:
        return np.nan
    return float(training_hours(6.0 * parameters * tokens, gpus, tflops, mfu))


def _parameters(run, tflops: Mapping) -> float:
    if not run.tokens_per_second > 0 or not run.mfu > 0:
        return np.nan
    return float(implied_parameters(run.tokens_per_second, run.mfu, run.gpus, tflops[run.gpu_model]))
