"""A trace that an outside client plays against our own service, over a small system that takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from hashlib import sha256
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from msgspec import Struct

from deploy.http.service import HttpService
from deploy.http_client import replay as client_replay
from deploy.http_client.front import ServiceFront
from deploy.http_client.replay import play, summary_of
from deploy.settings.clients import parse_warmup
from deploy.settings.settings import Settings
from scheduler.metrics.outcome.client_summary import ClientSummary
from scheduler.metrics.outcome.summary import Summary
from scheduler.metrics.records import Records
from scheduler.policies.classes import ClassBook, parse_classes
from scheduler.protocol.component import Component
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.protocol.messages import RequestsArrived
from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.clients.groups import ClientGroup
from scheduler.sources.clients.play import client_source
from scheduler.sources.trace_source import TraceSource
from tests.unit.deploy.http.served import CONTEXT_TOKENS, InstantSession, make_service, served

MS = 1_000_000
BLOCK_TOKENS = 256
KEY = "a-key-of-enough-characters"

ROWS = ArrivalBlock(
    [0, 1 * MS, 2 * MS, 3 * MS],
    [600, 600, 40, 600],
    [5, 1, 9, 3],
    [[1, 2, 3], [1, 2, 4], [], [1, 2, 3]],
    [0, 0, 0, 7],
)
"""The second has 512 tokens of the first, and the last, of another tenant, nothing of either."""


class Played(Struct):
    """What came of it, and what the system was told."""

    front: ServiceFront
    session: InstantSession | None
    is_partial: bool
    warmup: str = ""

    @property
    def summary(self) -> ClientSummary:
        """Of a run of no limits."""
        settings = Settings.from_plain({"slo": "ttft=5s", "warmup": self.warmup})
        return summary_of(settings, self.front, Records(self.front.table), 1.0, None)


def trace(rows: ArrivalBlock = ROWS) -> Trace:
    return Trace("small", BLOCK_TOKENS, len(rows), iter([rows]))


def played(
    source: Component,
    session: InstantSession | None = None,
    service: HttpService | None = None,
    beside: Callable[[ServiceFront], Coroutine[Any, Any, None]] | None = None,
    classes: str = "",
    warmup: str = "",
) -> Played:
    """By a client, against a service."""
    front = ServiceFront(ClassBook(parse_classes(classes) if classes else ()), parse_warmup(warmup))

    async def talk(client: TestClient[Any, Any]) -> bool:
        other = None if beside is None else asyncio.create_task(beside(front))
        is_partial = await play(str(client.make_url("")).rstrip("/"), source, front)
        if other is not None:
            await other
        return is_partial

    return Played(front, session, served(talk, session, service), warmup)


def test_the_service_is_asked_for_what_the_trace_says() -> None:
    session = InstantSession()
    done = played(TraceSource(trace()), session)
    there, here = session.core.table, done.front.table
    assert not done.is_partial
    assert there.num_requests == here.num_requests == 4
    assert sorted(there.prompt_tokens[:4]) == [40, 600, 600, 600]
    assert sorted(there.output_tokens[:4]) == [1, 3, 5, 9]
    assert list(here.output_tokens[:4]) == [5, 1, 9, 3]
    assert sorted(here.cached_tokens[:4]) == [0, 0, 0, 512]


def test_the_summary_has_what_a_client_sees_and_null_for_the_rest() -> None:
    summary = played(TraceSource(trace()), InstantSession()).summary
    document = summary.to_json()
    assert list(document) == [
        *(key for key in Summary.__struct_fields__ if key not in ("classes", "broken_parts", "finish_limits", "others")
          and key not in ("clients", "sessions", "warmup")),
        "lateness",
    ]  # fmt: skip
    assert document["requests"] == {"arrived": 4, "finished": 4, "rejected": 0, "failed": 0, "retried": 0}
    assert document["tokens"] == {
        "prompt": 1840, "output": 18, "computed": None, "wasted_prompt": 0, "wasted_output": 0
    }  # fmt: skip
    assert document["cache"] == {"hit_tokens": 512, "lookup_tokens": 1840, "pool": None}
    assert document["slo"]["attainment"] == 1
    unknown = ("queue_s", "per_npu", "decode_load", "fabric", "energy", "cost", "preemptions")
    assert [document[key] for key in unknown] == [None] * len(unknown)
    assert 0 < document["ttft_s"]["p50"] < document["e2e_s"]["max"]
    assert document["itl_s"]["mean"] >= 0
    page = summary.page("a trace")
    assert "\n  TTFT  " in page
    assert "Fabric" not in page


@pytest.mark.parametrize("warmup", ["2", "0.2s"])
def test_a_warm_up_is_sent_and_left_out_of_the_figures(warmup: str) -> None:
    times_ns = [0, 1 * MS, 200 * MS, 203 * MS]
    rows = ArrivalBlock(times_ns, ROWS.prompt_tokens, ROWS.output_tokens, ROWS.prefixes, ROWS.tenants)
    done = played(TraceSource(trace(rows)), InstantSession(), warmup=warmup)
    document, table = done.summary.to_json(), done.front.table
    assert table.num_requests == 4
    assert document["warmup"] == {"requests": 2, "ended_s": 0.2}
    assert document["requests"]["arrived"] == document["requests"]["finished"] == 2
    assert document["tokens"]["output"] == 9 + 3
    assert document["cache"] == {"hit_tokens": 0, "lookup_tokens": 640, "pool": None}
    assert len(done.front.late_sent_ns) == 2
    assert len(done.front.gaps_ns) == len(done.front.late_tokens_ns) - 2
    ttft_s = [(table.first_token_ns[i] - table.arrived_ns[i]) / 1e9 for i in (2, 3)]
    assert document["ttft_s"]["mean"] == pytest.approx(sum(ttft_s) / 2)
    assert "without the warm-up: 2 requests" in done.summary.page("a trace")


@pytest.mark.parametrize("warmup", ["4", "10s"])
def test_a_warm_up_that_leaves_nothing_is_an_error(warmup: str) -> None:
    done = played(TraceSource(trace()), InstantSession(), warmup=warmup)
    with pytest.raises(ConfigError, match=r"left nothing: all 4 requests arrived within it"):
        _ = done.summary


def test_clients_that_wait_have_one_request_in_flight_each() -> None:
    rows = ArrivalBlock([0] * 12, [40] * 12, [3] * 12, [[]] * 12, [0] * 12)
    done = played(client_source(trace(rows), [ClientGroup(2)], waits=False, seed=0), InstantSession())
    records = Records(done.front.table)
    assert records.num_requests == 12
    for at_ns in records.arrived_ns.tolist():
        assert ((records.arrived_ns <= at_ns) & (records.ended_ns > at_ns)).sum() <= 2


def test_what_the_service_refuses_ends_for_its_reason() -> None:
    rows = ArrivalBlock([0, 0], [CONTEXT_TOKENS + 1, 40], [3, 3], [[], []], [0, 0], ["chat", ""])
    service = make_service(class_names=("chat",))
    done = played(TraceSource(trace(rows)), InstantSession(), service, classes="chat:ttft_s=2")
    document = done.summary.to_json()
    assert document["finish_reasons"]["too_long"] == document["requests"]["rejected"] == 1
    assert list(done.front.table.request_class[:2]) == [1, 0]
    assert [problem[:4] for problem in done.front.problems] == ["400:"]


def test_a_class_that_the_service_does_not_have_is_left_out_and_said() -> None:
    rows = ArrivalBlock([0, 0, 0], [40] * 3, [3] * 3, [[]] * 3, [0] * 3, ["chat", "batch", ""])
    session = InstantSession()
    done = played(TraceSource(trace(rows)), session, make_service(class_names=("chat",)))
    arrived = [one for one in session.told if isinstance(one, RequestsArrived)]
    assert sorted(name for one in arrived for name in one.classes) == ["chat"]
    assert done.summary.to_json()["requests"]["finished"] == 3
    [(problem, count)] = done.front.problems.items()
    assert "'batch'" in problem
    assert count == 1


def test_one_that_is_stopped_leaves_everything_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[Callable[[], None]] = []

    def noted(stop: Callable[[], None]) -> nullcontext[None]:
        stops.append(stop)
        return nullcontext()

    monkeypatch.setattr(client_replay, "stop_on_interrupt", noted)

    async def stop_soon(front: ServiceFront) -> None:
        while not front.table.num_open:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        stops[0]()

    session = InstantSession(stands=True)
    done = played(TraceSource(trace()), session, beside=stop_soon)
    assert done.is_partial
    assert done.front.table.num_open == 0
    assert done.summary.to_json()["finish_reasons"]["interrupted"] == done.front.table.num_requests > 0


def test_who_is_let_in_nowhere_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = make_service(key_digests=(sha256(KEY.encode()).hexdigest(),))
    with pytest.raises(ConfigError, match="put it into SUPERNODE_HTTP_KEY"):
        played(TraceSource(trace()), InstantSession(), closed)
    monkeypatch.setenv("SUPERNODE_HTTP_KEY", KEY)
    assert played(TraceSource(trace()), InstantSession(), closed).summary.requests.finished == 4
    monkeypatch.setattr(client_replay, "READY_S", 0.1)
    with pytest.raises(ClusterError, match="takes no requests: a replay runs on this cluster"):
        played(TraceSource(trace()))
