"""One registry of policies by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

from scheduler.policies.view import RoutingPolicy
from scheduler.protocol.errors import ConfigError

PolicyT = TypeVar("PolicyT", bound=Callable[[], RoutingPolicy])

_ROUTING: dict[str, Callable[[], RoutingPolicy]] = {}


def routing_policy(name: str) -> Callable[[PolicyT], PolicyT]:
    """Class decorator: make a routing policy known under `name`, once."""

    def register(policy: PolicyT) -> PolicyT:
        if name in _ROUTING:
            raise ValueError(f"routing policy {name!r} is registered twice")
        _ROUTING[name] = policy
        return policy

    return register


def make_routing_policy(name: str) -> RoutingPolicy:
    """A fresh policy; an unknown name is a `ConfigError` that lists the known ones."""
    if name not in _ROUTING:
        near = difflib.get_close_matches(name, _ROUTING, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"unknown policy {name!r}{hint}; known: {', '.join(routing_policy_names())}")
    return _ROUTING[name]()


def routing_policy_names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_ROUTING)
