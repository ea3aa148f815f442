"""All settings of a run, as values by model and as plain data by flat name.

Flags, YAML files, journals and the state of a cluster know settings by flat names (`plan: 2x16p+1x32d`); code knows
them by model (`settings.hardware.plan`, a `Plan`). Both sides are derived from the fields of the models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, get_type_hints

from msgspec import Struct

from deploy.hardware.speculation import Speculation
from deploy.settings.clients import Clients
from deploy.settings.models import Cache, FabricLoad, Hardware, Instances, Money, Power, Requests, Routing, Run
from deploy.settings.own_policy import PolicyChoice
from deploy.settings.scaling import Scaling
from deploy.settings.setting import Plain, Setting, settings_of
from scheduler.protocol.errors import ConfigError
from sim_hw.errors import UnknownNameError


class Settings(Struct, frozen=True):
    """Everything that decides the outcome of a run besides the trace itself. Made by `from_plain`.

    `flat` has every setting, of `is_extra` ones those that were changed, as text or number under its flat name: what is
    printed, digested, journalled and sent to other processes, from which `from_plain` makes the same settings again.
    """

    hardware: Hardware
    routing: Routing
    instances: Instances
    speculation: Speculation
    cache: Cache
    fabric: FabricLoad
    requests: Requests
    clients: Clients
    money: Money
    power: Power
    scaling: Scaling
    run: Run
    flat: Mapping[str, Plain]

    @classmethod
    def from_plain(cls, told: Mapping[str, Any], places: Mapping[str, str] | None = None) -> Settings:
        """What was told, and the defaults of all else. `ConfigError` for what no run could use.

        `told` is by flat name and of the right types; `places` says where each was given, such as `--plan`.
        """
        if unknown := told.keys() - SETTINGS.keys():
            raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
        places = places or {}
        flat: dict[str, Plain] = {}
        values: dict[str, Any] = {}
        for name, one in SETTINGS.items():
            needed = [values[other] for other in one.needs]
            usual = one.default if one.usual is None else one.usual(*needed)
            plain = told.get(name, usual)
            try:
                values[name] = one.value(plain, needed)
            except (ConfigError, UnknownNameError) as error:
                raise ConfigError(_placed(name, places.get(name, name), str(error))) from None
            if not one.is_extra or plain != one.default:
                flat[name] = plain if one.kept is None else one.kept(plain)
        models = {
            name: model(**{attribute: values[one.name] for attribute, one in settings_of(model).items()})
            for name, model in MODELS.items()
        }
        return cls(**models, flat=flat)

    def to_plain(self) -> dict[str, Plain]:
        """By flat name, for JSON, journals and other processes."""
        return dict(self.flat)

    @property
    def policies(self) -> tuple[PolicyChoice, ...]:
        """Who chooses, who lets in, who says who goes first, what caches keep, where prompts are computed, and who
        scales."""
        routing, requests = self.routing, self.requests
        of_routing = routing.policy, requests.admission, requests.order, self.cache.policy, routing.disaggregation
        return *of_routing, self.scaling.autoscaler

    def changed(self, **told: Plain) -> Settings:
        """These settings but for some, by flat name."""
        return self.from_plain({**self.flat, **told})

    def digest(self) -> str:
        """A short name of these settings: equal digests, equal outcomes."""
        idle = {"names"} if self.hardware.plan.has_aggregated else {"names", *_OF_AGGREGATED}
        deciding = {key: value for key, value in self.flat.items() if key not in idle}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


_OF_AGGREGATED: Final = ("aggregated_tokens_per_npu", "disaggregation")
"""Settings that decide nothing in a plan without aggregated instances."""


def _placed(name: str, place: str, error: str) -> str:
    """An error that begins with the name of the setting has its place there, any other after it."""
    return f"{place}{error.removeprefix(name)}" if error.startswith(f"{name} ") else f"{place}: {error}"


MODELS: Final[Mapping[str, type[Any]]] = {
    name: model for name, model in get_type_hints(Settings).items() if name != "flat"
}
"""The models of `Settings`, by attribute."""

SETTINGS: Final[Mapping[str, Setting]] = {
    one.name: one for model in MODELS.values() for one in settings_of(model).values()
}
"""All settings by flat name, each after those that it needs."""

DEFAULTS: Final[Mapping[str, Plain]] = {name: one.default for name, one in SETTINGS.items()}
"""Of each, on the default cluster."""
