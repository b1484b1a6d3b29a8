"""Job logs: Slurm accounting text, Standard Workload Format and GPU traces."""

import gzip
from datetime import datetime

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from focus_rows import ask, assert_conserved, load_one, masked, pseudonym, rejects

FIELDS = ("JobID", "JobName", "Cluster", "Partition", "Account", "User", "Submit", "Start", "End", "Elapsed",
          "State", "NNodes", "NCPUS", "ReqMem", "AllocTRES", "Timelimit")  # fmt: skip
STEP_FIELDS = (*FIELDS, "TRESUsageInTot")
TIME = "not a time such as 2026-05-01T00:00:00Z"


def job(number: int = 1, **changes: str) -> dict[str, str]:
    """One Slurm job of an hour on two GPUs."""
    return {
        "JobID": str(number), "JobName": "train", "Cluster": "c1", "Partition": "gpu", "Account": "team-a",
        "User": "ann", "Submit": "2026-05-01T00:00:00", "Start": "2026-05-01T00:10:00", "End": "2026-05-01T01:10:00",
        "Elapsed": "01:00:00", "State": "COMPLETED", "NNodes": "1", "NCPUS": "16", "ReqMem": "64G",
        "AllocTRES": "billing=16,cpu=16,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1", "Timelimit": "1-00:00:00",
        **changes,
    }  # fmt: skip


def sacct_text(jobs: list[dict], delimiter: str = "|", header: bool = True, end: str = "") -> str:
    lines = [delimiter.join(jobs[0])] if header else []
    return "".join(line + end + "\n" for line in [*lines, *(delimiter.join(row.values()) for row in jobs)])


def load_text(tmp_path, db, text: str, name: str | None = None, **options):
    path = tmp_path / "jobs.txt"
    path.write_text(text, encoding="utf-8", newline="")
    result = load_one(path, db, name, **options)
    if result.status in ("loaded", "replaced"):
        assert_conserved(result, db)
    return result


def job_ids(db) -> list[str]:
    return [row[0] for row in ask(db, "select job_id from jobs order by x_source_row")]


@pytest.mark.parametrize("delimiter", ["|", "☃", ";", "||", "\t", ","])
@pytest.mark.parametrize("header", [True, False])
def test_sacct_with_any_delimiter(tmp_path, db, delimiter, header):
    jobs = [job(n, AllocTRES="gres/gpu:a100=2") for n in (1, 2, 3)]
    fields = () if header else FIELDS
    load_text(tmp_path, db, sacct_text(jobs, delimiter, header), fields=fields)
    assert ask(db, "select job_id, gpus, gpu_model, epoch(end_time - start_time) from jobs order by job_id") == [
        (n, 2.0, "A100", 3600.0) for n in "123"
    ]


@pytest.mark.parametrize("header", [True, False])
def test_sacct_lines_that_end_in_a_delimiter(tmp_path, db, header):
    """As `sacct --parsable` writes them."""
    jobs = [job(n) for n in (1, 2, 3)]
    load_text(tmp_path, db, sacct_text(jobs, header=header, end="|"), fields=() if header else FIELDS)
    assert job_ids(db) == ["1", "2", "3"]


