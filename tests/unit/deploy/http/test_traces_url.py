"""Where spans go: as OpenTelemetry's specification has it for the variables, and a flag above them."""

from __future__ import annotations

import pytest

from deploy.http.traces_url import traces_url
from scheduler.protocol.errors import ConfigError

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}
WHOLE = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:4318/x"}


@pytest.mark.parametrize(
    ("flag", "environment", "url"),
    [
        (None, {}, ""),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, ""),
        (None, BASE, "http://a:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a/otlp/"}, "https://a/otlp/v1/traces"),
        (None, WHOLE, "http://b:4318/x"),
        (None, BASE | WHOLE, "http://b:4318/x"),
        (None, BASE | WHOLE | {"OTEL_SDK_DISABLED": "true"}, ""),
        ("http://c:1", BASE | WHOLE | {"OTEL_SDK_DISABLED": "true"}, "http://c:1/v1/traces"),
        ("http://c:1/", {}, "http://c:1/v1/traces"),
        ("http://c:1/api/traces", {}, "http://c:1/api/traces"),
    ],
)
def test_the_flag_wins_over_the_variable_of_traces_over_the_general_one(
    flag: str | None, environment: dict[str, str], url: str
) -> None:
    assert traces_url(flag, environment) == url


@pytest.mark.parametrize(
    "text", ["", "a:4318", "127.0.0.1", "grpc://a:4317", "http://", "http://a:x", "http://a:99999"]
)
def test_what_is_no_url_is_told_with_a_fix(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--http-traces .*such as http://127.0.0.1:4318"):
        traces_url(text, {})
