"""The HTTP service of one engine: a vLLM server's routes over the same completions as those of a whole system."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Final

from aiohttp import web

from deploy.engines.engine import WHY_NOT, Engine, EngineState
from deploy.engines.routes import ENGINE_ROUTES
from deploy.engines.weights import weights_load_s
from deploy.http.errors import HttpError
from deploy.http.prompts import BlockNumbers
from deploy.http.routes import Route
from deploy.http.service import DISTRIBUTION, HttpService
from deploy.http.spec import HttpSpec

RETRY_S: Final = 1.0
"""Wall seconds after which a client may ask again."""

MAX_SLEEP_WAIT_S: Final = 60.0
"""Wall seconds that `/sleep` waits for open requests."""

POLL_S: Final = 0.02


class EngineService(HttpService):
    """`engine` is to run while it is served; `start`, and at the end `stop`."""

    routes: ClassVar[Sequence[Route]] = ENGINE_ROUTES

    def __init__(self, spec: HttpSpec, engine: Engine, blocks: BlockNumbers | None = None) -> None:
        super().__init__(spec, lambda: (WHY_NOT[EngineState.ENDING], RETRY_S), engine.page, blocks)
        self._engine = engine
        self.begin(engine)

    def _refuse_if_closed(self) -> None:
        if self._engine.state is not EngineState.SERVING:
            raise HttpError(503, WHY_NOT[self._engine.state], "not_serving", retry_after_s=RETRY_S)
        super()._refuse_if_closed()

    async def health(self, request: web.Request) -> web.Response:
        """GET /health: one that sleeps is well, as with vLLM; one that ends wants no more requests."""
        return web.Response(status=503 if self._engine.state is EngineState.ENDING else 200)

    async def version(self, request: web.Request) -> web.Response:
        """GET /version."""
        return web.json_response({"version": version(DISTRIBUTION)})

    async def load(self, request: web.Request) -> web.Response:
        """GET /load."""
        return web.json_response({"server_load": self._engine.num_open})

    async def loads(self, request: web.Request) -> web.Response:
        """GET /get_load: one rank."""
        running, waiting, tokens = self._engine.load()
        rank = {"dp_rank": 0, "num_reqs": running + waiting, "num_waiting_reqs": waiting, "num_tokens": tokens}
        return web.json_response([rank])

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, as of now: it is written here, where no component is at work."""
        page = self._engine.page(request.path, request.headers.get("Accept", ""))
        return web.Response(body=page.body, headers={"Content-Type": page.content_type})

    async def server_info(self, request: web.Request) -> web.Response:
        """GET /server_info."""
        plan, cluster = self._engine.blueprint.plan, self._engine.blueprint.cluster
        info: dict[str, Any] = self._model() | {
            "version": version(DISTRIBUTION),
            "tp_size": 1,
            "dp_size": 1,
            "cluster": cluster.name,
            "plan": plan.text,
            "num_npus": plan.num_npus,
            "max_total_num_tokens": self._engine.kv_capacity_tokens,
            "page_size": self._engine.blueprint.block_tokens,
        }
        return web.json_response(info)

    async def model_info(self, request: web.Request) -> web.Response:
        """GET /model_info."""
        return web.json_response(self._model() | {"is_generation": True})

    def _model(self) -> dict[str, Any]:
        name = self._spec.model
        return {"model_path": name, "served_model_name": name, "max_model_len": self._spec.max_context_tokens}

    async def reset_prefix_cache(self, request: web.Request) -> web.Response:
        """POST /reset_prefix_cache: 200 whether or not it could be emptied, as with vLLM; the body says which."""
        return web.json_response({"success": self._engine.reset_prefix_cache()})

    async def sleep(self, request: web.Request) -> web.Response:
        """POST /sleep: no new requests from now on, and when the open ones have ended the KV cache is gone."""
        if request.query.get("level", "1") != "1":
            raise HttpError(400, "level: only 1 is offered, which keeps the weights in DRAM", "unsupported")
        engine = self._engine
        if engine.state is EngineState.SERVING:
            engine.state = EngineState.ASLEEP
            try:
                async with asyncio.timeout(MAX_SLEEP_WAIT_S):
                    while engine.num_open:
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                engine.state = EngineState.SERVING
                line = f"requests are open after {MAX_SLEEP_WAIT_S:.0f} s; it serves on"
                raise HttpError(503, line, "busy", retry_after_s=RETRY_S) from None
            engine.reset_prefix_cache()
        return web.Response()

    async def wake_up(self, request: web.Request) -> web.Response:
        """POST /wake_up: returns when the weights are back from DRAM."""
        if self._engine.state is EngineState.ASLEEP:
            await asyncio.sleep(weights_load_s(self._engine.blueprint) / self._engine.speed)
            self._engine.state = EngineState.SERVING
        return web.Response()

    async def is_sleeping(self, request: web.Request) -> web.Response:
        """GET /is_sleeping."""
        return web.json_response({"is_sleeping": self._engine.state is EngineState.ASLEEP})
