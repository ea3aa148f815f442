"""What a run is told: one frozen dataclass, filled from defaults, a YAML file and flags, in that order."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, cast

from scheduler.protocol.errors import ConfigError

CacheChoice = Literal["pool", "local", "none"]
PlaneChoice = Literal["ub", "vpc"]

CLUSTERS: Final = ("cloudmatrix384",)
MODELS: Final = ("deepseek-r1",)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides the outcome of a run besides the trace itself."""

    cluster: str = "cloudmatrix384"
    """Hardware profile."""
    model: str = "deepseek-r1"
    """Served model."""
    plan: str = "14x16p+1x160d+48c"
    """Instances; the default is one published decode instance and prefill instances on the rest (224 + 160 NPUs)."""
    policy: str = "cloudmatrix"
    """Routing policy, for prefill and decode alike."""
    prefill_tokens_per_npu: int = 4096
    """Token budget of one prefill pass, per NPU. 4,096 makes a full pass of about 0.75 s, which a request that just
    missed it waits in its TTFT; the published batch of 16,384 takes 2.9 s."""
    expert_balance: Literal["default", "perfect"] = "default"
    """Prefill expert balance: as measured, or the paper's projection of perfect EPLB."""
    mtp: bool = True
    """Decode with one speculative token, accepted at 70 %."""
    kv_extent_blocks: int = 4
    """KV blocks of 128 tokens that a decoding sequence takes at a time beyond its prompt."""
    kv_reserve_share: float = 0.10
    """Share of HBM kept from weights and KV, for activations and fragmentation."""
    cache: CacheChoice = "pool"
    """Prefix KV: one shared pool, one cache per prefill instance, or none."""
    cache_plane: PlaneChoice = "ub"
    """Network plane for cache reads and writes."""
    cache_bytes_per_server: float = 512e9
    """DRAM of one cache server (one per node) given to KV. The DRAM of a node is not published: an estimate, half of
    32 DIMMs of 32 GB."""
    max_open_requests: int = 1_000_000
    """Requests in the system beyond which an arrival is rejected as overload."""
    slo: str = ""
    """Limits such as ttft=2s,tpot=50ms; empty for none."""
    seed: int = 0
    """Seed of every random stream."""

    def digest(self) -> str:
        """A short name of this configuration: equal digests, equal settings."""
        canonical = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def checked(self) -> RunConfig:
        """This configuration, or a `ConfigError` for what no run could use."""
        _one_of("cluster", self.cluster, CLUSTERS)
        _one_of("model", self.model, MODELS)
        _one_of("cache", self.cache, ("pool", "local", "none"))
        _one_of("cache_plane", self.cache_plane, ("ub", "vpc"))
        _one_of("expert_balance", self.expert_balance, ("default", "perfect"))
        for name in ("prefill_tokens_per_npu", "kv_extent_blocks", "max_open_requests"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is too small; give 1 or more")
        if not 0 <= self.kv_reserve_share < 1:
            raise ConfigError(f"kv_reserve_share: {self.kv_reserve_share} is no share; give 0 or more and less than 1")
        if not 0 <= self.cache_bytes_per_server < float("inf"):
            raise ConfigError(f"cache_bytes_per_server: {self.cache_bytes_per_server} is no size; give 0 or more bytes")
        return self


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{name}: unknown value {value!r}; {hint}known: {', '.join(known)}")


def load_config(path: str | None, flags: dict[str, Any]) -> RunConfig:
    """Defaults, then the YAML file, then the flags that were given (a flag of None was not)."""
    config = RunConfig() if path is None else replace(RunConfig(), **_read_yaml(path))
    return replace(config, **{name: value for name, value in flags.items() if value is not None}).checked()


def _read_yaml(path: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where is not None else ""
        raise ConfigError(f"{path}{line}: not YAML; give lines of the form 'key: value'") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds no mapping; give lines of the form 'key: value'")
    return _typed(path, cast(dict[Any, Any], document))


def _typed(path: str, document: dict[Any, Any]) -> dict[str, Any]:
    """Known keys with values of the right type; anything else names the file, the key and the near ones."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    known = [field.name for field in fields(RunConfig)]
    for key in document:
        if key not in known:
            near = get_close_matches(str(key), known)
            mend = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{path}: unknown key {key!r}; {mend}")
    RunConfig.__pydantic_config__ = ConfigDict(strict=True)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        config = TypeAdapter(RunConfig).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return {key: getattr(config, key) for key in document}
