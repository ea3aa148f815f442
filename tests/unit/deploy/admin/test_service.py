"""The admin port: who may call, from where, and what of it reaches the control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from deploy.admin.service import MAX_BODY_BYTES, AdminService
from deploy.admin.spec import PATH, AdminSpec
from deploy.cluster.runtime_folder import make_token
from deploy.live.control_calls import COMMANDS
from scheduler.protocol.errors import ClusterError, ConfigError

Answer = TypeVar("Answer")


class Plane:
    """Notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def call(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """As the control plane does."""
        self.asked.append((command, dict(arguments)))
        if command == "stop":
            raise ClusterError("no hosts\nyet")
        if arguments.get("parts") == ["l2/9/9"]:
            raise ConfigError("no such part: l2/9/9")
        return arguments.get("parts", {"phase": "idle"})


def talk(path: Path, plane: Plane, ask: Callable[[aiohttp.ClientSession, str], Awaitable[Answer]]) -> Answer:
    """Ask an admin port whose token is in a file there."""

    async def run() -> Answer:
        service = AdminService(AdminSpec(str(path / "admin-token")), COMMANDS, plane.call)
        url = f"http://{await service.start()}{PATH}"
        async with aiohttp.ClientSession() as client:
            try:
                return await ask(client, url)
            finally:
                await service.stop()

    return asyncio.run(run())


@pytest.fixture
def token(tmp_path: Path) -> str:
    """As the command line makes it."""
    make_token(tmp_path / "admin-token")
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600
    return (tmp_path / "admin-token").read_text()


def post(
    tmp_path: Path,
    token: str,
    name: str,
    body: Any = None,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any, Plane]:
    """One call, and what the control plane heard of it."""
    plane = Plane()
    more: dict[str, Any] = {"json": {} if body is None else body} if data is None else {"data": data}

    async def ask(client: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
        all_headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        async with client.post(f"{url}/{name}", headers=all_headers, **more) as answer:
            text = await answer.text()
            assert token not in text
            return answer.status, await answer.json()

    status, document = talk(tmp_path, plane, ask)
    return status, document, plane


def test_operations_are_those_of_the_command_line(tmp_path: Path, token: str) -> None:
    status, document, plane = post(tmp_path, token, "fail", {"parts": ["ub/2"]})
    assert (status, document) == (200, {"result": ["ub/2"]})
    assert plane.asked == [("fail", {"parts": ["ub/2"]})]

    async def ask(client: aiohttp.ClientSession, url: str) -> Any:
        async with client.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
            return await answer.json()

    listed = talk(tmp_path, Plane(), ask)["operations"]
    assert listed.keys() == COMMANDS.keys()
    assert listed["fail"]["required"] == ["parts"]


@pytest.mark.parametrize("given", ["", "wrong", "Bearer", "{token}x", "{token[0]}"])
def test_who_has_no_token_is_refused_before_anything_else(tmp_path: Path, token: str, given: str) -> None:
    status, _, plane = post(tmp_path, token, "status", headers={"Authorization": f"Bearer {given.format(token=token)}"})
    assert (status, plane.asked) == (401, [])


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "[::1]:80"},
        {"Origin": "http://127.0.0.1"},
    ],
)
def test_a_web_page_is_refused(tmp_path: Path, token: str, headers: dict[str, str]) -> None:
    status, _, plane = post(tmp_path, token, "status", headers=headers)
    assert (status, plane.asked) == (403, [])


@pytest.mark.parametrize(
    ("name", "body", "status", "line"),
    [
        ("nothing", {}, 404, "known: drain, fail, instances, repair, scale, status, stop"),
        ("fail", {}, 422, "parts: field required"),
        ("fail", {"parts": "ub/2"}, 422, "parts"),
        ("fail", {"parts": ["ub/2"], "x": 1}, 422, "x: extra inputs are not permitted"),
        ("fail", [], 422, "input should be an object"),
        ("fail", {"parts": ["l2/9/9"]}, 422, "no such part: l2/9/9"),
        ("stop", {}, 409, "no hosts yet"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, token: str, name: str, body: Any, status: int, line: str
) -> None:
    got, document, _ = post(tmp_path, token, name, body)
    assert got == status
    assert line in document["error"]["message"]
    assert "\n" not in document["error"]["message"]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"parts": ["' + b"a" * MAX_BODY_BYTES + b'"]}', "application/json", 413),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, token: str, data: bytes, kind: str, status: int) -> None:
    got, _, plane = post(tmp_path, token, "fail", data=data, headers={"Content-Type": kind})
    assert (got, plane.asked) == (status, [])


def test_a_token_that_is_empty_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("\n")
    (tmp_path / "admin-token").chmod(0o600)
    with pytest.raises(ClusterError, match="is empty"):
        AdminService(AdminSpec(str(tmp_path / "admin-token")), COMMANDS, Plane().call)
