"""How a policy becomes known: registered once, by a decorator, with its formula and its source.

A routing or cache policy is found in its package, so that a new one is one file there. Admission rules and orders are
registered the same way beside their classes, in `admission` and `ordering`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Final, TypeVar

from msgspec import Struct

from scheduler.policies.options import parse_options, split_spec
from scheduler.policies.scaling_view import ScalingPolicy
from scheduler.policies.view import PolicyContext, RoutingPolicy
from scheduler.protocol.cache_policy import CachePolicy
from scheduler.protocol.catalog import Catalog
from scheduler.protocol.errors import ConfigError

PolicyT = TypeVar("PolicyT", bound=Callable[..., object])


class KnownPolicy(Struct, frozen=True):
    """A policy as it is listed. `chooses`: at which stage, or what; `formula` is one line."""

    name: str
    chooses: str
    formula: str
    source: str
    make: Callable[..., Any]

    @property
    def options(self) -> Mapping[str, Any]:
        """With their defaults; looked up when asked for, as a run asks only those that it uses."""
        return options_of(self.make)


ROUTING: Final = Catalog[KnownPolicy](package="scheduler.policies.routing", besides="or FILE.py:Class")
"""All but those that go by load alone are imported when a name is asked for that is not known yet."""

CACHING: Final = Catalog[KnownPolicy](package="scheduler.policies.caching", besides="or FILE.py:Class")

SCALING: Final = Catalog[KnownPolicy](package="scheduler.policies.scaling", besides="or FILE.py:Class")


def register(
    catalog: Catalog[KnownPolicy], name: str, *, formula: str, source: str, chooses: str
) -> Callable[[PolicyT], PolicyT]:
    """Class decorator: make a policy known. Arguments of its constructor that have a default are options."""

    def add(policy: PolicyT) -> PolicyT:
        catalog.register(name, KnownPolicy(name, chooses, formula, source, policy))
        return policy

    return add


def routing_policy(
    name: str, *, formula: str, source: str, chooses: str = "prefill and decode"
) -> Callable[[PolicyT], PolicyT]:
    """Class decorator: make a routing policy known under `name`; it is made with its context and its options."""
    return register(ROUTING, name, formula=formula, source=source, chooses=chooses)


def cache_policy(name: str, *, formula: str, source: str) -> Callable[[PolicyT], PolicyT]:
    """Class decorator: make a `CachePolicy` known under `name`; it is made with its options."""
    return register(CACHING, name, formula=formula, source=source, chooses="what a cache keeps")


def scaling_policy(name: str, *, formula: str, source: str) -> Callable[[PolicyT], PolicyT]:
    """Class decorator: make a `ScalingPolicy` known under `name`; it is made with its options."""
    return register(SCALING, name, formula=formula, source=source, chooses="how many instances there are")


def options_of(policy: Callable[..., object]) -> dict[str, Any]:
    """Names and defaults of what may be set: the arguments with a default, but `context`."""
    try:
        arguments = signature(policy).parameters.values()
    except ValueError:  # a class of one's own with a built-in base: what that takes cannot be told
        return {}
    return {one.name: one.default for one in arguments if one.default is not one.empty and one.name != "context"}


def make_policy(catalog: Catalog[KnownPolicy], spec: str, *context: PolicyContext) -> Any:
    """A fresh policy of `name` or `name:key=value,...`; a `ConfigError` for what is unknown or cannot be."""
    name, text = split_spec(spec)
    known = catalog.find(name)
    options = _parse(known, text)
    try:
        return known.make(*context, **options)
    except ConfigError as error:  # of values that only the policy can judge
        raise ConfigError(f"{name}: {error}") from None


def make_routing_policy(spec: str, context: PolicyContext | None = None) -> RoutingPolicy:
    """The routing policy of `spec` for one stage of a run."""
    return make_policy(ROUTING, spec, context or PolicyContext())


def make_cache_policy(spec: str) -> CachePolicy:
    """The policy of `spec` for one cache."""
    return make_policy(CACHING, spec)


def make_scaling_policy(spec: str) -> ScalingPolicy:
    """The policy of `spec` for a fleet."""
    return make_policy(SCALING, spec)


def check_routing_policy(spec: str) -> None:
    """A `ConfigError` if `spec` names no policy or options that it does not have."""
    name, text = split_spec(spec)
    _parse(ROUTING.find(name), text)


def _parse(policy: KnownPolicy, text: str) -> dict[str, Any]:
    """The options that a spec sets; a policy is asked which it has, a millisecond, only where any is set."""
    return parse_options(policy.name, text, policy.options) if text else {}
