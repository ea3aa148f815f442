"""Envelopes keep their order, and what waits is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.codec import VERSION, pack, unpack
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.envelope import (
    MAX_EARLY_ENVELOPES,
    MAX_ITEMS,
    MAX_WAITING_ITEMS,
    Envelope,
    Inbound,
    Outbox,
    decode_envelope,
    encode_envelope,
)
from scheduler.protocol.errors import ClusterError, CodecError
from scheduler.protocol.messages import ReleaseKv


def envelope(sequence: int = 0) -> Envelope:
    return Envelope("host", sequence, 3, NEVER_NS, 17, [5], [("core", 16, ReleaseKv([sequence]))])


def test_an_envelope_comes_back_equal() -> None:
    assert decode_envelope(encode_envelope(envelope())) == envelope()


def test_another_version_is_named() -> None:
    raw = unpack(encode_envelope(envelope()))
    assert isinstance(raw, list)
    with pytest.raises(CodecError, match=f"version {VERSION + 1}; this program speaks {VERSION}"):
        decode_envelope(pack([VERSION + 1, *raw[1:]]))


@given(st.binary(max_size=100), st.data())
def test_other_bytes_are_refused(noise: bytes, data: st.DataObject) -> None:
    raw = bytearray(encode_envelope(envelope()))
    at = data.draw(st.integers(0, len(raw)))
    for damaged in (noise, bytes(raw[:at]) + noise):
        try:
            found = decode_envelope(damaged)
        except CodecError:
            continue
        assert decode_envelope(encode_envelope(found)) == found


@given(st.permutations(range(20)), st.lists(st.integers(0, 19)))
def test_any_order_of_receipt_is_put_right_and_repeats_are_dropped(order: list[int], repeats: list[int]) -> None:
    inbound = Inbound()
    found = [e.sequence for sequence in (*order, *repeats) for e in inbound.take(envelope(sequence))]
    assert found == list(range(20))
    assert inbound.num_received == 20


def test_a_lost_envelope_is_noticed() -> None:
    inbound = Inbound()
    for sequence in range(1, MAX_EARLY_ENVELOPES + 1):
        assert inbound.take(envelope(sequence)) == []
    with pytest.raises(ClusterError, match="envelope 0 of host is lost"):
        inbound.take(envelope(MAX_EARLY_ENVELOPES + 1))


def test_an_outbox_numbers_its_envelopes_and_splits_what_is_too_much() -> None:
    outbox = Outbox("control")
    for index in range(MAX_ITEMS + 1):
        outbox.add(("decode-0", index, ReleaseKv([index])))
    first, second = outbox.next(), outbox.next(num_received=7)
    assert (first.sequence, len(first.items), second.sequence, len(second.items)) == (0, MAX_ITEMS, 1, 1)
    assert second.num_received == 7
    assert not len(outbox)


def test_what_waits_is_bounded() -> None:
    outbox = Outbox("control")
    for index in range(MAX_WAITING_ITEMS):
        outbox.add(("decode-0", index, ReleaseKv([])))
    with pytest.raises(ClusterError, match=r"decode-0 is too far behind.*--speed"):
        outbox.add(("decode-0", 0, ReleaseKv([])))
