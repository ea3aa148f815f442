"""What kind a part of the fabric is, by the name that its topology gives it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class PartKind(StrEnum):
    """What can break on its own."""

    OPTICAL_MODULE = "optical_module"
    OPTICAL_LINK = "optical_link"
    ELECTRICAL_LINK = "electrical_link"
    L1 = "l1"
    L2 = "l2"
    SUB_PLANE = "sub_plane"
    NIC = "nic"
    LEAF = "leaf"
    SPINE = "spine"
    VPC_CARD = "vpc_card"
    VPC_NETWORK = "vpc_network"
    DIE = "die"
    CPU = "cpu"


TITLES: Final[Mapping[PartKind, tuple[str, str]]] = {
    PartKind.OPTICAL_MODULE: ("optical module", "optical modules"),
    PartKind.OPTICAL_LINK: ("optical link", "optical links"),
    PartKind.ELECTRICAL_LINK: ("electrical link", "electrical links"),
    PartKind.L1: ("L1 switch", "L1 switches"),
    PartKind.L2: ("L2 switch", "L2 switches"),
    PartKind.SUB_PLANE: ("sub-plane", "sub-planes"),
    PartKind.NIC: ("NIC", "NICs"),
    PartKind.LEAF: ("leaf switch", "leaf switches"),
    PartKind.SPINE: ("spine switch", "spine switches"),
    PartKind.VPC_CARD: ("VPC card", "VPC cards"),
    PartKind.VPC_NETWORK: ("VPC network", "VPC networks"),
    PartKind.DIE: ("die", "dies"),
    PartKind.CPU: ("CPU", "CPUs"),
}
"""One and several of a kind, for people."""

_KINDS: Final[Mapping[str, PartKind]] = {
    "npu/N/N": PartKind.DIE,
    "npu/N/N/ub/N": PartKind.ELECTRICAL_LINK,
    "npu/N/N/nic": PartKind.ELECTRICAL_LINK,
    "npu/N/nic": PartKind.NIC,
    "npu/N/rdma/N": PartKind.OPTICAL_LINK,
    "npu/N/rdma/N/N": PartKind.OPTICAL_MODULE,
    "node/N/cpu/N": PartKind.CPU,
    "node/N/cpu/N/ub/N": PartKind.ELECTRICAL_LINK,
    "node/N/vpc": PartKind.VPC_CARD,
    "l1/N": PartKind.L1,
    "l1/N/N": PartKind.L1,
    "l2/N/N": PartKind.L2,
    "ub/N": PartKind.SUB_PLANE,
    "ub/N/N/N": PartKind.OPTICAL_LINK,
    "ub/N/N/N/N": PartKind.OPTICAL_MODULE,
    "leaf/N": PartKind.LEAF,
    "spine/N": PartKind.SPINE,
    "vpc": PartKind.VPC_NETWORK,
}
"""By the name with N in place of each number."""

_NUMBER: Final = re.compile(r"(?<=/)\d+")
_SUPERNODE: Final = re.compile(r"^sn/\d+/")


def in_order(parts: Iterable[str]) -> list[str]:
    """By name, numbers within it by value: `l2/3/2` before `l2/3/10`."""

    def by_value(part: str) -> list[tuple[int, str]]:
        return [(int(word), "") if word.isdecimal() else (-1, word) for word in part.split("/")]

    return sorted(parts, key=by_value)


def kind_of(part: str) -> PartKind:
    """The kind of a part, in whichever supernode of a fleet. Raises KeyError for what is no name of a part."""
    return _KINDS[_NUMBER.sub("N", _SUPERNODE.sub("", part))]


def count_kinds(parts: Iterable[str]) -> dict[PartKind, int]:
    """How many of these parts there are of each kind, of all kinds in their order."""
    counts = dict.fromkeys(PartKind, 0)
    for part in parts:
        counts[kind_of(part)] += 1
    return counts
