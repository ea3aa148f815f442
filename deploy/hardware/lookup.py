"""Chips, supernodes and models by name, or by the path of a user's file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from deploy.hardware.endings import is_file
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.chip import Chip
from sim_hw.clusters.sheet import find_hardware, find_supernode
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import UnknownNameError
from sim_hw.models.published import find_model
from sim_hw.models.shape import ModelShape

Built = TypeVar("Built")

_YAML_SHAPE: Final = "a .yaml file such as 'supernode hw show cloudmatrix384 --yaml' prints"


def load_cluster(name: str) -> Supernode:
    """The supernode of that name, or of that YAML file; `ConfigError` names place, fault and fix."""
    if not is_file(name):
        return _by_name(find_supernode, name, _YAML_SHAPE)
    # What reads files takes a while to import, and most runs name what is built in.
    from deploy.hardware.files import read_cluster

    return read_cluster(name)


def load_hardware(name: str) -> Supernode | Chip:
    """The supernode or chip of that name or YAML file; errors as in `load_cluster`."""
    if not is_file(name):
        return _by_name(find_hardware, name, _YAML_SHAPE)
    from deploy.hardware.files import read_hardware

    return read_hardware(name)


def load_model(name: str) -> ModelShape:
    """The model of that name, of that Hugging Face `config.json`, or of that mindformers YAML; errors as above."""
    if not is_file(name):
        return _by_name(find_model, name, "a Hugging Face config.json or a mindformers .yaml file")
    from deploy.hardware.files import read_model

    return read_model(name)


def _by_name(find: Callable[[str], Built], name: str, otherwise: str) -> Built:
    try:
        return find(name)
    except UnknownNameError as error:
        raise ConfigError(f"{error}; or {otherwise}") from None