def test_sacct_fields_of_a_job(tmp_path, db):
    load_text(tmp_path, db, sacct_text([job()]))
    assert ask(
        db,
        "select job_id, cluster, partition, account, user_id, submit_time, start_time, end_time, elapsed_seconds,"
        " requested_seconds, state, gpus, gpu_model, nodes, cpus, memory_gb from jobs",
    ) == [
        ("1", "c1", "gpu", "team-a", pseudonym(db, "u", "ann"), datetime(2026, 5, 1), datetime(2026, 5, 1, 0, 10),
         datetime(2026, 5, 1, 1, 10), 3600.0, 86400.0, "COMPLETED", 2.0, "A100", 1.0, 16.0, 64.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tres", "gpus", "model"),
    [
        ("gres/gpu:v100=1,gres/gpu=1", 1, "V100"),
        ("gres/gpu:h100=8", 8, "H100"),
        ("gres/gpu:a100=2,gres/gpu:v100=1", 3, "A100"),
        ("gres/gpu=4", 4, None),
        ("cpu=4,mem=10G", 0, None),
        ("", 0, None),
        ("gres/gpu:nvidia_h100_80gb_hbm3=8,gres/gpu=8", 8, "H100"),
    ],
)
def test_sacct_gpus(tmp_path, db, tres, gpus, model):
    load_text(tmp_path, db, sacct_text([job(AllocTRES=tres)]))
    assert ask(db, "select gpus, gpu_model, gpu_slice from jobs") == [(gpus, model, None)]


@pytest.mark.parametrize(
    ("tres", "sevenths", "model", "slices"),
    [
        ("gres/gpu:a100_1g.10gb=2,gres/gpu=2", 2, "A100", "1g.10gb"),
        ("gres/gpu:a100_3g.20gb=1", 3, "A100", "3g.20gb"),
        ("gres/gpu:a100=1,gres/gpu:a100_3g.20gb=1,gres/gpu=2", 10, "A100", "3g.20gb"),
        ("gres/gpu:nvidia_a100_2g.10gb=1,gres/gpu:nvidia_a100_1g.5gb=3,gres/gpu=4", 5, "A100", "1g.5gb+2g.10gb"),
        ("gres/gpu=3,gres/gpu:1g.5gb=1", 15, None, "1g.5gb"),
        ("gres/gpu:h100_1c.3g.40gb=1", 1, "H100", "1c.3g.40gb"),
        ("gres/gpu:a30_1g.6gb=2,gres/gpu=2", 3.5, "A30", "1g.6gb"),
        ("gres/gpu:a100_7g.40gb=1,gres/gpu=1", 7, "A100", "7g.40gb"),
        ("cpu=4,gres/shard=12", 0, None, "shard"),
    ],
)
def test_sacct_slices_of_a_gpu(tmp_path, db, tres, sevenths, model, slices):
    """A slice is its part of the seven of a card, of the four of an A30; the plain total counts it as a card."""
    load_text(tmp_path, db, sacct_text([job(AllocTRES=tres)]))
    ((gpus, *named),) = ask(db, "select gpus, gpu_model, gpu_slice from jobs")
    assert gpus == pytest.approx(sevenths / 7, abs=1e-12) and named == [model, slices]


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node[003-010,12]", "node003"),
        ("gpu-a[1,3-5]-[2-4],login1", "gpu-a1-2"),
        ("N7.cluster.example", "n7"),
        ("a1,b2", "a1"),
        ("None assigned", None),
        ("", None),
    ],
)
def test_sacct_host_is_the_first_node_and_restarts_are_counted(tmp_path, db, nodes, host):
    load_text(tmp_path, db, sacct_text([job(NodeList=nodes, Restarts="2")]))
    assert ask(db, "select host, restarts, job_name from jobs") == [(pseudonym(db, "h", host), 2.0, None)]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1000", "CANCELLED"),
        ("OUT_OF_ME+", "OUT_OF_MEMORY"),
        ("NODE_FAIL", "NODE_FAIL"),
        ("CD", "COMPLETED"),
    ],
)
def test_sacct_states(tmp_path, db, text, state):
    load_text(tmp_path, db, sacct_text([job(State=text)]))
    assert ask(db, "select state from jobs") == [(state,)]


def test_sacct_steps_are_no_jobs_but_know_the_utilisation(tmp_path, db):
    rows = [{**job(7), "TRESUsageInTot": ""}]
    for step, used in (("batch", "150"), ("extern", "0"), ("0", "")):
        usage = f"cpu=1,gres/gpuutil={used}" if used else ""
        rows.append({**job(7, JobID=f"7.{step}", State="COMPLETED"), "TRESUsageInTot": usage})
    rows.append({**job("8_[1-4]", State="PENDING", Start="Unknown", End="Unknown", AllocTRES=""), "TRESUsageInTot": ""})
    result = load_text(tmp_path, db, sacct_text(rows))
    assert (result.rows_read, result.rows_loaded, result.rows_skipped) == (2, 2, 3)
    assert ask(db, "select job_id, gpu_utilisation from jobs order by 1") == [("7", 0.75), ("8_[1-4]", None)]


@pytest.mark.parametrize("word", ["None", "Unknown", "", "INVALID", "N/A"])
def test_sacct_words_for_no_time(tmp_path, db, word):
    load_text(tmp_path, db, sacct_text([job(State="CANCELLED", Start=word, Elapsed="00:00:00")]))
    assert ask(db, "select start_time from jobs") == [(None,)]


