"""Models load as flows: alone in the time of the closed form, together as max-min says, and their bytes add up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import PoolServersChanged, StartTransfer, TransferDone
from tests.unit.sim_hw.loading_forms import ModelLoading
from workers.fabric.fabric import Fabric

S = 10**9
PLAN = "2x16p+1x160d+48c"
WEIGHTS = 671e9
"""DeepSeek-R1 in INT8, roughly; its MTP module comes on top."""


def blueprint(plan: str = PLAN, **settings: str) -> Blueprint:
    return Blueprint(Settings.from_plain({"plan": plan, **settings}), 512, loads_models=True)


def load(blue: Blueprint, address: str, number: int = 0, source: int = 0) -> StartTransfer:
    """What the core says when that instance starts, of its first source or another."""
    weights = blue.model_weights()
    one = weights.sources[address][source]
    amount = [weights.num_tokens]
    return StartTransfer(number, one.kind, one.plane, one.address, address, amount, [], is_made=True)


def ends(blue: Blueprint, flows: Sequence[tuple[int, StartTransfer]]) -> dict[int, TransferDone]:
    """Of flows that begin at these times, by number."""
    fabric = blue.make_worker(FABRIC_ADDRESS)
    assert isinstance(fabric, Fabric)
    told: list[object] = []
    for at_ns, flow in flows:
        while fabric.deadline_ns <= at_ns:
            told += [message for _, message in fabric.wake(fabric.deadline_ns)]
        told += [message for _, message in fabric.handle(at_ns, flow)]
    while fabric.deadline_ns < NEVER_NS:
        told += [message for _, message in fabric.wake(fabric.deadline_ns)]
    return {one.transfer_id: one for one in told if isinstance(one, TransferDone)}


def alone_s(blue: Blueprint, address: str) -> float:
    return ends(blue, [(0, load(blue, address))])[0].done_ns / S


@pytest.mark.parametrize(
    ("settings", "address", "bytes_per_s"),
    [
        ({}, "prefill-0", 32 * 147e9),
        # All CPUs of 48 nodes together, of which reads use as much as of the lines of dies.
        ({}, "decode-0", 48 * 4 * 160e9 * 147 / 196),
        ({"cache_plane": "vpc"}, "prefill-0", 2 * 50e9),
        ({"cache": "local"}, "prefill-0", 32 * 151e9),
        ({"cache": "none"}, "decode-0", 2.5e9),
    ],
)
def test_alone_a_load_takes_what_the_closed_form_says_and_moves_the_weights(
    settings: dict[str, str], address: str, bytes_per_s: float
) -> None:
    blue = blueprint(**settings)
    done = ends(blue, [(0, load(blue, address))])[0]
    weights = blue.model.total_parameters + blue.model.mtp_parameters
    assert weights == pytest.approx(WEIGHTS, rel=0.03)
    assert 0 <= done.num_bytes - weights < blue.kv_bytes_per_token
    closed = ModelLoading(weights, 1, 1, bytes_per_s)
    assert done.done_ns / S == pytest.approx(closed.warm_s, rel=2e-3)


def test_loads_from_the_object_store_share_it_and_those_from_local_dram_do_not() -> None:
    cold, local = blueprint(cache="none"), blueprint(cache="local")
    for blue, times in ((cold, 2), (local, 1)):
        both = ends(blue, [(0, load(blue, f"prefill-{i}", i)) for i in range(2)])
        assert [one.done_ns / S for one in both.values()] == pytest.approx([times * alone_s(blue, "prefill-0")] * 2)
    # Alone for half of its work, then two together, then the second alone: 1.5 and 2 loads after the first began.
    one_s = alone_s(cold, "prefill-0")
    late = ends(cold, [(0, load(cold, "prefill-0", 0)), (round(one_s / 2 * S), load(cold, "decode-0", 1))])
    assert [late[i].done_ns / S for i in range(2)] == pytest.approx([1.5 * one_s, 2 * one_s], rel=1e-4)


def test_a_load_shares_the_lines_of_its_instance_with_reads_of_kv_and_those_of_the_pool_with_all() -> None:
    blue = blueprint()
    first = load(blue, "prefill-0")
    ends_of_read = Plane.UB, "cache", "prefill-0"
    # One read of KV of as many bytes: each has half of the lines, and both end together.
    read = StartTransfer(1, TransferKind.CACHE_READ, *ends_of_read, first.num_tokens, [], is_made=True)
    both = ends(blue, [(0, first), (0, read)])
    assert [one.done_ns / S for one in both.values()] == pytest.approx([2 * alone_s(blue, "prefill-0")] * 2, rel=1e-3)
    # To other instances the pool of 48 nodes has enough for both; that of one node has not.
    elsewhere = ends(blue, [(0, first), (0, load(blue, "prefill-1", 1))])
    assert elsewhere[0].done_ns / S == pytest.approx(alone_s(blue, "prefill-0"))
    small = blueprint("2x16p+1x160d+1c")
    both = ends(small, [(0, load(small, f"prefill-{i}", i)) for i in range(2)])
    assert both[0].done_ns / S == pytest.approx(2 * alone_s(small, "prefill-0"), rel=1e-3)


def test_a_pool_with_fewer_servers_loads_slower_and_one_without_leaves_the_object_store() -> None:
    blue = blueprint()
    fabric = blue.make_worker(FABRIC_ADDRESS)
    fabric.handle(0, PoolServersChanged("cache", [0]))
    fabric.handle(0, load(blue, "prefill-0"))
    done = [message for _, message in fabric.wake(fabric.deadline_ns)]
    while fabric.deadline_ns < NEVER_NS:
        done += [message for _, message in fabric.wake(fabric.deadline_ns)]
    (load_done,) = [one for one in done if isinstance(one, TransferDone)]
    assert load_done.done_ns / S == pytest.approx(alone_s(blueprint("2x16p+1x160d+1c"), "prefill-0"), rel=1e-3)
    apart = blueprint("1*(24x16p+48c)+1*(2x160d)")
    sources = apart.model_weights().sources
    # UB and with it a pool ends at its supernode.
    assert [one.name for one in sources["prefill-0"]] == ["cache pool", "object store"]
    assert [one.name for one in sources["decode-0"]] == ["object store"]


def test_a_fabric_that_loads_nothing_has_no_ways_for_it() -> None:
    plain = Blueprint(Settings.from_plain({"plan": PLAN}), 512).make_worker(FABRIC_ADDRESS)
    assert isinstance(plain, Fabric)
    assert Plane.VPC not in plain._routes.planes
