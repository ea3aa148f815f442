"""The settings of a run as values: one frozen model for each concern, each text parsed once, at the door.

A function takes the model or the value that it needs; who puts a whole system together takes all, `Settings`
(`settings.py`). To add a setting is to add a field here: flags, files, digests, journals and help follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from deploy.hardware.endings import is_file
from deploy.hardware.lookup import load_cluster, load_model
from deploy.settings.own_files import OwnFiles
from deploy.settings.own_policy import LRU, PolicyChoice, choose_policy, parse_files
from deploy.settings.parking import parking_rules
from deploy.settings.plan import Plan, parse_plan
from deploy.settings.power_cap import cap_watts
from deploy.settings.price import PriceTerms, parse_price
from deploy.settings.request_classes import judged_slo
from deploy.settings.setting import setting
from deploy.settings.tariff import kept_tariff, parse_tariff
from scheduler.core.config import CacheMode
from scheduler.metrics.slo import Slo, parse_slo
from scheduler.policies.classes import DEFAULT_NAME, RequestClass, parse_classes
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.fabric_messages import Plane
from scheduler.sources.traces.rows import shorten
from sim_hw.clusters.supernode import Supernode
from sim_hw.cost.tariffs import Tariff
from sim_hw.figure import Confidence, Figure
from sim_hw.models.shape import ModelShape
from sim_hw.power.sites import Site, find_site

# Few runs have traffic of others, and reading its file takes a while to import; few park.
if TYPE_CHECKING:
    from deploy.calibration.profile import AnyProfile
    from deploy.settings.background import NamedFlow
    from scheduler.core.guests.parking import ParkingRules

CacheText = Literal["pool", "local", "none"]
PlaneText = Literal["ub", "vpc"]
ExpertBalance = Literal["default", "greedy", "perfect"]

CACHE_BLOCK_TOKENS: Final = (0, 128, 256, 512)
"""Sizes of a block in the cache: paged, 128 to 512 tokens (arXiv 2506.12708 v3, context caching); 0 for the trace's."""

MAX_PUE: Final = 10


def _absolute_file(name: str) -> str:
    """Processes that stand elsewhere read it too."""
    return str(Path(name).resolve()) if is_file(name) else name


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if path else ""


def _calibration(told: str) -> AnyProfile | None:
    if not told:
        return None
    from deploy.calibration.profile import read_profile

    return read_profile(told)


def _kept_calibration(told: str) -> str:
    """The text of the file: what it says decides the outcome, wherever it is and whatever becomes of it."""
    profile = _calibration(told)
    return profile.text() if profile else ""


def _cluster(name: str, calibration: AnyProfile | None) -> Supernode:
    cluster = load_cluster(name)
    return calibration.applied(cluster) if calibration else cluster


def _usual_plan(cluster: Supernode) -> str:
    return cluster.defaults.plan


def _plan(text: str, cluster: Supernode) -> Plan:
    return parse_plan(text, cluster.num_npus, cluster.num_nodes.count, cluster.name)


def _usual_cache(cluster: Supernode) -> CacheText:
    return "pool" if cluster.ub_accesses else "local"


def _cache_mode(text: CacheText, _cluster: Supernode) -> CacheMode:
    return CacheMode(text)


def _plane(text: PlaneText) -> Plane:
    return Plane[text.upper()]


def _block_tokens(tokens: int) -> int:
    if tokens not in CACHE_BLOCK_TOKENS:
        known = ", ".join(map(str, CACHE_BLOCK_TOKENS))
        raise ConfigError(f"{shorten(tokens)} is no size of a cache block; known: {known}")
    return tokens


def _background(path: str, cluster: Supernode, plan: Plan) -> tuple[NamedFlow, ...]:
    if not path:
        return ()
    from deploy.settings.background import read_background

    return tuple(read_background(path, plan.clusters(cluster)))


def _slo(text: str) -> Slo | None:
    return parse_slo(text) if text else None


def _site(name: str, pue: float | None) -> Site:
    site = find_site(name)
    if pue is None:
        return site
    return replace(site, pue=Figure(pue, "1", "given by the user", Confidence.ESTIMATE))


