"""What can be wrong with a question to the hardware model. Every message names place, fault and fix in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HardwareModelError(ValueError):
    """The root of this package's errors; whoever prints them needs to catch only this one."""


class UnknownNameError(HardwareModelError):
    """No such chip, supernode or model."""


class PrecisionError(HardwareModelError):
    """The chip has no native arithmetic in that precision."""


class OperatingPointError(HardwareModelError):
    """A question about an instance, batch, context or acceptance that no instance could have."""


class DoesNotFitError(HardwareModelError):
    """Weights, buffers and KV of the slowest rank exceed its HBM, or experts the slots for them."""


class TargetError(HardwareModelError):
    """No batch meets the TPOT that was asked for."""


class PriceError(HardwareModelError):
    """A price, life, tariff or amount that no bill could have."""


class DescriptionError(HardwareModelError):
    """A model configuration or a description of hardware lacks a field, has an unknown one or a wrong value.

    `field` is its dotted name, by which whoever read the file finds the line.
    """

    def __init__(self, field: str, problem: str, fix: str) -> None:
        self.field = field
        self._given = (field, problem, fix)
        super().__init__(f"{field} {problem}; {fix}")

    def __reduce__(self) -> tuple[type[DescriptionError], tuple[str, str, str]]:
        """Errors cross processes, and Python would make them again from their message alone."""
        return type(self), self._given


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """`what` is the kind of thing that was looked for, such as "chip"."""
    names = sorted(known)
    begin_so = [one for one in names if name and one.startswith(name.lower())]
    near = get_close_matches(name.lower(), names, n=1) or begin_so
    hint = f"did you mean {near[0]}? " if near else ""
    return UnknownNameError(f"unknown {what} {name!r}; {hint}known: {', '.join(names)}")
