"""What is no HTTP, or only half of it, is answered or cut, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import re
import resource
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from time import sleep

import pytest

from deploy.http.listening import body_reading, connections
from deploy.http.listening.connection_rate import ConnectionRate
from deploy.http.listening.connections import Watch
from deploy.http.service import MAX_BODY_BYTES
from tests.unit.deploy.http.running import Running, running
from tests.unit.deploy.http.served import make_service

GOOD = b'{"prompt": "a", "max_tokens": 2}'
CHUNKED = "Transfer-Encoding: chunked\r\n"
CUT = 0
"""For a status: nothing is answered."""

SECRET = b"a-key-that-nobody-else-may-see"


def post(body: bytes, head: str = "", *, length: bool = True) -> bytes:
    """One request for a completion, with these lines more in its head."""
    lines = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return (
        f"{lines}{head}{f'Content-Length: {len(body)}' + chr(13) + chr(10) if length else ''}\r\n".encode("latin-1")
        + body
    )


def get(path: bytes, head: bytes = b"") -> bytes:
    """One request without a body."""
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n"


def chunks(*pieces: bytes) -> bytes:
    """A body in chunks as it should be."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


HOSTILE: dict[str, tuple[bytes, int]] = {
    "noise": (b"\x00\xff" * 500 + b"\r\n\r\n", 400),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + b"x" * 200, 400),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\n\r\n", 400),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "long line": (get(b"/" + b"a" * 9000), 400),
    "long field": (get(b"/health", b"X: " + b"a" * 9000 + b"\r\n"), 400),
    "many fields": (get(b"/health", b"".join(b"X%d: a\r\n" % i for i in range(2000))), 400),
    "no colon": (get(b"/health", b"X\r\n"), 400),
    "NUL in a field": (get(b"/v1/models", b"Authorization: Bearer " + SECRET + b"\x00\r\n"), 400),
    "folded": (get(b"/health", b"X: a\r\n b\r\n"), 400),
    "bare line feeds": (b"GET /health HTTP/1.1\nHost: x\n\n", 400),
    "bytes in a field": (get(b"/health", b"X: \xff\xfe\r\n"), 200),
    "bytes in a host": (b"GET /health HTTP/1.1\r\nHost: \xff[::\r\nConnection: close\r\n\r\n", 200),
    "a port too high": (b"GET http://a:99999999/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "half an IPv6 address": (b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "bytes in a path": (get(b"/%00%ff%0d%0aX:%2e%2e/"), 404),
    "two lengths": (post(b"abc", "Content-Length: 4\r\n"), 400),
    "length and chunks": (post(b"abc", CHUNKED), 400),
    "a negative length": (post(b"", "Content-Length: -3\r\n", length=False), 400),
    "a signed length": (post(b"", "Content-Length: +3\r\n", length=False), 400),
    "a huge length": (post(b"", f"Content-Length: {'9' * 40}\r\n", length=False), 400),
    "an unknown coding": (post(b"", "Transfer-Encoding: gzip\r\n", length=False), 400),
    "no chunk size": (post(b"zz\r\nabc\r\n", CHUNKED, length=False), 400),
    "a huge chunk": (post(b"f" * 30 + b"\r\nabc", CHUNKED, length=False), 400),
    "good chunks": (post(chunks(GOOD[:5], GOOD[5:]), CHUNKED, length=False), 200),
    "a body that ends early": (post(GOOD)[:-5], CUT),
    "chunks that end early": (post(chunks(GOOD)[:-5], CHUNKED, length=False), CUT),
    "another expectation": (post(GOOD, "Expect: 200-maybe\r\n"), 417),
    "an upgrade": (post(GOOD, "Upgrade: websocket\r\nConnection: upgrade\r\n"), 200),
    "another method": (b"TRACE /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
    "all paths": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
    "no gzip": (post(GOOD, "Content-Encoding: gzip\r\n"), 400),
    "no deflate": (post(GOOD, "Content-Encoding: deflate\r\n"), 400),
    "gzip with more behind it": (post(gzip.compress(GOOD) + b"more", "Content-Encoding: gzip\r\n"), 400),
    "gzip cut short": (post(gzip.compress(GOOD)[:-12], "Content-Encoding: gzip\r\n"), 400),
    "good gzip": (post(gzip.compress(GOOD), "Content-Encoding: gzip\r\n"), 200),
    "gzip of gzip": (post(gzip.compress(gzip.compress(GOOD)), "Content-Encoding: gzip\r\n"), 400),
    "a coding that is not installed": (post(GOOD, "Content-Encoding: br\r\n"), 400),
    "UTF-16": (post(GOOD.decode().encode("utf-16")), 400),
    "a byte order mark": (post(b"\xef\xbb\xbf" + GOOD), 400),
    "bytes that are no text": (post(GOOD.replace(b"a", b"\xff\xfe")), 400),
    "a lone surrogate": (post(GOOD.replace(b'"a"', b'"\\ud800"')), 400),
    "NaN": (post(b'{"prompt": "a", "seed": NaN}'), 422),
    "a number without end": (post(b'{"prompt": "a", "seed": ' + b"9" * 100_000 + b"}"), 400),
    "a long number": (post(b'{"prompt": "a", "max_tokens": 2, "seed": -' + b"9" * 4000 + b"}"), 200),
    "nesting": (post(b'{"prompt": "a", "x": ' + b"[" * 500_000 + b"]" * 500_000 + b"}"), 400),
    "the same key twice": (post(b'{"prompt": "a", "max_tokens": 2, "max_tokens": "2"}'), 422),
    "a million wrong tokens": (post(b'{"prompt": [' + b"null," * 700_000 + b"null]}"), 422),
    "a million wrong parts": (post(b'{"prompt": [[' + b"-1," * 1_000_000 + b"-1]]}"), 422),
    "a tenant of many digits": (post(GOOD, f"X-Tenant: {'0' * 11}{'9' * 30}\r\n"), 200),
    "a session of many digits": (post(GOOD, f"X-Session-Id: {'9' * 199}\r\n"), 200),
    "a tenant that is no text": (post(GOOD, "X-Tenant: \xff\xfe\r\n"), 400),
}


@pytest.fixture(scope="module")
def one() -> Iterator[Running]:
    """A service that has been through all of it."""
    with running() as one:
        yield one
        one.check_nothing_is_left()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_sent_is_answered_as_documented(name: str, one: Running, capfd: pytest.CaptureFixture[str]) -> None:
    data, status = HOSTILE[name]
    answer = one.talk(data, then_silent=status != CUT)
    assert answer.startswith(b"HTTP/1." if status else b"")
    assert (int(answer[9:12]) if answer else CUT) == status
    head, _, body = answer.partition(b"\r\n\r\n")
    if status >= 400:
        assert re.search(rb"(?i)content-type: application/json", head)
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert SECRET not in answer
    assert b"Traceback" not in answer
    out, err = capfd.readouterr()
    assert not out + err


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_bomb_is_not_unpacked(coding: str, pack: Callable[[bytes], bytes], one: Running) -> None:
    bomb = pack(b'{"prompt": "' + b"a" * 40 * MAX_BODY_BYTES)
    assert len(bomb) < MAX_BODY_BYTES // 4
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        assert one.talk(post(bomb, f"Content-Encoding: {coding}\r\n"), then_silent=True)[9:12] == b"413"
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 10 * MAX_BODY_BYTES


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_too_large_is_refused_before_it_has_all_come(framing: str, one: Running) -> None:
    large = b"a" * (MAX_BODY_BYTES + 1)
    data = post(large) if framing == "length" else post(chunks(large), CHUNKED, length=False)
    assert one.talk(data, then_silent=True)[9:12] == b"413"


def test_a_head_that_does_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.02)
    made = make_service()
    made._watch = Watch(idle_s=0.3)
    with running(service=made) as one, ExitStack() as stack:
        heads = [stack.enter_context(socket.create_connection(("127.0.0.1", one.port), 10.0)) for _ in range(50)]
        for number, head in enumerate(heads):
            head.sendall(get(b"/health")[: number + 1])
        # Who goes on adding to a head is cut like one that says nothing.
        heads[0].sendall(b"ET /health HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            _trickle(heads[0])
        for head in heads[1:]:
            with suppress(ConnectionError):
                assert not head.recv(100)
        assert one.talk(post(GOOD), then_silent=True)[9:12] == b"200"
        one.check_nothing_is_left()


def _trickle(head: socket.socket) -> None:
    for _ in range(2000):
        head.sendall(b"a")
        sleep(0.01)


def test_a_body_that_does_not_come_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reading, "BODY_S", 0.1)
    with running() as one:
        answer = one.talk(post(GOOD)[:-5], then_silent=True)
        assert answer[9:12] == b"408"
        one.check_nothing_is_left()


