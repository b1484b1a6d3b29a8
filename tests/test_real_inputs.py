"""Exports and logs that others wrote, against sums taken without this library and another tool's answers."""

import csv
import gzip
import re
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path

import duckdb
import pytest
import zstandard

from dcbudget import warehouse
from dcbudget.ingest.load import load
from dcbudget.ingest.plan import Options
from focus_rows import ask, assert_conserved, load_one, rejects

pytestmark = pytest.mark.real

BILLS = {
    "focus_1.0_sample.csv": "focus 1.0",
    "focus_1_2_cost_and_usage_aws.csv": "focus 1.2",
    "focus_1_2_cost_and_usage_gcp.csv": "focus 1.2",
    "focus_1_3_cost_and_usage_aws.csv": "focus 1.3",
}
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
PHILLIPS = (
    "jobid,jobidraw,cluster,partition,qos,account,group,gid,user,uid,submit,eligible,start,end,elapsed,exitcode,state,"
    "nnodes,ncpus,reqcpus,reqmem,reqtres,alloctres,timelimit,nodelist,jobname"
)
SNOWMAN = (
    "JobID,JobName,User,Partition,NodeList,NNodes,NCPUS,NTasks,State,Submit,Start,End,Timelimit,Elapsed,TotalCPU,"
    "CPUTime,UserCPU,SystemCPU,ReqMem,MaxRSS,MaxVMSize,ReqTRES,AllocTRES,TRESUsageInMax,TRESUsageInTot,TRESUsageOutTot,"
    "MaxDiskRead,MaxDiskWrite,MaxRSSNode,MaxRSSTask,MaxVMSizeNode,MaxVMSizeTask,MaxDiskReadNode,MaxDiskReadTask,"
    "MaxDiskWriteNode,MaxDiskWriteTask,Comment"
)


def _sums(path: Path) -> tuple[int, dict[str, Decimal]]:
    """Rows and costs by Python's csv and Decimal."""
    rows, sums = 0, dict.fromkeys(COSTS, Decimal(0))
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            rows += 1
            for name in COSTS:
                sums[name] += Decimal(row[name]) if row[name] not in ("", "NULL") else 0
    return rows, sums


def _packed(path: Path, folder: Path, how: str) -> Path:
    made = folder / "bill"
    if how == "parquet":
        duckdb.sql(f"copy (from read_csv('{path}', all_varchar = true)) to '{made}' (format parquet)")
    elif how == "typed parquet":
        costs = ", ".join(f"{name}::decimal(38, 15) as {name}" for name in COSTS)
        duckdb.sql(
            f"copy (select * replace ({costs}) from read_csv('{path}', all_varchar = true, nullstr = ['', 'NULL']))"
            f" to '{made}' (format parquet)"
        )
    else:
        made.write_bytes({"gzip": gzip.compress, "zstd": zstandard.compress}.get(how, bytes)(path.read_bytes()))
    return made


@pytest.mark.parametrize("how", ["csv", "gzip", "zstd", "parquet", "typed parquet"])
@pytest.mark.parametrize("name", BILLS)
def test_bills(real, tmp_path, db, name, how):
    rows, sums = _sums(real / "billing" / name)
    result = load_one(_packed(real / "billing" / name, tmp_path, how), db)
    assert (result.status, result.format) == ("loaded", BILLS[name])
    assert (result.rows_read, result.rows_loaded) == (rows, rows)
    assert [(c.currency, c.read, c.loaded) for c in result.cost] == [("USD", sums["BilledCost"], sums["BilledCost"])]
    held = ask(db, f"select {', '.join(f'sum({cost})' for cost in COSTS)} from charges")[0]
    assert dict(zip(COSTS, held, strict=True)) == sums
    assert_conserved(result, db)


def test_every_bill_together_passes_every_check(real, db):
    for name in BILLS:
        load_one(real / "billing" / name, db, as_of=datetime(2026, 12, 31))
    found = warehouse.check(db)
    assert list(found.loc[found.offending_rows > 0, "check"]) == []


