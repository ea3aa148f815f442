"""What `supernode model` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from deploy.hardware.quantities import count, quantity
from deploy.terminal.table import table
from sim_hw.models.shape import ModelShape
from sim_hw.models.totals import ModelTotals
from sim_hw.models.totals import totals as totals_of


def model_page(shape: ModelShape, totals: ModelTotals) -> str:
    """Shape and what follows from it, ending in a newline."""
    kind = totals.attention_kind.replace("_", "-")
    parameters = [
        *((name.replace("_", " "), number) for name, number in totals.parameters.items() if number),
        ("total", totals.total_parameters),
        ("active per token", totals.active_parameters),
        *([("MTP module, besides", totals.mtp_parameters)] if totals.mtp_parameters else []),
    ]
    per_token = [
        ("products with weights", quantity(totals.linear_flops_per_token, "FLOP")),
        ("attention in prefill, per (query, key) pair", quantity(totals.prefill_attention_flops_per_pair, "FLOP")),
        ("attention in decode, per KV token", quantity(totals.decode_attention_flops_per_kv_token, "FLOP")),
        ("KV cache, BF16", f"{count(totals.kv_bytes_per_token)} B"),
    ]
    if shape.mtp_layers:
        per_token.append(("KV cache with MTP layer", f"{count(totals.kv_bytes_per_token_with_mtp)} B"))
    return (
        "\n\n".join(
            (
                f"{shape.name}: {shape.source}",
                _block("Shape", [("attention", kind), *_fields(shape)]),
                _block("Parameters", [(name, billions(number)) for name, number in parameters]),
                _block("Per token, all layers", per_token),
                *(["\n".join(("Assumed", *(f"  {note}" for note in shape.notes)))] if shape.notes else []),
            )
        )
        + "\n"
    )


def model_list(shapes: Sequence[ModelShape]) -> str:
    """A line for each model that is built in, ending in a newline."""
    header = ("model", "parameters", "active", "layers", "hidden", "attention", "experts", "KV per token", "positions")
    rows = [header, *(_line(shape) for shape in shapes)]
    return (
        table(rows, right=(1, 2, 3, 4, 7, 8)) + "\n\n" + "\n".join(f"{one.name}: {one.source}" for one in shapes) + "\n"
    )


def model_summary(shape: ModelShape) -> dict[str, Any]:
    """The same of one model, in plain values; bytes and elements."""
    derived = totals_of(shape)
    experts = shape.experts
    return {
        "name": shape.name,
        "source": shape.source,
        "total_parameters": derived.total_parameters,
        "active_parameters": derived.active_parameters,
        "layers": shape.layers,
        "dense_layers": shape.dense_layers,
        "hidden": shape.hidden,
        "attention": derived.attention_kind,
        "heads": shape.heads,
        "experts": None
        if experts is None
        else {"routed": experts.routed, "per_token": experts.routed_per_token} | {"shared": experts.shared},
        "mtp_layers": shape.mtp_layers,
        "kv_bytes_per_token": derived.kv_bytes_per_token,
        "max_positions": shape.max_positions,
    }


def _line(shape: ModelShape) -> tuple[str, ...]:
    known = model_summary(shape)
    experts = shape.experts
    shared = f" + {experts.shared} shared" if experts and experts.shared else ""
    return (
        shape.name,
        billions(shape.total_parameters),
        billions(shape.active_parameters),
        count(shape.layers),
        count(shape.hidden),
        known["attention"].replace("_", "-"),
        f"{experts.routed_per_token} of {experts.routed}{shared}" if experts else "dense",
        f"{count(known['kv_bytes_per_token'])} B",
        count(shape.max_positions),
    )


def billions(number: int) -> str:
    """Parameters as the field counts them."""
    return f"{number / 1e9:,.1f} B" if number >= 1e9 else f"{number / 1e6:,.1f} M"


def _fields(entry: Struct, name: str = "") -> list[tuple[str, str]]:
    """Names and numbers of a shape and its parts."""
    rows: list[tuple[str, str]] = []
    for field in entry.__struct_fields__:
        value = getattr(entry, field)
        label = f"{name} {field}".strip().replace("_", " ")
        if isinstance(value, Struct):
            rows += _fields(value, field)
        elif isinstance(value, bool):
            rows.append((label, "yes" if value else "no"))
        elif isinstance(value, int):
            rows.append((label, count(value)))
    return rows


def _block(title: str, rows: list[tuple[str, str]]) -> str:
    return f"{title}\n" + table([(f"  {label}", value) for label, value in rows], right=(1,))
