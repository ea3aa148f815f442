"""The loss of any node of an instance is the loss of the instance, told once."""

from __future__ import annotations

import pytest

from workers.ray_shell.placement_watch import GroupLook, PlacedHost, PlacementWatch

HOST, OTHER = "decode-0", "prefill-0"


def watch() -> PlacementWatch:
    one = PlacementWatch({HOST: PlacedHost("g", "8 NPU"), OTHER: PlacedHost("h", "8 NPU")})
    assert not one.see(looks("a", "b"))
    return one


def looks(*nodes: str, state: str = "CREATED") -> dict[str, GroupLook]:
    return {"g": GroupLook(state, nodes), "h": GroupLook("CREATED", ("a",))}


def test_a_host_that_was_never_seen_counts_as_placed() -> None:
    assert PlacementWatch({HOST: PlacedHost("g", "8 NPU")}).waits_for(HOST) == ""


def test_the_loss_of_a_bundle_without_the_process_has_it_ended_once() -> None:
    one = watch()
    assert one.see(looks("a", "", state="RESCHEDULING")) == [HOST]
    assert one.waits_for(HOST) == "waits for a node with room for a bundle of 8 NPU, as its own was lost"
    assert one.waits_for(OTHER) == ""
    assert one.see(looks("a", "", state="RESCHEDULING")) == []
    assert one.see(looks("a", "c")) == []
    assert (one.waits_for(HOST), list(one.nodes_of(HOST))) == ("", ["a", "c"])


def test_a_process_that_went_with_its_node_needs_no_ending() -> None:
    one = watch()
    assert one.see(looks("", "b", state="RESCHEDULING")) == []
    assert one.waits_for(HOST)
    assert one.see(looks("c", "b")) == []
    assert not one.waits_for(HOST)


@pytest.mark.parametrize(("nodes", "doomed"), [(("a", "c"), [HOST]), (("c", "b"), []), (("a", "b"), [])])
def test_a_loss_between_two_looks_is_seen_by_the_other_node(nodes: tuple[str, ...], doomed: list[str]) -> None:
    assert watch().see(looks(*nodes)) == doomed


def test_all_bundles_without_a_node_are_counted() -> None:
    one = watch()
    one.see(looks("", "", state="RESCHEDULING"))
    assert "2 bundles" in one.waits_for(HOST)


def test_a_group_that_somebody_removed_is_waited_for_in_vain_and_says_so() -> None:
    one = watch()
    assert one.see({}) == []
    assert one.waits_for(HOST) == "waits for ever: its placement group was removed"
