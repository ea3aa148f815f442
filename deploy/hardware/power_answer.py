"""The result of `supernode hw power` as JSON."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from deploy.hardware.power_settings import PowerSettings
from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import power_fit
from sim_hw.clusters.part_power import PartClass
from sim_hw.clusters.published import PublishedRatios, PublishedTotal
from sim_hw.clusters.sheet import CLUSTERS, find_supernode
from sim_hw.clusters.supernode import Supernode
from sim_hw.cost.prices import YEAR_S
from sim_hw.cost.tariffs import JOULES_PER_KWH
from sim_hw.description import describe
from sim_hw.figure import Figure
from sim_hw.power.chip_power import CAP_SHARE
from sim_hw.power.phase_power import Phase, service_figure
from sim_hw.power.power_tree import PowerTree, TreeLine, Watts, power_tree
from sim_hw.power.published import catalog_basis, provisioned_within
from sim_hw.validation.power_points import power_points

Answer = dict[str, Any]

BATCHES = (1, 8, 32, 64, 128)
"""Of the rows that the page of a chip shows."""


def supernode_power(supernode: Supernode, settings: PowerSettings) -> tuple[PowerTree, Answer]:
    """The tree, and the answer that names all of it."""
    tree = power_tree(supernode, service_figure(supernode.chip, settings.phase, settings.batch))
    site, total = settings.site, tree.total
    building = Watts(*((site.pue.value - 1.0) * watts for watts in to_builtins(total).values()))
    meter = total + building
    year_kwh = YEAR_S / JOULES_PER_KWH
    sheet = CLUSTERS.get(supernode.name)
    ratios = published_ratios(supernode)
    return tree, {
        "kind": "cluster",
        "name": supernode.name,
        "busy": _busy(settings),
        "lines": [_line(line) for line in tree.lines],
        "classes": {one.value: to_builtins(tree.of_class(one)) for one in PartClass},
        "total": to_builtins(total),
        "total_without_margin_w": total.provisioned_w - tree.of_class(PartClass.MARGIN).provisioned_w,
        "supply_capacity": describe(tree.supply_capacity),
        "site": describe(site),
        "building": to_builtins(building),
        "meter": to_builtins(meter),
        "usd_per_year": {
            "busy": meter.busy_w * year_kwh * site.usd_per_kwh.value,
            "idle": meter.idle_w * year_kwh * site.usd_per_kwh.value,
        },
        "published": [_published(tree, one) for one in (sheet.published_totals if sheet else ())],
        "ratios": _ratios(supernode, ratios) if ratios else {},
    }


def chip_power_answer(chip: Chip) -> Answer:
    """Draw of a chip by state and phase, and where it was measured."""
    fit, tdp_w = power_fit(chip), chip.tdp_w.value
    watts = {
        "idle": chip.idle_w,
        **({"model loaded, nothing to do": chip.resident_w} if chip.resident_w else {}),
        "floor while anything runs": _share(fit.floor_share, tdp_w),
        **{
            f"decode, batch {batch} on all NPUs of a service": service_figure(chip, Phase.DECODE, batch)
            for batch in BATCHES
        },
        "prefill, saturated": service_figure(chip, Phase.PREFILL, 1),
        "cap": _share(CAP_SHARE, tdp_w),
        "TDP": chip.tdp_w,
    }
    measured = [point for point in power_points() if point.chip == chip.name]
    return {
        "kind": "chip",
        "name": chip.name,
        "watts": {name: describe(one) for name, one in watts.items()},
        "measured": [to_builtins(point) | {"residual": point.residual} for point in measured],
    }


def _busy(settings: PowerSettings) -> str:
    return "saturated prefill" if settings.phase is Phase.PREFILL else f"decode at a batch of {settings.batch:,}"


def _share(share: Figure, tdp_w: float) -> Figure:
    return Figure(share.value * tdp_w, "W", f"{share.value:g} of TDP: {share.source}", share.confidence)


def _line(line: TreeLine) -> Answer:
    return {
        "title": line.title,
        "class": line.part_class.value,
        "count": line.count,
        "count_source": line.count_figure.source,
        "count_confidence": line.count_figure.confidence.value,
        "each": {"provisioned": describe(line.provisioned), "busy": describe(line.busy), "idle": describe(line.idle)},
        "all": to_builtins(line.watts),
    }


def published_ratios(supernode: Supernode) -> PublishedRatios | None:
    """Of the built-in entry itself, not of a user's file with its name."""
    sheet = CLUSTERS.get(supernode.name)
    return sheet.published_ratios if sheet and sheet.supernode is supernode else None


def _published(tree: PowerTree, published: PublishedTotal) -> Answer:
    ours_w = provisioned_within(tree, published)
    return {
        "title": published.title,
        "published_w": published.watts.value,
        "source": published.watts.source,
        "ours_w": ours_w,
        "error": ours_w / published.watts.value - 1.0,
    }


def _ratios(supernode: Supernode, published: PublishedRatios) -> Answer:
    on_theirs = published.basis.ratios_to(published.other_basis)
    on_ours = catalog_basis(supernode).ratios_to(catalog_basis(find_supernode(published.other)))
    return {
        name: {
            "published": figure.value,
            "source": figure.source,
            "on_published_basis": on_theirs[name],
            "on_catalogue_basis": on_ours[name],
        }
        for name, figure in published.ratios.items()
    }
