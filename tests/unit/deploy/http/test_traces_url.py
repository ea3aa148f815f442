"""Where spans go: as OpenTelemetry's specification has it for the variables, and a flag above them."""

from __future__ import annotations

import pytest

from deploy.http.spec import HttpSpec
from deploy.http.traces_url import traces_url, with_traces
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


def test_who_gave_a_flag_is_refused_and_who_has_a_variable_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_SDK_DISABLED", *BASE, *WHOLE):
        monkeypatch.delenv(variable, raising=False)
    assert with_traces(HttpSpec(), None, "the moon is full") == HttpSpec()
    assert with_traces(HttpSpec(), "http://c:1").traces_url == "http://c:1/v1/traces"
    with pytest.raises(ConfigError, match=r"--http-traces http://c:1/v1/traces: the moon is full"):
        with_traces(HttpSpec(), "http://c:1", "the moon is full")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(*next(iter(BASE.items())))
    assert with_traces(HttpSpec(), None).traces_url == "http://a:4318/v1/traces"
    assert with_traces(HttpSpec(), None, "the moon is full") == HttpSpec()
    assert "requests are not traced" in capsys.readouterr().err
