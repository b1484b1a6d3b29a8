"""Hourly usage of pods and their GPUs, as jobs."""

import csv
from collections import defaultdict
from datetime import datetime, timedelta

import pytest

from focus_rows import ask, assert_conserved, load_one, masked, pseudonym, rejects
from native_rows import write_csv

DAY = datetime(2026, 8, 1)


def hour(number: int, **fields: str) -> dict[str, str]:
    start = DAY + timedelta(hours=number)
    return {
        "report_period_start": "2026-08-01 00:00:00 +0000 UTC",
        "interval_start": f"{start} +0000 UTC",
        "interval_end": f"{start + timedelta(minutes=59, seconds=59)} +0000 UTC",
        "node": "GPU-node-1.example.org",
        "namespace": "team-a",
        "pod": "train-0",
        **fields,
    }


def on_gpu(number: int, gpu: str = "GPU-1", seconds: int | str = 3600, **fields: str) -> dict[str, str]:
    """An hour of a pod on a GPU."""
    return hour(
        number, gpu_uuid=gpu, gpu_model_name=fields.pop("model", "NVIDIA A100-SXM4-80GB"), gpu_pod_uptime=str(seconds),
        **{"mig_instance_id": "", "mig_profile": "", **fields},
    )  # fmt: skip


def requested(number: int, cores: int = 8, gib: int = 64, **fields: str) -> dict[str, str]:
    """An hour of a pod with its requests."""
    return hour(number, pod_request_cpu_core_seconds=str(cores * 3600),
                pod_request_memory_byte_seconds=str(gib * 1024**3 * 3600), **fields)  # fmt: skip


def load_rows(tmp_path, db, rows, name="usage"):
    result = load_one(write_csv(tmp_path / f"{name}.csv", rows), db, keep_names=True)
    if result.status in ("loaded", "replaced"):
        assert_conserved(result, db)
        assert result.rows_read + result.rows_skipped == len(rows)
    return result


def jobs(db, *columns: str) -> list[tuple]:
    return ask(db, f"select {', '.join(columns)} from jobs order by job_id, start_time")


def at(number: int) -> datetime:
    return DAY + timedelta(hours=number)


def test_the_presence_of_a_pod_is_a_job(tmp_path, db):
    """Three hours on two GPUs, of which the last hour for 20 minutes; then, an hour later, one hour on one."""
    rows = [on_gpu(n, gpu) for n in (0, 1) for gpu in ("GPU-1", "GPU-2")]
    rows += [on_gpu(2, gpu, 1200) for gpu in ("GPU-1", "GPU-2")] + [on_gpu(4)]
    result = load_rows(tmp_path, db, list(reversed(rows)))
    assert (result.format, result.rows_read, result.rows_skipped) == ("kubernetes_gpus", 2, 5)
    node = pseudonym(db, "h", "gpu-node-1")
    assert jobs(
        db, "job_id", "job_name", "account", "host", "start_time", "end_time", "gpus", "gpu_model", "gpu_slice"
    ) == [
        ("team-a/train-0", "train-0", "team-a", node, at(0), at(3), pytest.approx(2 * 7 / 9), "A100", None),
        ("team-a/train-0", "train-0", "team-a", node, at(4), at(5), 1.0, "A100", None),
    ]
    hours = ask(db, "select sum(gpus * elapsed_seconds) / 3600 from jobs")[0][0]
    assert hours == pytest.approx((4 * 3600 + 2 * 1200 + 3600) / 3600, abs=1e-9)


def test_slices_are_their_part_of_a_card(tmp_path, db):
    """By the operator's own counts where it gives them, else by the profile's name."""
    rows = [
        on_gpu(0, mig_instance_id="MIG-1", mig_profile="1g.10gb"),
        on_gpu(0, mig_instance_id="MIG-2", mig_profile="1g.10gb"),
        on_gpu(0, mig_instance_id="MIG-3", mig_profile="3g.40gb"),
        on_gpu(0, "GPU-2"),
        on_gpu(0, pod="small", model="A30", mig_instance_id="MIG-4", mig_profile="2g.12gb"),
        on_gpu(0, pod="told", mig_instance_id="MIG-5", mig_profile="2x", mig_slice_count="2",
               parent_gpu_max_slices="5"),
    ]  # fmt: skip
    load_rows(tmp_path, db, rows)
    assert jobs(db, "job_id", "gpus", "gpu_slice") == [
        ("team-a/small", 0.5, "2g.12gb"),
        ("team-a/told", pytest.approx(0.4), "2x"),
        ("team-a/train-0", pytest.approx(12 / 7), "1g.10gb+3g.40gb"),
    ]


def test_a_pod_on_several_models_or_nodes_is_several_jobs(tmp_path, db):
    rows = [on_gpu(0), on_gpu(0, "GPU-2", model="Tesla T4"), on_gpu(0, "GPU-3", node="gpu-node-2"),
            on_gpu(0, namespace="team-b")]  # fmt: skip
    load_rows(tmp_path, db, rows)
    first, second = (pseudonym(db, "h", f"gpu-node-{n}") for n in (1, 2))
    assert jobs(db, "job_id", "host", "gpu_model", "gpus") == [
        ("team-a/train-0", first, "A100", 1.0),
        ("team-a/train-0/2", second, "A100", 1.0),
        ("team-a/train-0/T4", first, "T4", 1.0),
        ("team-b/train-0", first, "A100", 1.0),
    ]


