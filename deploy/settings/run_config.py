"""What a run is told: one frozen dataclass, filled from defaults, a YAML file and flags, in that order."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_type_hints

from deploy.hardware.endings import is_file
from deploy.hardware.lookup import load_cluster, load_model
from deploy.settings.own_policy import check_policy, read_policy
from deploy.settings.parking import parking_rules
from scheduler.metrics.slo import parse_slo
from scheduler.policies.classes import KEYS as CLASS_KEYS
from scheduler.policies.classes import parse_classes
from scheduler.policies.flow_control import make_admission, make_order
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.rows import shorten

# Only a file of settings needs what reads one.
if TYPE_CHECKING:
    from scheduler.sources.synthetic.section import Section

Loaded = TypeVar("Loaded")

CacheChoice = Literal["pool", "local", "none"]
PlaneChoice = Literal["ub", "vpc"]
BalanceChoice = Literal["default", "greedy", "perfect"]


CACHE_BLOCK_TOKENS: Final = (0, 128, 256, 512)
"""Sizes of a block in the cache: paged, 128 to 512 tokens (arXiv 2506.12708 v3, context caching); 0 for the trace's."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides the outcome of a run besides the trace itself."""

    cluster: str = "cloudmatrix384"
    """Hardware profile, by name or YAML file."""
    model: str = "deepseek-r1"
    """Served model, by name, Hugging Face config.json or mindformers YAML file."""
    plan: str = "14x16p+1x160d+48c"
    """Instances. The default is the cluster's: on cloudmatrix384 one published decode instance, and prefill instances
    on the rest (224 + 160 NPUs)."""
    policy: str = "cloudmatrix"
    """Routing policy, for prefill and decode alike: NAME or NAME:key=value,..., or FILE.py:Class of one's own."""
    policy_source: str = ""
    """Text of that FILE.py, which is read when a run is told of it; so it is the same wherever the run's parts are."""
    view_age_s: float = 0.0
    """How old what a routing policy sees of the instances may be, seconds; 0 for as the core counts them now."""
    startup_profile: bool = True
    """Whether instances are measured with made-up requests before the first is served, where times are predicted."""
    prefill_tokens_per_npu: int = 4096
    """Token budget of one prefill pass, per NPU. 4,096 makes a full pass of about 0.75 s, which a request that just
    missed it waits in its TTFT; the published batch of 16,384 takes 2.9 s."""
    expert_balance: BalanceChoice = "default"
    """Expert balance: as measured, copies placed for the batch at hand, or the paper's projection of perfect EPLB."""
    mtp: bool = True
    """Decode with one speculative token, accepted at 70 %, if the model has an MTP module."""
    kv_extent_blocks: int = 4
    """KV blocks of 128 tokens that a decoding sequence takes at a time beyond its prompt."""
    kv_reserve_share: float = 0.10
    """Share of HBM kept from weights and KV, for activations and fragmentation."""
    cache: CacheChoice = "pool"
    """Prefix KV: one shared pool, one cache per prefill instance, or none."""
    cache_plane: PlaneChoice = "ub"
    """Network plane for cache reads and writes. On a cluster whose NPUs are not known to reach the pool over ub, a
    cache of each prefill instance's own is the default instead."""
    expert_traffic: bool = True
    """Whether the exchange of experts shares the UB lines of its dies with the cache pool and background traffic."""
    background: str = ""
    """YAML file of traffic of others on the fabric; empty for none."""
    cache_bytes_per_server: float = 512e9
    """DRAM of one cache server (one per node) given to KV. The DRAM of a node is not published: an estimate, half of
    32 DIMMs of 32 GB."""
    scale_out_oversubscription: float = 1.0
    """Between supernodes: RDMA lines of a supernode's dies together, over what leads from it to the others. Nothing is
    published: with 1 the lines of the dies are the only bound."""
    cache_ssd_bytes_per_server: float = 0.0
    """SSD (block storage over vpc) behind that DRAM, written through; 0 for none. Its size is not published."""
    cache_block_tokens: int = 0
    """Tokens of a block of the cache: 128, 256 or 512, for which a trace's ids are split or joined; 0 for the trace's
    own."""
    cache_namespace_share: float = 1.0
    """Part of the cache that one tenant may take, such as one of the copies of `--superpose`."""
    cache_weight_versions: int = 2
    """Versions of the model's weights that the pool keeps, beside the KV; how many is not published."""
    max_open_requests: int = 1_000_000
    """Requests in the system beyond which an arrival is rejected as overload."""
    admission: str = "always"
    """Who is let in: always, token_bucket, slo_early_reject or shedding, as NAME or NAME:key=value,...; the limits
    that slo_early_reject holds are those of `slo`."""
    order: str = "fcfs"
    """Who goes first to prefill: fcfs, edf, shortest, priority or fair, as NAME or NAME:key=value,..."""
    waiting_backlog_tokens: int = 0
    """Uncached prompt tokens of each prefill instance beyond which requests wait in front of all of them, where
    `order` holds. 0 for as many as two full passes of the largest with an order other than fcfs, else for no wait."""
    request_timeout_s: float = 0.0
    """A request that has not finished so long after its arrival ends as timed out, seconds; 0 for never."""
    site: str = "china-average"
    """Where the supernode stands: its PUE and price of electricity (`supernode hw power` lists sites)."""
    pue: float | None = None
    """Energy at the meter over that at the supernode; empty for the site's."""
    tariff: str = ""
    """Of electricity, by name; empty for the flat one of the site. A run begins at midnight."""
    price: str = "bought"
    """What the supernode costs: `bought` at its published price, `bought=USD`, a kind of contract for its chip, or
    `rented=USD` for an NPU and hour."""
    power_cap: str = ""
    """What all supernodes together may draw at their feeds, such as 350kW or 350000W; empty for no bound."""
    parking: str = ""
    """Whether idle instances give up their model until they are needed, such as idle=30s or idle=30s,spare=2: how long
    one has had nothing to do, and how many such of each stage stay awake. Empty for never."""
    slo: str = ""
    """Limits such as ttft=2s,tpot=50ms; empty for none."""
    classes: str = ""
    """Request classes, by what the trace or the tenant says: NAME:key=value,...;NAME:..., or in a file a section for
    each; empty for none."""
    seed: int = 0
    """Seed of every random stream."""
    names: str = ""
    """Naming schemes of the metrics of a standing cluster, such as own,vllm; empty for the usual ones of its chips.
    Changes no outcome."""

    def digest(self) -> str:
        """A short name of this configuration: equal digests, equal outcomes."""
        deciding = {key: value for key, value in asdict(self).items() if key != "names"}
        canonical = json.dumps(deciding, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def checked(self, places: Mapping[str, str] | None = None) -> RunConfig:
        """This configuration, or a `ConfigError` for what no run could use; `places` says where a value was given."""
        places = places or {}
        for name, known in _CHOICES.items():
            _one_of(places.get(name, name), getattr(self, name), known)
        _checked(places.get("policy", "policy"), lambda: check_policy(self.policy, self.policy_source))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                mend = f"give a number from {low:,} to {high:,}"
                raise ConfigError(f"{places.get(name, name)}: {shorten(value)} is out of range; {mend}")
        if self.cache_block_tokens not in CACHE_BLOCK_TOKENS:
            place, known = (
                places.get("cache_block_tokens", "cache_block_tokens"),
                ", ".join(map(str, CACHE_BLOCK_TOKENS)),
            )
            raise ConfigError(
                f"{place}: {shorten(self.cache_block_tokens)} is no size of a cache block; known: {known}"
            )
        _checked(places.get("admission", "admission"), lambda: make_admission(self.admission))
        _checked(places.get("order", "order"), lambda: make_order(self.order))
        _checked(places.get("parking", "parking"), lambda: parking_rules(self.parking))
        self._check_money(places)
        _checked(places.get("classes", "classes"), lambda: parse_classes(self.classes))
        if self.slo:
            try:
                parse_slo(self.slo)
            except ConfigError as error:
                raise ConfigError(f"{places.get('slo', 'slo')} {str(error).removeprefix('slo ')}") from None
        if self.names:
            from deploy.system.metric_names import parse_names

            parse_names(self.names, places.get("names", "names"))
        return self

    def _check_money(self, places: Mapping[str, str]) -> None:
        """What site, PUE, tariff and price name is known, whatever the cluster."""
        if (self.site, self.pue, self.tariff, self.price) != ("china-average", None, "", "bought"):
            from deploy.run.money import find_known

            find_known(self, places)


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "cache": get_args(CacheChoice),
    "cache_plane": get_args(PlaneChoice),
    "expert_balance": get_args(BalanceChoice),
}

