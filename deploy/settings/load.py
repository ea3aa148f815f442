"""Settings as they are told: defaults, then a YAML file, then flags, each error with the place where it was said."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_args

from deploy.settings.own_policy import KINDS, files_text, parse_files, read_policy
from deploy.settings.settings import SETTINGS, Settings
from scheduler.policies.classes import KEYS as CLASS_KEYS
from scheduler.policies.classes import parse_classes
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count, read_quantity, unit_of
from scheduler.sources.traces.rows import shorten

# Only a file of settings needs what reads one.
if TYPE_CHECKING:
    from scheduler.sources.synthetic.section import Section


CODE: Final = "policy_source"
"""The one setting that is code: read from the files that policies name, and told nowhere."""


def load_settings(path: str | None, flags: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Settings:
    """Defaults, then `base`, then the YAML file, then the flags that were given (a flag of None was not)."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    if path is not None:
        from scheduler.sources.synthetic.settings_file import read_settings

        values, places = _told_in(read_settings(path, "a configuration"))
    given = {name: value for name, value in flags.items() if value is not None}
    places |= {name: "--" + name.replace("_", "-") for name in given}
    told = {**(base or {}), **values, **given}
    told[CODE] = _policy_source(told, places)
    return Settings.from_plain(told, places)


def load_section(section: Section) -> Settings:
    """Defaults, then what a section says."""
    values, places = _told_in(section)
    return Settings.from_plain({**values, CODE: _policy_source(values, places)}, places)


def _told_in(section: Section) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and where they stand."""
    values = typed_values(section)
    places = {name: f"{section.places[name]}: {name}" for name in values}
    if CODE in values:  # a file of settings is data
        raise ConfigError(f"{places[CODE]} is no place for code; name the file, such as policy: mine.py:Mine")
    return values, places


def _policy_source(told: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """Of the policies that are told now, as their files are; of others the texts came with them from where they were
    read."""
    files = dict(parse_files(told.get(CODE, "")))
    for kind in KINDS:
        if kind not in places:
            continue
        files.pop(kind, None)
        try:
            read = read_policy(kind, told[kind])
        except ConfigError as error:
            raise ConfigError(f"{places[kind]}: {error}") from None
        if read is not None:
            files[kind] = read
    return files_text(files)


def typed_values(section: Section) -> dict[str, Any]:
    """The values of known keys, each of the type of its setting; `ConfigError` for anything else."""
    from pydantic import TypeAdapter, ValidationError

    from scheduler.sources.synthetic.section import Section, kind

    values: dict[str, Any] = {}
    for key, value in section.values.items():
        if key not in SETTINGS:
            near = get_close_matches(key, SETTINGS)
            fix = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(SETTINGS)}"
            raise ConfigError(f"{section.places.get(key, section.place)}: unknown key {shorten(key)}; {fix}")
        if key == "classes" and isinstance(value, Section):
            value = _classes_text(value)
        if isinstance(value, str) and not value.isdigit() and (numeric := _numeric(SETTINGS[key].type)):
            value = _quantity(section, key, value, numeric)
        try:
            values[key] = TypeAdapter(SETTINGS[key].type).validate_python(value, strict=True)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise section.error(key, f"is {kind(value)}", f"give {wanted}") from None
    return values


def _classes_text(section: Section) -> str:
    """A section of classes as a flag would say it; its keys are known, and what they are worth is checked with it."""
    parts: list[str] = []
    for name in section.values:
        inner = section.section(name)
        for key, value in inner.values.items():
            if key not in CLASS_KEYS:
                near = get_close_matches(key, CLASS_KEYS, n=1)
                fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(CLASS_KEYS)}"
                raise inner.error(key, "is not known here", fix)
            is_quantity = isinstance(value, str) and value[:1].isdigit()
            if type(value) not in (int, float) and not is_quantity and key != "tenants":
                raise inner.error(key, f"is {shorten(value)}", "give a number")
        terms = [f"{key}={_tenants(inner) if key == 'tenants' else inner.values[key]}" for key in inner.values]
        parts.append(f"{name}:{','.join(terms)}")
        try:
            parse_classes(parts[-1])
        except ConfigError as error:
            raise ConfigError(f"{section.places.get(name, section.place)}: {error}") from None
    return ";".join(parts)


def _tenants(section: Section) -> str:
    return "+".join(map(str, section.integers("tenants")))


def _numeric(kind: Any) -> type[int] | type[float] | None:
    """What a text is read as where a number is wanted, such as 512GB; YAML 1.1 takes 5e11 for a text as well."""
    kinds = get_args(kind) or (kind,)
    if str in kinds:
        return None
    return next((one for one in (float, int) if one in kinds), None)


def _quantity(section: Section, key: str, text: str, numeric: type[int] | type[float]) -> float:
    try:
        return read_count(text) if numeric is int else read_quantity(text, unit_of(key))
    except QuantityError as error:
        raise section.error(key, f"is {shorten(text)}", str(error).partition("; ")[2]) from None
