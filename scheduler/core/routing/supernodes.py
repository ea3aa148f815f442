"""Which supernodes of a fleet a request may go to, before a policy says to which instance of them.

Asking the cache pools of a hundred supernodes about every prompt, and weighing all their instances, costs a scheduler a
hundred times as much per request. So large fleets choose in two stages, as gateways before several clusters do: a hash
of how a prompt begins names a few supernodes, always the same as long as they are there, and the policy chooses among
their instances. A conversation's turns begin alike, and meet the cache that holds them.

The hash is the jump consistent hash (Lamping and Veach, arXiv 1406.2294): even, without a table, and when the fleet
grows only what goes to the new part moves. A supernode counts as often as its share of the NPUs that prefill.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Final, Protocol

from scheduler.core.fleet import Stage
from scheduler.core.open_requests import RequestFacts
from scheduler.core.routing.decision import Decision

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_TRIES_PER_CANDIDATE: Final = 16
"""Draws until a supernode is named that was not yet; then the first that are left are taken."""


class ChoosesAmong(Protocol):
    """A router, or what stands before it."""

    def choose_among(self, now_ns: int, request_id: int, num_tokens: int, up: list[int]) -> Decision:
        """As `Router.choose_among`."""
        ...

    def withdrawn(self, index: int, request_id: int) -> None:
        """As `Router.withdrawn`."""
        ...


def jump_hash(key: int, num_buckets: int) -> int:
    """The bucket of a 64-bit key, from 0 to `num_buckets` - 1."""
    bucket, following = -1, 0
    while following < num_buckets:
        bucket = following
        key = (key * 2862933555777941757 + 1) & _MASK
        following = int((bucket + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return bucket


def mixed(key: int) -> int:
    """A key whose bits all depend on all bits of this one: the finaliser of SplitMix64."""
    key = (key + _GOLDEN) & _MASK
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & _MASK
    return key ^ (key >> 31)


def key_of(prefix: Sequence[int], tenant: int, number: int, depth: int) -> int:
    """What a prompt is known by: its block at that depth, or its last; its own number if nothing is known of it."""
    if not prefix:
        return mixed(~number & _MASK)
    return mixed(prefix[min(depth, len(prefix)) - 1] & _MASK) ^ tenant


def named(key: int, units: Sequence[int]) -> tuple[int, int]:
    """The supernode that a key names first, and the key by which it names another."""
    key = mixed(key)
    return units[jump_hash(key, len(units))], key


class SupernodeChoice:
    """Names `num_candidates` supernodes for a request, by the block of its prompt at depth `key_blocks`.

    That block's id stands for all before it. A shorter prompt goes by its last block, one of which nothing is known by
    its number. Supernodes without an eligible prefill instance are passed over.
    """

    def __init__(self, stage: Stage, facts: RequestFacts, num_candidates: int, key_blocks: int) -> None:
        self._stage: Final = stage
        self._facts: Final = facts
        self._num: Final = num_candidates
        self._depth: Final = key_blocks
        self._units: Final = _units(stage)
        self._eligible: list[int] = []
        self._by_supernode: dict[int, list[int]] = {}
        self._joined: dict[tuple[int, ...], list[int]] = {}

    def candidates(self, request_id: int) -> tuple[int, ...]:
        """Supernodes in the order of preference; all that can serve if they are no more than wanted, none if none."""
        by_supernode = self._split()
        if len(by_supernode) <= self._num:
            return tuple(by_supernode)
        key = key_of(*self._facts.open_requests.prompt(request_id), request_id, self._depth)
        units, found = self._units, dict[int, None]()
        for _ in range(self._num * _TRIES_PER_CANDIDATE):
            supernode, key = named(key, units)
            if supernode in by_supernode:
                found[supernode] = None
                if len(found) == self._num:
                    return tuple(found)
        found.update(dict.fromkeys(by_supernode))
        return tuple(found)[: self._num]

    def instances(self, request_id: int) -> list[int]:
        """Eligible instances of the candidates, those of the first candidate first: ties go to it."""
        chosen = self.candidates(request_id)
        found = self._joined.get(chosen)
        if found is None:
            by_supernode = self._split()
            found = self._joined[chosen] = [index for one in chosen for index in by_supernode[one]]
        return found

    def _split(self) -> dict[int, list[int]]:
        eligible = self._stage.eligible
        if eligible is not self._eligible:
            self._eligible, self._joined = eligible, {}
            self._by_supernode = by_supernode(self._stage, eligible)
        return self._by_supernode


def by_supernode(stage: Stage, members: list[int]) -> dict[int, list[int]]:
    """These instances of a stage, by the supernode that they are part of."""
    found: dict[int, list[int]] = {}
    for index in members:
        found.setdefault(stage.pool[index], []).append(index)
    return found


def _units(stage: Stage) -> list[int]:
    """Supernodes, each as often as its NPUs of the stage come to, in lowest terms."""
    num_npus: dict[int, int] = {}
    for index, instance in enumerate(stage.instances):
        num_npus[stage.pool[index]] = num_npus.get(stage.pool[index], 0) + instance.num_npus
    unit = gcd(*num_npus.values())
    return [one for one, num in sorted(num_npus.items()) for _ in range(num // unit)]


class WithinCandidates:
    """Stands before the router of the prefill stage: a request goes to an instance of its candidates."""

    def __init__(self, router: ChoosesAmong, choice: SupernodeChoice) -> None:
        self._router: Final = router
        self._choice: Final = choice

    def choose(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        """As `Router.choose`."""
        return self._router.choose_among(now_ns, request_id, num_tokens, self._choice.instances(request_id))

    def withdrawn(self, index: int, request_id: int) -> None:
        """As of the router."""
        self._router.withdrawn(index, request_id)


class BesidePrefill:
    """Stands before the router of the decode stage: KV stays within the supernode that computed it, if one decodes."""

    def __init__(self, router: ChoosesAmong, prefill: Stage, decode: Stage, facts: RequestFacts) -> None:
        self._router: Final = router
        self._supernode: Final = prefill.pool
        self._at_prefill: Final = facts.table.prefill_instance
        self._stage: Final = decode
        self._eligible: list[int] = []
        self._by_supernode: dict[int, list[int]] = {}

    def choose(self, now_ns: int, request_id: int, num_tokens: int) -> Decision:
        """As `Router.choose`."""
        eligible = self._stage.eligible
        if eligible is not self._eligible:
            self._eligible, self._by_supernode = eligible, by_supernode(self._stage, eligible)
        beside = self._by_supernode.get(self._supernode[self._at_prefill[request_id]], eligible)
        return self._router.choose_among(now_ns, request_id, num_tokens, beside)

    def withdrawn(self, index: int, request_id: int) -> None:
        """As of the router."""
        self._router.withdrawn(index, request_id)