def _names(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    from deploy.system.metric_names import parse_names

    return parse_names(text)


class Hardware(Struct, frozen=True):
    """What there is, which model runs on it, and how it is split into instances."""

    calibration: AnyProfile | None = setting(
        "",
        _calibration,
        kept=_kept_calibration,
        flag=("FILE", "What supernode calibrate wrote, of its chip."),
        is_extra=True,
    )
    """Constants of the chip of `cluster` that `supernode calibrate` made of measurements, as a file; empty for those
    that are built in. Its text is kept, so that a run is the same wherever and whenever it is made again."""
    cluster: Supernode = setting(
        "cloudmatrix384",
        _cluster,
        needs=("calibration",),
        kept=_absolute_file,
        flag=("NAME", "Hardware profile, or a .yaml file of one."),
    )
    """Hardware profile, by name or YAML file."""
    model: ModelShape = setting(
        "deepseek-r1", load_model, kept=_absolute_file, flag=("NAME", "Model, config.json or mindformers .yaml.")
    )
    """Served model, by name, Hugging Face config.json or mindformers YAML file."""
    plan: Plan = setting(
        "14x16p+1x160d+48c",
        _plan,
        needs=("cluster",),
        usual=_usual_plan,
        flag=("PLAN", "Instances, such as 14x16p+1x160d+48c."),
    )
    """Instances. The default is the cluster's: on cloudmatrix384 one published decode instance, and prefill instances
    on the rest (224 + 160 NPUs)."""

    @property
    def supernodes(self) -> tuple[Supernode, ...]:
        """What each supernode of the plan is."""
        return self.plan.clusters(self.cluster)


class Routing(Struct, frozen=True):
    """Who chooses instances, and what it sees of them."""

    policy_source: Mapping[str, OwnFiles] = setting("", parse_files)
    """Texts of the FILE.py of `policy`, `admission`, `order`, `cache_policy` and `disaggregation` and of files beside
    them that they import, which are read when a run is told of them; so they are the same wherever its parts are."""
    policy: PolicyChoice = setting(
        "cloudmatrix",
        choose_policy("policy"),
        needs=("policy_source",),
        flag=("NAME", "Routing policy, NAME[:key=value] or FILE.py:Class."),
    )
    """Routing policy, for prefill and decode alike: NAME or NAME:key=value,..., or FILE.py:Class of one's own."""
    disaggregation: PolicyChoice = setting(
        "always",
        choose_policy("disaggregation"),
        needs=("policy_source",),
        flag=("RULE", "Whose prompts go to prefill, RULE[:key=value] or FILE.py:Class."),
    )
    """Of a plan with prefill and aggregated instances, whose prompts go to the former: always, never, prefix_threshold,
    isl_bounding, queue or isl_or_load, as NAME or NAME:key=value,..., or FILE.py:Class of one's own."""
    view_age_s: float = setting(0.0, between=(0, 10**6))
    """How old what a routing policy sees of the instances may be, seconds; 0 for as the core counts them now."""
    routers: int = setting(1, between=(1, 1000))
    """Routers side by side, each with a policy and a view of its own; requests go to them in turn. What one has sent
    the others see when they look again (`view_age_s`)."""
    counts_sends: bool = setting(False)
    """Whether a router whose view is old adds what it has sent itself since."""
    supernode_candidates: int = setting(0, between=(0, 10**6))
    """Of a fleet: how many supernodes each request is looked up in and may go to; 0 for all. A hash of how the prompt
    begins names them, so that a conversation comes back to its cache, and the policy chooses among their instances."""
    supernode_key_blocks: int = setting(2, between=(1, 10**6))
    """Of a fleet: the hash goes by a prompt's first so many blocks. What all prompts share should be fewer."""
    startup_profile: bool = setting(True)
    """Whether instances are measured with made-up requests before the first is served, where times are predicted."""


class Instances(Struct, frozen=True):
    """How instances work."""

    prefill_tokens_per_npu: int = setting(4096, between=(1, 10**7))
    """Token budget of one prefill pass, per NPU. 4,096 makes a full pass of about 0.75 s, which a request that just
    missed it waits in its TTFT; the published batch of 16,384 takes 2.9 s."""
    aggregated_tokens_per_npu: int = setting(512, between=(1, 10**7))
    """Token budget of one step of an aggregated instance, per NPU: sequences that decode take theirs first, chunks of
    prompts what is left. Sarathi-Serve (arXiv 2403.02310) takes 512 for strict limits of TPOT and 2,048 for relaxed
    ones, which is also vLLM's default; a step lasts in proportion."""
    expert_balance: ExpertBalance = setting("default", type=ExpertBalance)
    """Expert balance: as measured, copies placed for the batch at hand, or the paper's projection of perfect EPLB."""
    mtp: bool = setting(True)
    """Decode with one speculative token, accepted at 70 %, if the model has an MTP module."""
    kv_extent_blocks: int = setting(4, between=(1, 10**6))
    """KV blocks of 128 tokens that a decoding sequence takes at a time beyond its prompt."""
    kv_reserve_share: float = setting(0.10, between=(0, 0.99))
    """Share of HBM kept from weights and KV, for activations and fragmentation."""


class Cache(Struct, frozen=True):
    """Where prefix KV is kept, and how much of it."""

    mode: CacheMode = setting(
        "pool",
        _cache_mode,
        name="cache",
        type=CacheText,
        needs=("cluster",),
        usual=_usual_cache,
        flag=("MODE", "Prefix KV cache: pool, local or none."),
    )
    """Prefix KV: one shared pool, one cache per prefill instance, or none. On a cluster whose NPUs are not known to
    reach the pool over ub, a cache of each prefill instance's own is the default."""
    plane: Plane = setting(
        "ub",
        _plane,
        name="cache_plane",
        type=PlaneText,
        flag=("PLANE", "Plane of cache traffic: ub or vpc."),
    )
    """Network plane for cache reads and writes."""
    bytes_per_server: float = setting(512e9, name="cache_bytes_per_server", between=(0, 10**15))
    """DRAM of one cache server (one per node) given to KV. The DRAM of a node is not published: an estimate, half of
    32 DIMMs of 32 GB."""
    ssd_bytes_per_server: float = setting(0.0, name="cache_ssd_bytes_per_server", between=(0, 10**16))
    """SSD (block storage over vpc) behind that DRAM, written through; 0 for none. Its size is not published."""
    block_tokens: int = setting(0, _block_tokens, name="cache_block_tokens")
    """Tokens of a block of the cache: 128, 256 or 512, for which a trace's ids are split or joined, and in which the
    requests of a workload share prompts; 0 for the trace's own."""
    tenant_share: float = setting(1.0, name="cache_namespace_share", between=(0, 1))
    """Part of the cache that one tenant may take, such as one of the copies of `--superpose`."""
    answers: bool = setting(False, name="cache_answers")
    """Whether the KV that decode makes is kept like that of prompts. By default it is not, as in CloudMatrix-Infer
    (arXiv 2506.12708 v3, context caching): reasoning models drop their thinking from the next turn, so that the KV of
    the answer does not fit it."""
    policy: PolicyChoice = setting(
        LRU,
        choose_policy("cache_policy"),
        name="cache_policy",
        needs=("policy_source",),
        flag=("NAME", "What caches keep, NAME[:key=value] or FILE.py:Class."),
    )
    """What caches keep for sessions, and who goes first: lru, ttl, pin or prefetch, as NAME or NAME:key=value,..., or
    FILE.py:Class of one's own."""
    weight_versions: int = setting(2, name="cache_weight_versions", between=(1, 10**6))
    """Versions of the model's weights that the pool keeps, beside the KV; how many is not published."""

    @property
    def has_ssd(self) -> bool:
        """Caches of single instances are their nodes' DRAM alone."""
        return self.mode is CacheMode.POOL and self.ssd_bytes_per_server > 0


class FabricLoad(Struct, frozen=True):
    """What else the links carry, and what leads from one supernode to another."""

    expert_traffic: bool = setting(True)
    """Whether the exchange of experts shares the UB links of its dies with the cache pool and background traffic."""
    background: tuple[NamedFlow, ...] = setting(
        "",
        _background,
        needs=("cluster", "plan"),
        kept=_absolute,
        flag=("FILE", "YAML file of traffic of others on the fabric."),
    )
    """YAML file of traffic of others on the fabric; empty for none."""
    scale_out_oversubscription: float = setting(1.0, between=(1, 1000))
    """Between supernodes: RDMA links of a supernode's dies together, over what leads from it to the others. Nothing is
    published: with 1 the links of the dies are the only bound."""


class Requests(Struct, frozen=True):
    """Who is admitted, who goes first, and what requests are promised."""

    max_open_requests: int = setting(1_000_000, between=(1, 10**9))
    """Requests in the system beyond which an arrival is rejected as overload."""
    admission: PolicyChoice = setting(
        "always",
        choose_policy("admission"),
        needs=("policy_source",),
        flag=("NAME", "Who is let in, NAME[:key=value] or FILE.py:Class."),
    )
    """Who is let in: always, token_bucket, slo_early_reject or shedding, as NAME or NAME:key=value,..., or
    FILE.py:Class of one's own; the limits that slo_early_reject holds are those of `slo`."""
    order: PolicyChoice = setting(
        "fcfs",
        choose_policy("order"),
        needs=("policy_source",),
        flag=("NAME", "Who goes first to prefill, NAME[:key=value] or FILE.py:Class."),
    )
    """Who goes first to prefill: fcfs, edf, shortest, priority or fair, as NAME or NAME:key=value,..., or FILE.py:Class
    of one's own."""
    waiting_backlog_tokens: int = setting(0, between=(0, 10**12))
    """Uncached prompt tokens of each prefill instance beyond which requests wait in front of all of them, where
    `order` holds. 0 for as many as two full passes of the largest with an order other than fcfs, else for no wait."""
    request_timeout_s: float = setting(0.0, between=(0, 10**6))
    """A request that has not finished so long after its arrival ends as timed out, seconds; 0 for never."""
    slo: Slo | None = setting("", _slo, flag=("LIMITS", "Such as ttft=2s,tpot=50ms."))
    """Limits such as ttft=2s,tpot=50ms; empty for none."""
    classes: tuple[RequestClass, ...] = setting(
        "", parse_classes, flag=("CLASSES", "Request classes, NAME:key=value,...;NAME:... (docs/policies.md).")
    )
    """Request classes, by what the trace or the tenant says: NAME:key=value,...;NAME:..., or in a file a section for
    each; empty for none."""

    @property
    def judged_slo(self) -> Slo | None:
        """What requests are judged by: the limits of the run and of each class; None if there are neither."""
        return judged_slo(self.slo, self.classes)

    @property
    def class_names(self) -> list[str]:
        """By index, requests without a class first; empty if the run has no classes."""
        return [DEFAULT_NAME, *(one.name for one in self.classes)] if self.classes else []


class Money(Struct, frozen=True):
    """Where the supernode stands, and what electricity and hardware cost there."""

    pue: float | None = setting(
        None, type=float | None, between=(1, MAX_PUE), flag=("X", "Energy at the meter over that at the supernode.")
    )
    """Energy at the meter over that at the supernode; empty for the site's."""
    site: Site = setting(
        "china-average", _site, needs=("pue",), flag=("NAME", "Where it stands: PUE, price of electricity.")
    )
    """Where the supernode stands: its PUE, which `pue` replaces, and price of electricity (`supernode hw power` lists
    sites)."""
    tariff: Tariff = setting(
        "",
        parse_tariff,
        needs=("site",),
        kept=kept_tariff,
        flag=("TEXT", "NAME, USD a kWh, HOUR=USD,... or FILE; @HOUR begins."),
    )
    """Of electricity: a name, dollars a kWh such as 0.12, prices by hour such as 0=0.05,8=0.12, or a YAML file of
    `bands`; empty for the flat one of the site. @HOUR behind it is when the run begins, such as @18; else midnight."""
    price: PriceTerms = setting("bought", parse_price, flag=("TEXT", "bought, bought=USD, rented=USD or a contract."))
    """What the supernode costs: `bought` at its published price, `bought=USD`, a kind of contract for its chip, or
    `rented=USD` for an NPU and hour."""


class Power(Struct, frozen=True):
    """What may be drawn, and who may sleep."""

    cap_w: float | None = setting(
        "", cap_watts, name="power_cap", flag=("WATTS", "Never draw more at the feeds, such as 350kW.")
    )
    """What all supernodes together may draw at their feeds, such as 350kW or 350000W; empty for no bound."""
    parking: ParkingRules | None = setting("", parking_rules, flag=("RULE", "Park who is idle: idle=30s,spare=1."))
    """Whether idle instances give up their model until they are needed, such as idle=30s or idle=30s,spare=2: how long
    one has had nothing to do, and how many such of each stage stay awake. Empty for never."""


class Run(Struct, frozen=True):
    """What is of the run as a whole."""

    seed: int = setting(0, between=(0, 2**63 - 1), flag=("N", "Seed of every random stream."))
    """Seed of every random stream."""
    metric_names: tuple[str, ...] = setting(
        "", _names, name="names", flag=("LIST", "Metric names, of own,vllm,ascend,dcgm,genai.")
    )
    """Naming schemes of the metrics of a standing cluster, such as own,vllm; empty for the usual ones of its chips.
    Changes no outcome."""
