"""What instances take of a cluster's nodes: one bundle for each emulated node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deploy.cluster.existing.spec import NODE_NPUS, ExistingSpec

Bundle = dict[str, float]
"""Amounts by Ray resource."""

MAX_NAMED: Final = 3


def bundles_of(num_npus: int, spec: ExistingSpec) -> list[Bundle]:
    """One for every `NODE_NPUS` NPUs of an instance, the last of what is left."""
    whole, left = divmod(num_npus, NODE_NPUS)
    return [{spec.resource: npus * spec.amount} for npus in [NODE_NPUS] * whole + [left] * (left > 0)]


def bundle_text(bundle: Mapping[str, float]) -> str:
    """For a person, such as "8 NPU"."""
    return ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())


def why_no_room(
    waiting: Mapping[str, Sequence[Bundle]], totals: Mapping[str, float], free: Mapping[str, float], spec: ExistingSpec
) -> str:
    """One line for hosts whose bundles have no nodes; `totals` and `free` of the resource by node."""
    names = list(waiting)
    others = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    first = waiting[names[0]]
    asked = f"{len(first)} x {bundle_text(first[0])}" if first else "nothing"
    nodes = ", ".join(f"{free.get(node, 0.0):g} of {total:g} on {node}" for node, total in list(totals.items())[:8])
    return (
        f"no room for {', '.join(names[:MAX_NAMED])}{others} ({names[0]}: {asked}, placement {spec.placement}); "
        f"free {spec.resource}: {nodes}; start nodes with more, take a smaller --plan or --placement pack, "
        "or wait for the other jobs"
    )


def why_no_resource(address: str, spec: ExistingSpec) -> str:
    """One line for a cluster of which no node offers the resource."""
    return (
        f"no node of the cluster at {address} offers {spec.resource}; start nodes by "
        f"ray start --address=HOST:PORT --resources='{{\"{spec.resource}\": 64}}', or have an emulated NPU take "
        "a share of something else, such as --npu-resource CPU=0.05"
    )