def test_contract_commitments_are_no_charges(real, db):
    path = real / "billing/focus_1_3_contract_commitment_aws.csv"
    result = load_one(path, db)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    total = sum(Decimal(row["ContractCommitmentCost"]) for row in rows)
    assert (result.status, result.rows_loaded, result.cost[0].loaded) == ("loaded", 140, total)
    usage = [row for row in rows if row["ContractCommitmentCategory"] == "Usage"]
    hours = sum(Decimal(row["ContractCommitmentQuantity"]) for row in usage)
    assert ask(db, "select count(*), sum(ContractCommitmentQuantity) from contract_commitments") == [(140, hours)]
    assert ask(db, "select count(*) from charges") == [(0,)]
    load([path], db, options=Options(overlap="replace"))
    assert ask(db, "select count(*), sum(ContractCommitmentCost) from contract_commitments") == [(140, total)]


def test_prices_of_gpu_servers(real, db):
    """Prices are of the server; two rows disagree about one SKU, three name a range of GPUs or no server's price."""
    path = real / "prices/cloud-gpus.csv"
    assert "its prices have no date; say --as-of" in load_one(path, db).message
    result = load_one(path, db, prices_from=date(2025, 6, 1))
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    said = Counter((row["Cloud"], row["On-demand"]) for row in rows if row["On-demand"])
    held = ask(db, "select provider, unit_price from prices where pricing_category = 'Standard'")
    held = Counter((provider, f"{price:.2f}") for provider, price in held)
    assert held <= Counter((cloud, f"{Decimal(price):.2f}") for cloud, price in said.elements())
    prices = len([1 for row in rows for name in ("On-demand", "Spot") if row[name]])
    unpriced = len([1 for row in rows if not row["On-demand"] and not row["Spot"]])
    assert result.rows_read == prices + unpriced
    reasons = Counter(reason.split(" as line")[0] for _, _, _, reason in rejects(db))
    assert reasons == {"is empty": unpriced, "the same provider, region, sku, pricing_category, effective_from": 15}
    assert ask(db, "select distinct effective_from, currency, unit from prices") == [(date(2025, 6, 1), "USD", "Hours")]
    assert ask(db, "select gpu_model, gpus, unit_price from prices where sku = 'p4d.24xlarge' order by all") == [
        ("A100", 8, Decimal("9.83")), ("A100", 8, Decimal("32.77"))
    ]  # fmt: skip
    assert (
        ask(db, "select sku, gpus from prices where sku like 'n1-highmem-8 %' and gpu_model = 'V100'")
        == [("n1-highmem-8 + 1x V100 (16 GB)", 1)] * 2
    )


def test_history_of_prices(real, db):
    """Its files are named by day, and those of one day restate one another; two are the same to the byte."""
    files = sorted((real / "prices/history").iterdir())
    results = load(files, db)
    days = [date.fromisoformat(file.name[:10]) for file in files]
    unchanged = [result.path.name for result in results if result.status == "unchanged"]
    assert unchanged == ["2023-08-16_605c7aaf.csv", "2023-10-23_a974af72.csv"]
    found = {result.status for result in results if result.path.name not in unchanged}
    assert (len(files), found) == (55, {"loaded", "replaced"})
    kept = {day for day, file in zip(days, files, strict=True) if file.name not in unchanged}
    assert {row[0] for row in ask(db, "select distinct effective_from from prices")} == kept
    assert all(result.rows_read == result.rows_loaded + result.rows_rejected for result in results)
    assert_conserved(results[-1], db)


STATUSES = {
    "cluster_summary.csv": "these are averages over whole clusters and no jobs",
    "sacct_gpu_snowman.txt": "sacct text without a header; name its fields by --fields",
    "sacct_phillips_noheader.log": "sacct text without a header; name its fields by --fields",
}
# Billed money of every bill, as Python's csv and Decimal sum it.
MONEY = {
    "EA_ActualCost_Small.csv": ("USD", "Cost"),
    "EA_NoRows.csv": None,
    "aws_cur_legacy.csv": ("USD", "lineItem/UnblendedCost"),
    "azure_ea.csv": ("CAD", "CostInBillingCurrency"),
    "focus_1_3_contract_commitment_aws.csv": ("USD", "ContractCommitmentCost"),
    **{name: ("USD", "BilledCost") for name in BILLS},
}


