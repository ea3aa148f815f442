"""What `supernode hw power` prints for people: the tree part by part, what it rests on, and what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from deploy.hardware.quantities import count, figure, quantity
from deploy.terminal.table import table
from sim_hw.clusters.part_power import PartClass
from sim_hw.clusters.published import PublishedRatios
from sim_hw.figure import Figure
from sim_hw.power.power_tree import PowerTree, Watts
from sim_hw.sources import named_in

_CLASSES: Final[Mapping[PartClass, str]] = {
    PartClass.NPU: "NPUs",
    PartClass.CPU: "CPUs",
    PartClass.BOARD: "Boards",
    PartClass.SWITCH: "Switches",
    PartClass.OPTICS: "Optics",
    PartClass.COOLING: "Cooling in the racks",
    PartClass.SUPPLY_LOSS: "Power supplies",
    PartClass.MARGIN: "Margin",
}
_STATES: Final = ("provisioned", "busy", "idle")


def supernode_power_page(tree: PowerTree, answer: Mapping[str, Any], ratios: PublishedRatios | None) -> str:
    """The whole page, ending in a newline."""
    blocks = [
        f"{tree.supernode}: power, busy with {answer['busy']}",
        _tree(tree, answer),
        _year(answer),
        _published(answer),
        _ratios(answer["ratios"], ratios),
        _grounds(tree, answer),
    ]
    legend = named_in(blocks)
    if legend:
        blocks.append("Sources\n" + table([(f"  {short}", full) for short, full in legend.items()]))
    return "\n\n".join(filter(None, blocks)) + "\n"


def chip_power_page(title: str, answer: Mapping[str, Any]) -> str:
    """The whole page, ending in a newline."""
    rows = [
        (f"  {name}", quantity(one["value"], "W"), one["confidence"].replace("_", " "), one["source"])
        for name, one in answer["watts"].items()
    ]
    blocks = [f"{answer['name']}: {title}, one package", table([("Draw", "", "", ""), *rows], right=(1,))]
    if answer["measured"]:
        heading = ("Measured, share of TDP", "measured", "model", "residual", "source")
        points = [
            (
                f"  {one['condition']}",
                f"{one['measured']:.2f}",
                f"{one['predicted']:.2f}",
                f"{round(one['residual'], 2) + 0.0:+.2f}",
                one["source"],
            )
            for one in answer["measured"]
        ]
        mean = sum(abs(one["residual"]) for one in answer["measured"]) / len(points)
        points.append(("  mean error", "", "", f"{mean:.3f}", ""))
        blocks.append(table([heading, *points], right=(1, 2, 3)))
    return "\n\n".join(blocks) + "\n"


def _tree(tree: PowerTree, answer: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [("", "pieces", "each", *_STATES)]
    for part_class, title in _CLASSES.items():
        lines = [line for line in tree.lines if line.part_class is part_class]
        if part_class is PartClass.MARGIN:
            without_w = answer["total_without_margin_w"]
            rows.append(
                ("Sum of parts and losses", "", "", *_three(Watts(without_w, tree.total.busy_w, tree.total.idle_w)))
            )
        if lines:
            rows.append((title, "", "", *_three(tree.of_class(part_class))))
        if len(lines) == 1 and lines[0].count == 1:
            continue
        for line in lines:
            pieces = (count(line.count), figure(line.provisioned)) if line.count > 1 else ("", "")
            rows.append((f"  {line.title}", *pieces, *_three(line.watts)))
    site = answer["site"]
    rows += [
        ("At the feeds of the supernode", "", "", *_three(tree.total)),
        (f"Building, PUE {site['pue']['value']:g}", "", "", *_three(Watts(**answer["building"]))),
        ("At the meter", "", "", *_three(Watts(**answer["meter"]))),
    ]
    return table(rows, right=(1, 2, 3, 4, 5))


def _three(watts: Watts) -> tuple[str, str, str]:
    return _watts(watts.provisioned_w), _watts(watts.busy_w), _watts(watts.idle_w)


def _watts(watts: float) -> str:
    """All in one unit, so that a column can be added up by eye."""
    return f"{watts / 1e3:,.1f} kW" if watts else "-"


def _year(answer: Mapping[str, Any]) -> str:
    site, dollars = answer["site"], answer["usd_per_year"]
    price = site["usd_per_kwh"]["value"]
    return f"Electricity of a year at {site['name']}, ${price:g} a kWh: " + ", ".join(
        f"{quantity(dollars[state], 'USD')} {state}" for state in ("busy", "idle")
    )


def _published(answer: Mapping[str, Any]) -> str:
    if not answer["published"]:
        return ""
    rows = [
        (
            f"  {one['title']}",
            _watts(one["published_w"]),
            _watts(one["ours_w"]),
            f"{one['error']:+.1%}",
            one["source"],
        )
        for one in answer["published"]
    ]
    return table([("Published totals", "published", "parts", "error", ""), *rows], right=(1, 2, 3))


def _ratios(ratios: Mapping[str, Any], published: PublishedRatios | None) -> str:
    if published is None:
        return ""
    rows = [
        (
            f"  {name}",
            f"{one['published']:.1f}",
            f"{one['on_published_basis']:.2f}",
            f"{one['on_catalogue_basis']:.2f}",
            one["source"],
        )
        for name, one in ratios.items()
    ]
    heading = (f"Over {published.other}", "published", "on its basis", "on the catalogue's", "")
    return table([heading, *rows], right=(1, 2, 3)) + f"\n  Its basis: {published.about}"


def _grounds(tree: PowerTree, answer: Mapping[str, Any]) -> str:
    """Every figure with confidence and source, of one piece."""
    site = answer["site"]
    figures = [
        *_figures(tree),
        ("power supplies installed", tree.supply_capacity),
        ("published total", tree.provisioned),
    ]
    rows = [(f"  {title}", figure(one), one.confidence.replace("_", " "), one.source) for title, one in figures]
    rows += [
        (f"  {title}", f"{site[name]['value']:g}", site[name]["confidence"].replace("_", " "), site[name]["source"])
        for title, name in (("PUE", "pue"), ("USD a kWh", "usd_per_kwh"))
    ]
    return table([("What it rests on, each piece", "", "", ""), *rows], right=(1,))


def _figures(tree: PowerTree) -> Iterator[tuple[str, Figure]]:
    """A state that is as the one before it is left out."""
    for line in tree.lines:
        if line.count > 1:
            yield f"{line.title}, count", _counted(line.count, line.count_figure)
        before: Sequence[Figure] = ()
        for state, one in zip(_STATES, (line.provisioned, line.busy, line.idle)):
            if one not in before and one.value:
                yield f"{line.title}, {state}", one
            before = (one,)


def _counted(number: int, source: Figure) -> Figure:
    return Figure(number, "1", source.source, source.confidence)
