"""Where the energy of a run went, and what it cost if its summary says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from deploy.pages.document import LIGHT_AND_DARK, NOTHING, amount, card, grid, section, table
from deploy.pages.plots import Figure, column, layout, legend
from deploy.pages.units import digits, scale, shown
from deploy.report.chart import HEIGHT_PX, Curve
from deploy.report.course import Course, over_time
from deploy.report.fleet_map import COLOUR_OF
from deploy.run_folder.read import RunFolder

ROLES: Final = tuple(COLOUR_OF.items())
OTHER_COLOUR: Final = "var(--f)"

PARTS: Final = {
    "prefill": "NPUs, prefill",
    "decode": "NPUs, decode",
    "aggregated": "NPUs, both at once",
    "idle": "NPUs, idle",
    "cpu": "CPUs",
    "board": "boards",
    "switch": "switches",
    "optics": "optics",
    "cooling": "cooling",
    "supply_loss": "supply losses",
    "building": "building",
}
"""What draws power, by its name in the summary."""

HEAD: Final = ("Energy", "total", "an output token", "mean power", "peak power")
COST_HEAD: Final = ("Cost", "total", "a million input tokens", "a million output tokens")


def energy_section(run: RunFolder, course: Course) -> str:
    """Power over time, the splits by role, part and rack, and the totals of energy and cost."""
    energy: Mapping[str, Any] = run.summary["energy"]
    networks: Mapping[str, float] = energy.get("by_plane", {})
    costs = _costs(run.summary.get("cost") or {}, energy)
    return section(
        "Energy",
        "Of the NPUs in the plan; of the whole supernode, at its feeds; and of the site, at the meter.",
        grid(_power_chart(course, run), _by_role(run, course), *_splits(energy)),
        table(HEAD, _totals(energy)),
        table(("Networks", *map(str.upper, networks)), [_of_networks(networks)]) if networks else "",
        table(COST_HEAD, costs) if costs else "",
    )


def _of_networks(networks: Mapping[str, float]) -> tuple[str, ...]:
    return ("switches and optics", *(amount("joule", joules) for joules in networks.values()))


def _power_chart(course: Course, run: RunFolder) -> str:
    watts = course.by_instance("watts")
    curves = [
        Curve(role, np.sum([watts[address] for address in run.of_role(role)], axis=0), colour)
        for role, colour in ROLES
        if run.of_role(role)
    ]
    return over_time(course, "Power", "of all NPUs in the plan, by role", curves, "watt", is_stacked=True)


def _by_role(run: RunFolder, course: Course) -> str:
    """Joules by role as one bar, with shares."""
    roles = [(role, colour) for role, colour in ROLES if role != "aggregated" or run.of_role(role)]
    joules = {role: sum(course.total(f"watts:{address}") for address in run.of_role(role)) for role, _ in roles}
    total = sum(joules.values()) or 1.0
    num_npus = {role: sum(one.num_npus for one in run.instances if one.role == role) for role, _ in roles}
    bar = "".join(f'<div style="flex:{joules[role] / total:.4f};background:{colour}"></div>' for role, colour in roles)
    rows = "".join(_role_row(role, colour, joules[role], total, num_npus[role], run.span_s) for role, colour in roles)
    return (
        "<figure><h3>Energy by role</h3><figcaption>share of the joules of the NPUs in the plan</figcaption>"
        f'<div style="display:flex;gap:2px;height:30px;border-radius:5px;overflow:hidden;margin:12px 0">'
        f'{bar}</div><div class="scroll"><table>{rows}</table></div></figure>'
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


def _splits(energy: Mapping[str, Any]) -> list[str]:
    """By part of the site and by rack, of those that the summary has."""
    by_part: Mapping[str, float] = energy.get("by") or {}
    by_rack: Mapping[str, float] = energy.get("by_rack") or {}
    of_roles = dict(ROLES)
    charts: list[str] = []
    if any(by_part.values()):
        names = [PARTS.get(name, name.replace("_", " ")) for name in by_part]
        colours = [of_roles.get(name, OTHER_COLOUR) for name in by_part]
        charts.append(
            _bars("Energy by part", "at the meter; sums up to the site", names, list(by_part.values()), colours)
        )
    if by_rack:
        names = [f"rack {rack}" for rack in by_rack]
        charts.append(
            _bars(
                "Energy by rack", "of the NPUs in the plan", names, list(by_rack.values()), [OTHER_COLOUR] * len(names)
            )
        )
    return charts


def _bars(title: str, about: str, names: Sequence[str], joules: Sequence[float], colours: Sequence[str]) -> str:
    """Bars from the left, the first on top, each with its amount where the pointer is."""
    fitting = scale("joule", max(joules))
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [escape(name) for name in names],
        "x": column(joules, fitting.divisor),
        "marker": {"color": list(colours)},
        "hovertemplate": f"%{{y}}: %{{x:,.3~r}}{fitting.suffix}<extra></extra>",
    }
    x = {"rangemode": "tozero", "ticksuffix": fitting.suffix, "nticks": 6}
    y = {"autorange": "reversed", "type": "category", "showgrid": False, "nticks": len(names)}
    return card(
        title, about, Figure([trace], layout(LIGHT_AND_DARK, x, y, bargap=0.25)), max(HEIGHT_PX, 20 * len(names))
    )


def _totals(energy: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row for each scope that the summary has."""
    joules, per_token = energy["joules"], energy["joules_per_output_token"]
    rows = [_scope("NPUs in the plan" if energy["scope"] == "npu" else energy["scope"], energy, per_token)]
    for name, key in (("supernode, at its feeds", "supernode"), ("site, at the meter", "facility")):
        if (meter := energy.get(key)) is not None:
            rows.append(_scope(name, meter, per_token * meter["joules"] / joules if per_token and joules else None))
    if (plan := energy.get("plan")) is not None and plan["npu_share"] < 1:
        rows.append(_scope(_share_of_plan(plan), plan, plan["joules_per_output_token"]))
    return rows


def _scope(name: str, of: Mapping[str, Any], per_token: float | None) -> tuple[str, ...]:
    watts = [amount("watt", of.get(key)) for key in ("mean_watts", "peak_watts")]
    return (name, amount("joule", of["joules"]), amount("joule", per_token), *watts)


def _share_of_plan(plan: Mapping[str, Any]) -> str:
    return f"the plan's share of it, {shown('percentunit', plan['npu_share'])}"


def _costs(cost: Mapping[str, Any], energy: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of all that is paid for, and of the plan's share where that is less."""
    if cost.get("usd") is None:
        return []
    keys = ("usd", "usd_per_million_input_tokens", "usd_per_million_output_tokens")
    rows: list[tuple[str, ...]] = [("all that is paid for", *(_dollars(cost[key]) for key in keys))]
    own, plan = cost.get("plan"), energy.get("plan")
    if own is not None and plan is not None and plan["npu_share"] < 1:
        rows.append((_share_of_plan(plan), *(_dollars(own[key]) for key in keys)))
    return rows


def _dollars(value: float | None) -> str:
    return NOTHING if value is None else f"${digits(value)}"
