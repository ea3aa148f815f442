"""The file of accepted requests: what was noted is there, whatever cuts it short, and damage is named and cut off."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.http.accepted.file import AcceptedFile
from deploy.http.accepted.reading import Known, read_accepted, repair_accepted
from deploy.http.accepted.records import Accepted, Ended, Outcome
from scheduler.gateway.gateway_source import ClientRequest
from scheduler.protocol.errors import ClusterError, JournalError
from scheduler.protocol.finish import FinishReason

DONE = Outcome(FinishReason.STOP, 30, 0, {"ttft_s": 0.25, "tpot_s": None})


def accepted(number: int, key: bytes = b"", blocks: int = 3) -> Accepted:
    request = ClientRequest(100 + number, 30, list(range(number, number + blocks)), 1, "chat", 7, wants_tokens=True)
    return Accepted(f"cmpl-{number}", 1_700_000_000 + number, key, key and b"body", request)


def ended(one: Accepted) -> Ended:
    return Ended(one.request_id, 1_800_000_000, DONE)


def open_ones(path: Path) -> list[Accepted]:
    """In the order of acceptance."""
    return [known.accepted for known in AcceptedFile(path).known.values() if known.ended is None]


def test_what_has_not_ended_is_open_whole_and_in_order(tmp_path: Path) -> None:
    path, ones = tmp_path / "accepted", [accepted(number) for number in range(5)]
    file = AcceptedFile(path)
    for one in ones:
        file.accept(one)
    file.end(ones[1], ended(ones[1]))
    file.end(ones[4], ended(ones[4]))
    for _ in range(2):  # what was written anew reads as what it was written from
        assert open_ones(path) == [ones[0], ones[2], ones[3]]


def test_an_outcome_is_kept_where_there_is_a_key_to_ask_by(tmp_path: Path) -> None:
    path, one, other = tmp_path / "accepted", accepted(1, b"key"), accepted(2)
    file = AcceptedFile(path)
    for each in (one, other):
        file.accept(each)
        file.end(each, ended(each))
    for _ in range(2):
        assert [known.ended for known in AcceptedFile(path).known.values()] == [ended(one)]
    AcceptedFile(path).forget(one)
    assert AcceptedFile(path).known == {}


def test_one_that_failed_and_was_asked_for_again_is_open(tmp_path: Path) -> None:
    path, one = tmp_path / "accepted", accepted(1, b"key")
    file = AcceptedFile(path)
    file.accept(one)
    file.end(one, ended(one))
    file.accept(one)
    assert AcceptedFile(path).known == {one.request_id: Known(one)}


@given(st.data())
def test_a_file_that_is_cut_anywhere_holds_all_that_was_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path, ends = tmp_path_factory.mktemp("cut") / "accepted", list[int]()
    file = AcceptedFile(path)
    ones = [accepted(number, blocks=number) for number in range(6)]
    ends.append(path.stat().st_size)
    for one in ones:
        file.accept(one)
        ends.append(path.stat().st_size)
    cut = data.draw(st.integers(ends[0], ends[-1]))
    with path.open("r+b") as torn:
        torn.truncate(cut)
    again = AcceptedFile(path)
    num_whole = sum(end <= cut for end in ends[1:])
    assert [known.accepted for known in again.known.values()] == ones[:num_whole]
    assert again.cut_at == (None if cut in ends else ends[num_whole])
    again.accept(accepted(9))
    assert open_ones(path) == [*ones[:num_whole], accepted(9)]
    assert AcceptedFile(path).cut_at is None


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_byte_that_changed_is_named_with_the_command_that_repairs(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path, ones, ends = folder / "accepted", [accepted(number) for number in range(4)], list[int]()
    file = AcceptedFile(path)
    for one in ones:
        file.accept(one)
        ends.append(path.stat().st_size)
    data = bytearray(path.read_bytes())
    first = data.index(b"cmpl-0") - 10
    at = first + place % (ends[2] - first)  # not in the last: that may look like one that was cut short
    data[at] ^= change
    path.write_bytes(data)
    with pytest.raises(JournalError, match=r"accepted: byte \d+: .*'supernode journal repair'"):
        AcceptedFile(path)
    assert path.read_bytes() == data
    num_whole = sum(end <= at for end in ends)
    assert repair_accepted(path, folder / "out") == num_whole
    assert open_ones(folder / "out") == ones[:num_whole]


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "accepted"
    path.write_bytes(b"")
    path.chmod(0o644)
    path.unlink()
    file = AcceptedFile(path, max_bytes=400)
    for number in range(20):
        file.accept(accepted(number))
    repair_accepted(path, tmp_path / "out")
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, tmp_path / "out")] == [0o600, 0o600]


def test_its_size_is_bounded_by_what_matters(tmp_path: Path) -> None:
    path = tmp_path / "accepted"
    file, sizes = AcceptedFile(path, max_bytes=10_000), list[int]()
    stays = accepted(0)
    file.accept(stays)
    for number in range(1, 2000):
        one = accepted(number)
        file.accept(one)
        file.end(one, ended(one))
        sizes.append(path.stat().st_size)
    assert max(sizes) < 11_000
    assert open_ones(path) == [stays]


def test_a_request_that_cannot_be_written_is_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "accepted", os.write
    file = AcceptedFile(path)
    file.accept(accepted(1))

    def full(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:11])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ClusterError, match="the disk is full"):
        file.accept(accepted(2))
    monkeypatch.undo()
    file.accept(accepted(3))
    assert open_ones(path) == [accepted(1), accepted(3)]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "accepted"
    path.write_bytes(b"SNJOURN\nand more")
    with pytest.raises(JournalError, match=r"byte 0: not a journal.*give one that up --http wrote"):
        AcceptedFile(path)
    assert path.read_bytes() == b"SNJOURN\nand more"
    with pytest.raises(JournalError):
        read_accepted(path)
