"""A few cases of `benchmarks/fuzz.py` for every reader, and that they would notice."""

import random

import pytest

from benchmarks import fuzz
from dcbudget.ingest import READERS, damage

CASES = 4


@pytest.fixture(scope="module")
def seeds() -> dict[str, fuzz.Seed]:
    return {seed.reader: seed for seed in fuzz.seeds()}


@pytest.mark.parametrize("reader", [reader.name for reader in READERS])
def test_damage_stays_where_it_is(seeds, tmp_path, reader):
    assert reader in seeds, f"tests/seeds has no file that the reader {reader} reads"
    assert fuzz.run(seeds[reader], CASES, tmp_path) == []


def test_a_lost_row_and_a_crash_are_noticed(seeds, tmp_path, monkeypatch):
    """A row lost where a file is read carefully harms a neighbour; an error that is not the user's is one."""
    records = damage.records

    def forgetful(source, plan):
        return (record for record in records(source, plan) if record[0] != 3)

    monkeypatch.setattr(damage, "records", forgetful)
    wrong = fuzz.run(seeds["focus"], 12, tmp_path / "lost")
    assert wrong and all("lines [3] are not there as they were" in line for line in wrong)

    monkeypatch.setattr(damage, "records", lambda source, plan: iter([None]))
    assert "TypeError" in fuzz.run(seeds["focus"], 6, tmp_path / "crash")[-1]


def test_cases_are_many_and_the_same_again(seeds):
    drawn = [[fuzz.damage(seeds["focus"], draw) for _ in range(200)] for draw in (random.Random(1), random.Random(1))]
    assert drawn[0] == drawn[1]
    assert len({case.content for case in drawn[0]}) > 150
    assert 60 < sum(case.touched is not None for case in drawn[0]) < 180