def test_every_file_loads_or_says_what_it_is_not(real, tmp_path):
    """Each file alone; what a reader refuses is refused in one sentence, and every row and amount is accounted for."""
    others = ("slurm_job.json",)  # nested; it has tests of its own
    files = [path for folder in ("billing", "jobs") for path in (real / folder).iterdir() if path.is_file()]
    for path in sorted(path for path in files if path.name not in others):
        db = tmp_path / f"{path.name}.duckdb"
        result = load_one(path, db)
        if path.name in STATUSES:
            assert result.status == "failed" and STATUSES[path.name] in result.message
            continue
        assert result.status == "loaded", result.message
        assert result.rows_rejected == 0, result.message
        assert_conserved(result, db)
        if path.name in MONEY:
            found = {cost.currency: cost.loaded for cost in result.cost}
            assert found == ({MONEY[path.name][0]: _sum(path, MONEY[path.name][1])} if MONEY[path.name] else {})
        db.unlink()


def _sum(path: Path, column: str) -> Decimal:
    with path.open(encoding="utf-8-sig", newline="") as stream, localcontext(prec=60):
        return sum((Decimal(row[column]) for row in csv.DictReader(stream) if row[column] not in ("", "NULL")),
                   Decimal(0))  # fmt: skip


def test_philly(real, db):
    """Its identical rows are jobs of their own: the trace has no job id."""
    result = load_one(real / "jobs/philly.csv", db)
    assert (result.format, result.rows_read, result.rows_loaded) == ("gpu_trace philly", 82_247, 82_247)
    hours = ask(db, "select round(sum(gpus * elapsed_seconds) / 3600, 2), count(distinct cluster) from jobs")
    assert hours == [(978_078.47, 15)]
    assert ask(db, "select round(sum(gpus * epoch(end_time - start_time)) / 3600, 2) from jobs") == [(978_078.47,)]


def test_nasa(real, db):
    result = load_one(real / "jobs/NASA-iPSC-1993-3.1-cln.swf.gz", db)
    assert (result.rows_read, result.rows_loaded) == (18_239, 18_239)
    assert ask(db, "select round(sum(cpus * elapsed_seconds) / 3600, 2) from jobs") == [(131_732.78,)]


def test_phillips(real, db):
    result = load_one(real / "jobs/sacct_phillips_noheader.log", db, fields=tuple(PHILLIPS.split(",")))
    assert (result.rows_read, result.rows_loaded, result.rows_skipped) == (4_285, 4_285, 0)
    assert ask(db, "select count(*), min(gpus), max(gpus) from jobs where gpus > 0") == [(2, 2.0, 2.0)]
    assert ask(db, "select state, elapsed_seconds, requested_seconds, memory_gb from jobs where job_id = '163485'") == [
        ("CANCELLED", 10 * 86400 + 13 * 3600 + 27 * 60 + 6, 37 * 86400 + 14 * 3600, 31000 / 1024)
    ]


@pytest.fixture(scope="module")
def snowman(real, tmp_path_factory) -> dict[str, dict]:
    """The jobs of the GPU log by id, as they are loaded."""
    db = tmp_path_factory.mktemp("snowman") / "db"
    result = load_one(real / "jobs/sacct_gpu_snowman.txt", db, fields=tuple(SNOWMAN.split(",")))
    ids = [line.split("☃")[0] for line in (real / "jobs/sacct_gpu_snowman.txt").read_text().splitlines()]
    steps = [name for name in ids if "." in name]
    assert (result.rows_read, result.rows_skipped) == (len(ids) - len(steps), len(steps))
    assert (result.rows_rejected, rejects(db)) == (0, [])
    with warehouse.connect(db) as con:
        frame = con.execute("select * from jobs").df()
    assert sorted(frame["job_id"]) == sorted(name for name in ids if "." not in name)
    return {row["job_id"]: row for row in frame.astype(object).where(frame.notna(), None).to_dict("records")}


def _last_end(real: Path, job_id: str) -> datetime | None:
    """The latest end of a job and its steps."""
    ends = [
        fields[SNOWMAN.split(",").index("End")]
        for fields in (line.split("☃") for line in (real / "jobs/sacct_gpu_snowman.txt").read_text().splitlines())
        if fields[0].split(".")[0] == job_id
    ]
    return max((datetime.fromisoformat(end) for end in ends if end != "Unknown"), default=None)


