"""A supernode as a map: a column for each node, a cell for each NPU, one shade for each instance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from deploy.dashboards.units import shown
from deploy.report.chart import figure
from deploy.report.course import Course
from deploy.run_folder.read import Instance, RunFolder

WIDTH: Final = 1166
NODES_PER_BAND: Final = 48
"""Nodes beside each other; more go below."""

CELL: Final = 17
GAP: Final = 2
RACK_GAP: Final = 7
NAME_HEIGHT: Final = 34
BAND_GAP: Final = 10
LEFT: Final = 4

BUSY_HUE: Final = "a"
POWER_HUE: Final = "d"

LEVELS: Final = 12
"""Shades of the map over time."""
MAX_STRIPS: Final = 120
STRIP_LEFT: Final = 82
STRIP_HEIGHT: Final = 13


@dataclass(frozen=True, slots=True)
class Measure:
    """What a map shows: shades from 0 to `top` in a colour of the style sheet."""

    title: str
    about: str
    unit: str
    top: float
    hue: str


def map_of(run: RunFolder, supernode: int, measure: Measure, values: Mapping[str, float]) -> str:
    """A value per NPU by instance address, of one supernode."""
    unit, top, hue = measure.unit, measure.top, measure.hue
    instances = [one for one in run.instances if one.supernode == supernode]
    cells: list[str] = []
    first = 0
    for instance in instances:
        value = values[instance.address]
        name = f"{instance.address}: {shown(unit, value)} per NPU, {instance.num_npus} NPUs from {first}"
        shade = _shade(value / top if top else 0.0, hue)
        path = "".join(_cell(run, npu) for npu in range(first, first + instance.num_npus))
        cells.append(f'<path style="fill:{shade}" d="{path}"><title>{escape(name)}</title></path>')
        first += instance.num_npus
    spare = "".join(_cell(run, npu) for npu in range(first, run.num_nodes * run.npus_per_node))
    if spare:
        cells.append(f'<path d="{spare}" fill="none" stroke="var(--rule)"><title>no instance</title></path>')
    bands = -(-run.num_nodes // NODES_PER_BAND)
    height = bands * _band_height(run)
    drawn = "".join(cells) + _names(run, instances)
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{drawn}</svg>{_scale(measure)}'
    title = f"{measure.title}, supernode {supernode}" if run.num_supernodes > 1 else measure.title
    return figure(title, measure.about, svg, wide=True)


def _band_height(run: RunFolder) -> int:
    return run.npus_per_node * (CELL + GAP) + NAME_HEIGHT + BAND_GAP


def _column(run: RunFolder, node: int) -> float:
    place = node % NODES_PER_BAND
    racks = min(run.num_nodes, NODES_PER_BAND) // run.nodes_per_rack
    step = (WIDTH - 2 * LEFT - RACK_GAP * racks) / NODES_PER_BAND
    return LEFT + place * step + place // run.nodes_per_rack * RACK_GAP


def _cell(run: RunFolder, npu: int) -> str:
    node, row = divmod(npu, run.npus_per_node)
    y = node // NODES_PER_BAND * _band_height(run) + row * (CELL + GAP)
    return f"M{_column(run, node):.1f} {y}h{CELL + 2}v{CELL}h-{CELL + 2}z"


def _names(run: RunFolder, instances: Sequence[Instance]) -> str:
    """Below each instance its name, and under what spans several nodes a line."""
    parts: list[str] = []
    first = 0
    for instance in instances:
        begin, end = first // run.npus_per_node, (first + instance.num_npus - 1) // run.npus_per_node
        first += instance.num_npus
        for band in range(begin // NODES_PER_BAND, end // NODES_PER_BAND + 1):
            left = max(begin, band * NODES_PER_BAND)
            right = min(end, (band + 1) * NODES_PER_BAND - 1)
            x1, x2 = _column(run, left), _column(run, right) + CELL + 2
            y = band * _band_height(run) + run.npus_per_node * (CELL + GAP) + 5
            parts.append(f'<path d="M{x1:.1f} {y}H{x2:.1f}" stroke="var(--{_colour(instance)})" stroke-width="3"/>')
            parts.append(
                f'<text x="{(x1 + x2) / 2:.1f}" y="{y + 15}" text-anchor="middle">{escape(_short(instance, x2 - x1))}'
                "</text>"
            )
    return "".join(parts)


def _short(instance: Instance, width: float) -> str:
    role, _, number = instance.address.partition("-")
    for name in (instance.address, f"{role[:1].upper()}{number}"):
        if len(name) * 6.2 <= width:
            return name
    return ""


def _colour(instance: Instance) -> str:
    return "c" if instance.role == "decode" else "a"


def _shade(share: float, hue: str) -> str:
    return f"color-mix(in oklab, var(--{hue}) {100 * min(max(share, 0.0), 1.0):.0f}%, var(--cell))"


def _scale(measure: Measure) -> str:
    bar = f"linear-gradient(90deg in oklab, var(--cell), var(--{measure.hue}))"
    return (
        f'<div class="legend"><span>0</span><span style="width:160px;height:9px;margin-top:6px;border-radius:3px;'
        f'background:{bar}"></span><span>{escape(shown(measure.unit, measure.top))}</span>'
        '<span><i style="background:var(--a)"></i>prefill</span>'
        '<span><i style="background:var(--c)"></i>decode</span></div>'
    )


def busy_over_time(run: RunFolder, course: Course) -> str:
    """A row for each instance, shaded by its busy share at each time."""
    busy = course.by_instance("busy")
    merged = max(1, math.ceil(len(course) / MAX_STRIPS))
    rows = [_merge(busy[instance.address].tolist(), merged) for instance in run.instances]
    num_columns = max(map(len, rows), default=1)
    width = (WIDTH - STRIP_LEFT - LEFT) / num_columns
    by_level: list[list[str]] = [[] for _ in range(LEVELS + 1)]
    texts: list[str] = []
    for index, (instance, row) in enumerate(zip(run.instances, rows, strict=True)):
        y = index * (STRIP_HEIGHT + 2)
        texts.append(f'<text x="{STRIP_LEFT - 8}" y="{y + 10}" text-anchor="end">{escape(instance.address)}</text>')
        for place, share in enumerate(row):
            x = STRIP_LEFT + place * width
            by_level[round(LEVELS * min(max(share, 0.0), 1.0))].append(
                f"M{x:.1f} {y}h{width:.2f}v{STRIP_HEIGHT}h-{width:.2f}z"
            )
    shades = "".join(
        f'<path style="fill:{_shade(level / LEVELS, BUSY_HUE)}" d="{"".join(paths)}"/>'
        for level, paths in enumerate(by_level)
        if paths
    )
    bottom = len(rows) * (STRIP_HEIGHT + 2)
    axis = course.x_axis
    marks = "".join(
        f'<text x="{STRIP_LEFT + float(axis.share(np.array([value]))[0]) * (WIDTH - STRIP_LEFT - LEFT):.1f}" '
        f'y="{bottom + 13}" text-anchor="middle">{escape(text)}</text>'
        for value, text in axis.ticks()
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {bottom + 18}" role="img">{shades}{"".join(texts)}{marks}</svg>'
    return figure(
        "Busy share of each instance over time", "share of each step in which a pass or a step ran", svg, wide=True
    )


def _merge(values: Sequence[float], num_merged: int) -> list[float]:
    parts = (values[begin : begin + num_merged] for begin in range(0, len(values), num_merged))
    return [sum(part) / len(part) for part in parts]
