"""The file of a calibration: constants of chips with their covariance, which every command takes (`--calibration`).

JSON. Its first keys say what it is, so that a file of another version is refused before anything else is read of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
from msgspec import Struct

from deploy.calibration.calibrate import Calibrated, FittedChip
from deploy.terminal.whole_file import write_whole
from scheduler.protocol.errors import ConfigError
from scheduler.sources.bounded_file import read_bounded
from scheduler.sources.traces.lines import shown
from sim_hw.chips.calibration import calibrated_chip
from sim_hw.chips.constants import known_constants
from sim_hw.chips.sheet import chip_under, known_engines
from sim_hw.clusters.supernode import Supernode

KIND: Final = "supernode calibration"
VERSION: Final = 1
DISTRIBUTION: Final = "supernode-serve"


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one or several chips. `measurements` is the digest of what it was made of, `program` the version that did."""

    kind: str = KIND
    version: int = VERSION
    program: str
    measurements: str
    chips: tuple[FittedChip, ...]
    values: Mapping[str, Mapping[str, float]] = {}
    """Of the constants by chip and name, for people; what is read are the deviations."""

    def of(self, chip: str) -> FittedChip | None:
        """What is known of that chip."""
        return next((one for one in self.chips if one.chip == chip), None)

    def applied(self, cluster: Supernode) -> Supernode:
        """The cluster with these numbers. `ConfigError` if its chip was not measured."""
        fitted = self.of(cluster.chip.name)
        if fitted is None:
            known = ", ".join(one.chip for one in self.chips)
            raise ConfigError(
                f"the calibration is of {known}, {cluster.name} has {cluster.chip.name}; "
                "calibrate that too, or leave the calibration out"
            )
        chip = calibrated_chip(cluster.chip, fitted.calibration(cluster.chip))
        return msgspec.structs.replace(cluster, chip=chip)

    def text(self) -> str:
        """In one line, as it travels with the settings of a run."""
        return json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"))


class EngineProfile(Struct, frozen=True):
    """The numbers of an engine whose rows are published (`sim_hw.chips.sheet`), in place of a file."""

    name: str

    def of(self, chip: str) -> str | None:
        """Its name, if there are numbers of it for that chip."""
        return self.name if chip in known_engines()[self.name] else None

    def applied(self, cluster: Supernode) -> Supernode:
        """As `Profile.applied`."""
        if not self.of(cluster.chip.name):
            known = ", ".join(known_engines()[self.name])
            raise ConfigError(
                f"calibration {self.name} is an engine on {known}, {cluster.name} has {cluster.chip.name}; "
                "leave the calibration out, or make one of your own measurements"
            )
        return msgspec.structs.replace(cluster, chip=chip_under(cluster.chip, self.name))

    def text(self) -> str:
        """As it travels with the settings of a run."""
        return self.name


AnyProfile = Profile | EngineProfile


def profile_of(found: Calibrated) -> Profile:
    """What is kept of a calibration."""
    values = {one.chip: one.values for one in found.chips}
    return Profile(program=_program(), measurements=found.digest, chips=found.chips, values=values)


def write_profile(path: str, profile: Profile) -> None:
    """Whole or not at all; `InputError` if the file cannot be written."""
    write_whole(Path(path), (json.dumps(msgspec.to_builtins(profile), indent=1) + "\n").encode())


def read_profile(told: str) -> AnyProfile:
    """Of an engine, of a file, or of the text of one as `Profile.text` has it; `ConfigError` says what is wrong
    where."""
    if told in known_engines():
        return EngineProfile(told)
    is_text = told.lstrip().startswith("{")
    place = "the calibration" if is_text else shown(told)
    data = told.encode() if is_text else read_bounded(told, "a calibration")
    try:
        document: Any = json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{place}: not JSON; give a file that 'supernode calibrate --out' wrote") from None
    if not isinstance(document, dict) or cast("dict[str, Any]", document).get("kind") != KIND:
        raise ConfigError(f"{place}: no calibration; give a file that 'supernode calibrate --out' wrote")
    told_version = cast("dict[str, Any]", document).get("version")
    if told_version != VERSION:
        raise ConfigError(
            f"{place}: version {told_version!r} of the format, this program reads {VERSION}; "
            "calibrate anew from the measurements"
        )
    try:
        profile = msgspec.convert(document, Profile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {error}; calibrate anew from the measurements") from None
    for one in profile.chips:
        _check(one, place)
    return profile


def _check(one: FittedChip, place: str) -> None:
    """What arithmetic could not use."""
    names = [constant.name for constant in one.constants]
    if unknown := [name for name in names if name not in known_constants()]:
        raise ConfigError(f"{place}: {one.chip}: no constant {unknown[0]!r} here; calibrate anew from the measurements")
    covariance = np.array(one.covariance) if len({len(row) for row in one.covariance}) == 1 else np.zeros((0, 0))
    is_square = covariance.shape == (len(names), len(names)) and len(one.deviations) == len(names)
    if not is_square or not np.isfinite(covariance).all() or np.linalg.eigvalsh(covariance).min() <= 0:
        raise ConfigError(f"{place}: {one.chip}: its covariance is none; calibrate anew from the measurements")


def _program() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
