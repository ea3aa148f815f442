"""Edges at which the engines were wrong once; each the smallest example."""

from __future__ import annotations

from dataclasses import replace

from scheduler.protocol.fabric_messages import TransferKind
from scheduler.protocol.messages import CancelTransfer, Message, StartTransfer
from tests.naive.case import Case, Result, Row
from tests.sim.build import build_real, run_real


def test_a_preempted_request_that_no_longer_fits_at_prefill_still_ends() -> None:
    # The younger is preempted with 384 tokens, three blocks; the prefill instance has two, enough for its prompt.
    rows = (Row(0, 100, 400), Row(0, 100, 400), Row(3_000_000, 10, 3))
    outcomes = run_real(Case(rows, prefill_blocks=2, blocks_per_die=6)).outcomes
    assert outcomes[0].reason == outcomes[2].reason == "STOP"
    assert outcomes[1].reason in ("STOP", "LENGTH", "RETRIES_EXHAUSTED")


def test_a_run_that_nobody_interrupted_ends_no_request_as_interrupted() -> None:
    rows = (Row(0, 100, 400), Row(0, 100, 400))
    real = build_real(Case(rows, prefill_blocks=2, blocks_per_die=6))
    outcomes = real.run().outcomes
    assert not real.runtime._is_stopped
    assert "INTERRUPTED" not in [outcome.reason for outcome in outcomes]


def test_an_interrupted_run_uses_as_much_with_and_without_skipping() -> None:
    def stopped(skip_steps: bool) -> Result:
        # The second only makes something happen at 300 us, in the middle of the first one's decode.
        case = Case((Row(0, 100, 400), Row(300_000, 9_000, 1)))
        real = build_real(case, skip_steps=skip_steps)
        return real.run(taps=[lambda now_ns, _: real.runtime.stop() if now_ns >= 300_000 else None])

    skipping, stepping = stopped(True), stopped(False)
    assert stepping.busy_ns[1] == 293_239
    assert skipping.busy_ns == stepping.busy_ns
    assert skipping.joules == stepping.joules


def test_an_interruption_at_a_boundary_counts_the_step_that_ends_there() -> None:
    def stopped(skip_steps: bool) -> Result:
        case = Case((Row(0, 10, 30), Row(3_000, 9_000, 1)), pass_ns=1_000, token_ns=0, latency_ns=0, bytes_per_token=0)
        case = replace(case, fixed_ps=1_000_000, sequence_ps=0, kv_ps=0)
        real = build_real(case, skip_steps=skip_steps)
        return real.run(taps=[lambda now_ns, _: real.runtime.stop() if now_ns >= 3_000 else None])

    assert stopped(True).busy_ns[1] == 2_000
    assert stopped(False).busy_ns[1] == 2_000


def test_a_die_never_holds_more_tokens_than_its_blocks() -> None:
    # 128 tokens fill the only block, and the step begins all the same.
    outcome = run_real(Case((Row(0, 127, 5),), blocks_per_die=1)).outcomes[0]
    assert outcome.reason == "LENGTH"
    assert 127 + outcome.output_tokens <= 128


def test_a_sequence_alone_uses_the_whole_die() -> None:
    # 100 + 400 tokens fit in four blocks of 128: three at reservation, and the fourth when an extent of two is asked.
    case = Case((Row(0, 100, 400),), blocks_per_die=4, extent_blocks=2)
    assert run_real(case).outcomes[0].reason == "STOP"


def test_all_bytes_that_were_started_are_told() -> None:
    started: list[Message] = []
    case = Case((Row(0, 100, 1, (1, 2)),), cache_mode="pool", cache_blocks=8)
    result = build_real(case).run(listeners=[lambda _now_ns, _address, message: started.append(message)])
    moved = {message.transfer_id: message for message in started if isinstance(message, StartTransfer)}
    # KV that was on its way while the pass ran, for a request whose output ended with it.
    given_up = [moved.pop(message.transfer_id) for message in started if isinstance(message, CancelTransfer)]
    assert [message.kind for message in given_up] == [TransferKind.KV_TRANSFER]
    tokens = sum(sum(message.num_tokens) for message in moved.values())
    assert tokens == 100
    assert result.num_bytes == tokens * case.bytes_per_token
