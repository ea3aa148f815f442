"""Where the service listens, and who may ask there."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from deploy.http.spec import KEY_VARIABLE, HttpSpec, address_text, http_spec, is_loopback, parse_address
from scheduler.protocol.errors import ConfigError

KEY = "a-key-of-enough-characters"


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8000", ("127.0.0.1", 8000)), ("8123", ("127.0.0.1", 8123)), ("[::1]:0", ("::1", 0)),
     ("box.example:80", ("box.example", 80))],
)  # fmt: skip
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert parse_address(address_text(*address)) == address


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "1:2:3", "host:65536", "host:-1", "host:8x", "host:²"])
def test_what_is_no_address_is_said_with_the_fix(text: str) -> None:
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        parse_address(text)


def test_loopback_needs_no_key_and_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_spec("127.0.0.1:80", None) == HttpSpec("127.0.0.1", 80)
    with pytest.raises(ConfigError, match=r"--http 0.0.0.0:80: other machines reach it there, so it needs a key"):
        http_spec("0.0.0.0:80", None)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    spec = http_spec("0.0.0.0:80", None)
    assert spec.key_digests == (sha256(KEY.encode()).hexdigest(),)
    assert KEY not in repr(spec)
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "localhost", "0.0.0.0", "box")] == [True] * 3 + [
        False
    ] * 2


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of the team\n{KEY}\n\n{KEY}-2\n")
    assert len(http_spec("0.0.0.0:80", str(path)).key_digests) == 2
    for text, line in ((b"", "there is no key in it"), (b"short\n", "fewer than 16 characters"), (b"\xff", "no ASCII")):
        path.write_bytes(text)
        with pytest.raises(ConfigError, match=line):
            http_spec("0.0.0.0:80", str(path))
    with pytest.raises(ConfigError, match="No such file"):
        http_spec("0.0.0.0:80", str(tmp_path / "absent"))
