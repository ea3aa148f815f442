"""A number with its parents: every constant of the hardware model says where it comes from and how sure it is."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Confidence(StrEnum):
    """How well a figure is supported."""

    TWO_SOURCES = "two_sources"
    """Two texts agree. Where both are versions of one paper, that proves the transcription, not the measurement."""
    ONE_SOURCE = "one_source"
    ESTIMATE = "estimate"
    """Arithmetic, a fit or an assumption made in this project; `source` says which."""
    MODEL_CARD = "model_card"
    """The published configuration of the model."""


class Figure(Struct, frozen=True):
    """One constant. `unit` is SI without prefixes ("B/s", "W"), "1" for a share or ratio, else what is counted."""

    value: float
    unit: str
    source: str
    confidence: Confidence

    @property
    def count(self) -> int:
        """The value of a figure that counts things."""
        return int(self.value)


def teraflops(value: float, source: str, confidence: Confidence) -> Figure:
    """Dense TFLOP/s."""
    return Figure(value * 1e12, "FLOP/s", source, confidence)


def gigabytes(value: float, source: str, confidence: Confidence) -> Figure:
    """GB, 10^9 bytes."""
    return Figure(value * 1e9, "B", source, confidence)


def gigabytes_per_s(value: float, source: str, confidence: Confidence) -> Figure:
    """GB/s, one direction."""
    return Figure(value * 1e9, "B/s", source, confidence)


def watts(value: float, source: str, confidence: Confidence = Confidence.ESTIMATE) -> Figure:
    """W; most that are known of parts are estimates."""
    return Figure(value, "W", source, confidence)
