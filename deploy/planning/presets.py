"""Limits with a name: those of MLPerf Inference (mlcommons/inference, loadgen/mlperf.conf; at the 99th percentile)."""

from __future__ import annotations

from typing import Final

from scheduler.protocol.errors import ConfigError

_SERVER: Final = {
    "deepseek-r1": "ttft=2s,tpot=80ms",
    "llama-3.1-405b": "ttft=6s,tpot=175ms",
    "llama-2-70b": "ttft=2s,tpot=200ms",
    "llama-3.1-8b": "ttft=2s,tpot=100ms",
    "mixtral-8x7b": "ttft=2s,tpot=200ms",
}
_INTERACTIVE: Final = {
    "deepseek-r1": "ttft=1.5s,tpot=15ms",
    "llama-3.1-405b": "ttft=4.5s,tpot=80ms",
    "llama-2-70b": "ttft=450ms,tpot=40ms",
    "llama-3.1-8b": "ttft=500ms,tpot=30ms",
}
PRESETS: Final = {"mlperf-server": _SERVER, "mlperf-interactive": _INTERACTIVE}
"""By name, then by model."""


def limits(slo: str, model: str) -> str:
    """What a preset says for a model; any other text as it is. `ConfigError` if the preset has no limits for it."""
    of_models = PRESETS.get(slo)
    if of_models is None:
        return slo
    if model not in of_models:
        raise ConfigError(f"--slo {slo} has no limits for {model}; it has them for {', '.join(of_models)}")
    return of_models[model]
