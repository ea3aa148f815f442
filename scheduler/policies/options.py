"""Options of a policy as one writes them: `name:key=value,key=value`, strictly checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scheduler.protocol.catalog import unknown
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count, read_quantity, unit_of

_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def split_spec(spec: str) -> tuple[str, str]:
    """Name and options; the name may be `FILE.py:Class`, whose colon is its own."""
    if ".py:" in spec:
        path, _, rest = spec.partition(".py:")
        name, _, options = rest.partition(":")
        return f"{path}.py:{name}", options
    name, _, options = spec.partition(":")
    return name, options


def parse_options(name: str, text: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What `text` sets, each of the type of its default; a `ConfigError` names the policy, the fault and the fix."""
    values: dict[str, Any] = {}
    for item in text.split(",") if text else []:
        key, equals, value = item.partition("=")
        key = key.strip()
        if not defaults:
            raise ConfigError(f"{name} takes no options, and was given {item.strip()!r}; leave it out")
        if key not in defaults:
            listing = ", ".join(f"{known}={default}" for known, default in defaults.items())
            raise ConfigError(f"{name}: {unknown('option', key, defaults, listing)}")
        if not equals:
            raise ConfigError(f"{name}: option {key} has no value; write {key}={defaults[key]}")
        if key in values:
            raise ConfigError(f"{name}: option {key} is given twice; leave one out")
        values[key] = _value(name, key, value.strip(), defaults[key])
    return values


def _value(name: str, key: str, text: str, default: Any) -> Any:
    """Numbers are finite and not negative: a weight, a threshold or a time below nothing means nothing."""
    if isinstance(default, bool):
        if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        wanted = "true or false"
    elif isinstance(default, str):
        return text
    else:
        try:
            number = read_count(text) if isinstance(default, int) else read_quantity(text, unit_of(key))
        except QuantityError:
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return number
        wanted = "a whole number of 0 or more" if isinstance(default, int) else "a number of 0 or more"
    raise ConfigError(f"{name}: option {key}={text} is not {wanted}; the default is {default}")
