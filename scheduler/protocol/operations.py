"""What is said beside a request's way: workers, models, power, broken parts, expert load, cancellations, profiles.

As in `messages`: each docstring begins with who says it to whom; `messages.Message` lists all.
"""

from __future__ import annotations

from msgspec import Struct


class WorkersLost(Struct, frozen=True, gc=False):
    """runtime, operator -> core: these components are gone, with all that they had, and say nothing more of what they
    were told. What is said to them before they join again is dropped.

    `addresses` may name servers of a cache pool (`cache/3`). `as_commanded`: they ended because the core had said
    `StopInstances`, when nothing depended on them.
    """

    addresses: list[str]
    as_commanded: bool = False


class WorkersStarted(Struct, frozen=True, gc=False):
    """runtime, operator -> core: new and empty processes are there in the place of these, which were lost.

    Instances among them have no model yet: the core has these load it, and says `WorkersJoined` once they have.
    """

    addresses: list[str]


class WorkersJoined(Struct, frozen=True, gc=False):
    """core, operator -> core: these components were lost or drained and are back: new, empty and ready.

    The core says it to itself when an instance has loaded its model, for all its parts to hear.
    """

    addresses: list[str]


class StartInstances(Struct, frozen=True, gc=False):
    """core -> provisioner: start a process for each of these, on the NPUs that are theirs; `WorkersStarted` says that
    it is there."""

    addresses: list[str]


class StopInstances(Struct, frozen=True, gc=False):
    """core -> provisioner: end the processes of these, on which nothing depends; `WorkersLost` confirms it."""

    addresses: list[str]


class FleetScaled(Struct, frozen=True, gc=False):
    """core -> core: it was decided that instances come or go, for all parts of the core to hear.

    There shall be `wanted[i]` instances of `roles[i]`, for a `reason`. `started` have their NPUs and start now;
    `booked` start when those that have their NPUs have left; `kept` were to go and stay; `drained` are to go;
    `cancelled` were to start and do not.
    """

    roles: list[str]
    wanted: list[int]
    reason: str
    started: list[str]
    booked: list[str]
    kept: list[str]
    drained: list[str]
    cancelled: list[str]


class ScaleInstances(Struct, frozen=True, gc=False):
    """operator -> core: there shall be `counts[i]` instances of `roles[i]` from now on."""

    roles: list[str]
    counts: list[int]


class DrainInstances(Struct, frozen=True, gc=False):
    """operator -> core: these instances take nothing new, and leave when nothing depends on them any more."""

    addresses: list[str]


class ChangeModel(Struct, frozen=True, gc=False):
    """operator -> core: these instances are to serve `version` of the weights, one after the other, in this order.

    The first in turn takes nothing new; when it is done with what it has, `InstanceDrained` is said of it.
    """

    addresses: list[str]
    version: str


class InstanceDrained(Struct, frozen=True, gc=False):
    """core -> operator: nothing depends on this instance any more; it may be lost and started anew, and loads its new
    version then."""

    address: str


class InstanceProfiled(Struct, frozen=True, gc=False):
    """source -> core: what made-up work took at an instance, measured by its own reports before the clock began.

    Entry i of each column is a pass of a prefill instance, or a step of a decode instance. Of a pass: `new_tokens`
    computed behind `context_tokens`, of which `cached_tokens` were read from a cache in it. Of a step: so many
    `sequences` with `context_tokens` of KV together. `taken_ns`: how long it took. `num_steps` steps of a decode
    instance produced `tokens_per_sequence` tokens for each sequence.
    """

    instance: str
    sequences: list[int]
    new_tokens: list[int]
    context_tokens: list[int]
    cached_tokens: list[int]
    taken_ns: list[int]
    num_steps: int
    tokens_per_sequence: int


class CancelRequests(Struct, frozen=True, gc=False):
    """core -> prefill, decode: nobody waits for these any more.

    A prefill instance drops those that it has not begun, which `RequestsCancelled` confirms; the others it computes. At
    a decode instance those that run leave at the next boundary, among `finished_ids` of `DecodeStepped`.
    """

    ids: list[int]


class RequestsCancelled(Struct, frozen=True, gc=False):
    """prefill -> core: the instance has dropped these prompts from its queue, as `CancelRequests` asked."""

    instance: str
    ids: list[int]


class FailParts(Struct, frozen=True, gc=False):
    """operator -> core -> fabric: these parts of the fabric break, named as its topology names them (`ub/3`,
    `npu/0/1`).

    What is broken already stays so.
    """

    parts: list[str]


class RepairParts(Struct, frozen=True, gc=False):
    """operator -> core -> fabric: these parts of the fabric work again; what was not broken stays as it was."""

    parts: list[str]


class PartsChanged(Struct, frozen=True, gc=False):
    """fabric -> core: parts of the fabric broke or were repaired at `changed_ns`.

    `failed_parts` are all that are broken now. `lost_bytes_per_s` is what they take from the links of each plane, of
    `whole_bytes_per_s`: one entry for each `Plane` in its order, one direction. `cut_instances` reach nobody on the
    RDMA plane; `cut_dies[i]` are the dies, by number, of `partly_cut_instances[i]` that reach nobody, while others of
    it do.
    """

    changed_ns: int
    failed_parts: list[str]
    lost_bytes_per_s: list[int]
    whole_bytes_per_s: list[int]
    cut_instances: list[str]
    partly_cut_instances: list[str]
    cut_dies: list[list[int]]


class AvoidDies(Struct, frozen=True, gc=False):
    """core -> decode: keep no room for new requests on these dies, by number, and on all others again."""

    dies: list[int]


class ExpertLoadReported(Struct, frozen=True, gc=False):
    """prefill, decode -> fabric: what expert all-to-all takes of the UB link of each die of `instance`, until
    `until_ns`.

    `bytes_per_s`: in the mean over that time, in each direction. `share_ppm`: the share of the link at which it runs as
    far as the instance knows, in millionths.
    """

    instance: str
    bytes_per_s: int
    until_ns: int
    share_ppm: int


class LinkShare(Struct, frozen=True, gc=False):
    """fabric -> prefill, decode: while its expert all-to-all moves bytes, the instance has this share of the UB links
    of its dies, in millionths."""

    share_ppm: int


class SetPowerBudget(Struct, frozen=True, gc=False):
    """core -> prefill, decode: draw at most `budget_w` watts, all NPUs of the instance together, from the next step or
    pass on; confirmed by `PowerBudgetSet`."""

    budget_w: int


class PowerBudgetSet(Struct, frozen=True, gc=False):
    """prefill, decode -> core: the instance keeps to a budget of `budget_w` watts from now on."""

    instance: str
    budget_w: int


class SetParked(Struct, frozen=True, gc=False):
    """core -> prefill, decode: park if there is nothing to do and nothing held, or wake; confirmed by `ParkedSet`."""

    is_parked: bool


class ParkedSet(Struct, frozen=True, gc=False):
    """prefill, decode -> core: from now on the instance is parked; or awake, because it has woken or could not park."""

    instance: str
    is_parked: bool
