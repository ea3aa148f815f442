"""Request classes: what requests of one kind are promised, how much they matter, and how long they may wait."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from scheduler.protocol.catalog import unknown
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity, unit_of

DEFAULT_NAME: Final = "default"
"""The class of requests that belong to no other; its limits are those of the run."""

MAX_CLASSES: Final = 100
MAX_PRIORITY: Final = 1000
MAX_TENANT: Final = 2**31 - 1
MAX_UNLISTED: Final = 20
"""Names of classes that nobody listed of which an account is kept."""

KEYS: Final = ("ttft_s", "tpot_ms", "e2e_s", "priority", "timeout_s", "deferrable_s", "tenants")

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_SHAPE: Final = "write NAME:key=value,...;NAME:..., such as chat:ttft_s=2,tpot_ms=50,priority=1;batch:tenants=1+2"


class RequestClass(Struct, frozen=True):
    """What requests of a class are promised; None leaves it at what holds for the whole run.

    `priority`: the higher, the more important; 0 is that of requests without a class. A request may be held back for
    `deferrable_s` after its arrival, until electricity is cheap. `tenants` are those whose requests belong to the class
    if they name none themselves.
    """

    name: str
    ttft_s: float | None = None
    tpot_ms: float | None = None
    e2e_s: float | None = None
    priority: int = 0
    timeout_s: float | None = None
    deferrable_s: float = 0.0
    tenants: tuple[int, ...] = ()


def parse_classes(text: str) -> tuple[RequestClass, ...]:
    """Read classes as the setting `classes` has them; a `ConfigError` without a place for anything else."""
    found: dict[str, RequestClass] = {}
    owners: dict[int, str] = {}
    for part in text.split(";") if text.strip() else []:
        one = _parse_one(part.strip())
        if one.name in found:
            raise ConfigError(f"class {one.name} is given twice; leave one out")
        for tenant in one.tenants:
            if tenant in owners:
                raise ConfigError(f"tenant {tenant} belongs to {owners[tenant]} and to {one.name}; leave one out")
            owners[tenant] = one.name
        found[one.name] = one
    if len(found) > MAX_CLASSES:
        raise ConfigError(f"{len(found)} classes are too many; give at most {MAX_CLASSES}")
    return tuple(found.values())


def _parse_one(part: str) -> RequestClass:
    name, _, settings = (piece.strip() for piece in part.partition(":"))
    if not _NAME.fullmatch(name) or name == DEFAULT_NAME:
        raise ConfigError(f"{name!r} cannot name a class; {_SHAPE}")
    numbers: dict[str, float | None] = {}
    priority, tenants, seen = 0, (), set[str]()
    for term in filter(None, (piece.strip() for piece in settings.split(","))):
        key, _, value = (piece.strip() for piece in term.partition("="))
        if key not in KEYS:
            raise ConfigError(f"class {name}: {unknown('key', key, KEYS)}")
        if key in seen:
            raise ConfigError(f"class {name}: {key} is given twice; leave one out")
        seen.add(key)
        if key == "priority":
            priority = _whole(name, key, value, -MAX_PRIORITY, MAX_PRIORITY)
        elif key == "tenants":
            tenants = tuple(_whole(name, key, one, 0, MAX_TENANT) for one in value.split("+"))
        else:
            numbers[key] = _above_0(name, key, value)
    deferrable_s = numbers.pop("deferrable_s", None) or 0.0
    return RequestClass(name, priority=priority, deferrable_s=deferrable_s, tenants=tenants, **numbers)


def _whole(name: str, key: str, text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = high + 1
    if not low <= number <= high:
        raise ConfigError(f"class {name}: {key} cannot be {text!r}; give a whole number from {low} to {high}")
    return number


def _above_0(name: str, key: str, text: str) -> float:
    try:
        number = read_quantity(text, unit_of(key))
    except QuantityError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(f"class {name}: {key} cannot be {text!r}; give a number above 0")
    return number


class ClassBook:
    """Which class requests belong to, as an index: 0 for those of none, then as configured.

    `unlisted` counts requests that named a class nobody configured, and so belong to none.
    """

    def __init__(self, classes: Sequence[RequestClass]) -> None:
        self.unlisted: Final[dict[str, int]] = {}
        self._index = {one.name: index for index, one in enumerate(classes, 1)}
        self._of_tenant = {tenant: index for index, one in enumerate(classes, 1) for tenant in one.tenants}

    def indices(self, names: Sequence[str], tenants: Sequence[int]) -> list[int]:
        """By request; `names` is empty if none names a class, and has empty ones of those that name none."""
        of_tenant = self._of_tenant
        if not names:
            return [of_tenant.get(tenant, 0) for tenant in tenants]
        return [self._named(name) if name else of_tenant.get(tenant, 0) for name, tenant in zip(names, tenants)]

    def _named(self, name: str) -> int:
        index = self._index.get(name)
        if index is not None:
            return index
        if name in self.unlisted or len(self.unlisted) < MAX_UNLISTED:
            self.unlisted[name] = self.unlisted.get(name, 0) + 1
        return 0

    def warnings(self) -> list[str]:
        """A line for a person on each name that nobody configured."""
        return [
            f"{count:,} requests name the class {name!r}, which is not among the classes of this run: they had no class"
            for name, count in self.unlisted.items()
        ]
