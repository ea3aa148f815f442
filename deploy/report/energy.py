"""Where the energy of a run went, and what it cost if its summary says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final, cast

import numpy as np

from deploy.pages.document import amount, grid, section, table
from deploy.pages.plots import legend
from deploy.pages.units import shown
from deploy.report.chart import Curve
from deploy.report.course import Course, over_time
from deploy.report.fleet_map import DECODE_COLOUR, PREFILL_COLOUR
from deploy.run_folder.read import RunFolder

ROLES: Final = (("prefill", PREFILL_COLOUR), ("decode", DECODE_COLOUR))
UNITS: Final = (("joules", "joule"), ("watts", "watt"), ("share", "percentunit"), ("usd", "si:$"))
"""By a word in a name of the summary."""

SPLITS: Final = frozenset({"by", "by_plane", "by_rack"})
"""Groups of joules."""

HIDDEN: Final = frozenset({"scope", "by_node"})
"""Said otherwise: the map of the supernode shows nodes."""


def energy_section(run: RunFolder, course: Course) -> str:
    """Power over time, the split by role, and all that the summary says of energy and cost."""
    energy = run.summary["energy"]
    scope = "NPUs only" if energy["scope"] == "npu" else f"scope: {energy['scope']}"
    cost: Any = run.summary.get("cost")
    money = table(("Cost", ""), [[name, value] for name, value in _facts(cost)]) if cost else ""
    return section(
        "Energy",
        f"The NPUs of the instances; of energy in all, {scope}.",
        grid(_power_chart(course, run), _split(run, course, energy)),
        money,
    )


def _power_chart(course: Course, run: RunFolder) -> str:
    watts = course.by_instance("watts")
    curves = [
        Curve(role, np.sum([watts[address] for address in run.addresses(role)], axis=0), colour)
        for role, colour in ROLES
        if run.addresses(role)
    ]
    return over_time(course, "Power", "of all NPUs, by role", curves, "watt", is_stacked=True)


def _split(run: RunFolder, course: Course, energy: Mapping[str, Any]) -> str:
    """Joules by role as one bar, with shares, and what else the summary says of energy."""
    joules = {role: sum(course.total(f"watts:{address}") for address in run.addresses(role)) for role, _ in ROLES}
    total = sum(joules.values()) or 1.0
    num_npus = {role: sum(one.num_npus for one in run.instances if one.role == role) for role, _ in ROLES}
    bar = "".join(f'<div style="flex:{joules[role] / total:.4f};background:{colour}"></div>' for role, colour in ROLES)
    rows = "".join(_role_row(role, colour, joules[role], total, num_npus[role], run.span_s) for role, colour in ROLES)
    facts = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in _facts(energy))
    return (
        "<figure><h3>Energy by role</h3><figcaption>share of the joules of all NPUs</figcaption>"
        f'<div style="display:flex;gap:2px;height:30px;border-radius:5px;overflow:hidden;margin:12px 0">'
        f'{bar}</div><div class="scroll"><table>{rows}</table></div>'
        f'<div class="scroll" style="margin-top:12px"><table>{facts}</table></div></figure>'
    )


def _role_row(role: str, colour: str, joules: float, total_joules: float, num_npus: int, span_s: float) -> str:
    watts = joules / span_s / num_npus if num_npus else None
    cells = (
        f"{num_npus:,} NPUs",
        shown("joule", joules),
        shown("percentunit", joules / total_joules),
        f"{amount('watt', watts)} per NPU",
    )
    return f"<tr><td>{legend([(role, colour)])}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _facts(group: Mapping[str, Any], above: str = "", unnamed: str = "none") -> Iterator[tuple[str, str]]:
    """Numbers of a part of the summary with their names, inner groups included; a split of energy is in joules."""
    for key, value in group.items():
        name = f"{above}{key}".replace("_", " ")
        if key in HIDDEN:
            continue
        if isinstance(value, dict):
            yield from _facts(cast("dict[str, Any]", value), f"{name}: ", "joule" if key in SPLITS else "none")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            unit = next((unit for word, unit in UNITS if word in key), unnamed)
            yield name, amount(unit, float(value))
        elif isinstance(value, str):
            yield name, value
