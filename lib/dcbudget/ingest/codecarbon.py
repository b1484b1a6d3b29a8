"""CodeCarbon's `emissions.csv`: energy, power and emissions of a run, as measured when it was written down.

Columns and units as documented (https://mlco2.github.io/codecarbon/output.html): energies in kWh, emissions in kg of
CO2 equivalents, power in W, duration in s. A run that was written down several times has several rows, each of the run
so far. Its times have no zone.
"""

from datetime import datetime, timedelta

from dcbudget.errors import UnreadableFile
from dcbudget.ingest import damage
from dcbudget.ingest.plan import Dialect, Options, Plan, Reader, Records
from dcbudget.ingest.run_logs import NULLS, Run, run_plan
from dcbudget.ingest.source import Source

NEEDED = {"timestamp", "project_name", "duration", "emissions", "energy_consumed"}
METRICS = {
    "duration": "elapsed_seconds",
    "energy_consumed": "energy_kwh",
    "cpu_energy": "cpu_energy_kwh",
    "gpu_energy": "gpu_energy_kwh",
    "ram_energy": "ram_energy_kwh",
    "emissions": "emissions_kg",
    "cpu_power": "cpu_power_watts",
    "gpu_power": "gpu_power_watts",
    "ram_power": "ram_power_watts",
}
# The name that CodeCarbon gives to a project without one.
NO_PROJECT = "codecarbon"


def detect(source: Source) -> bool:
    return source.kind == "text" and set(source.best_delimiter(NEEDED)[1]) >= NEEDED


def plan(source: Source, options: Options) -> Plan:
    delimiter, header = source.best_delimiter(NEEDED)
    if missing := NEEDED - set(header):
        raise UnreadableFile(f"{source.path.name}: no CodeCarbon file, column {min(missing)} is missing")
    file = Plan("codecarbon", "run_metrics", header, {}, Dialect(delimiter))

    def convert(source: Source) -> Records:
        begun = set()
        for record in damage.whole_records(source, file):
            if not isinstance(record, tuple):
                yield record
                continue
            line, fields = record
            row = {name: None if text in NULLS else text for name, text in zip(header, fields, strict=True)}
            run = Run(row.get("run_id") or (row["timestamp"] and f"{row['project_name']} {row['timestamp']}"))
            run.project = row["project_name"] if row["project_name"] != NO_PROJECT else None
            run.gpus = row.get("gpu_count")
            if run.run_id not in begun and (start := _start(row)):
                yield line, run.record("elapsed_seconds", 0, None, start)
            begun.add(run.run_id)
            for name, metric in METRICS.items():
                if row.get(name) is not None:
                    yield line, run.record(metric, row[name], None, row["timestamp"])

    return run_plan("codecarbon", convert, options)


def _start(row: dict[str, str | None]) -> str | None:
    """When a run began: its time less its duration; nothing where either cannot be read."""
    try:
        return (datetime.fromisoformat(row["timestamp"]) - timedelta(seconds=float(row["duration"]))).isoformat()
    except (TypeError, ValueError, OverflowError):
        return None


READER = Reader("codecarbon", "run_metrics", "CodeCarbon emissions.csv", detect, plan)