@pytest.mark.parametrize(
    ("bad", "rejected"),
    [
        (on_gpu(1, seconds=""), ("elapsed_seconds", None, "is empty")),
        (on_gpu(1, seconds="all"), ("elapsed_seconds", "all", "not a number")),
        (on_gpu(1, seconds=3700), ("elapsed_seconds", "3700.0", "is longer than its interval")),
        (on_gpu(1, seconds=-1), ("elapsed_seconds", "-1.0", "must not be negative")),
        (on_gpu(1, mig_profile="half"), ("gpu_slice", "half", "not a profile such as 1g.10gb")),
        (on_gpu(1, pod=""), ("job_id", None, "is empty")),
        (on_gpu(1, interval_end=""), ("end_time", None, "is empty")),
        (on_gpu(1, interval_end="later"), ("end_time", "later", "not a time such as 2026-05-01T00:00:00Z")),
        (on_gpu(0), ("gpu_uuid", None, "the same GPU and interval as line 2")),
    ],
)
def test_a_bad_hour_takes_no_other_with_it(tmp_path, db, bad, rejected):
    result = load_rows(tmp_path, db, [on_gpu(0), bad, on_gpu(0, "GPU-2")])
    column, found, reason = rejected
    assert (result.rows_rejected, rejects(db)) == (1, [(3, column, masked(found), reason)])
    assert jobs(db, "gpus") == [(2.0,)]


@pytest.mark.parametrize("first", ["gpus", "pods"])
def test_both_files_tell_of_the_same_pods(tmp_path, db, first):
    """A pod has the GPUs of the one file and the cores of the other, whichever is first; one without GPUs is a job."""
    gpus = [on_gpu(n, gpu) for n in (0, 1) for gpu in ("GPU-1", "GPU-2")]
    pods = [requested(n) for n in (0, 1, 2)] + [requested(0, 1, 2, pod="web")]
    files = {"gpus": gpus, "pods": pods}
    for name in sorted(files, reverse=first == "pods"):
        load_rows(tmp_path, db, files[name], name)
    assert jobs(db, "job_id", "cpus", "memory_gb", "gpu_model", "gpus * elapsed_seconds / 3600") == [
        ("team-a/train-0", 8.0, 64.0, "A100", 4.0),
        ("team-a/web", 1.0, 2.0, None, 0.0),
    ]


def test_a_later_file_goes_on_where_the_first_ended(tmp_path, db):
    """One that states the same hours anew replaces them; one that begins within a loaded job is rejected."""
    load_rows(tmp_path, db, [on_gpu(n) for n in (0, 1)], "first")
    load_rows(tmp_path, db, [on_gpu(n) for n in (2, 3)], "next")
    assert load_rows(tmp_path, db, [on_gpu(n) for n in (2, 3, 4)], "longer").status == "replaced"
    late = load_rows(tmp_path, db, [on_gpu(n) for n in (3, 4)], "late")
    assert (late.rows_loaded, late.rows_rejected, late.rows_skipped) == (0, 1, 1)
    assert rejects(db) == [
        (2, "interval_start", "2026-08-01 03:00:00",
         "the pod is loaded already from 2026-08-01 02:00:00 to 2026-08-01 05:00:00")
    ]  # fmt: skip
    assert ask(db, "select sum(gpus * elapsed_seconds) / 3600 from jobs") == [(5.0,)]


@pytest.mark.real
def test_a_generated_month(real, db):
    """GPU-hours of each pod and model by Python's csv, the slices' sevenths by hand; the pods then add no hours."""
    sevenths = {"": 7, "1g.5gb": 1, "2g.10gb": 2, "3g.40gb": 3, "4g.20gb": 4}
    models = {"Tesla T4": "T4", "GH100": "H100"}
    hours: dict[tuple, float] = defaultdict(float)
    path = real / "kubernetes/August-2026-gpu-cluster-ocp_gpu_usage.csv"
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            model = models.get(row["gpu_model_name"], row["gpu_model_name"])
            hours[row["pod"], model] += int(row["gpu_pod_uptime"]) * sevenths[row["mig_profile"]] / 7 / 3600
    result = load_one(path, db)
    assert (result.rows_read, result.rows_loaded, result.rows_skipped) == (4, 4, 7916)
    assert ask(db, "select count(job_name), count(host) from jobs") == [(0, 4)]
    hours_of = "gpu_model, sum(gpus * elapsed_seconds / 3600) from jobs where gpus > 0 group by all"
    found = f"select split_part(job_id, '/', 2), {hours_of}"
    covered = {(pseudonym(db, "p", pod), model): pytest.approx(n) for (pod, model), n in hours.items()}
    assert {(pod, model): n for pod, model, n in ask(db, found)} == covered
    pods = load_one(real / "kubernetes/August-2026-gpu-cluster-ocp_pod_usage.csv", db)
    assert (pods.format, pods.rows_loaded, pods.rows_skipped) == ("kubernetes_pods", 3, 2157)
    assert {(pod, model): n for pod, model, n in ask(db, found)} == covered
    assert ask(db, "select count(*), sum(cpus), sum(memory_gb) from jobs") == [
        (4, pytest.approx(16 + 8 + 8 / 3), pytest.approx(128 + 64 + 64 / 3))
    ]
