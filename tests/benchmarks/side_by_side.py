"""Twenty rounds of load, query and report as commands, beside a notebook that reads all the while."""

import time

from test_side_by_side import rounds


def test_twenty_rounds_with_a_report_in_each(tmp_path):
    begun = time.perf_counter()
    every = set(range(1, 21))
    reads, reports = rounds(tmp_path, 20, commands=every, reports=every)
    print(f"\n{reads} reads, 20 loads, 20 queries and {len(reports)} reports in {time.perf_counter() - begun:,.0f} s")
    assert len(reports) == 20
