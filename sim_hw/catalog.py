"""The catalogue: whatever is built in, by name."""

from __future__ import annotations

from sim_hw.errors import unknown_name
from sim_hw.hardware.chip import Chip
from sim_hw.hardware.chips import CHIPS
from sim_hw.hardware.supernode import Supernode
from sim_hw.hardware.supernodes import SUPERNODES
from sim_hw.models.published import MODELS
from sim_hw.models.shape import ModelShape

_CHIPS = {chip.name: chip for chip in CHIPS}
_SUPERNODES = {supernode.name: supernode for supernode in SUPERNODES}
_MODELS = {model.name: model for model in MODELS}


def find_chip(name: str) -> Chip:
    """The chip of that name; `UnknownNameError` lists the known ones."""
    if name not in _CHIPS:
        raise unknown_name("chip", name, _CHIPS)
    return _CHIPS[name]


def find_supernode(name: str) -> Supernode:
    """The supernode of that name; `UnknownNameError` lists the known ones."""
    if name not in _SUPERNODES:
        raise unknown_name("cluster", name, _SUPERNODES)
    return _SUPERNODES[name]


def find_hardware(name: str) -> Supernode | Chip:
    """The supernode or chip of that name; `UnknownNameError` lists the known ones."""
    known: dict[str, Supernode | Chip] = {**_SUPERNODES, **_CHIPS}
    if name not in known:
        raise unknown_name("hardware", name, known)
    return known[name]


def find_model(name: str) -> ModelShape:
    """The model of that name; `UnknownNameError` lists the known ones."""
    if name not in _MODELS:
        raise unknown_name("model", name, _MODELS)
    return _MODELS[name]