def test_of_too_many_connections_the_silent_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.02)
    made = make_service()
    made._watch = Watch(idle_s=60.0, most=20)
    with running(service=made) as one:
        held = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(60)]
        held[0].settimeout(10.0)
        with suppress(ConnectionError):
            assert not held[0].recv(100)
        assert one.talk(post(GOOD), then_silent=True)[9:12] == b"200"
        for each in held:
            each.close()
        one.check_nothing_is_left()


def test_who_connects_too_fast_is_told_to_come_later() -> None:
    with running(rate=ConnectionRate(per_s=0.0, burst=3)) as one:
        statuses = [one.talk(post(GOOD), then_silent=True)[9:12] for _ in range(3)]
        turned_away = one.talk(b"")
        head, _, body = turned_away.partition(b"\r\n\r\n")
        assert statuses == [b"200"] * 3
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After: 1" in head
        assert json.loads(body)["error"]["code"] == "busy"
        one.check_nothing_is_left()


KEYS = [
    "",
    "Authorization: Bearer\r\n",
    "Authorization: Bearer \r\n",
    "Authorization: Bearer wrong\r\n",
    "Authorization: Bearer \xff\xfe\r\n",
    f"Authorization: Bearer {'x' * 8000}\r\n",
    f"Authorization: Basic {SECRET.decode()}\r\n",
    f"Authorization: {SECRET.decode()}\r\n",
    f"Authorization: Bearer {SECRET.decode()}x\r\n",
    f"Authorization: Bearer {SECRET.decode()[:-1]}\r\n",
    f"Authorization: Bearer {SECRET.decode()}, Bearer {SECRET.decode()}\r\n",
    "X-API-Key: wrong\r\n",
    f"Cookie: key={SECRET.decode()}\r\n",
    f"X-API-Key: {sha256(SECRET).hexdigest()}\r\n",
]


def test_a_key_that_is_wrong_in_any_way_opens_nothing() -> None:
    with running(service=make_service(key_digests=(sha256(SECRET).hexdigest(),))) as one:
        for head in KEYS:
            answer = one.talk(post(GOOD, head), then_silent=True)
            assert answer[9:12] == b"401", head
            assert b"WWW-Authenticate: Bearer" in answer
            assert SECRET not in answer
        for good in (f"authorization: bearer   {SECRET.decode()}  \r\n", f"x-api-key: {SECRET.decode()}\r\n"):
            assert one.talk(post(GOOD, good), then_silent=True)[9:12] == b"200"
        one.check_nothing_is_left()
