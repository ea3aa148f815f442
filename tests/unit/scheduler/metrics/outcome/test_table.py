"""The page for people: aligned, in units that fit, and nothing that says nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from scheduler.metrics.outcome import cells
from scheduler.metrics.outcome.broken_parts import BrokenKind, BrokenParts, LostCapacity
from scheduler.metrics.outcome.sections import section_lines
from scheduler.metrics.outcome.summary import RunInfo, Summary, summarize
from scheduler.metrics.outcome.table import render, sections
from scheduler.metrics.slo import Slo
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.finish import FAILED, REJECTED, FinishReason
from tests.unit.scheduler.metrics.logged import (
    SECOND,
    Request,
    collector_of,
    end_run,
    final,
    moved,
    passed,
    rejected,
    table_of,
    usage,
)


def summary_of(
    *requests: Request,
    slo: Slo | None = None,
    has_prefix_cache: bool = True,
    finish_limits: Mapping[FinishReason, str] | None = None,
) -> Summary:
    """Of a run of two hours."""
    began = passed(0, started=[index for index, one in enumerate(requests) if one.prefill_started_ns >= 0])
    messages = began, moved(SECOND, 5_000_000), final(usage(0, 7200 * SECOND, SECOND, 7.2e9))
    collector = end_run(collector_of(table_of(*requests), *[collector_of().instances], *messages), 7200 * SECOND)
    info = RunInfo(2.0, 1, "abc", {Plane.RDMA: 1e6}, has_prefix_cache, finish_limits=finish_limits or {})
    return summarize(collector, info, slo)


def test_the_page() -> None:
    request = Request(prompt_tokens=2_000_000, cached_tokens=500_000)
    page = render(summary_of(request, slo=Slo(ttft_s=1.0)), "a trace, a plan")
    lines = page.splitlines()
    assert lines[0] == "a trace, a plan"
    assert page.endswith("2 h 0 min simulated in 2.00 s (3,600x), seed 1, config abc\n")
    assert max(map(len, lines)) <= 90
    assert not any(line != line.rstrip() for line in lines)
    titles = [line.split("  ")[0] for line in lines[2:-1] if line and not line.startswith(" ")]
    before, after = ["Requests", "Latency", "Throughput", "Per NPU", "Cache"], ["Energy", "SLO"]
    assert titles == [*before, "Fabric", "Transfers", "Links", *after]
    assert "\n  TTFT             2.00 s       2.00 s" in page
    assert "\n  RDMA            5.00 MB" in page
    assert "\n  NPUs only       7.20 GJ" in page
    assert "25.0 %     500 ktok    2.00 Mtok\n" in page


def test_names_of_columns_end_where_their_numbers_do() -> None:
    for section in sections(summary_of(Request(), rejected(), slo=Slo(ttft_s=1.0))):
        lines = section_lines(section)
        ends = [0]
        for name in section.columns:
            ends.append(lines[0].index(f" {name}", ends[-1]) + len(name) + 1)
        for line, row in zip(lines[1:], section.rows, strict=True):
            for cell, end in zip(row[1:], ends[1:], strict=True):
                assert line[:end].endswith(f" {cell}")


def test_sections_that_say_nothing_are_left_out() -> None:
    plain = {section.title for section in sections(summary_of(Request(), has_prefix_cache=False))}
    assert plain.isdisjoint({"SLO", "Cache", "Ended by"})
    mixed = sections(summary_of(Request(), rejected(reason=FinishReason.OVERLOAD)))
    ends = next(section for section in mixed if section.title == "Ended by")
    assert ends.rows == (("stop", "1"), ("overload", "1"))


def test_the_only_reason_is_shown_with_its_limit_unless_it_is_that_all_finished() -> None:
    ends = rejected(reason=FinishReason.TOO_LONG), rejected(reason=FinishReason.TOO_LONG)
    limits = {reason: f"limit of {reason.name}" for reason in (*REJECTED, *FAILED)}
    page = render(summary_of(*ends, finish_limits=limits))
    assert "\nEnded by         requests\n  too_long              2  limit of TOO_LONG\n" in page
    for reason in limits:
        assert f" 1  limit of {reason.name}\n" in render(summary_of(rejected(reason=reason), finish_limits=limits))
    assert "Ended by" not in render(summary_of(Request(), finish_limits=limits))
    assert "Ended by" not in render(summary_of(finish_limits=limits))


def test_tokens_of_requests_that_did_not_finish_are_a_line() -> None:
    timed_out = Request(reason=FinishReason.TIMED_OUT, prompt_tokens=2000, output_tokens=1)
    assert "\nWasted             prompt       output    of output\n" in render(summary_of(Request(), timed_out))
    assert "\n                2.00 ktok     1.00 tok       25.0 %\n" in render(summary_of(Request(), timed_out))
    assert "Wasted" not in render(summary_of(Request(), rejected()))


def test_who_began_again_after_a_loss_is_told_only_if_there_are_any() -> None:
    quiet, troubled = sections(summary_of(Request()))[0], sections(summary_of(Request(retries=2), Request()))[0]
    assert "retried" not in quiet.columns
    assert (troubled.columns[-1], troubled.rows[0][-1]) == ("retried", "1")


def test_a_run_of_nothing_can_be_shown() -> None:
    assert "\n  TTFT                  -            -" in render(summary_of())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 s"),
        (3e-10, "3e-10 s"),
        (5e-9, "5.00 ns"),
        (2.5e-5, "25.0 us"),
        (0.0999999, "100 ms"),
        (0.99949, "999 ms"),
        (0.9996, "1.00 s"),
        (1.0, "1.00 s"),
        (59.96, "60.0 s"),
        (60.0, "1 min 0 s"),
        (3599.9, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (360_000.0, "100 h 0 min"),
    ],
)
def test_seconds(seconds: float | None, text: str) -> None:
    assert cells.seconds_cell(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0.0, "0.00"),
        (0.004, "0.00400"),
        (0.0000123, "0.0000123"),
        (3e-9, "3e-09"),
        (0.0999, "0.0999"),
        (0.116, "0.12"),
        (12_345.6, "12,346"),
    ],
)
def test_rates_show_digits_however_small(number: float | None, text: str) -> None:
    assert cells.rate_cell(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (0, "0 W"), (999.4, "999 W"), (999.6, "1.00 kW"), (123_456, "123 kW"), (2.5e9, "2.50 GW")],
)
def test_si(number: float | None, text: str) -> None:
    assert cells.si_cell(number, "W") == text


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (0.0, "0.00 %"), (1e-6, "< 0.01 %"), (0.5, "50.0 %"), (1.0, "100 %")]
)
def test_percent(share: float | None, text: str) -> None:
    assert cells.percent_cell(share) == text


def test_what_broke_has_its_sections_and_a_run_in_which_nothing_did_has_none() -> None:
    whole = summary_of(Request())
    assert not [one for one in sections(whole) if one.title in ("Broken parts", "Capacity lost")]
    broken = BrokenParts(
        {"optical_module": BrokenKind(3, 4, 86_400.0, 7200.0, 1)}, {"rdma": LostCapacity(0.00004, 0.021, 3600.0)}
    )
    page = render(replace(whole, broken_parts=broken))
    assert "\n  Optical modules       3            4   24 h 0 min    2 h 0 min            1\n" in page
    assert "\n  RDMA           < 0.01 %       2.10 %    1 h 0 min\n" in page
