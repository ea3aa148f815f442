"""Requests by the gateway: what the core is told, and clients that go before they have their answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gateway.gateway_source import ClientRequest, GatewaySource
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import RequestsArrived, RequestsEnded, RequestsWithdrawn
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.small_system import MS
from tests.unit.scheduler.gateway.answers import SmallGateway, spec_of

LONG_NS = 10**15
LONGEST_PASS_NS = 20 * MS + 4096 * 20_000
"""Of `tests.small_system`."""


def test_a_request_arrives_with_all_that_is_known_of_it() -> None:
    source = GatewaySource(128)
    request = ClientRequest(300, 20, [5, 6, 7], 3, "chat", 9, wants_tokens=True)
    key, arrived = source.accept(request)
    assert arrived == RequestsArrived(
        [300], seal_output_tokens([20]), [[5, 6, 7]], [3], 128, ["chat"], [], [9], "gateway", [key]
    )
    assert source.streaming == {key}
    plain, arrived = source.accept(ClientRequest(300, 20, []))
    assert plain != key
    assert not arrived.classes
    assert not arrived.sessions


def test_a_request_arrives_as_of_its_receipt_and_not_before_one_that_came_first() -> None:
    source, request = GatewaySource(128), ClientRequest(300, 20, [])
    assert [source.accept(request, at_ns)[1].arrived_ns for at_ns in (0, 70, 50, 80)] == [0, 70, 70, 80]


def test_only_what_is_open_is_withdrawn() -> None:
    source = GatewaySource(128)
    key, _ = source.accept(ClientRequest(300, 20, [], wants_tokens=True))
    assert source.withdraw(key) == RequestsWithdrawn("gateway", [key])
    source.handle(0, RequestsEnded([key], [FinishReason.CANCELLED], [0]))
    assert source.withdraw(key) is None
    assert source.num_open == 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    stays_ms=st.dictionaries(st.integers(0, 19), st.integers(0, 1500), min_size=1),
    wants_tokens=st.booleans(),
)
def test_who_leaves_early_is_cancelled_and_leaves_nothing(
    seed: int, stays_ms: dict[int, int], wants_tokens: bool
) -> None:
    stays_ns = {key: stay_ms * MS for key, stay_ms in stays_ms.items()}
    spec = spec_of(num_requests=20, seed=seed, rate_per_s=40.0, report_interval_ns=0)
    gateway = SmallGateway(spec, wants_tokens=wants_tokens, stays_ns=stays_ns)
    core, table = gateway.core, gateway.core.table
    assert sorted(gateway.heard.rows) == list(range(20))
    for key, row in gateway.heard.rows.items():
        left_ns = table.arrived_ns[row] + stays_ns.get(key, LONG_NS)
        if table.reason[row] == FinishReason.CANCELLED:
            assert table.ended_ns[row] >= left_ns
        else:
            assert table.reason[row] == FinishReason.STOP
            # It had one token more to come, of a pass or a step that was under way.
            assert table.ended_ns[row] <= left_ns + LONGEST_PASS_NS
    assert gateway.source.num_open == 0
    assert not core.state.open.payloads
    for stage in (core.state.prefill, core.state.decode):
        assert not any(stage.outstanding_requests)
        assert not any(stage.outstanding_tokens)


def test_a_client_that_leaves_frees_its_place_at_the_next_step() -> None:
    spec = spec_of(num_requests=1, report_interval_ns=0)
    spec["rows"] = [(0, 500, 1000, [])]
    table = SmallGateway(spec, stays_ns={0: 500 * MS}).core.table
    assert table.reason[0] == FinishReason.CANCELLED
    assert 500 * MS <= table.ended_ns[0] <= 520 * MS
    assert 10 < table.output_tokens[0] < 100
