"""A supernode as a map: a column for each node, a cell for each NPU, one shade for each instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from msgspec import Struct

from deploy.pages.document import LIGHT_AND_DARK, card
from deploy.pages.plots import Figure, colour_bar, column, layout
from deploy.pages.units import scale, shown
from deploy.report.chart import COLOURS
from deploy.report.course import Course
from deploy.run_folder.read import Instance, RunFolder, SupernodeNodes

PREFILL_COLOUR: Final = COLOURS[0]
DECODE_COLOUR: Final = COLOURS[2]
AGGREGATED_COLOUR: Final = COLOURS[4]
COLOUR_OF: Final = {"prefill": PREFILL_COLOUR, "decode": DECODE_COLOUR, "aggregated": AGGREGATED_COLOUR}
"""By role."""
BUSY_HUE: Final = COLOURS[0]
POWER_HUE: Final = COLOURS[3]
NO_SHADE: Final = "var(--cell)"

NODES_PER_BAND: Final = 48
"""Nodes beside each other; more go below."""

# Lengths on a map, in cells.
RACK_GAP: Final = 0.4
BAND_GAP: Final = 1.6
"""Room for the names of instances below a band."""

CELL_PX: Final = 19
"""How high a cell is; how wide, depends on the page."""
NARROWEST_PX: Final = 680
"""For which names of instances are chosen: how wide a map is at least."""
LETTER_PX: Final = 7

STRIP_PX: Final = 19
"""How high a row of the map over time is: so that each has its name."""


class Measure(Struct, frozen=True):
    """What a map shows: shades from 0 to `top` in a colour."""

    title: str
    about: str
    unit: str
    top: float
    hue: str


class _Grid:
    """Where cells lie: an NPU's node tells its column, its place there the row; nodes go on in bands below."""

    def __init__(self, nodes: SupernodeNodes) -> None:
        rows = self._npus_per_node = nodes.npus_per_node
        self.num_bands: Final = -(-nodes.count // NODES_PER_BAND)
        # A gap is a column or row of its own that stays empty.
        widths = [
            width
            for place in range(NODES_PER_BAND)
            for width in ((RACK_GAP, 1.0) if place and place % nodes.nodes_per_rack == 0 else (1.0,))
        ]
        self.columns: Final = [index for index, width in enumerate(widths) if width == 1.0]
        self.x_edges: Final = [0.0, *accumulate(widths)]
        self.y_edges: Final = [0.0, *accumulate([*[1.0] * rows, BAND_GAP] * self.num_bands)]

    def cells(self, of_npus: Sequence[Any]) -> list[list[Any]]:
        """Something of each NPU in rows and columns, None between them."""
        table: list[list[Any]] = [[None] * (len(self.x_edges) - 1) for _ in range(len(self.y_edges) - 1)]
        for npu, value in enumerate(of_npus):
            node, row = divmod(npu, self._npus_per_node)
            band, place = divmod(node, NODES_PER_BAND)
            table[band * (self._npus_per_node + 1) + row][self.columns[place]] = value
        return table

    def stretches(self, first: int, num_npus: int) -> Iterator[tuple[float, float, float]]:
        """From where to where some NPUs go in each band, and how deep that band ends."""
        begin, end = first // self._npus_per_node, (first + num_npus - 1) // self._npus_per_node
        for band in range(begin // NODES_PER_BAND, end // NODES_PER_BAND + 1):
            left = max(begin - band * NODES_PER_BAND, 0)
            right = min(end - band * NODES_PER_BAND, NODES_PER_BAND - 1)
            bottom = self.y_edges[(band + 1) * (self._npus_per_node + 1) - 1]
            yield self.x_edges[self.columns[left]], self.x_edges[self.columns[right] + 1], bottom


def map_of(run: RunFolder, supernode: int, measure: Measure, values: Mapping[str, float]) -> str:
    """A value per NPU by instance address, of one supernode."""
    nodes = run.supernodes[supernode]
    grid, fitting = _Grid(nodes), scale(measure.unit, measure.top)
    shades: list[float | None] = []
    texts: list[str] = []
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    for instance in (one for one in run.instances if one.supernode == supernode):
        first, value = len(shades), values[instance.address]
        for left, right, bottom in grid.stretches(first, instance.num_npus):
            shapes.append(_underline(instance, left, right, bottom))
            names.append(_name(instance, (right - left) / grid.x_edges[-1], (left + right) / 2, bottom))
        told = f"{instance.address}: {shown(measure.unit, value)} per NPU, {instance.num_npus} NPUs from {first}"
        shades += column([value], fitting.divisor) * instance.num_npus
        texts += [told] * instance.num_npus
    num_spare = nodes.count * nodes.npus_per_node - len(shades)
    places: dict[str, Any] = {"x": grid.x_edges, "y": grid.y_edges, "xgap": 2, "ygap": 2}
    scaling = _shades(measure.hue, measure.top / fitting.divisor, fitting.suffix)
    traces = [{**places, **scaling, "z": grid.cells(shades), "text": grid.cells(texts), **_TEXT_ONLY}]
    if num_spare:
        spare = grid.cells([None] * len(shades) + [0] * num_spare)
        told = {"hovertemplate": "no instance<extra></extra>"}
        traces.append({**places, **_shades(NO_SHADE, 1.0, ""), "z": spare, "opacity": 0.35, "showscale": False, **told})
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False}
    x, y = {**hidden, "range": [0, grid.x_edges[-1]]}, {**hidden, "range": [grid.y_edges[-1], 0]}
    margin = {"l": 2, "r": 12, "t": 8, "b": 8}
    drawn = layout(LIGHT_AND_DARK, x, y, shapes=shapes, annotations=names, margin=margin, dragmode=False)
    of = f", {nodes.cluster} ({nodes.chip})" if run.has_several_clusters else ""
    title = f"{measure.title}, supernode {supernode}{of}" if len(run.supernodes) > 1 else measure.title
    roles = {"prefill", "decode", *(one.role for one in run.instances)}
    figure = Figure(traces, drawn, tuple((role, colour) for role, colour in COLOUR_OF.items() if role in roles))
    return card(title, measure.about, figure, round(grid.y_edges[-1] * CELL_PX), wide=True)


_TEXT_ONLY: Final = {"hovertemplate": "%{text}<extra></extra>"}


def _shades(hue: str, top: float, suffix: str) -> dict[str, Any]:
    """A heat map from nothing to `top`."""
    colours = {"colorscale": [[0, NO_SHADE], [1, hue]], "zmin": 0, "zmax": top or 1.0}
    return {"type": "heatmap", **colours, "colorbar": colour_bar(suffix)}


def _colour(instance: Instance) -> str:
    return COLOUR_OF[instance.role]


def _underline(instance: Instance, left: float, right: float, bottom: float) -> dict[str, Any]:
    y, line = bottom + 0.15, {"color": _colour(instance), "width": 3}
    return {"type": "line", "x0": left + 0.05, "x1": right - 0.05, "y0": y, "y1": y, "line": line}


def _name(instance: Instance, share: float, x: float, bottom: float) -> dict[str, Any]:
    """Of an instance below its cells, which take a share of the width: whole, or a letter and a number, or nothing."""
    role, _, number = instance.address.partition("-")
    names = (instance.address, f"{role[:1].upper()}{number}", "")
    text = next(name for name in names if len(name) * LETTER_PX <= share * NARROWEST_PX)
    return {"text": text, "x": x, "y": bottom + 0.2, "yanchor": "top", "showarrow": False}


def busy_over_time(run: RunFolder, course: Course) -> str:
    """A row for each instance, shaded by its busy share at each time."""
    busy = course.by_instance("busy")
    there = [one for one in run.instances if not run.comes_and_goes or course.overall(f"watts:{one.address}")]
    trace = {
        **_shades(BUSY_HUE, 100.0, " %"),
        "x": course.x_axis.of(course.x),
        "y": [one.address for one in there],
        "z": [column(busy[one.address].tolist(), 0.01, digits=3) for one in there],
        "ygap": 2,
        "hovertemplate": "%{y} at %{x}: %{z:.3~r} %<extra></extra>",
    }
    y = {"autorange": "reversed", "type": "category", "dtick": 1, "showgrid": False}
    figure = Figure([trace], layout(LIGHT_AND_DARK, course.x_axis.settings, y))
    height_px = len(there) * STRIP_PX + 32
    about = "share of each step in which a pass or a step ran"
    return card("Busy share of each instance over time", about, figure, height_px, wide=True)
