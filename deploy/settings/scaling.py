"""The settings of scaling, as a user writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from deploy.settings.own_policy import STATIC, PolicyChoice, choose_policy
from deploy.settings.setting import setting
from scheduler.protocol.catalog import shorten, unknown
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count
from sim_hw.instance.process_start import PROCESS_START

ROLES: Final = ("prefill", "decode", "aggregated")

_FIX: Final = "write counts by role such as prefill=20,decode=2"


def parse_counts(text: str) -> Mapping[str, int]:
    """Instances by role of `prefill=20,decode=2`; a role that is left out has no count. Raises `ConfigError`."""
    counts: dict[str, int] = {}
    for term in text.split(",") if text.strip() else []:
        role, _, count = (part.strip() for part in term.partition("="))
        if role not in ROLES:
            raise ConfigError(f"{unknown('role', role, ROLES)}; {_FIX}")
        if role in counts:
            raise ConfigError(f"{role} is given twice; {_FIX}")
        try:
            counts[role] = read_count(count)
        except QuantityError:
            raise ConfigError(f"{shorten(term)} is no count; {_FIX}") from None
        if not counts[role]:
            raise ConfigError(f"{role}=0 leaves nobody for that; give at least 1")
    return counts


class Scaling(Struct, frozen=True):
    """Whether instances come and go, and within which bounds."""

    autoscaler: PolicyChoice = setting(
        STATIC,
        choose_policy("autoscaler"),
        needs=("policy_source",),
        is_extra=True,
        flag=("NAME", "How many instances there are, NAME[:key=value] or FILE.py:Class."),
    )
    """How many instances there are: static (as many as the plan has), threshold, queue, sla or energy, as NAME or
    NAME:key=value,..., or FILE.py:Class of one's own. Those beyond the plan stand on its cluster's spare NPUs."""
    least: Mapping[str, int] = setting(
        "", parse_counts, name="autoscaler_min", is_extra=True, flag=("COUNTS", "Such as prefill=2,decode=1.")
    )
    """The fewest instances of each role, such as prefill=2,decode=1; of a role that is left out, 1."""
    most: Mapping[str, int] = setting(
        "", parse_counts, name="autoscaler_max", is_extra=True, flag=("COUNTS", "Such as prefill=20,decode=2.")
    )
    """The most instances of each role, such as prefill=20,decode=2; of a role that is left out, as many as there is
    room for."""
    interval_s: float = setting(30.0, name="autoscaler_interval_s", between=(1, 86_400), is_extra=True)
    """How often the autoscaler is asked, seconds."""
    start_s: float = setting(PROCESS_START.value, name="autoscaler_start_s", between=(0, 86_400), is_extra=True)
    """From the command to start an instance until its process is there and begins to load the model, seconds: its
    container, its collective groups, its graphs. An estimate (`PROCESS_START`); nothing is published for NPUs."""

    @property
    def is_on(self) -> bool:
        """Whether instances come and go by themselves."""
        return not self.autoscaler.is_static
