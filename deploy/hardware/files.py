"""Chips, supernodes and models from a user's file: the physics parses, this reads and finds the line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, TypeVar, cast

from deploy.hardware.endings import YAML_ENDINGS
from deploy.settings.plan import parse_plan
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import read_quantity
from scheduler.sources.bounded_file import read_bounded
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.traces.lines import shown
from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import find_chip, makers
from sim_hw.clusters.supernode import Supernode
from sim_hw.description import read_description
from sim_hw.errors import DescriptionError
from sim_hw.models.huggingface import model_from_huggingface
from sim_hw.models.mindformers import model_from_mindformers
from sim_hw.models.shape import ModelShape

Built = TypeVar("Built")
Hardware = TypeVar("Hardware", Chip, Supernode)


def read_cluster(path: str) -> Supernode:
    """The supernode of a YAML file; `ConfigError` names place, fault and fix."""
    section = read_settings(path, "a supernode")
    supernode = _described(Supernode, section)
    try:
        parse_plan(supernode.defaults.plan, supernode.num_npus, supernode.num_nodes.count)
    except ConfigError as error:
        raise ConfigError(f"{_place(section, 'defaults.plan')}: defaults.{error}") from None
    return supernode


def read_hardware(path: str) -> Supernode | Chip:
    """The supernode or chip of a YAML file; errors as in `read_cluster`."""
    section = read_settings(path, "a supernode or chip")
    return _described(Chip, section) if "die" in section.values else read_cluster(path)


def read_model(path: str) -> ModelShape:
    """The model of a Hugging Face `config.json` or of a mindformers YAML; errors as above."""
    if path.endswith(YAML_ENDINGS):
        section = read_settings(path, "a mindformers configuration", is_foreign=True)
        return _located(section, lambda values: model_from_mindformers(values, _model_name(path)))
    config = _read_json(path)
    try:
        return model_from_huggingface(config, _model_name(path))
    except DescriptionError as error:
        raise ConfigError(f"{shown(path)}: {error}") from None


def _model_name(path: str) -> str:
    """Files of models are mostly called config.json; their folder says which."""
    parts = PurePath(path)
    return parts.parent.name if parts.name == "config.json" and parts.parent.name else parts.stem


def _described(kind: type[Hardware], section: Section) -> Hardware:
    return _located(section, lambda values: _with_known_maker(read_description(kind, values, find_chip, read_quantity)))


def _with_known_maker(entry: Hardware) -> Hardware:
    """`entry`, unless its chip names a maker that no known chip has."""
    field, chip = ("maker", entry) if isinstance(entry, Chip) else ("chip.maker", entry.chip)
    if chip.maker and chip.maker not in makers():
        fix = f"give {' or '.join(makers())}, or leave it out: no exporter's names then"
        raise DescriptionError(field, f"is {chip.maker!r}", fix)
    return entry


def _located(section: Section, make: Callable[[Mapping[str, object]], Built]) -> Built:
    """What `make` makes of the values; the field that an error names gets its line."""
    try:
        return make(_plain(section))
    except DescriptionError as error:
        raise ConfigError(f"{_place(section, error.field)}: {error}") from None


def _plain(section: Section) -> dict[str, object]:
    return {key: _plain(value) if isinstance(value, Section) else value for key, value in section.values.items()}


def _place(section: Section, field: str) -> str:
    """File and line of a dotted field, or of the innermost section around it that is there."""
    name, _, rest = field.partition(".")
    inner = section.values.get(name)
    if isinstance(inner, Section) and rest:
        return _place(inner, rest)
    return _anywhere(section, name) or section.place


def _anywhere(section: Section, name: str) -> str | None:
    """mindformers spreads a model over sections that its parser sees as one."""
    if name in section.places:
        return section.places[name]
    inner = (value for value in section.values.values() if isinstance(value, Section))
    return next((place for one in inner if (place := _anywhere(one, name))), None)


def _read_json(path: str) -> Mapping[str, object]:
    data = read_bounded(path, "a Hugging Face config.json")
    try:
        document: Any = json.loads(data)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{shown(path)}:{error.lineno}: not JSON ({error.msg}); fix the syntax") from None
    except (UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{shown(path)}: not JSON in UTF-8; give a Hugging Face config.json") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{shown(path)}: no JSON object; give a Hugging Face config.json")
    return cast(dict[str, object], document)
