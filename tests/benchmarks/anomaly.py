"""How well alerts of spend find what was planted in labelled series, beside a plain z-score.

Each series is a year of daily spend with weekends, growth and noise, in which a spike of one to four days, a step that
lasts 45 days and the way back, and a rise over 40 days are planted; quiet series have nothing. An event is found where
an alert fires while it lasts (a step: in its first four weeks); an alert is right where it fires in an event. The
z-score takes the mean and the deviation of the 28 days before, and tells of days beyond three deviations; days in a row
are one alert. A missed target is printed, not an error.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.models.anomaly import spend

DAYS, LEVEL = 365, 1000.0
RULES = spend.Rules(least_money=0.3 * LEVEL)
FOUND_WITHIN = 28


@dataclass(frozen=True)
class Event:
    """What was planted, in days [start, end)."""

    kind: str
    start: int
    end: int


def planted(seed: int, noise: float) -> tuple[np.ndarray, list[Event]]:
    """A year of spend, and what was planted in it."""
    random = np.random.default_rng(seed)
    days = np.arange(DAYS)
    usual = LEVEL * 1.02 ** (days / 30.4) * np.where(days % 7 >= 5, 0.7, 1.0)
    values = usual * np.exp(random.normal(0, noise, DAYS))
    spike, step, rise = (int(random.integers(*span)) for span in ((75, 110), (140, 170), (270, 300)))
    long = int(random.integers(1, 5))
    values[spike : spike + long] *= random.uniform(1.5, 3.0)
    values[step : step + 45] *= random.uniform(1.25, 1.6)
    ramp = np.linspace(0, random.uniform(0.4, 0.8), 40)
    values[rise : rise + 40] *= 1 + ramp
    values[rise + 40 :] *= 1 + ramp[-1]
    return values, [
        Event("spike", spike, spike + long), Event("step", step, step + FOUND_WITHIN),
        Event("step back", step + 45, step + 45 + FOUND_WITHIN), Event("drift", rise, rise + 60),
    ]  # fmt: skip


def quiet(seed: int, noise: float) -> np.ndarray:
    """The same without anything planted."""
    days = np.arange(DAYS)
    usual = LEVEL * 1.02 ** (days / 30.4) * np.where(days % 7 >= 5, 0.7, 1.0)
    return usual * np.exp(np.random.default_rng(10_000 + seed).normal(0, noise, DAYS))


def by_library(values: np.ndarray) -> list[int]:
    """The days on which alerts of the workbook fire."""
    series = pd.Series(values, pd.date_range("2025-01-06", periods=len(values)))
    return [episode.fired for episode in spend.judge(series, RULES)[1] if episode.fired is not None]


def by_z_score(values: np.ndarray) -> list[int]:
    """The first days of the alerts of the baseline."""
    before = pd.Series(values).shift(1).rolling(28)
    beyond = ((pd.Series(values) - before.mean()).abs() > 3 * before.std()).to_numpy()
    return np.flatnonzero(beyond & ~np.concatenate([[False], beyond[:-1]])).tolist()


def scored(find, seeds: int, noise: float) -> dict[str, float]:
    """Precision, recall by kind, median delay [days] and false alerts of a quiet year."""
    right = told = 0
    delays: dict[str, list[float]] = {}
    for seed in range(seeds):
        values, events = planted(seed, noise)
        fired = find(values)
        told += len(fired)
        right += sum(any(event.start <= day < event.end for event in events) for day in fired)
        for event in events:
            hits = [day - event.start for day in fired if event.start <= day < event.end]
            delays.setdefault(event.kind, []).append(min(hits, default=np.nan))
    false = sum(len(find(quiet(seed, noise))) for seed in range(seeds))
    every = np.concatenate([np.array(found) for found in delays.values()])
    return {
        "precision": right / told if told else float("nan"),
        "recall": float(np.isfinite(every).mean()),
        **{f"recall, {kind}": float(np.isfinite(found).mean()) for kind, found in delays.items()},
        "delay": float(np.nanmedian(every)) if np.isfinite(every).any() else float("nan"),
        "false alerts a quiet year": false / seeds,
    }


TARGETS = {"precision": 0.8, "recall, spike": 0.9, "recall, step": 0.9}


def main() -> None:
    """Print the scores of both ways at several levels of noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30, help="series at each level of noise (default %(default)s)")
    seeds = parser.parse_args().seeds
    print(f"Alerts of spend on labelled series: {seeds} a level of noise, 4 events in each; targets in brackets")
    for noise in (0.02, 0.05, 0.10):
        ours, plain = (scored(find, seeds, noise) for find in (by_library, by_z_score))
        print(f"noise of {noise:.0%} a day")
        for name, value in ours.items():
            target = TARGETS.get(name)
            mark = "" if target is None else f" [{target:g}{'' if value >= target else ', MISSED'}]"
            print(f"  {name:28} {value:6.2f}{mark:16} z-score {plain[name]:6.2f}")


if __name__ == "__main__":
    main()
