"""Nobody's name reaches the database, a report or a notebook; pseudonyms are stable, keyed and rotatable."""

import hashlib
import hmac
import json
import re
import stat

import pytest
from typer.testing import CliRunner

from dcbudget import privacy, warehouse
from dcbudget.cli import app
from dcbudget.errors import DcbudgetError
from dcbudget.ingest import READERS
from dcbudget.ingest.load import load
from tiny import CHARGES, RULES, charge, rows, write

# In no dictionary, so that finding one is a leak: users, hosts, and what people write.
ZAPHOD, TRILLIAN, HOST, NAME = "zaphodbee", "trillianmc", "heartofgold", "improbabilitydrive"
SACCT = f"""JobID|JobName|User|Account|Cluster|Partition|State|Submit|Start|End|Elapsed|AllocTRES|NodeList|Comment
1|{NAME}|{ZAPHOD}|a-x|east|gpu|COMPLETED|2026-05-01T00:00:00|2026-05-01T00:00:00|2026-05-01T05:00:00|05:00:00|gres/gpu:h100=1,gres/gpu=1|{HOST}07|for {TRILLIAN}
2|{NAME}|{TRILLIAN}|b-x|east|gpu|COMPLETED|2026-05-01T00:00:00|2026-05-01T00:00:00|2026-05-01T05:00:00|05:00:00|gres/gpu:h100=1,gres/gpu=1|{HOST}[07-08]|
3|{NAME}|{ZAPHOD}|a-x|east|gpu|COMPLETED|2026-05-02T00:00:00|2026-05-02T00:00:00|2026-05-02T05:00:00|05:00:00|gres/gpu:h100=1,gres/gpu=1|{HOST}07|
4|{NAME}|{ZAPHOD}|a-x|east|gpu|NO_STATE|2026-05-02T00:00:00|2026-05-02T00:00:00|2026-05-02T05:00:00|05:00:00||{HOST}07|
5|{NAME}|extra|{ZAPHOD}|a-x|east|gpu|COMPLETED|{TRILLIAN}|2026-05-02T00:00:00|2026-05-02T05:00:00|05:00:00|{HOST}|one
6|{NAME}|{ZAPHOD}
"""  # noqa: E501
BILL = [
    charge("node", "10", gpus=("H100", 1, 30),
           tags=f'{{"cluster":"east","owner":"{ZAPHOD}","x/CreatedBy":"{TRILLIAN}@x.y"}}'),
    charge("disk", "5", tags=f'{{"user:Team":"search","user_name":"{TRILLIAN}"}}')
    | {"x_contact": ZAPHOD, "x_tier": "gold"},
    charge("spoiled", "five", tags=f'{{"owner":"{ZAPHOD}"}}') | {"x_contact": ZAPHOD},
    charge("also spoiled", "six", tags=f'{{"owner":"{ZAPHOD}"') | {"x_contact": TRILLIAN},
]  # fmt: skip
RULE = {"assign": "project", "field": "user", "pattern": TRILLIAN, "value": "gamma"}


@pytest.fixture
def guarded(tmp_path):
    """A database of a job log, a bill and rules that are full of names, with good rows and bad ones."""
    db = tmp_path / "budget.duckdb"
    (tmp_path / "log.txt").write_text(SACCT, encoding="utf-8")
    owner = {"assign": "project", "field": "tag:owner", "pattern": ZAPHOD, "value": "delta"}
    files = [
        write(tmp_path / "rules.csv", [RULE, owner, *RULES]),
        tmp_path / "log.txt",
        write(tmp_path / "b.csv", BILL),
    ]
    results = load(files, db)
    assert [(result.rows_loaded, result.rows_rejected) for result in results] == [(6, 0), (3, 3), (2, 2)]
    return db


def leaks(*files):
    """Names in files, whatever the case."""
    return [(file.name, name) for file in files for name in (ZAPHOD, TRILLIAN, HOST, NAME)
            if re.search(name.encode(), file.read_bytes(), re.I)]  # fmt: skip


