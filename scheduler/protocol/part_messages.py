"""What is said of broken parts of the fabric; `messages` has these with all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class FailParts:
    """These parts of the fabric break, named as its topology names them; what is broken already stays so."""

    parts: Final[list[str]]


@dataclass(slots=True)
class RepairParts:
    """These parts of the fabric work again; what was not broken stays as it was."""

    parts: Final[list[str]]


@dataclass(slots=True)
class PartsChanged:
    """Parts of the fabric broke or were mended at `changed_ns`.

    `failed_parts` are all that are broken now, and `lost_bytes_per_s` what they take from the lines of each plane,
    in the order of `Plane`, of `whole_bytes_per_s`; one direction. `cut_instances` reach nobody on the RDMA plane;
    `cut_dies[i]` are the dies of `partly_cut_instances[i]` that reach nobody, while others of it do.
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
    """Keep no room for new requests on these dies of a decode instance, and on all others again."""

    dies: Final[list[int]]
