"""Who lost its process takes nothing before its model is loaded, from the first source that it reaches."""

from __future__ import annotations

from scheduler.core.guests.weight_loads import ModelSource, ModelWeights
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    ArrivalsEnded,
    CancelTransfer,
    Message,
    PartsChanged,
    StartPrefill,
    StartTransfer,
    TransferFailed,
    WorkersJoined,
)
from tests.unit.scheduler.core.told import Told

LOAD, FETCH = TransferKind.MODEL_LOAD, TransferKind.MODEL_FETCH
POOL = ModelSource(LOAD, Plane.UB, "cache", "cache pool")
STORE = ModelSource(FETCH, Plane.VPC, "object-store", "object store")
WEIGHTS = ModelWeights(700, {"p0": (POOL, STORE), "d0": (POOL, STORE)})


def told() -> Told:
    """A core whose p0 and d0 load models and whose other instances need none."""
    return Told(weights=WEIGHTS)


def loads(said: dict[str, list[Message]]) -> list[StartTransfer]:
    return [one for one in said.get("fabric", []) if isinstance(one, StartTransfer) and one.kind in (LOAD, FETCH)]


def failed(flow: StartTransfer) -> TransferFailed:
    return TransferFailed(flow.transfer_id, flow.kind, flow.plane)


def test_an_instance_joins_when_its_weights_have_arrived_and_others_at_once() -> None:
    core = told()
    core.lose("p0", "p1", "d1")
    said = core.start("p0", "p1", "d1")
    (load,) = loads(said)
    assert (load.kind, load.plane, load.source, load.destination) == (LOAD, Plane.UB, "cache", "p0")
    assert (load.num_tokens, load.is_made) == ([700], True)
    assert said["core"] == [WorkersJoined(["p1", "d1"])]
    core.tell(said["core"][0])
    assert core.moved(load, LOAD)["core"] == [WorkersJoined(["p0"])]
    core.join("p0")
    reached = {address for _ in range(4) for address, said_to in core.arrive().items() if _starts(said_to)}
    assert reached == {"p0", "p1"}


def _starts(said: list[Message]) -> bool:
    return any(isinstance(one, StartPrefill) for one in said)


def test_until_then_nothing_is_said_to_it() -> None:
    core = told()
    core.lose("p0")
    core.start("p0")
    assert all("p0" not in core.arrive() for _ in range(4))


def test_a_source_that_is_not_reached_gives_way_to_the_next_and_after_the_last_all_are_tried_again() -> None:
    core = told()
    core.lose("d0")
    (load,) = loads(core.start("d0"))
    (fetch,) = loads(core.tell(failed(load)))
    assert (fetch.kind, fetch.source) == (FETCH, "object-store")
    assert not loads(core.tell(failed(fetch)))
    (again,) = loads(core.tell(PartsChanged(0, [], [0, 0, 0], [1, 1, 1], [], [], [])))
    assert (again.kind, again.transfer_id > fetch.transfer_id) == (LOAD, True)
    assert core.moved(again, LOAD)["core"] == [WorkersJoined(["d0"])]
    # Nothing is left of it.
    assert not loads(core.tell(PartsChanged(0, [], [0, 0, 0], [1, 1, 1], [], [], [])))


def test_who_is_lost_while_it_loads_begins_anew_and_its_flow_is_given_up() -> None:
    core = told()
    core.lose("p0")
    (first,) = loads(core.start("p0"))
    assert CancelTransfer(first.transfer_id) in core.lose("p0")["fabric"]
    # Its last byte had left before the fabric heard.
    assert not core.moved(first, LOAD)
    (second,) = loads(core.start("p0"))
    assert core.moved(second, LOAD)["core"] == [WorkersJoined(["p0"])]


def test_a_new_fabric_is_told_of_loads_under_way() -> None:
    core = told()
    core.lose("p0")
    (first,) = loads(core.start("p0"))
    core.lose("fabric")
    core.start("fabric")
    (again,) = loads(core.join("fabric"))
    assert (again.source, again.destination, again.num_tokens) == (first.source, first.destination, first.num_tokens)
    assert not core.moved(first, LOAD)
    assert core.moved(again, LOAD)["core"] == [WorkersJoined(["p0"])]


def test_loads_end_with_the_last_request_and_notes_tell_what_became_of_each() -> None:
    core = told()
    core.lose("d0")
    (load,) = loads(core.start("d0"))
    core.moved(load, LOAD)
    core.join("d0")
    core.lose("p0")
    (cut,) = loads(core.start("p0"))
    assert core.tell(ArrivalsEnded()) == {"fabric": [CancelTransfer(cut.transfer_id)]}
    loaded, not_ready = core.core.warnings()
    assert loaded.startswith("d0 was lost at 1e-09 s, started at 2e-09 s and loaded its model from the cache pool in ")
    assert not_ready.endswith("and was not ready again before the end")
