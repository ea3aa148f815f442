"""Records of a selection of requests, read while the table still grows."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.core.request_table import CHUNK_ROWS
from scheduler.metrics.records import Records
from tests.unit.scheduler.metrics.logged import Request, one_token, rejected, table_of


@pytest.mark.parametrize("ids", [[], [2], [3, 0, 3, 1]])
def test_they_are_the_rows_of_all_records(ids: list[int]) -> None:
    table = table_of(Request(), one_token(), rejected(), Request(arrived_ns=7, output_tokens=9, preemptions=1))
    some = Records(table, ids)
    table.add(0, [1] * CHUNK_ROWS)  # it can grow: nothing looks into its columns
    every = Records(table)
    raw = [name for name, column in vars(every).items() if isinstance(column, np.ndarray)]
    for name in (*raw, "queue_s", "prefill_s", "ttft_s", "hand_over_s", "tpot_s", "e2e_s", "is_finished"):
        np.testing.assert_array_equal(getattr(some, name), getattr(every, name)[ids], name)
    assert some.num_requests == len(ids)