def test_sacct_times_are_of_the_zone_that_is_named(tmp_path, db):
    load_text(tmp_path, db, sacct_text([job()]), timezone="Europe/Berlin")
    assert ask(db, "select submit_time from jobs") == [(datetime(2026, 4, 30, 22),)]


@pytest.mark.parametrize(
    ("changes", "rejected"),
    [
        ({"Start": "Unknown"}, ("start_time", "COMPLETED", "the job ran but has no start")),
        ({"Start": "yesterday"}, ("start_time", "yesterday", TIME)),
        ({"Submit": ""}, ("submit_time", None, "a job without a submit time")),
        ({"End": "2026-05-01T00:09:59"}, ("end_time", "2026-05-01 00:09:59", "the job ends before it starts")),
        ({"State": "PONDERING"}, ("state", None, "is empty")),
        ({"Submit": "2027-01-01T00:00:00", "Start": "2027-01-01T00:00:00", "End": "2027-01-02T00:00:00"},
         ("submit_time", "2027-01-01 00:00:00", "lies in the future (seen from 2026-06-30)")),
        ({"NCPUS": "x", "AllocTRES": ""}, ("cpus", "x", "not a number")),
        ({"NCPUS": "-1", "AllocTRES": ""}, ("cpus", "-1.0", "must not be negative")),
        ({"Elapsed": "a while"}, ("elapsed_seconds", "a while", "not a duration such as 1-02:03:04")),
        ({"Timelimit": "1_0"}, ("requested_seconds", "1_0", "not a duration such as 1-02:03:04")),
        ({"JobID": ""}, ("job_id", None, "is empty")),
        ({"JobName": "a|b"}, (None, None, "17 fields where 16 are expected")),
        ({"JobName": "a\nb"}, (None, None, "2 fields where 16 are expected")),
        ({"JobName": "a\x00b"}, (None, None, "bytes that are not utf-8 text")),
    ],
)  # fmt: skip
def test_sacct_bad_rows(tmp_path, db, changes, rejected):
    """The other jobs are all there."""
    result = load_text(tmp_path, db, sacct_text([job(1), job(2, **changes), job(3)]), as_of=datetime(2026, 6, 30))
    column, found, reason = rejected
    assert rejects(db)[0] == (3, column, masked(found), reason)
    assert result.rows_rejected == (2 if "\n" in changes.get("JobName", "") else 1)
    assert job_ids(db) == ["1", "3"]


@pytest.mark.parametrize("name", ['a "quoted" name', '"open', "o'brien", "<b>", "=1", "作业"])
def test_sacct_names_are_text(tmp_path, db, name):
    load_text(tmp_path, db, sacct_text([job(1, JobName=name, Account=name), job(2)]))
    assert ask(db, "select account from jobs order by job_id") == [(name,), ("team-a",)]


@pytest.mark.parametrize("word", ["UNLIMITED", "Partition_Limit", ""])
def test_sacct_words_for_no_limit(tmp_path, db, word):
    load_text(tmp_path, db, sacct_text([job(Timelimit=word)]))
    assert ask(db, "select requested_seconds from jobs") == [(None,)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (sacct_text([job()], header=False), {}, "name its fields by --fields"),
        (sacct_text([job()], header=False), {"fields": ("jobid", "JobID", *FIELDS[2:])}, "two columns are called"),
        ("JobName|State\na|b\n", {}, "its format is not known"),
        (sacct_text([job()]).replace("State", "Start"), {}, "its format is not known"),
    ],
)
def test_sacct_that_cannot_be_read(tmp_path, db, text, options, message):
    result = load_text(tmp_path, db, text, **options)
    assert result.status == "failed" and message in result.message


def test_a_job_again_is_stated_anew(tmp_path, db):
    """A log of a later day holds running jobs again, with their end."""
    load_text(tmp_path, db, sacct_text([job(1), job(2, State="RUNNING", End="Unknown")]))
    result = load_text(tmp_path, db, sacct_text([job(2), job(3)]))
    assert result.status == "replaced"
    assert ask(db, "select job_id, state from jobs order by 1") == [(n, "COMPLETED") for n in "123"]


def test_a_job_twice_in_a_file_is_kept_as_it_stands_last(tmp_path, db):
    load_text(tmp_path, db, sacct_text([job(1, State="RUNNING", End="Unknown"), job(2), job(1)]))
    assert ask(db, "select job_id, state from jobs order by 1") == [("1", "COMPLETED"), ("2", "COMPLETED")]
    assert rejects(db) == [(2, "cluster", None, "the same cluster, job_id, submit_time as line 4, which is kept")]


