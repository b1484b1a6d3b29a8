"""Training strategies, measured: one small model is really trained in each way that a plan may choose between.

Every way trains the same network on the same handwritten digits to the same accuracy on digits that it never saw: one
process; a larger batch, at once or accumulated; and data parallel over processes (PyTorch's DistributedDataParallel,
over gloo on CPUs and NCCL on GPUs). A process has one thread and stands for a server: of one core, or of one GPU where
there is one for every process.
"""

import csv
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from dcbudget.errors import DcbudgetError, OutOfRange

MODEL = "digits-cnn"
# Images to learn from, of the 1,797; the others test.
TRAINED_ON = 1280
BATCH, LARGE_BATCH = 64, 256
# At BATCH; it grows with the square root of the batch (Krizhevsky 2014, arXiv:1404.5997), and from almost nothing over
# the first epochs (Goyal et al. 2017, arXiv:1706.02677). Without either the large batch diverges.
LEARNING_RATE, MOMENTUM, WARM_UP_EPOCHS = 0.05, 0.9, 3
TARGET, EPOCHS, SEEDS, PROCESSES = 0.97, 40, 3, 2
COLUMNS = (
    "run_id", "model", "gpus", "status", "step", "time", "epoch", "elapsed_seconds", "loss", "accuracy", "f1",
    "step_time", "step_time_p95", "samples_per_second", "energy_kwh", "processes", "batch_size", "accumulation", "seed",
    "target_accuracy",
)  # fmt: skip
INSTALL = "make torch brings what dcbudget measure needs (elsewhere pip install 'dcbudget[measure]')"
POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Mode:
    """A way to train: each of `processes` takes `accumulation` batches of `batch_size` samples before a step."""

    processes: int = 1
    batch_size: int = BATCH
    accumulation: int = 1

    @property
    def global_batch(self) -> int:
        """Samples a step."""
        return self.processes * self.batch_size * self.accumulation

    def __str__(self) -> str:
        if self.processes > 1:
            return f"ddp-{self.processes}x{self.batch_size}"
        return f"accumulated-{self.accumulation}x{self.batch_size}" if self.accumulation > 1 else f"1x{self.batch_size}"


@dataclass(frozen=True)
class Training:
    """What holds for every run of a measurement: up to which accuracy (0-1) and for how many epochs at most."""

    target: float = TARGET
    epochs: int = EPOCHS
    learning_rate: float = LEARNING_RATE
    gpus: bool = False


