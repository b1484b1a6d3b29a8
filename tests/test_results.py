"""Results that are kept: found again by their inputs, the same to the last bit, and no burden."""

import numpy as np
import pandas as pd
import pytest

from dcbudget import results, warehouse
from dcbudget.errors import DcbudgetError

FRAME = pd.DataFrame({
    "month": pd.to_datetime(["2026-02-01", "2026-01-01", "2026-03-01"]), "project": ["b", None, "a"],
    "cost": [0.1 + 0.2, np.nan, -1e300], "gpus": [3, 1, 2], "sure": [True, False, True],
})  # fmt: skip


@pytest.fixture
def database(db):
    with warehouse.connect(db, write=True):
        pass
    return db


class Maker:
    def __init__(self, frame=FRAME):
        self.frame, self.calls = frame, 0

    def __call__(self):
        self.calls += 1
        return self.frame


def test_a_result_is_computed_once_and_comes_back_in_order_and_to_the_last_bit(database):
    make = Maker()
    first = results.computed("waits", {"policy": "fifo", "jobs": FRAME}, make, database)
    again = results.computed("waits", {"policy": "fifo", "jobs": FRAME}, make, database)
    assert make.calls == 1
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert again["cost"].tolist()[::2] == [0.1 + 0.2, -1e300] and again["gpus"].tolist() == [3, 1, 2]
    assert again["month"].tolist() == FRAME["month"].tolist() and pd.isna(again["project"].iloc[1])


@pytest.mark.parametrize(
    "changed",
    [
        {"policy": "easy", "jobs": FRAME, "gpus": np.arange(3)},
        {"policy": "fifo", "jobs": FRAME.assign(gpus=[3, 1, 1]), "gpus": np.arange(3)},
        {"policy": "fifo", "jobs": FRAME.rename(columns={"cost": "price"}), "gpus": np.arange(3)},
        {"policy": "fifo", "jobs": FRAME, "gpus": np.arange(3.0)},
        {"policy": "fifo", "jobs": FRAME.iloc[::-1], "gpus": np.arange(3)},
        {"policy": "fifo", "jobs": FRAME},
    ],
)
def test_another_input_is_another_result(changed):
    assert results.key_of(changed) != results.key_of({"policy": "fifo", "jobs": FRAME, "gpus": np.arange(3)})


def test_the_order_in_which_inputs_are_named_does_not_matter():
    assert results.key_of({"a": 1, "b": [2]}) == results.key_of({"b": [2], "a": 1})


def test_a_result_is_computed_where_the_database_cannot_be_written_to(database, monkeypatch):
    def busy(*_, **__):
        raise DcbudgetError("held by another")

    monkeypatch.setattr(results, "keep", busy)
    make = Maker()
    for _ in range(2):
        assert len(results.computed("waits", {"policy": "fifo"}, make, database)) == 3
    assert make.calls == 2


def test_the_oldest_results_of_a_name_go(database, monkeypatch):
    monkeypatch.setattr(results, "MOST", 2)
    for gpus in (1, 2, 3):
        results.computed("waits", {"gpus": gpus}, Maker(), database)
    results.computed("costs", {"gpus": 1}, Maker(), database)
    assert results.listed("waits", database)["gpus"].tolist() == [3, 2]
    tables = warehouse.query("select count(*) as n from duckdb_tables() where schema_name = 'kept'", database)
    assert tables["n"].item() == 3 and results.kept("waits", results.key_of({"gpus": 1}), database) is None
    assert [results.is_kept("waits", results.key_of({"gpus": gpus}), database) for gpus in (1, 3)] == [False, True]


def test_empty_results_are_results(database):
    make = Maker(FRAME.head(0))
    results.computed("waits", {}, make, database)
    assert results.computed("waits", {}, make, database).empty and make.calls == 1
    assert results.listed("costs", database).empty


def test_a_name_is_no_statement(database):
    with pytest.raises(DcbudgetError, match="small letters"):
        results.computed("waits; drop table jobs", {}, Maker(), database)


def test_a_result_goes_with_the_database_when_it_is_encrypted_or_copied(database):
    results.computed("waits", {"a": 1}, Maker(), database)
    with warehouse.snapshot(database) as copy:
        make = Maker()
        results.computed("waits", {"a": 1}, make, copy)
        assert make.calls == 0