def _time(text: str) -> datetime | None:
    return None if text == "--" else datetime.fromisoformat(text)


def _seconds(text: str) -> float | None:
    if text == "--":
        return None
    days, hours, minutes, seconds = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text).groups()
    return timedelta(int(days or 0), int(seconds), minutes=int(minutes), hours=int(hours)).total_seconds()


def _answers(real: Path) -> dict[str, dict[str, str]]:
    """What the other tool says, by job."""
    said = {}
    for file in (real / "jobs/sacct_gpu_expected").iterdir():
        lines = (line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        answer = {name.strip(): value.strip() for name, value in lines}
        said[answer["Job ID"]] = answer
    return said


def test_another_tools_answers(real, snowman):
    """The other tool shows what a pending job asks for, the database what it got: nothing yet."""
    answers = _answers(real)
    assert len(answers) == 50
    people = {(said["User"], snowman[name]["user_id"]) for name, said in answers.items()}
    assert len(people) == len({user for user, _ in people}) == len({pseudonym for _, pseudonym in people}) > 1
    for name, said in answers.items():
        job = snowman[name]
        pending = job["state"] == "PENDING"
        assert {
            "partition": job["partition"], "nodes": job["nodes"], "state": job["state"],
            "submit": job["submit_time"], "start": job["start_time"], "requested": job["requested_seconds"],
            "cores": job["cpus"],
        } == {
            "partition": said["Partition"], "nodes": float(said["Number of Nodes"]),
            "state": said["State"].split(" ")[0], "submit": _time(said["Submit"]), "start": _time(said["Start"]),
            "requested": _seconds(said["Reserved walltime"]), "cores": 0 if pending else float(said["Cores"]),
        }, name  # fmt: skip


def test_another_tools_ends(real, snowman):
    """Where a step outlives its job by seconds the other tool counts to its end, Slurm to the job's."""
    outlived = set()
    for name, said in _answers(real).items():
        job, end = snowman[name], _time(said["End"])
        if end is None:
            assert job["end_time"] is None
            assert job["elapsed_seconds"] == (_seconds(said["Used walltime"]) or 0)
            continue
        assert end == _last_end(real, name)
        assert job["elapsed_seconds"] == (job["end_time"] - job["start_time"]).total_seconds()
        assert job["elapsed_seconds"] + (end - job["end_time"]).total_seconds() == _seconds(said["Used walltime"])
        if end != job["end_time"]:
            outlived.add(name)
    assert outlived == {"7216821_144", "7475897", "7477551_121", "7965768", "8150389", "8180204"}


def test_another_tools_gpus(real, snowman):
    for name, said in _answers(real).items():
        job = snowman[name]
        kind = f"{job['gpu_model'].lower()}={job['gpus']:g}" if job["gpus"] else "--"
        used = "--" if job["gpu_utilisation"] is None else f"{100 * job['gpu_utilisation']:.0f}%"
        assert (kind, used) == (said["Allocated GPUs"], said["Max GPU utilization"]), name


def test_charges_have_every_column_of_focus_1_2(real, db):
    """Names of the specification, in its own order, then ours."""
    text = (real / "reference/focus_spec_v1.2_columns.tsv").read_bytes().decode()
    names = [line.split("\t")[0].strip() for line in text.split("\n") if line.count("\t") >= 4]
    with warehouse.connect(db, write=True) as con:
        columns = [row[0] for row in con.execute("describe charges").fetchall()]
    assert len(names) == 57
    assert [column for column in columns if not column.startswith("x_")] == names


def test_two_exports_of_one_usage_are_refused(real, db):
    """Actual and amortised costs of one month are not added up, nor does one silently take the other's place."""
    actual, amortised = (real / f"billing/EA_{kind}Cost_Small.csv" for kind in ("Actual", "Amortized"))
    assert [result.status for result in load([actual, amortised], db)] == ["loaded", "refused"]
    (replaced,) = load([amortised], db, options=Options(overlap="replace"))
    assert replaced.status == "replaced"
    rows = warehouse.query("select count(*) as n from charges", db)["n"].iloc[0]
    assert rows == replaced.rows_loaded