def modes(processes: int = PROCESSES) -> list[Mode]:
    """The ways that are compared; those of several processes have the global batches of those of one.

    Raises
    ------
    OutOfRange : `processes` is no power of 2 from 1 to 64, so that it does not share out a batch of 64.
    """
    if processes not in (1, 2, 4, 8, 16, 32, 64):
        raise OutOfRange(f"processes must be 1, 2, 4, 8, 16, 32 or 64, not {processes}")
    alone = [Mode(), Mode(accumulation=LARGE_BATCH // BATCH), Mode(batch_size=LARGE_BATCH)]
    return alone + [Mode(processes, batch // processes) for batch in (BATCH, LARGE_BATCH) if processes > 1]


def measure(
    out: Path,
    seeds: int = SEEDS,
    target: float = TARGET,
    processes: int = PROCESSES,
    epochs: int = EPOCHS,
    on_run: Callable[[list[dict]], None] = lambda records: None,
) -> Path:
    """Train in every mode with every seed, and write what was measured as a log that `dcbudget load` reads.

    Parameters
    ----------
    out : Path
        CSV file to write, one row an epoch; the one before training holds the run's settings.
    seeds : int
        Runs of a mode. The first run of every mode goes before the second of any, so that what else the machine does
        meets all alike.
    target : float
        Accuracy (0-1) on the test images at which a run ends.
    processes : int
        Of the modes that are data parallel.
    epochs : int
        After so many a run ends without its target (status TIMEOUT), as it does where its loss is no longer a finite
        number (FAILED).
    on_run : callable
        Is given the records of each run as it ends.

    Raises
    ------
    OutOfRange : a number out of its range.
    DcbudgetError : PyTorch or scikit-learn is not installed, the log cannot be written, or a process of a run broke.
    """
    if not 1 <= seeds <= 100:
        raise OutOfRange(f"seeds must lie between 1 and 100, not {seeds}")
    if not 0 < target <= 1:
        raise OutOfRange(f"target must lie above 0 and not above 1, not {target:g}")
    if not 1 <= epochs <= 1000:
        raise OutOfRange(f"epochs must lie between 1 and 1000, not {epochs}")
    compared = modes(processes)
    torch, digits = _torch(), _digits()
    training = Training(target, epochs, gpus=torch.cuda.device_count() >= processes)
    began = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        stream = out.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise DcbudgetError(f"{out} cannot be written: {error.strerror}") from None
    with stream:
        log = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        log.writeheader()
        for seed in range(1, seeds + 1):
            for mode in compared:
                records = train(mode, seed, training, digits, f"measure-{began}-{mode}-seed{seed}")
                log.writerows({name: _shown(value) for name, value in record.items()} for record in records)
                stream.flush()
                on_run(records)
    return out


def train(
    mode: Mode, seed: int, training: Training, digits: tuple | None = None, run_id: str = "measure"
) -> list[dict]:
    """Train once in processes of its own; a record an epoch, by COLUMNS.

    Raises
    ------
    DcbudgetError : PyTorch or scikit-learn is not installed, or a process broke.
    """
    _torch()
    from torch import multiprocessing

    with TemporaryDirectory(prefix="dcbudget-") as folder:
        given = (mode, seed, training, digits or _digits(), folder)
        try:
            multiprocessing.start_processes(_work, given, mode.processes, start_method=_start_method())
        except (multiprocessing.ProcessRaisedException, multiprocessing.ProcessExitedException) as error:
            raise DcbudgetError(f"{run_id}: {str(error).strip().splitlines()[-1]}") from error
        records = json.loads((Path(folder) / "records.json").read_text(encoding="utf-8"))
    status = "COMPLETED" if records[-1]["accuracy"] >= training.target else "TIMEOUT"
    if not np.isfinite(records[-1]["loss"]):
        status = "FAILED"
    about = {"run_id": run_id, "model": MODEL, "gpus": mode.processes if training.gpus else None, "status": status}
    settings = {"processes": mode.processes, "batch_size": mode.batch_size, "accumulation": mode.accumulation,
                "seed": seed, "target_accuracy": training.target}  # fmt: skip
    return [about | (settings if record["epoch"] == 0 else {}) | record for record in records]


def _work(rank: int, mode: Mode, seed: int, training: Training, digits: tuple, folder: str) -> None:
    """One of the processes of a run; the first writes down what was measured."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    device = torch.device("cuda", rank) if training.gpus else torch.device("cpu")
    if mode.processes > 1:
        # they are all on this machine
        loopback = "lo0" if sys.platform == "darwin" else "lo"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
        if training.gpus:
            torch.cuda.set_device(device)
        distributed.init_process_group(
            "nccl" if training.gpus else "gloo",
            init_method=(Path(folder) / "meeting").as_uri(),
            rank=rank,
            world_size=mode.processes,
        )
    records = _train(rank, mode, seed, training, digits, device)
    if mode.processes > 1:
        # without it a process that is through tears the group down under the others
        distributed.barrier()
        distributed.destroy_process_group()
    if rank == 0:
        (Path(folder) / "records.json").write_text(json.dumps(records), encoding="utf-8")


def _train(rank: int, mode: Mode, seed: int, training: Training, digits: tuple, device) -> list[dict]:
    """The records of a run up to its target, its last epoch or its divergence.

    The clock runs while the model trains, communication included, and stands while it is tested.
    """
    import torch
    from torch import distributed
    from torch.nn import functional
    from torch.nn.parallel import DistributedDataParallel

    images, labels, test_images, test_labels = (torch.from_numpy(part).to(device) for part in digits)
    model = _network().to(device)
    replica = DistributedDataParallel(model) if mode.processes > 1 else model
    rate = training.learning_rate * (mode.global_batch / BATCH) ** 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=MOMENTUM)
    order = np.random.default_rng(seed)
    steps_an_epoch = len(labels) // mode.global_batch
    warm_up_steps = WARM_UP_EPOCHS * steps_an_epoch

    def learn(samples) -> float:
        """Forward and backward over this process's samples of a step; the mean of their loss."""
        optimizer.zero_grad()
        total = 0.0
        for number, part in enumerate(samples.split(mode.batch_size), 1):
            early = mode.processes > 1 and number < mode.accumulation
            with replica.no_sync() if early else nullcontext():
                loss = functional.cross_entropy(replica(images[part]), labels[part]) / mode.accumulation
                loss.backward()
            total += loss.item()
        return total

    def together(value: float) -> float:
        """The mean over the processes, which meet here: all know the same and end in the same epoch."""
        if mode.processes == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(shared)
        return shared.item() / mode.processes

    # a first pass allocates memory and chooses kernels; it changes no weight
    share = mode.batch_size * mode.accumulation
    learn(torch.arange(share, device=device))
    energy = _EnergyMeter(mode.processes if training.gpus else 0)
    accuracy, f1 = _score(model, test_images, test_labels)
    records = [{"epoch": 0, "step": 0, "time": _now(), "elapsed_seconds": 0.0, "accuracy": accuracy, "f1": f1,
                "loss": functional.cross_entropy(model(images), labels).item()}]  # fmt: skip
    seconds, taken = 0.0, []
    for epoch in range(1, training.epochs + 1):
        shuffled = torch.from_numpy(order.permutation(len(labels))).to(device)
        losses = []
        together(0.0)
        begin = perf_counter()
        for step in range(steps_an_epoch):
            optimizer.param_groups[0]["lr"] = rate * min(1.0, (len(taken) + 1) / warm_up_steps)
            start = perf_counter()
            mine = step * mode.global_batch + rank * share
            losses.append(learn(shuffled[mine : mine + share]))
            optimizer.step()
            if training.gpus:
                torch.cuda.synchronize(device)
            taken.append(perf_counter() - start)
        in_epoch = perf_counter() - begin
        seconds += in_epoch
        loss = together(float(np.mean(losses)))
        accuracy, f1 = (together(score) for score in _score(model, test_images, test_labels))
        records.append({
            "epoch": epoch, "step": len(taken), "time": _now(), "elapsed_seconds": seconds, "loss": loss,
            "accuracy": accuracy, "f1": f1, "step_time": float(np.mean(taken[-steps_an_epoch:])),
            "step_time_p95": float(np.quantile(taken, 0.95)),
            "samples_per_second": steps_an_epoch * mode.global_batch / in_epoch, "energy_kwh": energy.kwh(),
        })  # fmt: skip
        if accuracy >= training.target or not np.isfinite(loss):
            break
    return records


def _network():
    """A network of three convolutions and two dense layers for images of 8 x 8: 188,234 parameters."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def _score(model, images, labels) -> tuple[float, float]:
    """Accuracy, and F1 as the mean over the ten digits."""
    import torch

    with torch.no_grad():
        guesses = model(images).argmax(1).cpu().numpy()
    return scores(labels.cpu().numpy(), guesses)


def scores(labels: np.ndarray, guesses: np.ndarray) -> tuple[float, float]:
    """Accuracy, and macro F1: the mean over the classes of 2 TP / (2 TP + FP + FN); both 0-1.

    Parameters
    ----------
    labels, guesses : np.ndarray
        Whole numbers from 0 on, one a sample; a class that is only guessed has an F1 of 0.
    """
    classes = max(labels.max(), guesses.max()) + 1
    right = np.bincount(labels[labels == guesses], minlength=classes)
    named = np.bincount(labels, minlength=classes) + np.bincount(guesses, minlength=classes)
    return float(np.mean(labels == guesses)), float(np.mean(2 * right[named > 0] / named[named > 0]))


class _EnergyMeter:
    """What the machine's processors (RAPL) or the GPUs in use (NVML) have drawn since it was made, where it is told."""

    def __init__(self, gpus: int) -> None:
        self.gpus = gpus
        self.domains = [] if gpus else sorted(POWERCAP.glob("intel-rapl:[0-9]*"))
        self.domains = [domain for domain in self.domains if domain.name.count(":") == 1]
        self.last, self.joules = self._counters(), 0.0

    def kwh(self) -> float | None:
        """Energy since the start in kWh; None where no counter can be read."""
        counters = self._counters()
        for (now, span), (before, _) in zip(counters, self.last, strict=False):
            self.joules += (now - before) % span if span else now - before
        self.last = counters
        return self.joules / 3.6e6 if counters else None

    def _counters(self) -> list[tuple[float, float]]:
        """(joules, the joules at which it begins anew or 0) of each counter."""
        try:
            if self.gpus:
                import pynvml

                pynvml.nvmlInit()
                handles = [pynvml.nvmlDeviceGetHandleByIndex(gpu) for gpu in range(self.gpus)]
                return [(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, 0.0) for handle in handles]
            return [tuple(int((domain / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
                    for domain in self.domains]  # fmt: skip
        except Exception:  # no driver, no right to read: energy is not known
            return []


def _torch():
    try:
        import torch
    except ImportError:
        raise DcbudgetError(f"PyTorch is not installed; {INSTALL}") from None
    if not torch.distributed.is_available():
        raise DcbudgetError("this build of PyTorch cannot train over several processes (torch.distributed)")
    return torch


def _start_method() -> str:
    """How processes begin: from one that has PyTorch imported already, where there is such a thing."""
    import multiprocessing

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    # the second comes in with the first optimizer and takes as long as the first
    multiprocessing.set_forkserver_preload(["torch", "torch._dynamo", __name__])
    return "forkserver"


def _digits() -> tuple[np.ndarray, ...]:
    """Images (n, 1, 8, 8) in 0-1 and labels to train on, and those to test on, always the same.

    The handwritten digits of the UCI repository (Alpaydin and Kaynak 1998) that scikit-learn brings with it.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DcbudgetError(f"scikit-learn is not installed; {INSTALL}") from None
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    order = np.random.default_rng(0).permutation(len(labels))
    learn, test = order[:TRAINED_ON], order[TRAINED_ON:]
    return images[learn], labels[learn], images[test], labels[test]


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _shown(value):
    return f"{value:.6g}" if isinstance(value, float) else value
