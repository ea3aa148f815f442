"""Every number that was fitted or assumed for a chip's software, with the rows that fixed it.

Row names are those of `calibration_points`. Peaks and line rates are not here: they are the catalog's. A chip without a
published row takes the numbers of its nearest relative, which is the weakest kind of assumption: see `fit_of`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.chip import Chip
from sim_hw.hardware.supernode import Plane

_CM = "CloudMatrix paper, arXiv 2506.12708"
_TWO = Confidence.TWO_SOURCES
_ESTIMATE = Confidence.ESTIMATE


@dataclass(frozen=True, slots=True)
class CollectiveFit:
    """Dispatch or combine on one rank: `fixed_s + bytes / rate + far share x (far_s + rows x far_row_s)`.

    Bytes that stay in the package do not count, and the far share is that of the messages that leave the node.
    """

    line_share: Figure
    """Of the line rate, what a rank sends at. Not fitted."""
    fixed_s: Figure
    """Barrier, flags, quantisation: independent of rows."""
    far_row_s: Figure
    """What a token row costs more when all its messages leave the node."""
    far_s: Figure
    """What a call costs more then, whatever its rows. The rows cannot tell it from `far_row_s`: see `rivals`."""
    scale_bytes: Figure
    """Sent with each quantised hidden state."""
    counted_bytes: Figure
    """Bytes that a printed bandwidth counts for each byte of payload."""


@dataclass(frozen=True, slots=True)
class ChipFit:
    """The software of one chip: efficiencies are shares of the catalog's peaks."""

    matrix_efficiency: Figure
    attention_efficiency: Figure
    memory_efficiency: Figure
    vector_efficiency: Figure
    """Activations through HBM in prefill; those of a decode step stay on the chip."""
    saturating_core_share: Figure
    """The share of the cores that fills the memory by itself."""
    request_s: Figure
    """With all cores: of one request in the attention of one decode layer, and of two token rows in its experts."""
    kv_token_s: Figure
    """With all cores: of one KV token in the attention of one decode layer, beyond the roofline; rivals `request_s`."""
    iteration_s: Figure
    """Of one decode step or prefill pass: launches, metadata, sampling."""
    cached_moves: Figure
    """Times that keys and values of a cached token are written and read in each layer: from block to heads."""
    pass_s: Figure
    """Of one prefill pass, beyond `iteration_s`; rivals `cached_moves`."""
    text_spread: Figure
    """Standard deviation over mean of an expert's load from one text; of n texts, smaller by the root of n."""
    cached_text_share: Figure
    """How far a cached token counts when the texts of a prefill pass are counted; rivals `cached_moves`."""
    prefill_core_share: Figure
    """Cores left for computation while a second micro-batch communicates in prefill."""
    is_staged_prefill: bool
    """Attention runs SP-TP-SP over all ranks of the instance; otherwise each rank keeps its own prompts."""
    exchange_plane: Plane
    """What dispatch and combine use between ranks that it joins: UB (scale-up) or RDMA (scale-out)."""
    dispatch: CollectiveFit
    combine: CollectiveFit


def _fitted(value: float, unit: str, source: str) -> Figure:
    return Figure(value, unit, source, _ESTIMATE)


_MLA = f"{_CM} v3 tables 7 and 8"
_UB_WRITE = Figure(
    137 / 196, "1", f"{_CM} v2 table 1: a die writes 137 of 196 GB/s to another in its node", Confidence.ONE_SOURCE
)
_NO_MEASUREMENT = "no row tells it from the other numbers"

_ABSENT_S = _fitted(0.0, "s", "left out: a rival of the number beside it")
_ABSENT_SHARE = _fitted(0.0, "1", "left out: a rival of the number beside it")

_CM_EP_ROWS = "rows cm_{0}_ep8_latency, cm_{0}_ep32_latency, cm_{0}_ep256_latency"
_H800_EP_ROWS = "rows h800_{0}_ep8_latency, h800_{0}_ep32_latency, h800_{0}_ep256_latency"


def _cann_collective(name: str, fixed_s: float, far_row_s: float, scale_bytes: float) -> CollectiveFit:
    rows = _CM_EP_ROWS.format(name)
    return CollectiveFit(
        line_share=_UB_WRITE,
        fixed_s=_fitted(fixed_s, "s", rows),
        far_row_s=_fitted(far_row_s, "s", rows),
        far_s=_ABSENT_S,
        scale_bytes=Figure(scale_bytes, "B", f"{_CM}: a slot of 512 B holds the scale of a row", _TWO),
        counted_bytes=_fitted(1.05, "1", "latency x printed bandwidth over payload, all EP rows"),
    )


def _deepep_collective(name: str, fixed_s: float, far_row_s: float, scale_bytes: float) -> CollectiveFit:
    rows = _H800_EP_ROWS.format(name)
    return CollectiveFit(
        line_share=_fitted(1.0, "1", "assumed: what is lost on the line is in the fitted numbers"),
        fixed_s=_fitted(fixed_s, "s", rows),
        far_row_s=_fitted(far_row_s, "s", rows),
        far_s=_ABSENT_S,
        scale_bytes=Figure(scale_bytes, "B", "FP8 with a 4-byte scale for each 128 values", Confidence.MODEL_CARD),
        counted_bytes=_fitted(1.0, "1", "latency x printed bandwidth over payload, all EP rows"),
    )


