"""One registry of policies by name, with their formula and source."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from scheduler.policies.options import parse_options, split_spec
from scheduler.policies.view import READS_ALL, PolicyContext, Reads, RequestView, RoutingPolicy, StageView
from scheduler.protocol.errors import ConfigError

PolicyT = TypeVar("PolicyT", bound=Callable[..., RoutingPolicy])


@dataclass(frozen=True, slots=True)
class KnownPolicy:
    """A policy as it is listed. `chooses`: at which stage by what; `formula` is one line; `options` have defaults."""

    name: str
    chooses: str
    formula: str
    source: str
    options: Mapping[str, Any]
    make: Callable[..., RoutingPolicy]


_ROUTING: dict[str, KnownPolicy] = {}


def routing_policy(
    name: str, *, formula: str, source: str, chooses: str = "prefill and decode"
) -> Callable[[PolicyT], PolicyT]:
    """Class decorator: make a routing policy known under `name`, once. Its dataclass fields but
    `context` are options."""

    def register(policy: PolicyT) -> PolicyT:
        if name in _ROUTING:
            raise ValueError(f"routing policy {name!r} is registered twice")
        _ROUTING[name] = KnownPolicy(name, chooses, formula, source, options_of(policy), policy)
        return policy

    return register


def options_of(policy: Callable[..., object]) -> dict[str, Any]:
    """Names and defaults of what may be set: the fields of a dataclass but `context`; none of any other class."""
    if not (isinstance(policy, type) and is_dataclass(policy)):
        return {}
    return {field.name: field.default for field in fields(policy) if field.init and field.name != "context"}


def make_routing_policy(spec: str, context: PolicyContext | None = None) -> RoutingPolicy:
    """A fresh policy of `name` or `name:key=value,...`; what is unknown is a `ConfigError` that lists what is known."""
    name, options = split_spec(spec)
    known = find_policy(name)
    return known.make(context or PolicyContext(), **parse_options(name, options, known.options))


def check_routing_policy(spec: str) -> None:
    """A `ConfigError` if `spec` names no policy or options that it does not have."""
    name, options = split_spec(spec)
    parse_options(name, options, find_policy(name).options)


def find_policy(name: str) -> KnownPolicy:
    """What is known under this name."""
    if name not in _ROUTING:
        _import_families()
    if name not in _ROUTING:
        near = difflib.get_close_matches(name, _ROUTING, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"unknown value {name!r}; {hint}known: {', '.join(routing_policy_names())}, or FILE.py:Class")
    return _ROUTING[name]


def routing_policy_names() -> list[str]:
    """All registered names, sorted."""
    _import_families()
    return sorted(_ROUTING)


def known_policies() -> list[KnownPolicy]:
    """All registered policies, by name."""
    return [_ROUTING[name] for name in routing_policy_names()]


def _import_families() -> None:
    """Their classes take a hundredth of a second to make, which a run by load should not wait for."""
    import scheduler.policies.routing.families  # pyright: ignore[reportUnusedImport]  # noqa: F401


class OwnPolicy:
    """A user's class with a method `choose`, seen as a `RoutingPolicy`; what it does not say has a default."""

    def __init__(self, policy: Any, name: str) -> None:
        self.reason: str = getattr(policy, "reason", f"{name}: its own choice")
        self.reads: Reads = getattr(policy, "reads", READS_ALL)
        self._policy = policy
        if hasattr(policy, "choose_pair"):
            self.choose_pair = policy.choose_pair

    def choose(self, stage: StageView, request: RequestView) -> int:
        """What the class answers."""
        return self._policy.choose(stage, request)
