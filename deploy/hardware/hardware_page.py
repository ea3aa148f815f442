"""What `supernode hw` prints for people: every figure with source and confidence, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from deploy.hardware.quantities import count, figure, quantity
from deploy.terminal.table import table
from sim_hw.chips.chip import Chip
from sim_hw.clusters.supernode import StageLayout, Supernode
from sim_hw.clusters.totals import SupernodeTotals
from sim_hw.figure import Figure
from sim_hw.planes import Plane
from sim_hw.sources import named_in

_SPELLED: Final = {"npu": "NPU", "npus": "NPUs", "cpu": "CPU", "cpus": "CPUs", "hbm": "HBM", "tdp": "TDP", "ub": "UB"}
_SPELLED_WHOLE: Final = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8", "fp8": "FP8", "fp4": "FP4", "tdp_w": "TDP"}

_ENDINGS: Final = {
    "_bytes_per_s": "_bandwidth",
    "_bytes": "",
    "_w": "_power",
    "_usd": "",
    "_domain_npus": "_domain",
}
"""What stands in a label for the unit in the name of a field."""


class _Block(Struct, frozen=True):
    """A titled list of labelled figures."""

    title: str
    rows: Sequence[tuple[str, Figure]]


def supernode_page(supernode: Supernode, totals: SupernodeTotals, more: Sequence[str] = ()) -> str:
    """The whole page, ending in a newline; `more` are further sections."""
    chip = supernode.chip
    planes = [(f"{one.plane.upper()} per {_spelled(one.endpoint)}", one.bytes_per_s) for one in supernode.other_ports]
    parts = [(f"{part.title}, per {_spelled(part.part_of)}", part.count) for part in supernode.parts]
    blocks = [
        _Block("Supernode", list(_figures(supernode))),
        _Block("Planes, besides those of a die", planes),
        _Block("Parts", parts),
        _Block("Power of parts", list(_part_watts(supernode))),
        _Block("UB access of a die, measured", list(_accesses(supernode))),
        *_chip_blocks(chip),
    ]
    sections = [_served(supernode), _derived(totals, chip.scale_up_network), *more]
    return _page(f"{supernode.name}: {supernode.title}", blocks, sections, supernode.defaults.source)


def chip_page(chip: Chip) -> str:
    """The whole page, ending in a newline."""
    return _page(f"{chip.name}: {chip.title}", _chip_blocks(chip), [], "")


def hardware_list(supernodes: Sequence[Supernode], chips: Sequence[Chip]) -> str:
    """Names and main sizes of what is built in, ending in a newline."""
    clusters = [
        (one.name, one.title, f"{one.num_npus} x {one.chip.name}", f"plan {one.defaults.plan}") for one in supernodes
    ]
    rows = [(one.name, one.title, quantity(one.hbm_bytes, "B"), quantity(one.hbm_bytes_per_s, "B/s")) for one in chips]
    return f"Clusters\n{table(clusters)}\n\nChips\n{table(rows, right=(2, 3))}\n"


def _page(title: str, blocks: Sequence[_Block], sections: Sequence[str], their_source: str) -> str:
    shown = [block for block in blocks if block.rows]
    width = max(len(label) for block in shown for label, _ in block.rows)
    values = max(len(figure(one)) for block in shown for _, one in block.rows)
    tables = [
        "\n".join((block.title, *(_line(label, one, width, values) for label, one in block.rows))) for block in shown
    ]
    sources = named_in([their_source, *(one.source for block in shown for _, one in block.rows)])
    legend = "Sources\n" + table([(f"  {short}", full) for short, full in sources.items()]) if sources else ""
    return "\n\n".join(filter(None, (title, *tables, *sections, legend))) + "\n"


def _line(label: str, one: Figure, width: int, values: int) -> str:
    confidence = one.confidence.replace("_", " ")
    return f"  {label:<{width}}  {figure(one):>{values}}  {confidence:<11}  {one.source}"


def _chip_blocks(chip: Chip) -> list[_Block]:
    peaks = [(f"{name} peak", one) for name, one in _figures(chip.die.peak)]
    return [
        _Block(f"{chip.title}, per package", list(_figures(chip))),
        _Block(f"{chip.title}, per die", [*peaks, *_figures(chip.die)]),
    ]


def _figures(entry: Struct) -> Iterator[tuple[str, Figure]]:
    """The figures that are fields of an entry, with labels."""
    for name in entry.__struct_fields__:
        value = getattr(entry, name)
        if isinstance(value, Figure):
            yield _label(name), value


def _label(name: str) -> str:
    if name in _SPELLED_WHOLE:
        return _SPELLED_WHOLE[name]
    words = name.removeprefix("num_")
    ending = next((one for one in _ENDINGS if words.endswith(one)), "")
    return _spelled(words.removesuffix(ending) + _ENDINGS.get(ending, ""))


def _spelled(name: str) -> str:
    return " ".join(_SPELLED.get(word, word) for word in name.split("_"))


def _plural(title: str) -> str:
    return f"{title}es" if title.endswith("ch") else f"{title}s"


def _part_watts(supernode: Supernode) -> Iterator[tuple[str, Figure]]:
    """What the entry says; `supernode hw power` adds what is estimated."""
    power = supernode.power
    shared = (
        (("CPU", power.cpu), ("board, per node", power.board), ("cooling, per node", power.cooling)) if power else ()
    )
    for title, one in (*shared, *((part.title, part.power) for part in supernode.parts)):
        if one:
            states = (("provisioned", one.provisioned_w), ("busy", one.busy_w), ("idle", one.idle_w))
            yield from ((f"{title}, {state}", watts) for state, watts in states if watts)
    if power and power.supply_capacity_w:
        yield "power supplies installed", power.supply_capacity_w


def _accesses(supernode: Supernode) -> Iterator[tuple[str, Figure]]:
    for one in supernode.ub_accesses:
        name = f"{one.operation} of {_spelled(one.memory)}, {_spelled(one.reach)}"
        yield name, one.bytes_per_s
        yield f"{name}, latency", one.latency_s


def _served(supernode: Supernode) -> str:
    defaults = supernode.defaults
    rows = [
        ("  plan", defaults.plan),
        ("  precision", defaults.precision.value),
        ("  precision of KV", defaults.kv_precision.value),
        *([("  experts in", defaults.expert_weights.value)] if defaults.expert_weights else []),
        ("  prefill", _stage(defaults.prefill)),
        ("  decode", _stage(defaults.decode)),
        ("  source", f"{defaults.source} ({defaults.confidence.replace('_', ' ')})"),
    ]
    return "Served by default\n" + table(rows)


def _stage(stage: StageLayout) -> str:
    shares = {"TP": stage.tp, "expert TP": stage.expert_tp, "PP": stage.pp, "CP": stage.cp}
    ranks = ", ".join(f"{name}{count}" for name, count in ({"EP": stage.ep} | shares).items() if count)
    return f"{stage.num_npus} NPUs, {ranks}, overlap {stage.overlap}".replace("_", " ")


def _derived(totals: SupernodeTotals, scale_up_network: str) -> str:
    networks = {Plane.UB: scale_up_network, Plane.RDMA: "RDMA", Plane.VPC: "VPC"}
    rows = [
        ("nodes", count(totals.nodes)),
        ("NPUs", count(totals.npus)),
        ("dies", count(totals.dies)),
        ("CPUs", count(totals.cpus)),
        ("racks", f"{totals.compute_racks} compute + {totals.network_racks} network"),
        *((f"{name.upper()} peak", quantity(flops, "FLOP/s")) for name, flops in totals.flops.items()),
        ("HBM", quantity(totals.hbm_bytes, "B")),
        ("HBM bandwidth", quantity(totals.hbm_bytes_per_s, "B/s")),
        *(
            (f"{networks[Plane(plane)]} of all {_plural(_spelled(endpoint))}", quantity(rate, "B/s"))
            for plane, rates in totals.plane_bytes_per_s.items()
            for endpoint, rate in rates.items()
        ),
        *((_plural(title), count(number)) for title, number in totals.parts.items()),
        ("optical modules", count(totals.optical_modules)),
        ("provisioned power", quantity(totals.provisioned_w, "W")),
        ("provisioned power per NPU", quantity(totals.provisioned_w_per_npu, "W")),
        ("price", quantity(totals.price_usd, "USD")),
        ("price per NPU", quantity(totals.price_usd_per_npu, "USD")),
    ]
    return "Derived\n" + table([(f"  {label}", value) for label, value in rows])