def test_no_name_reaches_the_database_a_report_or_an_export(guarded, tmp_path):
    assert rows(guarded, "select count(*) from rejects") == [(5,)]
    out = tmp_path / "out"
    typed = CliRunner().invoke(app, ["report", "--db", str(guarded), "--out", str(out)])
    assert typed.exit_code == 0, typed.output
    for table in ("jobs", "charges", "rejects", "project_rules", "showback_monthly"):
        CliRunner().invoke(app, ["export", table, str(out / f"{table}.csv"), "--db", str(guarded)])
    made = [path for path in out.rglob("*") if path.is_file()]
    assert len(made) == 8
    beside = [path for path in tmp_path.glob("budget.*") if path.is_file()]
    assert leaks(*made, *beside) == []
    assert leaks(tmp_path / "log.txt"), "the search finds what is there"


def test_what_load_says_names_nobody(guarded, tmp_path):
    (tmp_path / "again.txt").write_text(SACCT + "\n", encoding="utf-8")
    typed = CliRunner().invoke(app, ["load", str(tmp_path / "again.txt"), "--db", str(guarded)])
    assert ZAPHOD not in typed.output and TRILLIAN not in typed.output and "rejected" in typed.output


def test_pseudonyms_are_hmac_sha256_of_the_key_in_the_file(guarded):
    """As RFC 2104 has it, computed by Python's own hmac; one person is one pseudonym, in jobs and in tags."""
    key = bytes.fromhex(guarded.with_suffix(".key").read_text().strip())

    def of(kind, name):
        return f"{kind}-{hmac.new(key, f'{kind}:{name}'.encode(), hashlib.sha256).hexdigest()[:16]}"

    assert rows(guarded, "select job_id, user_id, job_name from jobs order by 1") == [
        ("1", of("u", ZAPHOD), None), ("2", of("u", TRILLIAN), None), ("3", of("u", ZAPHOD), None)
    ]  # fmt: skip
    assert set(rows(guarded, "select host from jobs")) == {(of("h", f"{HOST}07"),)}
    tags = [json.loads(tags) for (tags,) in rows(guarded, "select Tags from charges order by ResourceId desc")]
    assert tags[0] == {"cluster": "east", "owner": of("u", ZAPHOD), "x/CreatedBy": of("u", f"{TRILLIAN}@x.y")}
    assert tags[1] == {"user:Team": "search", "user_name": of("u", TRILLIAN)}
    extra = rows(guarded, "select x_extra from charges where ResourceId = 'disk'")
    assert json.loads(extra[0][0]) == {"x_contact": of("u", ZAPHOD), "x_tier": "gold"}


def test_rules_about_people_meet_their_pseudonyms(guarded):
    assert rows(guarded, "select job_id, project from jobs order by 1") == [
        ("1", "alpha"),
        ("2", "gamma"),
        ("3", "alpha"),
    ]
    assert rows(guarded, "select x_project from charges where ResourceId = 'node'") == [("delta",)]


def test_a_pattern_over_names_is_rejected(tmp_path, db):
    result = load([write(tmp_path / "r.csv", [RULE, RULE | {"pattern": "tri*"}, RULE | {"pattern": "*"}])], db)[0]
    assert (result.rows_loaded, result.rows_rejected) == (2, 1)
    assert "whole name or *" in rows(db, "select reason from rejects")[0][0]


