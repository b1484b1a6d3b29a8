"""The generated sample, read back from its files without the rest of the library."""

import csv
import gzip
import json
import os
from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

from dcbudget.sample import write_sample
from ledger import in_service

REAL = Path(os.environ.get("DCBUDGET_REAL_DATA", Path(__file__).parents[2] / "shared" / "real"))
PROJECTS = ("search", "recommendation", "vision", "language", "research", "platform")
NO_START = {"None", "Unknown"}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A quarter of the sample, with few jobs."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, seed=7, months=3, jobs=3000)
    return folder


@pytest.fixture(scope="module")
def restated(tmp_path_factory):
    """Four months, the first of which is the one that the provider restated."""
    folder = tmp_path_factory.mktemp("restated")
    write_sample(folder, seed=3, months=4, jobs=1200)
    return folder


def read(path, **options):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, **options))


def bill(folder, restated=False):
    paths = sorted((folder / "billing").glob("focus_*.csv"))
    return [row for path in paths if ("_restated" in path.name) == restated for row in read(path)]


def sacct(folder):
    """Return the job rows and the step rows."""
    jobs, steps = [], []
    for path in sorted((folder / "jobs").glob("sacct_*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE):
                (steps if "." in row["JobID"] else jobs).append(row)
    return jobs, steps


def tres(text, name):
    return next((int(part.split("=")[1]) for part in text.split(",") if part.startswith(f"{name}=")), 0)


def seconds(text):
    days, _, clock = text.rpartition("-")
    hours, minutes, rest = map(int, clock.split(":"))
    return int(days or 0) * 86_400 + hours * 3600 + minutes * 60 + rest


def state(job):
    return job["State"].split()[0]


def held(jobs):
    """Return (job, gpus, start, end) of the jobs that held GPUs."""
    for job in jobs:
        gpus = tres(job["AllocTRES"], "gres/gpu")
        if gpus and job["Start"] not in NO_START:
            start = datetime.fromisoformat(job["Start"])
            yield job, gpus, start, start + timedelta(seconds=seconds(job["Elapsed"]))


def hosts(text):
    """Expand a Slurm host list."""
    if "[" not in text:
        return [text]
    prefix, _, inside = text.rstrip("]").partition("[")
    found = []
    for part in inside.split(","):
        first, _, last = part.partition("-")
        found += [f"{prefix}{n:03d}" for n in range(int(first), int(last or first) + 1)]
    return found


def assign(rules, kind, fields):
    """Apply the rules file: the first rule whose field matches decides."""
    for rule in rules:
        value = fields.get(rule["field"])
        if rule["assign"] == kind and value and fnmatch(value, rule["pattern"]):
            return rule["value"]
    return None


def charge_fields(row):
    tags = {f"tag:{key}": value for key, value in json.loads(row["Tags"]).items()}
    return tags | {name: row[name] for name in ("SubAccountId", "SubAccountName", "ResourceId")}


def month_starts(months):
    starts = [datetime.fromisoformat(f"{month}-01") for month in months]
    return [*starts, (starts[-1] + timedelta(days=32)).replace(day=1)]


def pool_hours(jobs, months):
    """Return allocated GPU-hours by (cluster, gpu model), month and account."""
    edges = month_starts(months)
    hours = defaultdict(float)
    for job, gpus, start, end in held(jobs):
        model = job["AllocTRES"].split("gres/gpu:")[1].split("=")[0].upper()
        for month in range(bisect_right(edges, start) - 1, len(months)):
            inside = (min(end, edges[month + 1]) - max(start, edges[month])).total_seconds()
            if inside <= 0:
                break
            hours[(job["Cluster"], model), months[month], job["Account"]] += inside / 3600 * gpus
    return hours


def owned_pools(folder, months):
    """Return cost in USD and capacity in GPU-hours of the owned pools by pool and month."""
    edges, cost, capacity = month_starts(months), defaultdict(float), defaultdict(float)
    for m, month in enumerate(months):
        hours = (edges[m + 1] - edges[m]).days * 24
        for asset, spent in in_service(folder, month):
            cost[(asset["cluster"], asset["gpu_model"]), month] += float(spent)
            for model in {asset["gpu_model"], ""}:
                gpus = int(asset["units"]) * int(asset["gpus_per_unit"])
                capacity[(asset["cluster"], model), month] += hours * gpus
    return cost, capacity


def project_costs(folder):
    """Return the effective cost in USD by (project, month): own charges and shares of the shared pools."""
    rules = read(folder / "rules/projects.csv")
    charges, (jobs, _) = bill(folder), sacct(folder)
    months = sorted({row["BillingPeriodStart"][:7] for row in charges})
    cost, capacity = owned_pools(folder, months)
    spent = defaultdict(float)
    for row in charges:
        month, amount, fields = row["BillingPeriodStart"][:7], float(row["EffectiveCost"]), charge_fields(row)
        project = assign(rules, "project", fields)
        shared = project is None and assign(rules, "cluster", fields)
        if shared and row["CommitmentDiscountStatus"] == "Unused":
            spent["Idle capacity", month] += amount
        elif shared and row["SkuPriceDetails"]:
            details = json.loads(row["SkuPriceDetails"])
            pool = ("cloud", details["x_GpuModel"])
            cost[pool, month] += amount
            capacity[pool, month] += float(row["PricingQuantity"]) * details["GpuCount"]
        else:
            spent[project or "Unallocated", month] += amount
    for (pool, month, account), hours in pool_hours(jobs, months).items():
        project = assign(rules, "project", {"account": account})
        for shared in (pool, (pool[0], "")):
            if (shared, month) in cost:
                spent[project, month] += cost[shared, month] * hours / capacity[shared, month]
    return spent, months


def budgets(folder):
    planned = defaultdict(float)
    for path in (folder / "budget").glob("*.csv"):
        for row in read(path):
            planned[row["project"], row["month"][:7]] += float(row["amount"])
    return planned


def truth(folder):
    return json.loads((folder / "truth.json").read_text(encoding="utf-8"))


def event(folder, name):
    return next(e for e in truth(folder)["events"] if e["name"] == name)


def request_files(folder):
    return {path.name[9:16]: path for path in sorted((folder / "serving").iterdir())}


def served(path):
    """The requests of a month, all in it, and their tokens."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["time"][:7] for row in rows} == {path.name[9:16]}
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    tokens = {name: sum(int(row[name]) for row in rows) for name in ("input_tokens", "output_tokens")}
    return {"requests": len(rows), **tokens}


def test_same_seed_writes_the_same_bytes(sample, tmp_path):
    write_sample(tmp_path, seed=7, months=3, jobs=3000)
    first = {p.relative_to(sample): p.read_bytes() for p in sorted(sample.rglob("*")) if p.is_file()}
    second = {p.relative_to(tmp_path): p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}
    assert first == second


def test_recorded_runs_are_copied_byte_for_byte_and_name_no_machine(sample):
    recorded = (sample / "runs/measured_strategies.csv").read_bytes()
    assert recorded == (Path(__file__).parents[1] / "lib/dcbudget/sample/measured_strategies.csv").read_bytes()
    assert len(recorded) < 100_000 and b"/" not in recorded
    assert "runs/measured_strategies.csv" in (sample / "README.txt").read_text(encoding="utf-8")


def test_another_seed_writes_another_log_and_leaves_nothing_behind(tmp_path):
    first = write_sample(tmp_path, seed=1, months=2, jobs=300)
    before = (tmp_path / "jobs/sacct_2026-06.txt.gz").read_bytes()
    second = write_sample(tmp_path, seed=2, months=1, jobs=300)
    assert (tmp_path / "jobs/sacct_2026-06.txt.gz").read_bytes() != before
    assert first.files > second.files == sum(p.is_file() for p in tmp_path.rglob("*"))


@pytest.mark.parametrize("wrong", [{"months": 0}, {"months": 19}, {"jobs": 0}])
def test_impossible_sizes_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"must be .*, found"):
        write_sample(tmp_path, **wrong)


def test_every_family_says_that_it_is_generated(sample):
    assert (sample / "README.txt").read_text(encoding="utf-8").startswith("GENERATED DATA")
    assert truth(sample)["generated"] is True
    assert {row["BillingAccountName"] for row in bill(sample)} == {"Generated Sample Org"}
    assert all(row["description"].startswith("Generated") for row in read(sample / "fleet/fleet.csv"))


def test_focus_header_has_the_57_columns_once(sample):
    for path in (sample / "billing").glob("*.csv"):
        header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert len(header) == len(set(header)) == 57


@pytest.mark.real
def test_focus_header_is_the_specifications(sample):
    spec = REAL / "reference/focus_spec_v1.2_columns.tsv"
    if not spec.exists():
        pytest.skip(f"no {spec}")
    lines = spec.read_text(encoding="utf-8").splitlines()
    names = [line.split("\t")[0] for line in lines if line.split("\t")[0]]
    assert list(bill(sample)[0]) == names


_MANDATORY = """
BilledCost BillingAccountId BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory
ChargeFrequency ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost
ProviderName PublisherName ServiceCategory ServiceName ServiceSubcategory SubAccountId
"""
MANDATORY = _MANDATORY.split()


def test_bill_keeps_the_rules_of_focus(sample):
    for row in bill(sample):
        kind, committed = row["ChargeCategory"], row["CommitmentDiscountStatus"]
        assert all(row[name] for name in MANDATORY)
        assert kind in {"Usage", "Purchase", "Tax", "Credit"}
        assert row["ChargeFrequency"] in {"One-Time", "Recurring", "Usage-Based"}
        assert row["PricingCategory"] in {"Standard", "Dynamic", "Committed", ""}
        assert (kind == "Purchase") <= (row["ChargeFrequency"] != "Usage-Based")
        assert bool(committed) == (kind == "Usage" and bool(row["CommitmentDiscountId"]))
        assert bool(committed) == (row["PricingCategory"] == "Committed")
        assert bool(row["ConsumedQuantity"]) == (kind == "Usage" and committed != "Unused")
        assert bool(row["ConsumedQuantity"]) == bool(row["ConsumedUnit"])
        assert bool(row["PricingQuantity"]) == bool(row["PricingUnit"]) == (kind in {"Usage", "Purchase"})
        assert bool(row["SkuId"]) == bool(row["SkuPriceId"]) == (kind in {"Usage", "Purchase"})
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert bool(row["ResourceId"]) == bool(row["ResourceName"]) == bool(row["ResourceType"])
        if row["CommitmentDiscountId"]:
            paid = "BilledCost" if kind == "Purchase" else "EffectiveCost"
            other = "EffectiveCost" if kind == "Purchase" else "BilledCost"
            assert Decimal(row[paid]) > 0 == Decimal(row[other])
            assert Decimal(row["CommitmentDiscountQuantity"]) > 0


def test_bill_multiplies_out_to_the_last_digit_and_has_no_exponent(sample):
    for row in bill(sample):
        for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
            if row[price]:
                assert Decimal(row[cost]) == Decimal(row[price]) * Decimal(row["PricingQuantity"])
        assert "e" not in (row["BilledCost"] + row["EffectiveCost"]).lower()
        assert -Decimal(row["EffectiveCost"]).as_tuple().exponent <= 10
        assert (row["ChargeCategory"] == "Credit") == (Decimal(row["BilledCost"]) < 0)


def test_no_two_charges_are_alike(sample):
    lines = [tuple(row.values()) for row in bill(sample)]
    assert len(lines) == len(set(lines))


def test_billed_equals_effective_but_for_prepaid_months(sample):
    billed, effective = (sum(float(r[c]) for r in bill(sample)) for c in ("BilledCost", "EffectiveCost"))
    # Only search's reservation was paid before these months.
    prepaid = sum(float(r["EffectiveCost"]) for r in bill(sample) if "search-l4" in r["CommitmentDiscountId"])
    assert effective - billed == pytest.approx(prepaid, rel=0.03)


def test_totals_of_the_bill_are_as_promised(sample, restated):
    for folder in (sample, restated):
        promised = truth(folder)["totals"]["billing"]
        replaced = {row["BillingPeriodStart"] for row in bill(folder, restated=True)}
        rows = [r for r in bill(folder) if r["BillingPeriodStart"] not in replaced] + bill(folder, restated=True)
        for month, expected in promised.items():
            here = [r for r in rows if r["BillingPeriodStart"].startswith(month)]
            assert len(here) == expected["rows"]
            for column in ("BilledCost", "EffectiveCost"):
                assert sum(Decimal(r[column]) for r in here) == Decimal(expected[column])


def test_totals_of_jobs_runs_fleet_and_budget_are_as_promised(sample):
    promised = truth(sample)["totals"]
    jobs, steps = sacct(sample)
    gpu_seconds = defaultdict(int)
    for job in jobs:
        gpu_seconds[state(job)] += tres(job["AllocTRES"], "gres/gpu") * seconds(job["Elapsed"])
    assert promised["jobs"]["rows"] == len(jobs)
    assert promised["jobs"]["by_state"] == Counter(map(state, jobs))
    assert promised["jobs"]["gpu_seconds"] == sum(gpu_seconds.values())
    assert promised["jobs"]["gpu_hours_by_state"] == pytest.approx(
        {name: gpu_seconds[name] / 3600 for name in promised["jobs"]["by_state"]}, abs=1e-3
    )
    assert len(steps) == sum(job["Start"] not in NO_START for job in jobs)
    logged = [row for path in (sample / "runs").glob("runs_*.csv") for row in read(path)]
    assert promised["runs"] == {"runs": len({r["run_id"] for r in logged}), "metric_rows": len(logged)}
    assert promised["requests"] == {name: served(path) for name, path in request_files(sample).items()}
    months = sorted(promised["billing"])
    _, capacity = owned_pools(sample, months)
    for month in months:
        expected = {pool[1]: hours for (pool, at), hours in capacity.items() if at == month and pool[1]}
        assert promised["fleet_capacity_gpu_hours"][month] == expected
    years = defaultdict(Decimal)
    for path in (sample / "budget").glob("*.csv"):
        for row in read(path):
            years[row["month"][:4]] += Decimal(row["amount"])
    assert {year: Decimal(amount) for year, amount in promised["budget"].items()} == years


def test_no_partition_and_no_node_is_ever_over_its_gpus(sample):
    ceiling = truth(sample)["totals"]["partition_gpus"]
    changes = defaultdict(list)
    for job, gpus, start, end in held(sacct(sample)[0]):
        nodes = hosts(job["NodeList"])
        assert len(nodes) == int(job["NNodes"]) == max(1, gpus // 8)
        for node in nodes:
            changes[node] += [(start, gpus // len(nodes)), (end, -(gpus // len(nodes)))]
        changes[job["Partition"]] += [(start, gpus), (end, -gpus)]
    assert set(ceiling) <= set(changes)
    for name, moves in changes.items():
        used, most = 0, max(ceiling[name].values()) if name in ceiling else 8
        for _, gpus in sorted(moves):
            used += gpus
            assert used <= most, name


def test_jobs_start_in_the_order_of_their_submission(sample):
    last = {}
    for job in sacct(sample)[0]:
        if job["Start"] not in NO_START:
            assert job["Submit"] <= job["Start"]
            assert last.get(job["Partition"], "") <= job["Start"]
            last[job["Partition"]] = job["Start"]


def test_bill_covers_the_jobs_of_every_cloud_partition_and_day(sample):
    billed, used = defaultdict(float), defaultdict(float)
    for row in bill(sample):
        partition = json.loads(row["Tags"]).get("partition")
        if partition and row["ConsumedUnit"] == "Hours":
            gpus = json.loads(row["SkuPriceDetails"])["GpuCount"]
            billed[partition, row["ChargePeriodStart"][:10]] += float(row["ConsumedQuantity"]) * gpus
    for job, gpus, start, end in held(sacct(sample)[0]):
        while job["Cluster"] == "cloud" and start < end:
            midnight = datetime.combine(start.date() + timedelta(days=1), datetime.min.time())
            hours = (min(end, midnight) - start).total_seconds() / 3600
            used[job["Partition"], start.date().isoformat()] += hours * gpus
            start = midnight
    assert len(used) > 100
    assert all(hours <= billed[key] + 1e-6 for key, hours in used.items())


def test_job_rows_read_like_sacct(sample):
    jobs, steps = sacct(sample)
    assert len({job["JobID"] for job in jobs}) == len(jobs)
    assert {state(job) for job in jobs} == {
        "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "RUNNING",
        "PENDING",
    }  # fmt: skip
    assert any("_" in job["JobID"] for job in jobs)
    assert any("gres/gpu" not in job["AllocTRES"] for job in jobs if job["AllocTRES"])
    for job in jobs:
        begun = job["Start"] not in NO_START
        assert bool(job["AllocTRES"]) == begun
        assert (job["End"] == "Unknown") == (state(job) in {"RUNNING", "PENDING"})
        assert (state(job) == "CANCELLED") == job["State"].startswith("CANCELLED by ")
        assert job["TRESUsageInAve"] == ""
        if begun and job["End"] != "Unknown":
            span = datetime.fromisoformat(job["End"]) - datetime.fromisoformat(job["Start"])
            assert span == timedelta(seconds=seconds(job["Elapsed"]))
    ended = [step for step in steps if step["State"] != "RUNNING" and "gres/gpu" in step["AllocTRES"]]
    assert all(0 <= tres(step["TRESUsageInAve"], "gres/gpuutil") <= 100 for step in ended)


def test_end_states_sizes_and_run_times_are_those_of_published_clusters(sample):
    # Shares of jobs and of GPU time: the ranges of Philly, Helios, Seren and Kalos.
    jobs = sacct(sample)[0]
    count, time = Counter(), Counter()
    for job in jobs:
        name = state(job) if state(job) in {"COMPLETED", "CANCELLED", "RUNNING", "PENDING"} else "FAILED"
        count[name] += 1 / len(jobs)
        time[name] += tres(job["AllocTRES"], "gres/gpu") * seconds(job["Elapsed"])
    assert 0.50 <= count["COMPLETED"] <= 0.62
    assert 0.15 <= count["FAILED"] <= 0.40
    assert 0.07 <= count["CANCELLED"] <= 0.22
    assert time["CANCELLED"] / sum(time.values()) > count["CANCELLED"]
    run_times = sorted(seconds(job["Elapsed"]) for job in jobs if job["Start"] not in NO_START)
    assert run_times[len(run_times) // 2] < 3600 < sum(run_times) / len(run_times)
    gpus = Counter(tres(job["ReqTRES"], "gres/gpu") for job in jobs)
    assert gpus[1] > len(jobs) / 2
    assert max(gpus) >= 32


def test_shared_nodes_have_no_project_and_little_has_neither(sample):
    rules, kinds = read(sample / "rules/projects.csv"), defaultdict(float)
    assert {rule["assign"] for rule in rules} == {"project", "cluster"}
    for row in bill(sample):
        fields = charge_fields(row)
        project, cluster = assign(rules, "project", fields), assign(rules, "cluster", fields)
        assert not (project and cluster)
        kinds["project" if project else "cluster" if cluster else "neither"] += float(row["EffectiveCost"])
    assert kinds["cluster"] > 0.2 * sum(kinds.values())
    assert 0.005 < kinds["neither"] / sum(kinds.values()) < 0.05
    for job in sacct(sample)[0]:
        fields = {"account": job["Account"], "partition": job["Partition"]}
        assert assign(rules, "project", fields) in PROJECTS
        assert assign(rules, "cluster", fields) == job["Cluster"]


def test_budget_covers_the_window_and_the_rest_of_the_year(sample):
    planned = budgets(sample)
    months = {month for _, month in planned}
    assert months == {f"2026-{m:02d}" for m in range(4, 13)}
    assert {project for project, _ in planned} == {*PROJECTS, "Idle capacity"}
    assert all(amount > 0 for amount in planned.values())


def test_spend_lands_on_budget_but_for_the_planted_events(sample):
    spent, months = project_costs(sample)
    planned = budgets(sample)
    for project in PROJECTS:
        ratio = {month: spent[project, month] / planned[project, month] for month in months}
        if project == "vision":
            assert min(ratio.values()) > 1.25
        elif project == "search":
            assert ratio.pop("2026-05") > 1.10
        if project != "vision":
            assert all(0.92 < value < 1.08 for value in ratio.values()), (project, ratio)
    whole = sum(spent["vision", m] for m in months)
    assert whole == pytest.approx(event(sample, "vision-overrun")["evidence"]["effective_usd"], rel=1e-6)


def test_egress_of_search_spikes_for_three_days(sample):
    gigabytes = {
        row["ChargePeriodStart"][:10]: float(row["ConsumedQuantity"])
        for row in bill(sample)
        if row["ResourceId"] == "search-gateway"
    }
    usual = sorted(gigabytes.values())[len(gigabytes) // 2]
    assert [day for day, gb in gigabytes.items() if gb > 5 * usual] == [
        "2026-05-12",
        "2026-05-13",
        "2026-05-14",
    ]


def test_a_reserved_block_stands_idle(sample):
    hours = Counter()
    for row in bill(sample):
        if row["CommitmentDiscountId"] == "ri-west-a100" and row["ChargeCategory"] == "Usage":
            hours[row["CommitmentDiscountStatus"]] += float(row["CommitmentDiscountQuantity"])
    days = 30 + 31 + 30
    assert sum(hours.values()) == 4 * 24 * days
    assert 0.03 < hours["Used"] / sum(hours.values()) < 0.07


def test_a_foundation_run_fails_and_restarts(sample):
    jobs = {job["JobID"]: job for job in sacct(sample)[0]}
    tries = [jobs[i] for i in event(sample, "failing-run")["evidence"]["job_ids"]]
    assert len(tries) >= 8
    assert {state(job) for job in tries} <= {"FAILED", "NODE_FAIL"}
    assert {tres(job["AllocTRES"], "gres/gpu") for job in tries} == {64}
    assert all(job["Account"].startswith("recommendation") for job in tries)
    assert all(a["End"] <= b["Submit"] for a, b in pairwise(tries))


def test_one_run_diverges_and_every_run_lies_inside_its_job(sample):
    jobs = {job["JobID"]: job for job in sacct(sample)[0]}
    loss = defaultdict(list)
    for path in (sample / "runs").glob("runs_*.csv"):
        for row in read(path):
            job = jobs[row["job_id"]]
            assert job["Start"] <= row["time"].rstrip("Z") <= job["End"]
            assert job["Account"].startswith(row["project"])
            if row["metric"] == "loss":
                loss[row["run_id"]].append(float(row["value"]))
    wild = [run for run, values in loss.items() if values[-1] > 5 * min(values)]
    assert wild == [event(sample, "diverging-run")["evidence"]["run_id"]]


def test_on_demand_price_rises_in_list_and_bill(restated):
    rows = [
        row
        for row in read(restated / "prices/prices.csv")
        if (row["sku"], row["pricing_category"]) == ("gpu-h100-8x", "Standard")
    ]
    assert [row["effective_from"] for row in rows] == ["2025-01-01", "2026-04-01"]
    before, after = (Decimal(row["unit_price"]) for row in rows)
    assert after / before == Decimal("1.12")
    listed = defaultdict(set)
    for row in bill(restated):
        if row["SkuPriceId"] == "gpu-h100-8x/Standard":
            listed[row["BillingPeriodStart"][:7] >= "2026-04"].add(Decimal(row["ListUnitPrice"]))
    assert listed == {False: {before}, True: {after}}


def test_restated_month_has_the_same_charges_at_a_discount(restated):
    first = [row for row in bill(restated) if row["BillingPeriodStart"].startswith("2026-03")]
    second = bill(restated, restated=True)
    keys = [[(r["ChargePeriodStart"], r["SkuPriceId"], r["ResourceId"], r["Tags"]) for r in rows]
            for rows in (first, second)]  # fmt: skip
    assert keys[0] == keys[1]
    cheaper = Counter()
    for old, new in zip(first, second, strict=True):
        assert old["ListCost"] == new["ListCost"] or new["ChargeCategory"] in {"Purchase", "Tax"}
        if old["BilledCost"] != new["BilledCost"]:
            assert Decimal(new["BilledCost"]) < Decimal(old["BilledCost"])
            cheaper[new["SkuPriceId"] or new["ChargeCategory"]] += 1
    assert set(cheaper) == {"gpu-h100-8x/Standard", "support-business/Standard", "Tax"}


def test_events_outside_the_window_are_left_out(tmp_path):
    write_sample(tmp_path, months=1, jobs=300)
    names = {e["name"] for e in truth(tmp_path)["events"]}
    assert names == {"vision-overrun", "idle-reservation", "failing-run"}
    assert not list((tmp_path / "billing").glob("*_restated.csv"))
