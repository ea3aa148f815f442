"""One part of a trace in so many: what one supernode of a fleet is sent, where each request has one candidate."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.core.routing.supernodes import key_of, named
from scheduler.protocol.errors import InputError
from scheduler.sources.arrivals import ArrivalBlock


def keep_part(blocks: Iterator[ArrivalBlock], part: int, num_parts: int, key_blocks: int) -> Iterator[ArrivalBlock]:
    """The requests that a fleet of `num_parts` equal supernodes would send to its supernode `part`, at their times.

    By the hash of `SupernodeChoice`, whose requests are numbered as the rows of the whole trace are. InputError where
    there are none.
    """
    first = num_kept = 0
    units = range(num_parts)
    for block in blocks:
        rows = [
            row
            for row, (prefix, tenant) in enumerate(zip(block.prefixes, block.tenants))
            if named(key_of(prefix, tenant, first + row, key_blocks), units)[0] == part
        ]
        first += len(block)
        num_kept += len(rows)
        if rows:
            yield block.chosen(rows)
    if not num_kept:
        raise InputError(f"part {part}/{num_parts} has none of the {first} requests; take fewer parts")
