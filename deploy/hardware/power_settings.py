"""Where a supernode stands and what its NPUs do, as `supernode hw power` is told: flags win over a file's settings."""

from __future__ import annotations

from difflib import get_close_matches
from math import isfinite
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from deploy.settings.load import typed_values
from deploy.settings.settings import SETTINGS
from scheduler.protocol.errors import ConfigError
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.traces.rows import shorten
from sim_hw.errors import UnknownNameError
from sim_hw.figure import Confidence, Figure
from sim_hw.power.phase_power import Phase
from sim_hw.power.sites import SITES, Site, find_site

MAX_PUE: Final = 10.0
MAX_BATCH: Final = 10**6

_OURS: Final = ("site", "pue", "phase", "batch")


class PowerSettings(Struct, frozen=True):
    """Checked; `site` has the PUE that was asked for."""

    site: Site
    phase: Phase
    batch: int


def power_settings(
    path: str | None, site: str | None, pue: float | None, phase: str | None, batch: int | None
) -> PowerSettings:
    """Defaults, then the file, then flags. Settings of runs in the file must be of their type and do nothing here.

    `ConfigError` names place, fault and fix.
    """
    values = _from_file(path) if path is not None else {}
    flags = {"site": site, "pue": pue, "phase": phase, "batch": batch}
    values |= {name: (value, f"--{name}") for name, value in flags.items() if value is not None}
    chosen = _site(*values.get("site", (SITES[0].name, "site")))
    if "pue" in values:
        chosen = replace(chosen, pue=_pue(*values["pue"]))
    return PowerSettings(
        chosen,
        _phase(*values.get("phase", (Phase.PREFILL.value, "phase"))),
        _batch(*values.get("batch", (64, "batch"))),
    )


def _from_file(path: str) -> dict[str, tuple[object, str]]:
    section = read_settings(path, "a configuration")
    ours: dict[str, tuple[object, str]] = {}
    others = Section(section.path, section.place)
    for name, value in section.values.items():
        if name in _OURS:
            ours[name] = (value, f"{section.places[name]}: {name}")
        else:
            others.put(name, value, section.places[name])
    for name in others.values:
        near = get_close_matches(name, _OURS, n=1)
        if name not in SETTINGS and near:
            raise ConfigError(f"{others.places[name]}: unknown key {shorten(name)}; did you mean {near[0]}?")
    typed_values(others)
    return ours


def _site(value: object, place: str) -> Site:
    if not isinstance(value, str):
        raise ConfigError(f"{place} is no text; give the name of a site")
    try:
        return find_site(value)
    except UnknownNameError as error:
        raise ConfigError(f"{place}: {error}") from None


def _pue(value: object, place: str) -> Figure:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not isfinite(value)
        or not 1 <= value <= MAX_PUE
    ):
        raise ConfigError(f"{place} is {shorten(value)}; give a number from 1 to {MAX_PUE:g}")
    return Figure(float(value), "1", "given by the user", Confidence.ESTIMATE)


def _phase(value: object, place: str) -> Phase:
    known = [phase.value for phase in Phase]
    if value not in known:
        raise ConfigError(f"{place} is {shorten(value)}; give {' or '.join(known)}")
    return Phase(value)


def _batch(value: object, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BATCH:
        raise ConfigError(f"{place} is {shorten(value)}; give a whole number from 1 to {MAX_BATCH:,}")
    return value