ASCEND_910C_FIT = ChipFit(
    matrix_efficiency=_fitted(0.799, "1", "mean of the six rows cm_gemm_*_util"),
    attention_efficiency=Figure(0.654, "1", f"{_MLA}; row cm_mla_compute_util", _TWO),
    memory_efficiency=Figure(0.841, "1", f"{_MLA}; row cm_mla_memory_util", _TWO),
    vector_efficiency=_fitted(0.433, "1", "row cm_prefill_perfect_eplb"),
    saturating_core_share=_fitted(16 / 24, "1", "assumed: the attention stream's 16 of 24 AIC fill the memory"),
    request_s=_fitted(2.80e-6, "s", "rows cm_layer_mtp_b96, cm_layer_no_mtp_b96, both stages"),
    kv_token_s=_ABSENT_S,
    iteration_s=_fitted(0.9e-3, "s", "rows cm_decode_b96_tpot, cm_decode_b8_tpot"),
    cached_moves=_fitted(3.68, "1", "low confidence; row cm_ems_reuse_gain"),
    pass_s=_ABSENT_S,
    text_spread=_fitted(2.80, "1", "row cm_prefill_default"),
    cached_text_share=_ABSENT_SHARE,
    prefill_core_share=_fitted(1.0, "1", "exchange runs on SDMA engines, which no matrix product needs"),
    is_staged_prefill=True,
    exchange_plane=Plane.UB,
    dispatch=_cann_collective("dispatch", 70.5e-6, 23e-6 / 128, 512),
    combine=_cann_collective("combine", 39.5e-6, 6.5e-6 / 128, 0),
)

H800_FIT = ChipFit(
    matrix_efficiency=_fitted(ASCEND_910C_FIT.matrix_efficiency.value, "1", f"as Ascend 910C: {_NO_MEASUREMENT}"),
    attention_efficiency=Figure(0.667, "1", f"{_MLA}; row h800_mla_compute_util", _TWO),
    memory_efficiency=Figure(0.896, "1", f"{_MLA}; row h800_mla_memory_util", _TWO),
    vector_efficiency=_fitted(0.454, "1", "row h800_prefill_profile"),
    saturating_core_share=_fitted(1.0, "1", "assumed; streams are not given cores on GPUs"),
    request_s=_fitted(2.225e-6, "s", "row h800_decode_profile_tput"),
    kv_token_s=_ABSENT_S,
    iteration_s=_fitted(ASCEND_910C_FIT.iteration_s.value, "s", f"as Ascend 910C: {_NO_MEASUREMENT}"),
    cached_moves=_fitted(ASCEND_910C_FIT.cached_moves.value, "1", f"as Ascend 910C: {_NO_MEASUREMENT}"),
    pass_s=_ABSENT_S,
    text_spread=_fitted(ASCEND_910C_FIT.text_spread.value, "1", f"as Ascend 910C: {_NO_MEASUREMENT}"),
    cached_text_share=_ABSENT_SHARE,
    prefill_core_share=Figure(108 / 132, "1", f"{_CM} v3: 108 + 24 multiprocessors", Confidence.ONE_SOURCE),
    is_staged_prefill=False,
    exchange_plane=Plane.RDMA,
    dispatch=_deepep_collective("dispatch", 30.5e-6, 10e-6 / 128, 224),
    combine=_deepep_collective("combine", 61e-6, 6.5e-6 / 128, 0),
)


def _over_nvlink(collective: CollectiveFit) -> CollectiveFit:
    return replace(
        collective,
        line_share=_fitted(_UB_WRITE.value, "1", f"as Ascend 910C: {_NO_MEASUREMENT}"),
        fixed_s=_fitted(collective.fixed_s.value, "s", f"as H800: {_NO_MEASUREMENT}"),
        far_row_s=_fitted(0.0, "s", "assumed: one NVLink domain"),
    )


GB200_FIT = replace(
    H800_FIT,
    vector_efficiency=_fitted(H800_FIT.vector_efficiency.value, "1", f"as H800: {_NO_MEASUREMENT}"),
    request_s=_fitted(0.706e-6, "s", "row gb200_decode_sglang_part1"),
    prefill_core_share=_fitted(1.0, "1", "assumed: no two micro-batches in the published software"),
    exchange_plane=Plane.UB,
    dispatch=_over_nvlink(H800_FIT.dispatch),
    combine=_over_nvlink(H800_FIT.combine),
)

FITS = {
    "ascend-910c": ASCEND_910C_FIT,
    "h800": H800_FIT,
    "gb200": GB200_FIT,
}
"""Chips with rows of their own."""

NEAREST_RELATIVE = {
    "h100": "h800",
    "h200": "h800",
    "h20": "h800",
    "b200": "gb200",
    "gb300": "gb200",
}
"""Whose numbers a chip without rows takes."""


def fit_of(chip: Chip) -> ChipFit:
    """The fitted numbers of `chip`, or of its nearest relative if it has none."""
    return FITS[relative_of(chip)]


def relative_of(chip: Chip) -> str:
    """The name in `FITS` whose numbers hold for `chip`: its own, else by table, else by whether it has cube cores."""
    if chip.name in FITS:
        return chip.name
    return NEAREST_RELATIVE.get(chip.name, "h800" if chip.die.cube_cores is None else "ascend-910c")
