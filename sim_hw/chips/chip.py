"""What a chip is: a package of one or more dies, each die one rank. Bandwidths are one direction, FLOP/s are dense."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sim_hw.errors import PrecisionError
from sim_hw.figure import Figure


class Precision(StrEnum):
    """A number format that matrix units multiply in."""

    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"
    FP8 = "fp8"
    FP4 = "fp4"

    @property
    def bytes_per_element(self) -> float:
        """Size in memory, scales not counted."""
        return _BYTES_PER_ELEMENT[self]


_BYTES_PER_ELEMENT = {
    Precision.BF16: 2.0,
    Precision.FP16: 2.0,
    Precision.INT8: 1.0,
    Precision.FP8: 1.0,
    Precision.FP4: 0.5,
}


class ExpertWeights(StrEnum):
    """What experts are kept in where it is not the precision of the other products."""

    NVFP4 = "nvfp4"
    """4 bits and an 8-bit scale for each 16 weights; multiplied in FP4."""
    W4A8 = "w4a8"
    """4 bits and a 16-bit scale for each 128 weights; turned into the 8 bits of the other products, and multiplied in
    those."""

    @property
    def bytes_per_element(self) -> float:
        """Size in memory, scales included."""
        return 0.5 + 1 / 16 if self is ExpertWeights.NVFP4 else 0.5 + 2 / 128


class PeakRates(Struct, frozen=True):
    """Dense matrix FLOP/s of one die by precision; None where the hardware has no such arithmetic."""

    bf16: Figure
    fp16: Figure | None = None
    int8: Figure | None = None
    fp8: Figure | None = None
    fp4: Figure | None = None

    def by_precision(self) -> dict[Precision, Figure]:
        """The native precisions, in the order of the fields."""
        found = ((Precision(name), getattr(self, name)) for name in self.__struct_fields__)
        return {precision: figure for precision, figure in found if figure is not None}


class Die(Struct, frozen=True):
    """One compute die as software sees it: one rank of expert or data parallelism, with its share of the package.

    Matrix and vector cores are counted apart where a stream of work can be given some of each (Ascend), streaming
    multiprocessors where communication takes some of them from the computation (NVIDIA).
    """

    peak: PeakRates
    hbm_bytes: Figure
    hbm_bytes_per_s: Figure
    scale_up_bytes_per_s: Figure
    """Raw line rate into the scale-up network: UB or NVLink."""
    scale_out_bytes_per_s: Figure
    """Raw line rate into the scale-out network: RoCE or InfiniBand."""
    cube_cores: Figure | None = None
    vector_cores: Figure | None = None
    streaming_multiprocessors: Figure | None = None


class Chip(Struct, frozen=True):
    """One package, the unit that is counted, priced and powered: an NPU or a GPU.

    A GPU that presents its two dies as one device is one die here.
    """

    name: str
    title: str
    die: Die
    num_dies: Figure
    scale_up_network: str
    """What it is called: UB or NVLink."""
    scale_up_domain_npus: Figure
    """Packages that reach each other over the scale-up network."""
    tdp_w: Figure
    idle_w: Figure
    die_to_die_bytes_per_s: Figure | None = None
    price_usd: Figure | None = None
    resident_w: Figure | None = None
    """With a model loaded and nothing to do; None where nobody read it."""
    maker: str | None = None
    """As a user's file says it; that of a known chip stands on its sheet (`sim_hw.chips.sheet`)."""

    def die_flops(self, precision: Precision) -> float:
        """Peak of one die, FLOP/s. Raises `PrecisionError` if it has no such arithmetic."""
        peak: Figure | None = getattr(self.die.peak, precision)
        if peak is None:
            peaks = self.die.peak.by_precision()
            raise PrecisionError(f"{self.name} has no native {precision}; it has {', '.join(peaks)}")
        return peak.value

    def flops(self, precision: Precision) -> float:
        """Peak of the package, FLOP/s. Raises `PrecisionError` if it has no such arithmetic."""
        return self.num_dies.value * self.die_flops(precision)

    @property
    def waiting_w(self) -> float:
        """Of an NPU that holds a model and has nothing to do; the idle draw where nothing else is known."""
        return (self.resident_w or self.idle_w).value

    @property
    def hbm_bytes(self) -> float:
        """Capacity of the package, bytes."""
        return self.num_dies.value * self.die.hbm_bytes.value

    @property
    def hbm_bytes_per_s(self) -> float:
        """Peak of the package, B/s."""
        return self.num_dies.value * self.die.hbm_bytes_per_s.value

    @property
    def scale_up_bytes_per_s(self) -> float:
        """Line rate of the package, B/s."""
        return self.num_dies.value * self.die.scale_up_bytes_per_s.value

    @property
    def scale_out_bytes_per_s(self) -> float:
        """Line rate of the package, B/s."""
        return self.num_dies.value * self.die.scale_out_bytes_per_s.value
