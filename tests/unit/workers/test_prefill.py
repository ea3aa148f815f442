"""What a prefill instance answers when it is asked for its account; its rules are held by tests/sim."""

from __future__ import annotations

from scheduler.protocol.messages import PrefillStepped, ReportUsage, StartPrefill, Usage, UsageReported
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.naive.case import IDLE_WATTS, Case
from tests.sim.build import LinearCost, LinearEnergy
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance


def instance(began_ns: int = 0) -> PrefillInstance:
    """One without a cache."""
    return PrefillInstance("p0", PrefillConfig(4096, 64), LinearCost(Case(())), LinearEnergy(), began_ns=began_ns)


def test_an_idle_instance_accounts_from_its_beginning() -> None:
    prefill = instance(began_ns=100)
    for start_ns, end_ns in ((100, 130), (130, 150)):
        account = Usage(start_ns, end_ns, 0, IDLE_WATTS * (end_ns - start_ns))
        assert prefill.handle(end_ns, ReportUsage()) == [("core", UsageReported("p0", account))]


def test_a_busy_instance_answers_with_its_next_report_only() -> None:
    prefill = instance()
    prefill.handle(0, StartPrefill([0], [10], [0], [0], seal_output_tokens([1]), [], []))
    prefill.wake(0)
    assert not prefill.handle(5, ReportUsage())
    ((_, report),) = prefill.wake(prefill.deadline_ns)
    assert isinstance(report, PrefillStepped)
    assert report.usage.start_ns == 0
    assert report.usage.busy_ns == report.usage.end_ns
