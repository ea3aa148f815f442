"""What the HTTP service of a cluster is told, as plain data: where it listens, who may ask, what it says of itself."""

from __future__ import annotations

import os
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from deploy.cluster.ports import HTTP_PORT, LOOPBACK
from scheduler.protocol.errors import ConfigError

BLOCK_TOKENS: Final = 128
"""Prompt tokens of a block whose KV a later prompt can reuse: vLLM on Ascend has blocks of 128."""

KEY_VARIABLE: Final = "SUPERNODE_HTTP_KEY"
"""The environment variable that may hold the key."""

MAX_KEY_FILE_BYTES: Final = 65_536
MIN_KEY_CHARACTERS: Final = 16


class HttpSpec(Struct, frozen=True):
    """Where it listens (port 0: any that is free), and who is let in: everybody if there are no `key_digests`.

    Keys themselves go nowhere: `key_digests` are their SHA-256 in hexadecimal. `model` is the one served; prompt and
    answer have at most `max_context_tokens`. `seed` is that of the texts and lengths of answers. Accepted requests are
    noted at `accepted_path`; nowhere if it is empty. Tokens are those of the tokenizer at `tokenizer_path`; estimated
    if it is empty. Spans of requests are sent to `traces_url`; nowhere if it is empty. Clients may ask for the classes
    of `class_names`.
    """

    host: str = LOOPBACK
    port: int = HTTP_PORT
    key_digests: tuple[str, ...] = ()
    model: str = ""
    max_context_tokens: int = 0
    seed: int = 0
    accepted_path: str = ""
    tokenizer_path: str = ""
    traces_url: str = ""
    class_names: tuple[str, ...] = ()

    def at(self, address: str) -> HttpSpec:
        """The same on the port of an address that it was found to listen on."""
        return replace(self, port=int(address.rpartition(":")[2]))


def http_spec(address: str, key_file: str | None, option: str = "--http") -> HttpSpec:
    """Of what the command line says, where `option` takes the address; a `ConfigError` with the fix if it would let
    anybody in from outside."""
    host, port = parse_address(address, option)
    digests = _key_digests(key_file)
    if not (digests or is_loopback(host)):
        raise ConfigError(
            f"{option} {address}: other machines reach it there, so it needs a key; give --http-key-file FILE, or put "
            f"the key into {KEY_VARIABLE}"
        )
    return HttpSpec(host, port, digests)


def parse_address(text: str, option: str = "--http") -> tuple[str, int]:
    """HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000; PORT alone is on 127.0.0.1."""
    host, colon, port = text.rpartition(":")
    host = host if colon else LOOPBACK
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise ConfigError(f"{option} {text}: give HOST:PORT, such as {LOOPBACK}:{HTTP_PORT}; port 0 takes any")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. A name is not looked up: only `localhost` is known to be."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_text(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _key_digests(key_file: str | None) -> tuple[str, ...]:
    """Of the keys in the file, one a line, and of that in the environment."""
    keys: list[str] = []
    if key_file is not None:
        path = Path(key_file)
        try:
            text = path.read_bytes()[: MAX_KEY_FILE_BYTES + 1].decode("ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no ASCII text"
            raise ConfigError(f"--http-key-file {key_file}: {reason}; give a file with one key a line") from error
        keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not keys:
            raise ConfigError(f"--http-key-file {key_file}: there is no key in it; give a file with one key a line")
    if from_environment := os.environ.get(KEY_VARIABLE, "").strip():
        keys.append(from_environment)
    if any(len(key) < MIN_KEY_CHARACTERS for key in keys):
        raise ConfigError(f"a key of clients has fewer than {MIN_KEY_CHARACTERS} characters; give a longer one")
    return tuple(sha256(key.encode()).hexdigest() for key in keys)
