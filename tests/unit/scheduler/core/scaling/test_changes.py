"""Which instances come and go for a count: laws over fleets of any shape."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.scaling.changes import ChangePlan, ready_to_start
from scheduler.core.scaling.placement import HOLDING, WANTED, Phase, PlacementBook
from scheduler.core.scaling.rules import InstanceSlot

NUM_NPUS = 12
SIZES = {"prefill": 2, "decode": 5}


def slots() -> list[InstanceSlot]:
    """Every place for both roles; some share NPUs."""
    return [
        InstanceSlot(f"{role}-{i}", role, first, size)
        for role, size in SIZES.items()
        for i, first in enumerate(range(0, NUM_NPUS - size + 1, size))
    ]


ADDRESSES = [slot.address for slot in slots()]


@st.composite
def books(draw: st.DrawFn) -> PlacementBook:
    """Any phases in which no two hold the same NPUs, and promises are kept."""
    book = PlacementBook(slots(), ADDRESSES, NUM_NPUS)
    for address in draw(st.permutations(ADDRESSES)):
        phase = draw(st.sampled_from(Phase))
        may_be_promised = not book.sharing(address, Phase.BOOKED, Phase.STARTING, Phase.SERVING)
        if (phase in HOLDING and book.is_free(address)) or (phase is Phase.BOOKED and may_be_promised):
            book.phase[address] = phase
    return book


def check_book(book: PlacementBook) -> None:
    held = [npu for one, slot in book.slots.items() if book.phase[one] in HOLDING for npu in slot.npus]
    assert len(held) == len(set(held)), "an NPU is in one instance"
    assert book.spare_npus == NUM_NPUS - len(held)
    promised = [npu for one, slot in book.slots.items() if book.phase[one] is Phase.BOOKED for npu in slot.npus]
    assert len(promised) == len(set(promised)), "an NPU is promised once"
    for address in ADDRESSES:
        if book.phase[address] is Phase.BOOKED:
            assert not book.sharing(address, Phase.STARTING, Phase.SERVING), "who was promised NPUs gets them"


@given(
    book=books(),
    counts=st.tuples(st.integers(1, 7), st.integers(1, 3)),
    down=st.sets(st.sampled_from(ADDRESSES), max_size=3),
    cut=st.sets(st.sampled_from(ADDRESSES), max_size=2),
    loads=st.lists(st.integers(0, 3), min_size=len(ADDRESSES), max_size=len(ADDRESSES)),
)
def test_a_change_of_count(
    book: PlacementBook, counts: tuple[int, int], down: set[str], cut: set[str], loads: list[int]
) -> None:
    load = dict(zip(ADDRESSES, loads, strict=True))
    before = dict(book.phase)

    def serves(address: str) -> bool:
        return address not in down and address not in cut

    wanted = dict(zip(SIZES, counts, strict=True))
    changes = ChangePlan(book, serves, cut.__contains__, load.__getitem__).reach(wanted)
    check_book(book)
    for role, count in wanted.items():
        have = [one for one in book.of_role(role, *WANTED) if one not in cut]
        had = [one for one in book.by_role[role] if before[one] in WANTED and one not in cut]
        # Nearer to what is wanted, and never beyond it.
        assert min(len(had), count) <= len(have) <= max(len(had), count)
        served = [one for one in book.by_role[role] if before[one] is Phase.SERVING and serves(one)]
        assert not served or any(book.phase[one] is Phase.SERVING and serves(one) for one in served), "INV-14"
    for address in ADDRESSES:
        role = book.slots[address].role
        if address in changes.drained:
            assert before[address] is Phase.SERVING
            assert book.phase[address] is Phase.DRAINING
        elif address in changes.kept:
            assert (before[address], book.phase[address]) == (Phase.DRAINING, Phase.SERVING)
        elif address in (*changes.started, *changes.booked):
            assert before[address] is Phase.ABSENT
            assert address not in cut
        elif address not in changes.cancelled:
            assert book.phase[address] is before[address], "nothing else changes"
        if address in changes.started:
            assert not book.sharing(address, *HOLDING)
    # What was asked for a second time changes nothing more.
    assert not ChangePlan(book, serves, cut.__contains__, load.__getitem__).reach(wanted)


@given(book=books())
def test_who_was_promised_npus_starts_when_they_are_spare(book: PlacementBook) -> None:
    ready = ready_to_start(book)
    check_book(book)
    for address in ready:
        assert book.phase[address] is Phase.STARTING
    for address in ADDRESSES:
        if book.phase[address] is Phase.BOOKED:
            assert book.sharing(address, *HOLDING)
