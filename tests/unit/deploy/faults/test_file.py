"""What a faults file can say, and the line that each mistake in one gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.faults.file import read_faults
from deploy.faults.parts import FabricParts
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import ConfigError
from scheduler.sources.faults import FaultPlan, FaultRate, PlannedFault
from scheduler.sources.worker_losses import PlannedChange, PlannedLoss
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384

PARTS = FabricParts(CLOUDMATRIX384)
MEANS = "mean_time_between_failures: 500h, mean_time_to_repair: 90min"


def read(folder: Path, text: str) -> FaultPlan:
    """The plan of a file with this text."""
    path = folder / "faults.yaml"
    path.write_text(text)
    return read_faults(str(path), PARTS)


def test_schedule_and_rates(tmp_path: Path) -> None:
    text = (
        "schedule:\n"
        "  - {at: 10s, part: l2/03/007, for: 1.5min}\n"
        "  - {at: 100s, part: l2/3/7}\n"
        "  - {at: 0us, part: npu/0/rdma/0/1, for: 1e-3 s}\n"
        f"rates:\n  nic: {{{MEANS}}}\n"
    )
    assert read(tmp_path, text) == FaultPlan(
        (
            PlannedFault("l2/3/7", 10**10, 10**11),
            PlannedFault("l2/3/7", 10**11, NEVER_NS),
            PlannedFault("npu/0/rdma/0/1", 0, 10**6),
        ),
        (FaultRate("nic", 1_800_000.0, 5_400.0),),
    )


def test_workers_that_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("schedule:\n  - {at: 10s, worker: prefill-3, for: 1min}\n  - {at: 1s, part: l2/3/7}\n")
    plan = read_faults(str(path), PARTS, ["prefill-3", "cache/0"])
    assert plan.losses == (PlannedLoss("prefill-3", 10**10, 70 * 10**9),)
    assert len(plan.schedule) == 1


def test_changes_of_models(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("schedule:\n- {at: 10s, worker: prefill-0, model: v2}\n- {at: 1min, worker: all, model: v3}\n")
    plan = read_faults(str(path), PARTS, ["prefill-0", "decode-0", "cache/0"])
    both = PlannedChange(("prefill-0", "decode-0"), 60 * 10**9, "v3")
    assert plan.changes == (PlannedChange(("prefill-0",), 10**10, "v2"), both)
    assert plan.workers == {"prefill-0", "decode-0"}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("{at: 1s, worker: prefil-3, for: 1s}", "2: schedule[0].worker is 'prefil-3', which cannot be lost here; did"),
        ("{at: 1s, worker: prefill-3}", "2: schedule[0].for is missing"),
        ("{at: 1s, worker: prefil-3, model: v2}", "2: schedule[0].worker is 'prefil-3', which cannot change its model"),
        ("{at: 1s, worker: all, model: 2}", "2: schedule[0].model is 2; give a text"),
        ("{at: 1s, worker: all, model: v2, for: 1s}", "2: schedule[0].for is not known here"),
        ("{at: 1s, worker: prefill-3, for: 9s}\n- {at: 5s, worker: prefill-3, for: 9s}", "3: schedule[1].worker"),
        ("{at: 1s, worker: prefill-3, for: 9s, part: l2/3/7}", "2: schedule[0].part is not known here"),
    ],
)
def test_mistakes_about_workers_are_one_line(tmp_path: Path, entry: str, line: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(f"schedule:\n- {entry}\n")
    with pytest.raises(ConfigError) as caught:
        read_faults(str(path), PARTS, ["prefill-3"])
    assert line in str(caught.value)


def test_where_no_instance_may_be_lost_none_changes_its_model(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("schedule:\n- {at: 1s, worker: all, model: v2}\n")
    with pytest.raises(
        ConfigError, match="worker is 'all', which cannot change its model here; an instance or all, on"
    ):
        read_faults(str(path), PARTS, ["cache/0"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "schedule:\n- {at: 1s, part: l2/9/7}",
            "2: schedule[0].part: cloudmatrix384 has no part 'l2/9/7'; did you mean",
        ),
        ("schedule:\n- {at: -1s, part: l2/3/7}", "2: schedule[0].at is '-1s'; give a time from 0 s to"),
        ("schedule:\n- {at: 10, part: l2/3/7}", "2: schedule[0].at is 10; give a text"),
        ("schedule:\n- {at: 10 parsecs, part: l2/3/7}", "2: schedule[0].at is '10 parsecs'; give a time such as 10s"),
        ("schedule:\n- {at: 1..0s, part: l2/3/7}", "2: schedule[0].at is '1..0s'; give a time such as 10s"),
        ("schedule:\n- {at: 1s, part: l2/3/7, for: 0s}", "2: schedule[0].for is '0s'; give a time from"),
        ("schedule:\n- {at: 1s, prt: l2/3/7}", "2: schedule[0].part is missing; give it (is prt meant for it?)"),
        ("schedule:\n- {at: 1s, part: leaf/0, fro: 1s}", "2: schedule[0].fro is not known here; known: at, for, part"),
        (
            "schedule:\n- {at: 1s, part: l2/3/7}\n- {at: 9s, part: l2/3/07, for: 1s}",
            "3: schedule[1].part l2/3/7 is broken already from 1 s to the end; give times that do not overlap",
        ),
        ("schedule: 5", "1: schedule is 5; give a list of sections of settings"),
        ("schedule: [l2/3/7]", "1: schedule is ['l2/3/7']; give a list of sections of settings"),
        ("schedul: []", "1: schedul is not known here; known: rates, schedule (did you mean schedule?)"),
        ("schedule: []", "1: no faults in it; give schedule or rates"),
        ("rates: {}", "1: no faults in it; give schedule or rates"),
        (
            f"rates:\n  nicc: {{{MEANS}}}",
            "2: rates.nicc is no kind of part of this cluster's fabric; did you mean nic?",
        ),
        ("rates:\n  nic: 5h", "2: rates.nic is '5h'; give a section of settings"),
        ("rates:\n  nic: {mean_time_between_failures: 5h}", "2: rates.nic.mean_time_to_repair is missing; give it"),
        (
            "rates:\n  nic: {mean_time_between_failures: -5h, mean_time_to_repair: 1s}",
            "2: rates.nic.mean_time_between_failures is '-5h'; give a time from 38.4 s to",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.partition("faults.yaml:")[2].startswith(line)
    assert "\n" not in message


def test_a_kind_that_a_cluster_has_none_of_is_refused(tmp_path: Path) -> None:
    from sim_hw.clusters.hopper import H100_CLUSTER

    path = tmp_path / "faults.yaml"
    path.write_text(f"rates:\n  sub_planes: {{{MEANS}}}\n  l2: {{{MEANS}}}")
    with pytest.raises(ConfigError, match="sub_planes is no kind of part"):
        read_faults(str(path), FabricParts(H100_CLUSTER))


def test_who_cannot_be_lost_is_told_who_can(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("schedule:\n- {at: 10s, worker: router, for: 1s}\n")
    with pytest.raises(ConfigError, match=r"; such as cache/0 or decode-0 or prefill-0$"):
        read_faults(str(path), PARTS, ["prefill-1", "prefill-0", "decode-0", "cache/0"])
    with pytest.raises(ConfigError, match="on the virtual clock only"):
        read_faults(str(path), PARTS)
