"""What a decode instance answers to the runtime and to a withdrawal; its rules are held by tests/sim."""

from __future__ import annotations

from scheduler.protocol.messages import (
    CancelReservations,
    KvReserved,
    ReportUsage,
    ReservationsCancelled,
    ReserveKv,
    RunEnded,
    StartDecode,
    Usage,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.naive.case import IDLE_WATTS, Case
from tests.sim.build import LinearEnergy, LinearSteps, decode_config
from workers.decode.instance import DecodeInstance


def instance(began_ns: int = 0) -> DecodeInstance:
    """One die with a slot for one sequence."""
    case = Case((), slots_per_die=1)
    config = decode_config(case)
    return DecodeInstance("d0", config, LinearSteps(case), LinearEnergy(), began_ns=began_ns)


def test_an_idle_instance_accounts_from_its_beginning() -> None:
    decode = instance(began_ns=100)
    accounts = [decode.handle(now_ns, ReportUsage()) for now_ns in (130, 130, 150)]
    spans = [(100, 130), (130, 130), (130, 150)]
    expected = [UsageReported("d0", Usage(start, end, 0, IDLE_WATTS * (end - start))) for start, end in spans]
    assert accounts == [[("core", account)] for account in expected]
    ended = decode.handle(151, RunEnded(interrupted=False))
    assert ended == [("core", UsageReported("d0", Usage(150, 151, 0, IDLE_WATTS)))]


def test_a_busy_instance_answers_with_its_next_report_only() -> None:
    asked, quiet = instance(), instance()
    for decode in (asked, quiet):
        decode.handle(0, ReserveKv([0], [10]))
        decode.handle(0, StartDecode([0], [1], seal_output_tokens([3])))
        decode.wake(0)
    assert not asked.handle(5, ReportUsage())
    assert asked.deadline_ns == quiet.deadline_ns
    assert asked.wake(asked.deadline_ns) == quiet.wake(quiet.deadline_ns)


def test_a_withdrawal_is_confirmed_before_its_room_goes_to_others() -> None:
    decode = instance()
    assert decode.handle(0, ReserveKv([0, 1, 2], [10, 10, 10])) == [("core", KvReserved("d0", [0], [0]))]
    outputs = decode.handle(7, CancelReservations([0, 1]))  # one has room, the other waits
    assert outputs == [("core", ReservationsCancelled("d0", [0, 1])), ("core", KvReserved("d0", [2], [0]))]
    decode.handle(8, CancelReservations([2]))
    assert decode.handle(9, ReserveKv([0], [10])) == [("core", KvReserved("d0", [0], [0]))]
    assert decode.memory.num_waiting == 0