SWF = """; Version: 2.2
; Computer: Cluster X
; UnixStartTime: 1000000
1 0 10 100 4 -1 -1 4 200 -1 1 7 3 -1 1 2 -1 -1
2 50 -1 -1 -1 -1 -1 8 200 -1 5 7 3 -1 1 2 -1 -1
"""


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzip"])
def test_swf(tmp_path, db, pack):
    (tmp_path / "log").write_bytes(pack(SWF))
    result = load_one(tmp_path / "log", db)
    assert (result.format, result.rows_read, result.rows_skipped) == ("swf 2.2", 2, 3)
    assert ask(
        db,
        "select job_id, cluster, state, epoch(submit_time), epoch(start_time), epoch(end_time), cpus, requested_seconds"
        " from jobs order by job_id",
    ) == [
        ("1", "Cluster X", "COMPLETED", 1000000.0, 1000010.0, 1000110.0, 4.0, 200.0),
        ("2", "Cluster X", "CANCELLED", 1000050.0, None, None, 8.0, 200.0),
    ]


@pytest.mark.parametrize(
    ("line", "found", "reason"),
    [
        ("3 100 10 100 4", "5", "a line must have 18 fields"),
        ("3 100 10 100 4 -1 -1 4 200 -1 1 7 3 -1 1 2 -1 -1 9", "19", "a line must have 18 fields"),
        ("3 x 10 100 4 -1 -1 4 200 -1 1 7 3 -1 1 2 -1 -1", None, "every field must be a number"),
        ("3 1_0 10 100 4 -1 -1 4 200 -1 1 7 3 -1 1 2 -1 -1", None, "every field must be a number"),
        ("3 inf 10 100 4 -1 -1 4 200 -1 1 7 3 -1 1 2 -1 -1", None, "every field must be a number"),
        ("3 1e300 10 100 4 -1 -1 4 200 -1 1 7 3 -1 1 2 -1 -1", None, "a job without a submit time"),
    ],
)
def test_swf_bad_lines(tmp_path, db, line, found, reason):
    load_text(tmp_path, db, SWF + "\n" + line + "\n" + SWF.splitlines()[3].replace("1", "9", 1) + "\n")
    assert [(row[0], *row[2:]) for row in rejects(db)] == [(7, found, reason)]
    assert job_ids(db) == ["1", "2", "9"]


def test_swf_with_a_start_that_is_no_number(tmp_path, db):
    result = load_text(tmp_path, db, SWF.replace("1000000", "soon"))
    assert result.status == "failed" and "UnixStartTime is no number but 'soon'" in result.message


TRACE = "when,until,card,count,who,outcome\n2026-05-01 00:00:00,2026-05-01 02:00:00,h100,4,ann,Pass\n"
MAPPING = {"submit_time": "when", "end_time": "until", "gpu_model": "card", "gpus": "count", "user_id": "WHO",
           "state": "outcome"}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_gpu_trace_by_a_mapping(tmp_path, db, kind):
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    if kind == "parquet":
        duckdb.sql(f"copy (from '{path}') to '{tmp_path / 'trace.parquet'}'")
        path = tmp_path / "trace.parquet"
    result = load_one(path, db, "gpu_trace", mapping=MAPPING)
    assert result.format == "gpu_trace"
    assert ask(db, "select job_id, state, gpus, gpu_model, user_id, elapsed_seconds, start_time from jobs") == [
        (
            "trace-1" if kind == "parquet" else "trace-2",
            "COMPLETED",
            4.0,
            "H100",
            pseudonym(db, "u", "ann"),
            7200.0,
            datetime(2026, 5, 1),
        )
    ]


