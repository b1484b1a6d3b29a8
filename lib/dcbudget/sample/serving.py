"""Serving logs of the project that answers questions about long documents: one row a request, the last months only.

Arrivals follow the working day, prompts and answers are log-normal in length as in published serving traces (Patel et
al. 2024, Splitwise; the Azure LLM inference traces). Latency is a prefill at a rate of tokens a second and a decode at
another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .runs import MODELS
from .sacct import write_gzip
from .window import DAY, HOUR, Window

PROJECT = "platform"
# Requests of the last months, the latest last.
REQUESTS_A_MONTH = (12_000, 15_000, 18_000)
PROMPT_MEDIAN, PROMPT_SIGMA, CONTEXT = 40_000, 0.7, 131_072
ANSWER_MEDIAN, ANSWER_SIGMA, LONGEST_ANSWER = 600, 0.6, 8_192
PREFILL_A_SECOND, DECODE_A_SECOND = 20_000, 90
# Of an hour of the day against the busiest, UTC.
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 8, 9, 10, 10, 9, 8, 6, 5, 4, 4, 3, 3]) / 10
WEEKEND = 0.4


def make_requests(rng: np.random.Generator, window: Window) -> pd.DataFrame:
    """Return the requests in order: month (index), time (milliseconds since 1970), tokens and latency in seconds."""
    months = []
    first = len(window.months) - len(REQUESTS_A_MONTH)
    for month, count in enumerate(REQUESTS_A_MONTH, first):
        if month < 0:
            continue
        hours = np.arange(window.edges[month], window.edges[month + 1], HOUR)
        weekday = (hours // DAY + 3) % 7  # 1970 began on a Thursday
        weight = HOURS[hours // HOUR % 24] * np.where(weekday < 5, 1, WEEKEND)
        hour = rng.choice(hours, count, p=weight / weight.sum())
        prompt = np.clip(rng.lognormal(np.log(PROMPT_MEDIAN), PROMPT_SIGMA, count), 16, CONTEXT).astype(int)
        answer = np.clip(rng.lognormal(np.log(ANSWER_MEDIAN), ANSWER_SIGMA, count), 1, LONGEST_ANSWER).astype(int)
        latency = (prompt / PREFILL_A_SECOND + answer / DECODE_A_SECOND) * rng.lognormal(0, 0.15, count)
        months.append(
            pd.DataFrame(
                {
                    "month": month,
                    "time": hour * 1000 + rng.integers(0, HOUR * 1000, count),
                    "input_tokens": prompt,
                    "output_tokens": answer,
                    "latency_seconds": latency.round(3),
                }
            ).sort_values("time", kind="stable", ignore_index=True)
        )
    return pd.concat(months, ignore_index=True)


def write_requests(folder: Path, requests: pd.DataFrame, window: Window) -> dict[str, int]:
    """Write requests by month; return the rows of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for month, rows in requests.groupby("month"):
        out = rows.drop(columns="month")
        out["time"] = pd.to_datetime(rows["time"], unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z"
        out.insert(1, "project", PROJECT)
        out.insert(2, "model", MODELS[PROJECT][0])
        name = f"requests_{window.months[month]}.csv.gz"
        write_gzip(folder / name, out.to_csv(index=False, lineterminator="\n"))
        counts[f"serving/{name}"] = len(out)
    return counts
