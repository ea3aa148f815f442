"""Policies as settings: a known one by name, or a class of a user's own as `FILE.py:Class`.

All kinds (who chooses, who comes in, who goes first, what a cache keeps, where a prompt is computed) are told, checked,
carried along and made alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, cast

from msgspec import Struct

from deploy.settings.own_files import MARK, OwnFiles
from scheduler.policies import check_routing_policy, make_routing_policy
from scheduler.policies.admission import Admission
from scheduler.policies.disaggregation import DisaggregationRule, make_rule
from scheduler.policies.failures import PolicyFailedError
from scheduler.policies.flow_control import make_admission, make_order
from scheduler.policies.options import parse_options, split_spec
from scheduler.policies.ordering import Order
from scheduler.policies.registry import make_cache_policy, make_scaling_policy, options_of
from scheduler.policies.scaling_view import ScalingPolicy
from scheduler.policies.view import PolicyContext, RoutingPolicy
from scheduler.protocol.cache_policy import CachePolicy
from scheduler.protocol.errors import ConfigError

KINDS: Final = ("policy", "admission", "order", "cache_policy", "disaggregation", "autoscaler")
"""Settings that may name a class of one's own."""

LRU: Final = "lru"
"""The cache policy that is what a cache does by itself."""

STATIC: Final = "static"
"""The autoscaler that is none."""

_METHODS: Final = {
    "policy": ("choose(self, stage, request)",),
    "admission": ("admits(self, request, view)",),
    "order": ("key(self, request)",),
    "autoscaler": ("wanted(self, view)",),
    "disaggregation": ("stays(self, view)",),
    "cache_policy": ("rank(self, use)", "keep_ns(self, session)", "fetch_ns(self, session)"),
}


class PolicyChoice(Struct, frozen=True):
    """Who decides: `spec` as a user writes it, and the files of a class of one's own."""

    kind: str
    spec: str
    files: OwnFiles | None

    @property
    def is_own(self) -> bool:
        """Whether it is code of the user's."""
        return is_own(self.spec)

    @property
    def name(self) -> str:
        """The policy without its options."""
        return split_spec(self.spec)[0]

    @property
    def digest(self) -> str:
        """Says in a journal which policy decided: its name, and of one's own a digest of the files."""
        return f"{self.spec} {self.files.digest}" if self.files is not None else self.spec

    def make(self, context: PolicyContext) -> RoutingPolicy:
        """Who chooses at one stage. Raises `ConfigError` if that fails."""
        if not self.is_own:
            return make_routing_policy(self.spec, context)
        from scheduler.policies.own.adapters import OwnRouting

        return self._own(OwnRouting, context)

    def make_admission(self, _spec: str) -> Admission:
        """Who lets requests in."""
        if not self.is_own:
            return make_admission(self.spec)
        from scheduler.policies.own.adapters import OwnAdmission

        return self._own(OwnAdmission)

    def make_order(self, _spec: str) -> Order:
        """Who goes first."""
        if not self.is_own:
            return make_order(self.spec)
        from scheduler.policies.own.adapters import OwnOrder

        return self._own(OwnOrder)

    def make_disaggregation(self, _spec: str) -> DisaggregationRule:
        """Where prompts are computed."""
        if not self.is_own:
            return make_rule(self.spec)
        from scheduler.policies.own.disaggregation import OwnDisaggregation

        return self._own(OwnDisaggregation)

    @property
    def is_lru(self) -> bool:
        """Whether a cache needs nobody to ask."""
        return self.spec == LRU

    def make_caching(self) -> CachePolicy:
        """What one cache keeps."""
        if not self.is_own:
            return make_cache_policy(self.spec)
        from scheduler.policies.own.caching import OwnCaching

        return self._own(OwnCaching)

    @property
    def is_static(self) -> bool:
        """Whether a fleet stays as it is."""
        return self.spec == STATIC

    def make_scaling(self) -> ScalingPolicy:
        """Who says how many instances there shall be."""
        if not self.is_own:
            return make_scaling_policy(self.spec)
        from scheduler.policies.own.scaling import OwnScaling

        return self._own(OwnScaling)

    def check(self) -> None:
        """A `ConfigError` if none can be made; what is needed for that alone is not kept."""
        if self.kind == "admission":
            self.make_admission(self.spec)
        elif self.kind == "order":
            self.make_order(self.spec)
        elif self.kind == "disaggregation":
            self.make_disaggregation(self.spec)
        elif self.kind == "cache_policy":
            self.make_caching()
        elif self.kind == "autoscaler":
            if not self.is_static:
                self.make_scaling()
        elif self.is_own:
            self.make(PolicyContext())
        else:
            check_routing_policy(self.spec)

    def _own(self, adapter: Callable[..., Any], *context: PolicyContext) -> Any:
        from scheduler.runtime.policy_watch import PolicyCaller

        if self.files is None:
            raise ConfigError(f"{self.name}: its file was not read; give it anew (--{self.kind.replace('_', '-')})")
        name, text = split_spec(self.spec)
        caller = PolicyCaller(name, self.files.texts.keys())
        try:
            own = caller(self.files.load, name, _METHODS[self.kind])
            options = parse_options(name, text, options_of(own))
            has_context = bool(context) and "context" in getattr(own, "__dataclass_fields__", {})
            made = caller(partial(own, *(context if has_context else ()), **options))
        except PolicyFailedError as error:
            raise ConfigError(f"{error}; fix the file") from error
        return adapter(made, caller)


def is_own(spec: str) -> bool:
    """Whether a policy is named as `FILE.py:Class`."""
    return MARK in spec


def breaker_of(choices: Iterable[PolicyChoice]) -> Callable[[], None]:
    """For Ctrl-C: breaks off the call of a policy of one's own that is under way."""
    if not any(choice.is_own for choice in choices):
        return _nothing_to_break_off
    from scheduler.runtime.policy_watch import WATCH

    return WATCH.break_off


def _nothing_to_break_off() -> None:
    """Policies that come with the program return."""


def choose_policy(kind: str) -> Callable[[str, Mapping[str, OwnFiles]], PolicyChoice]:
    """The parser of one of `KINDS`, given the files of all: a `ConfigError` for a name that is not known. One's own
    policy is tried when its file is read."""

    def choose(spec: str, files: Mapping[str, OwnFiles]) -> PolicyChoice:
        choice = PolicyChoice(kind, spec, files.get(kind) if is_own(spec) else None)
        if not choice.is_own:
            choice.check()
        return choice

    return choose


def read_policy(kind: str, spec: str) -> OwnFiles | None:
    """The files of `FILE.py:Class`, of which a policy can be made; None for the name of a known policy."""
    if not is_own(spec):
        return None
    files = OwnFiles.read(split_spec(spec)[0].rpartition(":")[0])
    PolicyChoice(kind, spec, files).check()
    return files


def files_text(files: Mapping[str, OwnFiles]) -> str:
    """As one text, by kind; empty if there are none."""
    texts = {kind: dict(one.texts) for kind, one in files.items()}
    return json.dumps(texts) if texts else ""


def parse_files(text: str) -> Mapping[str, OwnFiles]:
    """What `files_text` made."""
    if not text:
        return {}
    try:
        kinds = cast("dict[str, dict[str, str]]", json.loads(text))
        return {kind: OwnFiles({str(path): str(one) for path, one in texts.items()}) for kind, texts in kinds.items()}
    except (ValueError, AttributeError):
        raise ConfigError("policy_source is not what this program writes; name the policy's file anew") from None
