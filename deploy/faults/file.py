"""A file of faults: which parts of the fabric break when, or how often, and how soon they work again; which workers
are lost, and when others can start in their place; which instances change to other weights, one after the other.

schedule:
  - {at: 10s, part: l2/3/7, for: 60s}           # without `for` it stays broken
  - {at: 20s, worker: prefill-3, for: 30s}      # or a server of the cache pool: cache/7
  - {at: 60s, worker: prefill-3, model: v2}     # or all
rates:
  optical_module: {mean_time_between_failures: 500000h, mean_time_to_repair: 4h}
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from deploy.faults.parts import FabricParts
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity
from scheduler.sources.faults import FaultPlan, FaultRate, PlannedFault
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.traces.rows import shorten
from scheduler.sources.worker_losses import PlannedChange, PlannedLoss

MIN_REPAIR_S: Final = 1e-3

MAX_FAULTS_PER_S: Final = 10
"""Of all parts of a kind together, on average; more would be more work than what is emulated."""

MAX_S: Final = 3.2e9
"""About a hundred years."""

_TIME_FIX: Final = "give a time such as 10s (units us, ms, s, min, h, d)"

ALL: Final = "all"
"""Every instance in turn."""

BETWEEN: Final = "mean_time_between_failures"
TO_REPAIR: Final = "mean_time_to_repair"


def read_faults(path: str, parts: FabricParts, workers: Collection[str] = ()) -> FaultPlan:
    """The plan of a file; `ConfigError` with file, line and field for what is wrong, not in the cluster's fabric, or
    none of the `workers` that may be lost."""
    section = read_settings(path, "a faults file")
    plan = section.build(lambda: _plan(section, parts, workers))
    if plan == FaultPlan():
        raise ConfigError(f"{section.place}: no faults in it; give schedule or rates")
    return plan


def _plan(section: Section, parts: FabricParts, workers: Collection[str]) -> FaultPlan:
    schedule: list[PlannedFault] = []
    losses: list[PlannedLoss] = []
    changes: list[PlannedChange] = []
    for entry in section.sections("schedule"):
        if "model" in entry.values:
            changes.append(entry.build(lambda entry=entry: _change(entry, workers)))
            continue
        if "worker" in entry.values:
            losses.append(entry.build(lambda entry=entry: _loss(entry, workers, losses)))
            continue
        fault = entry.build(lambda entry=entry: _fault(entry, parts))
        _refuse_overlap(entry, fault, schedule)
        schedule.append(fault)
    section.taken.add("rates")  # known, even where it is left out
    if "rates" not in section.values:
        return FaultPlan(tuple(schedule), (), tuple(losses), tuple(changes))
    by_kind = parts.by_kind()
    kinds = section.section("rates")
    rates = tuple(_rate(kinds, kind, by_kind) for kind in kinds.values)
    return FaultPlan(tuple(schedule), rates, tuple(losses), tuple(changes))


def _change(entry: Section, workers: Collection[str]) -> PlannedChange:
    at_ns = round(_seconds(entry, "at", least=0.0) * 1e9)
    name, version = entry.text("worker"), entry.text("model")
    instances = [worker for worker in workers if "/" not in worker]
    if name == ALL and instances:
        return PlannedChange(tuple(instances), at_ns, version)
    if name not in instances:
        near = get_close_matches(name, instances)
        fix = f"did you mean {' or '.join(near)}?" if near else f"an instance or {ALL}, on the virtual clock"
        raise entry.error("worker", f"is {shorten(name)}, which cannot change its model here", fix)
    return PlannedChange((name,), at_ns, version)


def _loss(entry: Section, workers: Collection[str], earlier: Collection[PlannedLoss]) -> PlannedLoss:
    at_ns = round(_seconds(entry, "at", least=0.0) * 1e9)
    worker = entry.text("worker")
    if worker not in workers:
        raise entry.error("worker", f"is {shorten(worker)}, which cannot be lost here", _known(worker, workers))
    loss = PlannedLoss(worker, at_ns, at_ns + max(1, round(_seconds(entry, "for", least=1e-9) * 1e9)))
    for other in earlier:
        if other.worker == worker and loss.at_ns < other.back_ns and other.at_ns < loss.back_ns:
            raise entry.error(
                "worker",
                f"{worker} is lost already from {other.at_ns / 1e9:g} s to {other.back_ns / 1e9:g} s",
                "give times that do not overlap",
            )
    return loss


def _known(worker: str, workers: Collection[str]) -> str:
    """Who may be lost, in place of this one."""
    if not workers:
        return "a schedule loses workers on the virtual clock only; live, end the process of one"
    near = get_close_matches(worker, workers)
    first = {name.rstrip("0123456789"): name for name in sorted(workers, reverse=True)}
    return f"did you mean {' or '.join(near)}?" if near else f"such as {' or '.join(sorted(first.values()))}"


def _fault(entry: Section, parts: FabricParts) -> PlannedFault:
    at_s = _seconds(entry, "at", least=0.0)
    name = entry.text("part")
    try:
        part = parts.named(name)
    except LookupError as error:
        raise ConfigError(f"{entry.places['part']}: {entry.name_of('part')}: {error.args[0]}") from None
    at_ns = round(at_s * 1e9)
    if "for" not in entry.values:
        entry.taken.add("for")  # as above
        return PlannedFault(part, at_ns, NEVER_NS)
    return PlannedFault(part, at_ns, at_ns + max(1, round(_seconds(entry, "for", least=1e-9) * 1e9)))


def _refuse_overlap(entry: Section, fault: PlannedFault, earlier: Collection[PlannedFault]) -> None:
    for other in earlier:
        if other.part == fault.part and fault.at_ns < other.repaired_ns and other.at_ns < fault.repaired_ns:
            until = "the end" if other.repaired_ns == NEVER_NS else f"{other.repaired_ns / 1e9:g} s"
            raise entry.error(
                "part",
                f"{fault.part} is broken already from {other.at_ns / 1e9:g} s to {until}",
                "give times that do not overlap",
            )


def _rate(kinds: Section, kind: str, by_kind: dict[str, list[str]]) -> FaultRate:
    if kind not in by_kind:
        near = get_close_matches(kind, by_kind)
        fix = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(by_kind)}"
        raise kinds.error(kind, "is no kind of part of this cluster's fabric", fix)
    rate, least_s = kinds.section(kind), len(by_kind[kind]) / MAX_FAULTS_PER_S
    return rate.build(
        lambda: FaultRate(kind, _seconds(rate, BETWEEN, least=least_s), _seconds(rate, TO_REPAIR, least=MIN_REPAIR_S))
    )


def _seconds(section: Section, key: str, least: float) -> float:
    text = section.text(key)
    try:
        seconds = read_quantity(text, "s", needs_unit=True)
    except QuantityError:
        raise section.error(key, f"is {shorten(text)}", _TIME_FIX) from None
    if not least <= seconds <= MAX_S:
        raise section.error(key, f"is {shorten(text)}", f"give a time from {least:g} s to {MAX_S:g} s")
    return seconds