@pytest.mark.parametrize(
    ("row", "rejected"),
    [
        ("2026-05-01,2026-05-02,h100,many,ann,Pass", ("gpus", "many", "not a number")),
        ("2026-05-01,2026-05-02,h100,-1,ann,Pass", ("gpus", "-1.0", "must not be negative")),
        ("2026-05-01,2026-05-02,h100,,ann,Pass", ("gpus", None, "is empty")),
        ("2026-05-01,later,h100,1,ann,Pass", ("end_time", "later", TIME)),
        ("2026-05-02,2026-05-01,h100,1,ann,Pass", ("end_time", "2026-05-01 00:00:00", "the job ends before it starts")),
        (",2026-05-01,h100,1,ann,Pass", ("submit_time", None, "is empty")),
    ],
)
def test_gpu_trace_bad_rows(tmp_path, db, row, rejected):
    good = TRACE.splitlines()[1]
    load_text(tmp_path, db, TRACE + row + "\n" + good + "\n", "gpu_trace", mapping=MAPPING)
    column, found, reason = rejected
    assert rejects(db) == [(3, column, masked(found), reason)]
    assert job_ids(db) == ["jobs-2", "jobs-4"]


ALIBABA = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"
    """
pod-1,12000,16384,1,1000,,LS,Running,0,12537496,0
pod-2,6000,12288,1,460,V100M16|V100M32,BE,Succeeded,100,3800,200
pod-3,88000,327680,8,1000,P100|T4,LS,Failed,100,3700,100
pod-4,1000,1024,0,0,,BE,Pending,140,200,
pod-5,1000,1024,1,half,,BE,Succeeded,140,200,150
pod-6,1000,1024,1,500,,BE,Succeeded,soon,200,150
"""
)


def test_gpu_trace_of_shared_gpus(tmp_path, db):
    """`gpu_milli` are thousandths of each GPU; a pod that may run on any of several models has none."""
    result = load_text(tmp_path, db, ALIBABA)
    assert result.format == "gpu_trace alibaba"
    assert ask(
        db,
        "select job_id, gpus, gpu_slice, gpu_model, cpus, memory_gb, qos, state, epoch(submit_time), epoch(start_time),"
        " epoch(end_time) from jobs order by job_id",
    ) == [
        ("pod-1", 1.0, None, None, 12.0, 16.0, "LS", "RUNNING", 0.0, 0.0, 12537496.0),
        ("pod-2", 0.46, "460m", "V100", 6.0, 12.0, "BE", "COMPLETED", 100.0, 200.0, 3800.0),
        ("pod-3", 8.0, None, None, 88.0, 320.0, "LS", "FAILED", 100.0, 100.0, 3700.0),
        ("pod-4", 0.0, None, None, 1.0, 1.0, "BE", "PENDING", 140.0, None, 200.0),
    ]
    assert [(line, column, found) for line, column, found, _ in rejects(db)] == [
        (6, "gpus", "xxxx"),
        (7, "submit_time", "xxxx"),
    ]


def test_gpu_trace_with_an_endless_duration(tmp_path, db):
    load_text(tmp_path, db, "submit_time,duration,gpus\n2026-05-01,1e300,1\n2026-05-01,10,1\n")
    assert ask(db, "select end_time from jobs order by x_source_row") == [(None,), (datetime(2026, 5, 1, 0, 0, 10),)]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"colour": "card"}, "a mapping cannot name 'colour'"),
        ({"submit_time": "then"}, "has no column 'then'"),
        ({"submit_time": "when"}, "nothing says which column is gpus"),
        ({"submit_time": "when", "gpus": "count"}, "neither duration nor end_time"),
    ],
)
def test_gpu_trace_mappings_that_do_not_fit(tmp_path, db, mapping, message):
    result = load_text(tmp_path, db, TRACE, "gpu_trace", mapping=mapping)
    assert result.status == "failed" and message in result.message


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, len(FIELDS) - 1),
            st.one_of(st.text(max_size=8), st.sampled_from(["|", "\n", "1e999", "9" * 30, "-1", "1-1-1", "12:99:99"])),
        ),
        max_size=5,
    )
)
def test_any_damage_to_a_job_log(tmp_path_factory, changes):
    """Jobs whose lines were not touched are all there."""
    folder = tmp_path_factory.mktemp("mutated")
    rows = [job(number) for number in range(1, 7)]
    for row, column, text in changes:
        rows[row][FIELDS[column]] = text
    (folder / "jobs.txt").write_bytes(sacct_text(rows, end="").encode("utf-8", "surrogatepass"))
    result = load_one(folder / "jobs.txt", folder / "db")
    assert result.status == "loaded", result.message
    assert {str(n + 1) for n in range(6)} - {str(row + 1) for row, _, _ in changes} <= set(job_ids(folder / "db"))
    assert_conserved(result, folder / "db")
