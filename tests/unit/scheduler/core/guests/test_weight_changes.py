"""Instances change their model one after the other, when nothing depends on them any more."""

from __future__ import annotations

from scheduler.core.guests.weight_loads import ModelSource, ModelWeights
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    CancelTransfer,
    ChangeModel,
    InstanceDrained,
    Message,
    StartPrefill,
    StartTransfer,
)
from tests.unit.scheduler.core.told import Told

POOL = ModelSource(TransferKind.MODEL_LOAD, Plane.UB, "cache", "cache pool", 2, 4)
STORE = ModelSource(TransferKind.MODEL_FETCH, Plane.VPC, "object-store", "object store")
WEIGHTS = ModelWeights(800, dict.fromkeys(("p0", "p1", "d0", "d1"), (POOL, STORE)))


def drained(said: dict[str, list[Message]]) -> list[str]:
    return [one.address for one in said.get("losses", []) if isinstance(one, InstanceDrained)]


def flows(said: dict[str, list[Message]]) -> list[StartTransfer]:
    return [one for one in said.get("fabric", []) if isinstance(one, StartTransfer)]


def start_anew(told: Told, address: str) -> list[StartTransfer]:
    """What the operator does; answers what is moved for it."""
    told.lose(address)
    return flows(told.start(address))


def load(told: Told, address: str) -> None:
    """Start anew, move what is missing, and join."""
    (flow,) = start_anew(told, address)
    if flow.destination != address:
        (flow,) = flows(told.moved(flow, flow.kind))
    told.moved(flow, flow.kind)


def test_an_idle_one_is_drained_at_once_and_the_next_when_it_has_joined() -> None:
    told = Told(weights=WEIGHTS)
    assert drained(told.tell(ChangeModel(["p0", "d1"], "v2"))) == ["p0"]
    load(told, "p0")
    assert drained(told.join("p0")) == ["d1"]
    load(told, "d1")
    assert not drained(told.join("d1"))
    first, second = told.core.warnings()
    assert first.startswith("p0 gave up its model for v2 at ")
    assert "and loaded that from the cache pool, to which it was fetched first, in" in first
    assert "and loaded that from the cache pool in" in second


def test_it_takes_nothing_new_and_finishes_what_it_has() -> None:
    told = Told(weights=WEIGHTS)
    at = next(address for address, said in told.arrive().items() if any(isinstance(one, StartPrefill) for one in said))
    assert not drained(told.tell(ChangeModel([at], "v2")))
    for _ in range(3):
        assert at not in told.arrive()
    # The pass has ended, but the KV has not left yet.
    assert not drained(told.computed(at, [0]))
    decode = f"d{told.core.table.decode_instance[0]}"
    said = told.reserved(decode, [0])
    assert not drained(said)
    (flow,) = flows(said)
    assert drained(told.moved(flow)) == [at]
    assert told.core.table.retries[0] == 0


def test_one_that_is_lost_before_loads_the_new_version_and_is_not_drained_again() -> None:
    told = Told(weights=WEIGHTS)
    at = next(address for address, said in told.arrive().items() if any(isinstance(one, StartPrefill) for one in said))
    told.tell(ChangeModel([at], "v2"))
    (fetch,) = start_anew(told, at)
    assert (fetch.source, fetch.destination, fetch.num_tokens) == ("object-store", "cache", [800])
    (loaded,) = flows(told.moved(fetch, fetch.kind))
    assert (loaded.source, loaded.destination) == ("cache", at)
    told.moved(loaded, loaded.kind)
    assert not drained(told.join(at))
    changes = told.core._weight_changes
    assert changes is not None
    assert changes._current is None
    assert not changes._waiting
    assert told.core.warnings()[0].startswith(f"{at} was lost at ")


def test_what_the_pool_lacks_is_fetched_once_for_all_and_a_lost_server_takes_its_part() -> None:
    told = Told(weights=WEIGHTS)
    told.lose("cache/1")
    told.lose("d0", "d1")
    (fetch,) = flows(told.start("d0", "d1"))
    assert (fetch.destination, fetch.num_tokens) == ("cache", [200])
    # One of the two is lost again, the other still waits for it.
    told.lose("d0")
    (loaded,) = flows(told.moved(fetch, fetch.kind))
    assert (loaded.destination, loaded.num_tokens) == ("d1", [800])
    (again,) = flows(told.start("d0"))
    assert (again.source, again.num_tokens) == ("cache", [800])


def test_who_loads_from_a_pool_that_is_lost_waits_for_it() -> None:
    told = Told(weights=WEIGHTS)
    told.lose("p0")
    (first,) = flows(told.start("p0"))
    assert CancelTransfer(first.transfer_id) in told.lose("cache")["fabric"]
    (again,) = flows(told.join("cache"))
    assert (again.source, again.destination, again.num_tokens) == ("cache", "p0", [800])
