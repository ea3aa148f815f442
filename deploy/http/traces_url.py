"""Where spans of requests are sent: by a flag, or by the variables that OpenTelemetry's own programs go by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from deploy.http.spec import HttpSpec
from deploy.terminal.output import tell
from scheduler.protocol.errors import ConfigError

ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_VARIABLE: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
OFF_VARIABLE: Final = "OTEL_SDK_DISABLED"

_PATH: Final = "/v1/traces"


def with_traces(served: HttpSpec, flag: str | None, why_not: str = "") -> HttpSpec:
    """With where spans are sent, if anybody asks for that. That they cannot be, `why_not` or for want of packages, is
    said here: to whom gave a flag by a `ConfigError`, else by a line."""
    url = traces_url(flag)
    if not url:
        return served
    from deploy.http.tracing import Tracing

    try:
        if why_not:
            raise ConfigError(f"--http-traces {url}: {why_not}")
        Tracing(url, "").close()
    except ConfigError as error:
        if flag is not None:
            raise
        tell(f"requests are not traced, though the environment asks for it: {error}")
        return served
    return replace(served, traces_url=url)


def traces_url(flag: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Where spans go: by the flag, else by the standard variables; empty for nowhere.

    A URL without a path, and the general variable's, gets that of traces. `ConfigError` for what is no URL.
    """
    if flag is None and environment.get(OFF_VARIABLE, "").strip().lower() == "true":
        return ""
    if flag is None and (whole := environment.get(TRACES_VARIABLE, "").strip()):
        return _checked(TRACES_VARIABLE, whole)
    name, base = (
        ("--http-traces", flag) if flag is not None else (ENDPOINT_VARIABLE, environment.get(ENDPOINT_VARIABLE))
    )
    base = (base or "").strip()
    if flag is None and not base:
        return ""
    url = _checked(name, base)
    has_path = flag is not None and urlsplit(url).path not in ("", "/")
    return url if has_path else url.rstrip("/") + _PATH


def _checked(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        raise ConfigError(f"{name} {url:.100}: give the URL of an OTLP/HTTP receiver, such as http://127.0.0.1:4318")
    return url
