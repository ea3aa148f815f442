"""An engine with all that looks at it from outside: its HTTP service, who hears of its KV blocks, who records it."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from deploy.engines.engine import Engine
from deploy.engines.kv_blocks import KvBlocks
from deploy.engines.publisher import KvEventsSpec, Publisher
from deploy.engines.recorder import Recorder
from deploy.engines.service import EngineService
from deploy.engines.summary import summary
from deploy.http.spec import HttpSpec
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError


class EngineSpec(Struct, frozen=True):
    """Where an engine is served, under which model's name (`http`), and what else is told of it.

    `speed`: emulated seconds to one on the wall. With a `record` its requests are written there as a trace.
    """

    http: HttpSpec
    speed: float = 1.0
    kv_events: KvEventsSpec | None = None
    record: str = ""


class ServedEngine:
    """Make it on the event loop on which it is to run; then `start`, and at the end `stop`."""

    def __init__(self, spec: EngineSpec, blueprint: Blueprint) -> None:
        self.spec: Final = spec
        self.engine: Final = Engine(blueprint, spec.http.model, spec.speed)
        self._publisher: Publisher | None = None
        blocks: KvBlocks | None = None
        if spec.kv_events is not None:
            self._publisher = Publisher(spec.kv_events)
            blocks = KvBlocks(self._publisher.add)
            if not self.engine.listen(blocks):
                raise ConfigError(
                    "--kv-events: the plan has no prefix cache whose blocks can be told; take --cache local, and leave "
                    "out cache_policy, cache_block_tokens, cache_tenant_share and SSD"
                )
        self._recorder: Recorder | None = None
        if spec.record:
            core = self.engine.core
            self._recorder = Recorder(core.table, spec.record)
            core.add_guest(self._recorder)
        self.service: Final = EngineService(spec.http, self.engine, blocks)
        self._running: asyncio.Task[None] | None = None
        self.address = ""

    @property
    def running(self) -> asyncio.Task[None]:
        """Ends when the engine does; its exception is what broke it."""
        assert self._running is not None
        return self._running

    async def start(self) -> str:
        """Listen and run; returns HOST:PORT. A `ClusterError` if it cannot listen."""
        self.address = await self.service.start()
        self.begin()
        return self.address

    def begin(self) -> None:
        """Run, for whoever reaches `service` in another way."""
        if self._publisher is not None:
            self._publisher.start()
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.engine.run()
        finally:
            self.service.end()

    def summary(self) -> str:
        """A line for a person on what it served."""
        return summary(self.engine.core.table)

    async def stop(self) -> None:
        """End what is open, and all that listens."""
        self.engine.stop()
        if self._running is not None:
            await asyncio.wait([self._running])
        await self.service.stop()
        if self._publisher is not None:
            self._publisher.close()
        if self._recorder is not None:
            self._recorder.close()
