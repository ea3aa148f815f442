"""What each latency is, by hand, and the file of records."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics import records as records_module
from scheduler.metrics.records import Records, write_records
from scheduler.protocol.finish import FinishReason
from tests.unit.scheduler.metrics.logged import SECOND, Request, one_token, rejected, table_of

DERIVED = ("queue_s", "prefill_s", "ttft_s", "hand_over_s", "tpot_s", "e2e_s")


def derived(request: Request) -> dict[str, float | None]:
    """All derived values of one request; None for what is not defined."""
    records = Records(table_of(request))
    values = {name: float(getattr(records, name)[0]) for name in DERIVED}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def test_definitions() -> None:
    request = Request(
        arrived_ns=1 * SECOND,
        prefill_started_ns=3 * SECOND,
        first_token_ns=7 * SECOND,
        decode_started_ns=8 * SECOND,
        last_token_ns=17 * SECOND,
        output_tokens=6,
    )
    assert derived(request) == dict(zip(DERIVED, (2.0, 4.0, 6.0, 1.0, 2.0, 16.0), strict=True))


def test_one_token_has_no_time_per_token_after_it() -> None:
    assert derived(one_token()) == {
        "queue_s": 1.0,
        "prefill_s": 1.0,
        "ttft_s": 2.0,
        "hand_over_s": None,
        "tpot_s": None,
        "e2e_s": 2.0,
    }


def test_rejected_has_no_latency() -> None:
    assert set(derived(rejected()).values()) == {None}


def test_failed_late_keeps_what_it_reached() -> None:
    request = Request(
        reason=FinishReason.TIMED_OUT, decode_started_ns=NOT_YET, last_token_ns=2 * SECOND, output_tokens=1
    )
    values = derived(request)
    assert (values["queue_s"], values["ttft_s"], values["e2e_s"], values["tpot_s"]) == (1.0, 2.0, None, None)


def test_hand_over_of_a_request_that_began_again_is_not_defined() -> None:
    values = derived(Request(preemptions=1))
    assert values["hand_over_s"] is derived(Request(retries=1))["hand_over_s"] is None
    assert values["e2e_s"] == 6.0


def test_columns_are_views() -> None:
    table = table_of(Request(), Request())
    records = Records(table)
    table.arrived_ns[1] = 5
    assert records.arrived_ns.tolist() == [0, 5]


def test_file(tmp_path: Path) -> None:
    table = table_of(
        Request(first_token_ns=2_500_000_000, prompt_tokens=7, cached_tokens=3, prefill_instance=1), rejected(4)
    )
    path = write_records(tmp_path, Records(table), ["p-a", "p-b"], ["d-a"])
    assert path == tmp_path / "requests.csv"
    first, second = csv.DictReader(path.read_text().splitlines())
    assert first == {
        "request_id": "0",
        "finish_reason": "stop",
        "prompt_tokens": "7",
        "cached_tokens": "3",
        "output_tokens": "3",
        "preemptions": "0",
        "retries": "0",
        "prefill_instance": "p-b",
        "decode_instance": "d-a",
        "arrived_ns": "0",
        "prefill_started_ns": "1000000000",
        "first_token_ns": "2500000000",
        "decode_started_ns": "3000000000",
        "last_token_ns": "6000000000",
        "ended_ns": "6000000000",
        "queue_s": "1",
        "prefill_s": "1.5",
        "ttft_s": "2.5",
        "hand_over_s": "0.5",
        "tpot_s": "1.75",
        "e2e_s": "6",
    }
    told = {"request_id", "finish_reason", "arrived_ns", "ended_ns"}
    told |= {"prompt_tokens", "cached_tokens", "output_tokens", "preemptions", "retries"}
    assert {name for name, value in second.items() if value} == told
    assert second["finish_reason"] == "overload"


@pytest.mark.parametrize("part_rows", [1, 2, 3, 100])
def test_file_does_not_depend_on_the_size_of_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    table = table_of(*(Request(arrived_ns=at) for at in range(5)), rejected(6))
    monkeypatch.setattr(records_module, "CSV_ROWS", part_rows)
    path = write_records(tmp_path, Records(table), ["p"], ["d"])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["request_id"] for row in rows] == [str(i) for i in range(6)]
    assert [row["arrived_ns"] for row in rows] == ["0", "1", "2", "3", "4", "6"]


def test_no_request_leaves_the_header(tmp_path: Path) -> None:
    text = write_records(tmp_path, Records(RequestTable()), [], []).read_text()
    assert text.startswith("request_id,")
    assert text.count("\n") == 1


def test_a_file_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "requests.csv").write_text("before")
    with pytest.raises(IndexError):
        write_records(tmp_path, Records(table_of(Request(prefill_instance=9))), ["p"], ["d"])
    assert [path.name for path in tmp_path.iterdir()] == ["requests.csv"]
    assert (tmp_path / "requests.csv").read_text() == "before"


def test_finished_is_stop_or_length() -> None:
    table = table_of(*(Request(reason=reason) for reason in FinishReason))
    finished = np.flatnonzero(Records(table).is_finished).tolist()
    assert finished == [FinishReason.STOP, FinishReason.LENGTH]
