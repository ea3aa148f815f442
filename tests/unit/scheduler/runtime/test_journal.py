"""The journal: what is read is what was written, a fresh core answers the same, and damage is named and cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.guest import Guest
from scheduler.policies import make_routing_policy
from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Outputs
from scheduler.protocol.errors import JournalError
from scheduler.protocol.messages import KvReserved, Message, ReleaseKv
from scheduler.runtime.journal import (
    MAGIC,
    JournalHeader,
    JournalledCore,
    JournalWriter,
    read_journal,
    repair,
    replay,
)
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import WORKERS, make_control, make_core, make_worker, small_spec, stamps

SPEC = small_spec(12)
HEADER = JournalHeader({"decode_blocks": SPEC["decode_blocks"]}, 7, "policy", "code")


def fresh(header: JournalHeader) -> Component:
    return make_core(header.config)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "run.journal"
    record(path)
    return path


def record(path: Path) -> list[tuple[int, Message]]:
    parts = make_control(SPEC)
    with JournalWriter(path, HEADER) as writer:
        core = JournalledCore(parts.core, writer)
        workers = [make_worker(SPEC, address) for address in WORKERS]
        VirtualRuntime([*parts.sources, core, *workers], core.address).run()
    return parts.keep()[1]


def inputs(path: Path) -> list[tuple[int, Message | None]]:
    return [(entry.now_ns, entry.message) for entry in read_journal(path)[1]]


def test_what_is_read_is_what_the_core_was_given(tmp_path: Path) -> None:
    given_to_core = record(tmp_path / "j")
    header, entries = read_journal(tmp_path / "j")
    assert header == HEADER
    assert [(entry.now_ns, entry.message) for entry in entries] == given_to_core
    assert any(entry.outputs_digest for entry in read_journal(tmp_path / "j")[1])


def test_a_journalled_core_is_the_core(recorded: Path) -> None:
    parts = make_control(SPEC)
    workers = [make_worker(SPEC, address) for address in WORKERS]
    VirtualRuntime([*parts.sources, parts.core, *workers], "core").run()
    core = make_core(HEADER.config)
    for entry in read_journal(recorded)[1]:
        assert entry.message is not None
        core.handle(entry.now_ns, entry.message)
    assert stamps(core.table) == stamps(parts.core.table)


def test_a_fresh_core_gives_the_same_commands(recorded: Path) -> None:
    result = replay(recorded, fresh)
    assert result.same
    assert result.num_messages == len(inputs(recorded))


def test_another_policy_is_seen_at_its_first_other_command(recorded: Path) -> None:
    def other(header: JournalHeader) -> Component:
        core = make_core(header.config)
        policy = make_routing_policy("round_robin")
        core.routing.prefill._policy = policy
        return core

    result = replay(recorded, other)
    assert not result.same
    assert "other commands than recorded; now StartPrefill to prefill-" in result.first_difference
    assert result.num_messages < 12


def test_wakes_are_inputs_too(tmp_path: Path) -> None:
    class Timed(Guest):
        """Wakes once."""

        deadline_ns = 5

        def wake(self, now_ns: int) -> Outputs:
            self.deadline_ns = NEVER_NS
            return NOTHING

    def timed(header: JournalHeader) -> Component:
        core = make_core(header.config)
        core.add_guest(Timed())
        return core

    with JournalWriter(tmp_path / "j", HEADER) as writer:
        core = JournalledCore(timed(HEADER), writer)
        core.wake(5)
        core.handle(6, KvReserved("decode-0", [], []))
    assert inputs(tmp_path / "j") == [(5, None), (6, KvReserved("decode-0", [], []))]
    assert replay(tmp_path / "j", timed).num_messages == 1


def test_a_journal_that_was_not_closed_is_cut_short(tmp_path: Path, recorded: Path) -> None:
    whole = recorded.read_bytes()
    end = len(whole) - 8 - len(b"E") - 5
    for size in (end, end - 1, end + 3):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(JournalError, match=r"cut: byte \d+: .*cut short.*journal repair"):
            inputs(tmp_path / "cut")


def test_repair_keeps_what_is_before_the_damage(tmp_path: Path, recorded: Path) -> None:
    whole, all_inputs = recorded.read_bytes(), inputs(recorded)
    middle = len(whole) // 2
    (tmp_path / "bad").write_bytes(whole[:middle] + b"\xff" + whole[middle + 1 :])
    with pytest.raises(JournalError):
        inputs(tmp_path / "bad")
    num_inputs = repair(tmp_path / "bad", tmp_path / "good")
    kept = inputs(tmp_path / "good")
    assert 0 < len(kept) == num_inputs < len(all_inputs)
    assert kept == all_inputs[:num_inputs]
    assert replay(tmp_path / "good", fresh).same


def test_repair_changes_nothing_of_a_whole_journal(tmp_path: Path, recorded: Path) -> None:
    repair(recorded, tmp_path / "same")
    assert (tmp_path / "same").read_bytes() == recorded.read_bytes()


def test_repair_never_overwrites_its_source(recorded: Path) -> None:
    with pytest.raises(JournalError, match="name another file"):
        repair(recorded, recorded)


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_found_and_can_be_cut_off(
    recorded: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    whole, all_inputs = recorded.read_bytes(), inputs(recorded)
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    (folder / "bad").write_bytes(damaged)
    with pytest.raises(JournalError) as caught:
        inputs(folder / "bad")
    assert "\n" not in str(caught.value)
    assert f"{folder / 'bad'}: byte " in str(caught.value)
    try:
        num_inputs = repair(folder / "bad", folder / "good")
    except JournalError:
        assert at < 300  # the header
    else:
        assert inputs(folder / "good") == all_inputs[:num_inputs]
        assert replay(folder / "good", fresh).same


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (
            JournalHeader(format_version=9),
            r"another version \(format 9, protocol \d+\), but this program reads format 1,",
        ),
        (JournalHeader(protocol_version=3), r"an older version \(format 1, protocol 3\).*; record it anew with replay"),
    ],
)
def test_another_version_is_named(tmp_path: Path, header: JournalHeader, part: str) -> None:
    JournalWriter(tmp_path / "j", header).close()
    with pytest.raises(JournalError, match=rf"j: byte {len(MAGIC)}: a journal of {part}"):
        read_journal(tmp_path / "j")


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("timestamp,input_length\n")
    with pytest.raises(JournalError, match="byte 0: not a journal"):
        read_journal(tmp_path / "j")


def test_closing_twice_writes_one_end(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "j", HEADER)
    writer.record(1, ReleaseKv([1]))
    writer.close()
    writer.close()
    assert inputs(tmp_path / "j") == [(1, ReleaseKv([1]))]
