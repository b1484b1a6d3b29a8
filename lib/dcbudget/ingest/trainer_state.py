"""Hugging Face `trainer_state.json`: the Trainer's `log_history`, one object a logging step.

Fields as documented for `transformers.TrainerState`
(https://huggingface.co/docs/transformers/main_classes/callback#transformers.TrainerState). The file names neither its
run nor a time: the run is called by the folder that holds it, or the checkpoints that hold it. A metric of one of
several evaluation sets keeps the set in its name (`eval_<set>_loss`).
"""

import json

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.plan import BadRecord, Options, Plan, Reader, Records
from dcbudget.ingest.run_logs import Run, metric_names, name_of_run, run_plan
from dcbudget.ingest.source import Source


def detect(source: Source) -> bool:
    head = source.head.lstrip()
    return head.startswith("{") and '"log_history"' in head and '"global_step"' in head


def plan(source: Source, options: Options) -> Plan:
    return run_plan("trainer_state", convert, options)


def convert(source: Source) -> Records:
    """Every number of every entry of the log; an epoch counts once a step. The line is the entry's number."""
    try:
        with source.open_bytes() as stream:
            state = json.loads(stream.read().decode(source.encoding))
        entries = list(state["log_history"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableFile(f"{source.path.name}: damaged JSON ({error})") from None
    run = Run(name_of_run(source.path))
    last_epoch = None
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
            yield BadRecord(number, "an entry of log_history without a step", json.dumps(entry))
            continue
        step, epoch = entry["step"], entry.get("epoch")
        # `train_loss` closes the log with the mean over the run
        names = metric_names(entry) | {"train_loss": "train_loss"}
        for name, value in entry.items():
            if name == "step" or (name == "epoch" and (step, epoch) == last_epoch):
                continue
            yield number, run.record(names[name], value if _is_number(value) else None, step)
        last_epoch = (step, epoch)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


READER = Reader("trainer_state", "run_metrics", "Hugging Face trainer_state.json", detect, plan)
