"""What is known of accelerators, and that every way to write a model gives the name that jobs and charges share."""

import csv
import json
from collections import Counter

import pytest

from dcbudget import warehouse
from dcbudget.warehouse import ACCELERATORS, PROJECT
from focus_rows import ask, empty_database, load_one, write_focus
from focus_rows import charge as focus_charge
from tiny import FLEET, write

ALIASES = {
    "A100": ("A100-SXM4-80GB", "NVIDIA A100 80GB PCIe", "nvidia-a100-80gb", "a100_1g.10gb", "A100X", "a100-40gb"),
    "A10G": ("NVIDIA A10G", "a10g"),
    "A10": ("NVIDIA A10", "nvidia_a10"),
    "H100": ("NVIDIA H100 80GB HBM3", "nvidia-h100-mega-80gb", "H100 NVL", "GH100", "nvidia_h100_nvl_1g.12gb"),
    "H200": ("NVIDIA H200 NVL", "nvidia-h200-141gb"),
    "GH200": ("NVIDIA GH200 480GB",),
    "GB200": ("nvidia-gb200", "NVIDIA GB200"),
    "L4": ("nvidia-l4",),
    "L40S": ("NVIDIA L40S", "l40s"),
    "T4": ("nvidia-tesla-t4", "Tesla T4"),
    "V100": ("Tesla V100-SXM2-16GB", "v100l", "V100M32", "tesla-v100-pcie-32gb"),
    "P100": ("Tesla P100-PCIE-16GB", "p100l"),
    "RTX A6000": ("NVIDIA RTX A6000", "a6000", "rtx_a6000"),
    "RTX 6000 ADA": ("NVIDIA RTX 6000 Ada Generation", "rtx6000ada"),
    "RTX 4090": ("NVIDIA GeForce RTX 4090", "rtx4090", "geforce_rtx_4090"),
    "MI300X": ("AMD Instinct MI300X", "mi300x", "amd_instinct_mi300x_oam"),
    "GAUDI3": ("Intel Gaudi 3", "gaudi3"),
    "TPU V5E": ("tpu-v5-lite-podslice", "v5e", "TPU v5e"),
    "TPU V5P": ("tpu-v5p-slice",),
    "TPU V6E": ("tpu-v6e-slice",),
    "TRAINIUM": ("Trainium1", "aws-trainium"),
    "TRAINIUM2": ("Trainium2",),
    "ALVEO U250": ("xilinx_u250", "Alveo U250"),
    None: ("", "1g.10gb", "nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "gpu"),
    "QUANTUM 7": ("quantum-7",),
}


@pytest.fixture(scope="module")
def con():
    with warehouse.connect(empty_database()[0]) as con:
        yield con


@pytest.mark.parametrize("model", ALIASES, ids=str)
def test_one_name_for_a_model(con, model):
    named = {alias: con.execute("select accelerator_model(?)", [alias]).fetchone()[0] for alias in ALIASES[model]}
    assert named == dict.fromkeys(ALIASES[model], model)


def test_a_name_is_its_own_name(con):
    """Of every accelerator, its own and that of its model; so that what was named once is not named anew."""
    rows = con.execute("select gpu_model, accelerator_model(name), accelerator_model(gpu_model) from accelerators")
    assert [row for row in rows.fetchall() if len(set(row)) > 1] == []


@pytest.mark.parametrize(
    ("profile", "part"),
    [
        ("1g.5gb", 1 / 7), ("2g.20gb", 2 / 7), ("a100_3g.40gb", 3 / 7), ("7g.80gb", 1), ("1c.3g.40gb", 1 / 7),
        ("1g.10gb+me", 1 / 7), ("a30_2g.12gb", 1 / 2), ("4g.24gb", 1), ("RTX PRO 6000 1g.24gb", 1 / 4),
        ("h100_1g.24gb", 1 / 7), ("a100", None), ("", None),
    ],
)  # fmt: skip
def test_a_slice_is_its_compute_slices_of_the_card(con, profile, part):
    assert con.execute("select mig_part(?)", [profile]).fetchone()[0] == (part and pytest.approx(part))


def test_every_model_has_one_usual_kind_and_a_source():
    with ACCELERATORS.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["name"] for row in rows}) == len(rows) > 40
    assert set(Counter(row["gpu_model"] for row in rows if row["usual"] == "true").values()) == {1}
    assert {row["gpu_model"] for row in rows} == {row["gpu_model"] for row in rows if row["usual"] == "true"}
    assert {row["kind"] for row in rows} == {"GPU", "TPU", "ASIC", "FPGA"}
    assert all(row["source"].startswith("https://") for row in rows)
    with (PROJECT / "data/reference/gpu_instances.csv").open(newline="", encoding="utf-8") as stream:
        rented = {row["gpu_model"] for row in csv.DictReader(stream)}
    assert rented <= {row["gpu_model"] for row in rows}


def test_figures_are_dense_and_rise_as_precision_falls(con):
    """A figure with sparsity is twice the dense one: BF16 would then be four times TF32 or FP8 four times BF16."""
    rows = con.execute("select name, tf32_tflops, bf16_tflops, fp8_tflops from accelerators").fetchall()
    for name, tf32, bf16, fp8 in rows:
        assert tf32 is None or bf16 is None or 1 <= bf16 / tf32 <= 2.1, name
        assert bf16 is None or fp8 is None or 1 <= fp8 / bf16 <= 2.1, name
    known = "select bf16_tflops, memory_gb, tdp_watts from accelerators where usual and gpu_model = ?"
    assert con.execute(known, ["H100"]).fetchone() == (989.4, 80, 700)
    assert con.execute(known, ["A100"]).fetchone() == (312, 80, 400)
    assert con.execute(known, ["TPU V5E"]).fetchone() == (197, 16, None)


def test_jobs_charges_and_the_fleet_join_by_the_model(tmp_path, db):
    load_one(write(tmp_path / "fleet.csv", [FLEET | {"gpu_model": "NVIDIA H100 80GB HBM3"}]), db)
    assert ask(db, "select gpu_model from fleet") == [("H100",)]
    jobs = "JobID|State|Submit|Start|End|Elapsed|AllocTRES\n1|COMPLETED|2026-05-01T00:00:00|2026-05-01T00:00:00|"
    (tmp_path / "jobs.txt").write_text(jobs + "2026-05-01T01:00:00|01:00:00|gres/gpu:nvidia_h100_80gb_hbm3=8\n")
    load_one(tmp_path / "jobs.txt", db)
    details = {"GpuCount": 8, "x_GpuModel": "NVIDIA H100 80GB HBM3"}
    told = focus_charge(2, x_gpu_model="h100-sxm", x_gpu_hours="3")
    load_one(write_focus(tmp_path / "bill.csv", [focus_charge(1, SkuPriceDetails=json.dumps(details))]), db)
    load_one(write_focus(tmp_path / "told.csv", [told]), db, overlap="add")
    assert ask(
        db,
        "select gpu_model, count(distinct jobs.job_id), count(distinct charges.ResourceId), any_value(bf16_tflops)"
        " from accelerators join jobs using (gpu_model) join charges on x_gpu_model = gpu_model"
        " where usual and ProviderName <> 'Owned' group by 1",
    ) == [("H100", 1, 2, 989.4)]
