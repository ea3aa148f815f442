"""An operator: one named piece of a layer's work, on one rank, with what it multiplies, reads and waits for."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sim_hw.chips.chip import Precision


class OperatorClass(StrEnum):
    """What bounds an operator; one efficiency belongs to each class and chip."""

    MATRIX = "matrix"
    """Products with weights, grouped or not."""
    ATTENTION = "attention"
    VECTOR = "vector"
    """Activations through HBM: norms, quantisation, expansion of cached latents."""
    REQUEST = "request"
    """Time that belongs to requests and token rows, not to bytes or FLOPs; shrinks with more cores."""
    WAIT = "wait"
    """Time that no share of cores changes: messages between ranks, launches, sampling."""


class Operator(Struct, frozen=True):
    """`flops` in `precision`, `hbm_bytes` from and to memory, `wait_s` seconds on top (of all cores for `REQUEST`)."""

    name: str
    kind: OperatorClass
    precision: Precision = Precision.BF16
    flops: float = 0.0
    hbm_bytes: float = 0.0
    wait_s: float = 0.0
