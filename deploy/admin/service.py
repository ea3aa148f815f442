"""The admin port: on loopback, for who has the token, and never for a web page that a browser is made to fetch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from deploy.admin.operations import Command, operations_of
from deploy.admin.spec import PATH, AdminSpec
from deploy.cluster.ports import LOOPBACK
from deploy.cluster.runtime_folder import MAX_TOKEN_BYTES, read_private
from deploy.http.bodies import parse_body
from deploy.http.errors import HttpError, errors_as_objects
from deploy.http.keys import KeyRing
from deploy.http.listening.body_reading import read_body
from deploy.http.listening.server import Runner
from scheduler.protocol.errors import ClusterError, SupernodeError

MAX_BODY_BYTES: Final = 64 * 1024
"""Of a call: the names of all parts of a fabric are some 40 KB."""

HOSTS: Final = ("127.0.0.1", "localhost")
"""Names that reach us. A page whose own name was made to lead here (DNS rebinding) says another."""

Call = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Does an operation by its name, with arguments that are checked."""


class AdminService:
    """`start` once. It knows the token by its digest only."""

    def __init__(self, spec: AdminSpec, commands: Mapping[str, Command], call: Call) -> None:
        self._spec = spec
        self._operations: Final = operations_of(commands)
        self._call = call
        token = read_private(Path(spec.token_path), MAX_TOKEN_BYTES).strip()
        if not token:
            raise ClusterError(f"{spec.token_path}: the token of the admin port is empty; run 'supernode down'")
        self._keys = KeyRing([sha256(token).hexdigest()])
        self._port = spec.port
        self._runner: Runner | None = None

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def start(self) -> str:
        """Listen; returns HOST:PORT as it came out. A `ClusterError` if it cannot."""
        runner = self._runner = Runner(self.application())
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self._spec.port).start()
        except OSError as error:
            await runner.cleanup()
            where = f"{LOOPBACK}:{self._spec.port}"
            raise ClusterError(f"the admin port cannot be opened on {where} ({error.strerror})") from error
        self._port = runner.addresses[0][1]
        return f"{LOOPBACK}:{self._port}"

    def application(self) -> web.Application:
        """What it answers."""
        application = web.Application(middlewares=[errors_as_objects, self._guard], client_max_size=MAX_BODY_BYTES)
        application.router.add_route("GET", PATH, self._list)
        application.router.add_route("POST", f"{PATH}/{{name}}", self._operate)
        return application

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Before anything else is looked at."""
        host, _, port = request.headers.get("Host", "").rpartition(":")
        if host not in HOSTS or port != str(self._port) or "Origin" in request.headers:
            raise HttpError(403, "ask as 127.0.0.1, and not from a web page", "forbidden")
        self._keys.check(request.headers)
        return await handler(request)

    async def _list(self, request: web.Request) -> web.Response:
        """All operations, with the JSON Schema of their arguments."""
        known = {name: one.arguments.model_json_schema() for name, one in self._operations.items()}
        return web.json_response({"operations": known})

    async def _operate(self, request: web.Request) -> web.Response:
        """Do one; what comes of it is `result`."""
        name = request.match_info["name"]
        operation = self._operations.get(name)
        if operation is None:
            known = ", ".join(sorted(self._operations))
            raise HttpError(404, f"no such operation: {name:.100}; known: {known}", "unknown_operation")
        body = parse_body(operation.arguments, await read_body(request, MAX_BODY_BYTES) or b"{}")
        # Fields that are None because nothing was said of them are passed as such: they are the defaults.
        arguments = {field: getattr(body, field) for field in operation.arguments.model_fields}
        try:
            return web.json_response({"result": await self._call(name, arguments)})
        except SupernodeError as error:
            status = 409 if isinstance(error, ClusterError) else 422
            raise HttpError(status, " ".join(str(error).split()), "refused") from None
