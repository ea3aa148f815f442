"""What is said beside a request's way: workers, models, power, broken parts, expert load, cancellations, profiles.

As in `messages`: each docstring begins with who says it to whom; `messages.Message` lists all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class WorkersLost:
    """runtime, operator -> core: these components are gone, with all that they had, and say nothing more of what they
    were told. What is said to them before they join again is dropped.

    `addresses` may name servers of a cache pool (`cache/3`).
    """

    addresses: Final[list[str]]


@dataclass(slots=True)
class WorkersStarted:
    """runtime, operator -> core: new and empty processes are there in the place of these, which were lost.

    Instances among them have no model yet: the core has these load it, and says `WorkersJoined` once they have.
    """

    addresses: Final[list[str]]


@dataclass(slots=True)
class WorkersJoined:
    """core, operator -> core: these components were lost or drained and are back: new, empty and ready.

    The core says it to itself when an instance has loaded its model, for all its parts to hear.
    """

    addresses: Final[list[str]]


@dataclass(slots=True)
class ChangeModel:
    """operator -> core: these instances are to serve `version` of the weights, one after the other, in this order.

    The first in turn takes nothing new; when it is done with what it has, `InstanceDrained` is said of it.
    """

    addresses: Final[list[str]]
    version: Final[str]


@dataclass(slots=True)
class InstanceDrained:
    """core -> operator: nothing depends on this instance any more; it may be lost and started anew, and loads its new
    version then."""

    address: Final[str]


@dataclass(slots=True)
class InstanceProfiled:
    """source -> core: what made-up work took at an instance, measured by its own reports before the clock began.

    Entry i of each column is a pass of a prefill instance, or a step of a decode instance. Of a pass: `new_tokens`
    computed behind `context_tokens`, of which `cached_tokens` were read from a cache in it. Of a step: so many
    `sequences` with `context_tokens` of KV together. `taken_ns`: how long it took. `num_steps` steps of a decode
    instance produced `tokens_per_sequence` tokens for each sequence.
    """

    instance: Final[str]
    sequences: Final[list[int]]
    new_tokens: Final[list[int]]
    context_tokens: Final[list[int]]
    cached_tokens: Final[list[int]]
    taken_ns: Final[list[int]]
    num_steps: Final[int]
    tokens_per_sequence: Final[int]


@dataclass(slots=True)
class CancelRequests:
    """core -> prefill, decode: nobody waits for these any more.

    A prefill instance drops those that it has not begun, which `RequestsCancelled` confirms; the others it computes. At
    a decode instance those that run leave at the next boundary, among `finished_ids` of `DecodeStepped`.
    """

    ids: Final[list[int]]


@dataclass(slots=True)
class RequestsCancelled:
    """prefill -> core: the instance has dropped these prompts from its queue, as `CancelRequests` asked."""

    instance: Final[str]
    ids: Final[list[int]]


@dataclass(slots=True)
class FailParts:
    """operator -> core -> fabric: these parts of the fabric break, named as its topology names them (`ub/3`,
    `npu/0/1`).

    What is broken already stays so.
    """

    parts: Final[list[str]]


@dataclass(slots=True)
class RepairParts:
    """operator -> core -> fabric: these parts of the fabric work again; what was not broken stays as it was."""

    parts: Final[list[str]]


@dataclass(slots=True)
class PartsChanged:
    """fabric -> core: parts of the fabric broke or were repaired at `changed_ns`.

    `failed_parts` are all that are broken now. `lost_bytes_per_s` is what they take from the links of each plane, of
    `whole_bytes_per_s`: one entry for each `Plane` in its order, one direction. `cut_instances` reach nobody on the
    RDMA plane; `cut_dies[i]` are the dies, by number, of `partly_cut_instances[i]` that reach nobody, while others of
    it do.
    """

    changed_ns: Final[int]
    failed_parts: Final[list[str]]
    lost_bytes_per_s: Final[list[int]]
    whole_bytes_per_s: Final[list[int]]
    cut_instances: Final[list[str]]
    partly_cut_instances: Final[list[str]]
    cut_dies: Final[list[list[int]]]


@dataclass(slots=True)
class AvoidDies:
    """core -> decode: keep no room for new requests on these dies, by number, and on all others again."""

    dies: Final[list[int]]


@dataclass(slots=True)
class ExpertLoadReported:
    """prefill, decode -> fabric: what expert all-to-all takes of the UB link of each die of `instance`, until
    `until_ns`.

    `bytes_per_s`: in the mean over that time, in each direction. `share_ppm`: the share of the link at which it runs as
    far as the instance knows, in millionths.
    """

    instance: Final[str]
    bytes_per_s: Final[int]
    until_ns: Final[int]
    share_ppm: Final[int]


@dataclass(slots=True)
class LinkShare:
    """fabric -> prefill, decode: while its expert all-to-all moves bytes, the instance has this share of the UB links
    of its dies, in millionths."""

    share_ppm: Final[int]


@dataclass(slots=True)
class SetPowerBudget:
    """core -> prefill, decode: draw at most `budget_w` watts, all NPUs of the instance together, from the next step or
    pass on; confirmed by `PowerBudgetSet`."""

    budget_w: Final[int]


@dataclass(slots=True)
class PowerBudgetSet:
    """prefill, decode -> core: the instance keeps to a budget of `budget_w` watts from now on."""

    instance: Final[str]
    budget_w: Final[int]


@dataclass(slots=True)
class SetParked:
    """core -> prefill, decode: park if there is nothing to do and nothing held, or wake; confirmed by `ParkedSet`."""

    is_parked: Final[bool]


@dataclass(slots=True)
class ParkedSet:
    """prefill, decode -> core: from now on the instance is parked; or awake, because it has woken or could not park."""

    instance: Final[str]
    is_parked: Final[bool]