def test_key_is_made_once_for_its_owner_alone(guarded):
    file = guarded.with_suffix(".key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    load([guarded.parent / "b.csv"], guarded)
    assert file.read_bytes() == before
    assert before.strip() not in guarded.read_bytes()


def test_key_file_can_lie_elsewhere(tmp_path, db, monkeypatch):
    monkeypatch.setenv("DCBUDGET_PSEUDONYM_KEY_FILE", str(tmp_path / "safe" / "people"))
    load([write(tmp_path / "b.csv", CHARGES)], db)
    assert (tmp_path / "safe/people").exists() and not db.with_suffix(".key").exists()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda file: file.unlink(), "is missing, the key of the pseudonyms in budget.duckdb"),
        (lambda file: file.chmod(0o644), "others may read"),
        (lambda file: file.write_text("ab" * 32 + "\n"), "is not the key that the pseudonyms"),
        (lambda file: file.write_text("not hex\n"), "is no key of pseudonyms"),
        (lambda file: file.write_text(""), "is no key of pseudonyms"),
    ],
)
def test_wrong_key_is_one_clear_error_and_changes_nothing(guarded, spoil, message):
    before = rows(guarded, "select count(*) from loads")
    spoil(guarded.with_suffix(".key"))
    more = write(guarded.parent / "more.csv", CHARGES[:1])
    with pytest.raises(DcbudgetError, match=message):
        load([more], guarded)
    assert rows(guarded, "select count(*) from loads") == before


def test_rotation_gives_new_pseudonyms_and_keeps_people_together(guarded, tmp_path):
    """Old and new forms cannot be joined without the key; a log loaded afterwards meets the one loaded before."""
    before = dict(rows(guarded, "select job_id, user_id || ' ' || host from jobs"))
    typed = CliRunner().invoke(app, ["rotate-key", "--db", str(guarded)])
    assert typed.exit_code == 0 and "11 names" in typed.output, typed.output
    after = dict(rows(guarded, "select job_id, user_id || ' ' || host from jobs"))
    assert not set(" ".join(before.values()).split()) & set(" ".join(after.values()).split())
    assert after["1"] == after["3"] != after["2"]
    (tmp_path / "next.txt").write_text(SACCT.replace("\n1|", "\n11|"), encoding="utf-8")
    load([tmp_path / "next.txt", tmp_path / "rules.csv"], guarded)
    assert dict(rows(guarded, "select job_id, user_id || ' ' || host from jobs"))["11"] == after["1"]
    assert rows(guarded, "select project from jobs where job_id = '2'") == [("gamma",)]
    owner = rows(guarded, "select Tags->>'owner' from charges where ResourceId = 'node'")[0][0]
    assert owner == after["1"].split()[0]
    assert (warehouse.check(guarded)["offending_rows"] == 0).all()


def test_rotation_that_was_cut_off_is_finished(guarded):
    """The database changed and the new key file was not yet in its place."""
    file = guarded.with_suffix(".key")
    old = file.read_bytes()
    privacy.rotate(guarded)
    file.rename(file.with_name(file.name + ".new"))
    file.write_bytes(old)
    file.chmod(0o600)
    load([write(guarded.parent / "more.csv", CHARGES[:1])], guarded)
    assert len(file.read_text().split()) == 2 and not file.with_name(file.name + ".new").exists()


@pytest.mark.parametrize(
    "key, person",
    [(key, True) for key in ("owner", "Owner", "user", "userName", "user_id", "created-by", "CreatedBy",
                             "aws:createdBy", "owner-email", "BudgetOwner", "x_owner", "user:Owner", "E-Mail")]
    + [(key, False) for key in ("user:Team", "user_team", "team", "ownership", "downer", "userdata", "cost")],
)  # fmt: skip
def test_keys_that_name_people(key, person):
    assert bool(re.search(privacy.PERSON_KEY, f'"{key}":')) is person


def test_job_names_are_kept_on_request(tmp_path, db):
    (tmp_path / "log.txt").write_text(SACCT, encoding="utf-8")
    CliRunner().invoke(app, ["load", str(tmp_path / "log.txt"), "--db", str(db), "--keep-names"])
    assert rows(db, "select distinct job_name from jobs") == [(NAME,)]


def test_every_reader_of_people_is_known():
    """A table with a column that names somebody is covered, whatever reader fills it."""
    for dataset in {reader.dataset for reader in READERS}:
        text = warehouse.sql("tables").get(dataset, "")
        for column in re.findall(r"^\s+(\w*(?:user|owner|host)\w*) varchar", text, re.M):
            assert column in privacy.PEOPLE.get(dataset, {}), (dataset, column)