_RANGES: Final[Mapping[str, tuple[int, float]]] = {
    "prefill_tokens_per_npu": (1, 10**7),
    "kv_extent_blocks": (1, 10**6),
    "kv_reserve_share": (0, 0.99),
    "cache_bytes_per_server": (0, 10**15),
    "scale_out_oversubscription": (1, 1000),
    "cache_ssd_bytes_per_server": (0, 10**16),
    "cache_namespace_share": (0, 1),
    "cache_weight_versions": (1, 10**6),
    "max_open_requests": (1, 10**9),
    "view_age_s": (0, 10**6),
    "waiting_backlog_tokens": (0, 10**12),
    "request_timeout_s": (0, 10**6),
    "seed": (0, 2**63 - 1),
}
"""Least and largest value of numbers, both allowed."""


def _checked(place: str, check: Callable[[], object]) -> None:
    try:
        check()
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _one_of(place: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{place}: unknown value {shorten(value)}; {hint}known: {', '.join(known)}")


def load_config(path: str | None, flags: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> RunConfig:
    """Defaults, then `base`, then the YAML file, then the flags that were given (a flag of None was not)."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    if path is not None:
        from scheduler.sources.synthetic.settings_file import read_settings

        section = read_settings(path, "a configuration")
        values = typed_values(section)
        places = {name: f"{section.places[name]}: {name}" for name in values}
    given = {name: value for name, value in flags.items() if value is not None}
    places |= {name: "--" + name.replace("_", "-") for name in given}
    chosen = {**(base or {}), **values, **given}
    if chosen.get("background"):  # processes that stand elsewhere read it too
        chosen["background"] = str(Path(chosen["background"]).resolve())
    cluster = _found(load_cluster, "cluster", chosen, places)
    _found(load_model, "model", chosen, places)
    if cluster is not None:
        defaults: dict[str, Any] = {"plan": cluster.defaults.plan}
        if not cluster.ub_accesses:
            defaults["cache"] = "local"
        chosen = {**defaults, **chosen}
    if "policy" in places:  # else its source came with it, from where it was read
        _checked(places["policy"], lambda: chosen.update(policy_source=read_policy(chosen["policy"])))
    return RunConfig(**chosen).checked(places)


def _found(
    load: Callable[[str], Loaded], name: str, chosen: dict[str, Any], places: Mapping[str, str]
) -> Loaded | None:
    """What a setting names, if it was given; an error tells where."""
    if name not in chosen:
        return None
    try:
        found = load(chosen[name])
    except ConfigError as error:
        raise ConfigError(f"{places.get(name, name)}: {error}") from None
    if is_file(chosen[name]):  # processes that stand elsewhere read it too
        chosen[name] = str(Path(chosen[name]).resolve())
    return found


def typed_values(section: Section) -> dict[str, Any]:
    """The values of known keys, each of the type that `RunConfig` gives it; `ConfigError` for anything else."""
    from pydantic import TypeAdapter, ValidationError

    from scheduler.sources.synthetic.section import Section, kind

    types = get_type_hints(RunConfig)
    values: dict[str, Any] = {}
    for key, value in section.values.items():
        if key not in types:
            near = get_close_matches(key, types)
            mend = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(types)}"
            raise ConfigError(f"{section.places.get(key, section.place)}: unknown key {shorten(key)}; {mend}")
        if key == "classes" and isinstance(value, Section):
            value = _classes_text(value)
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value, strict=True)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise section.error(key, f"is {kind(value)}", f"give {wanted}{_exponent_hint(value)}") from None
    return values


def _classes_text(section: Section) -> str:
    """A section of classes as a flag would say it; its keys are known, and what they are worth is checked with it."""
    parts: list[str] = []
    for name in section.values:
        inner = section.section(name)
        for key, value in inner.values.items():
            if key not in CLASS_KEYS:
                near = get_close_matches(key, CLASS_KEYS, n=1)
                mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(CLASS_KEYS)}"
                raise inner.error(key, "is not known here", mend)
            if type(value) not in (int, float) and key != "tenants":
                raise inner.error(key, f"is {shorten(value)}", "give a number")
        terms = [f"{key}={_tenants(inner) if key == 'tenants' else inner.values[key]}" for key in inner.values]
        parts.append(f"{name}:{','.join(terms)}")
        try:
            parse_classes(parts[-1])
        except ConfigError as error:
            raise ConfigError(f"{section.places.get(name, section.place)}: {error}") from None
    return ";".join(parts)


def _tenants(section: Section) -> str:
    return "+".join(map(str, section.integers("tenants")))


def _exponent_hint(value: object) -> str:
    """YAML 1.1 takes 5e11 for a text."""
    is_number = isinstance(value, str) and re.fullmatch(r"[+-]?[\d.]+e\d+", value, re.ASCII | re.IGNORECASE)
    return ", with a point and a signed exponent, such as 5.0e+11" if is_number else ""
