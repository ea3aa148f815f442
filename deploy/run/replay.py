"""One replay on the virtual clock, from an opened trace to a summary, and the parts it shares with a live one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import astuple

from deploy.run.collecting import collecting, expected_clients, make_collector, run_info
from deploy.run.garbage_collection import patient_collection
from deploy.run.policy_failures import failed_text, failures_document
from deploy.run.prediction import Prediction, prediction_of
from deploy.run.profile_run import needs_profile, profile_virtual
from deploy.run.sources import clients_log, clients_warnings, lose_nothing, make_sources
from deploy.run.trace_total import TraceTotal
from deploy.run_folder import RUN_NAME
from deploy.settings.own_policy import breaker_of
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.terminal.interrupt import stop_on_interrupt
from deploy.terminal.progress import progress
from scheduler.core.request_table import RequestTable
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.summary import SIGNIFICANT_DIGITS, Summary, summarize
from scheduler.metrics.records import Records, write_records
from scheduler.policies.failures import PolicyFailures
from scheduler.protocol.component import Component, Outputs
from scheduler.protocol.errors import ConfigError, SupernodeError
from scheduler.runtime.clock import monotonic_s
from scheduler.runtime.virtual import VirtualRuntime
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace

SUMMARY_NAME: Final = "summary.json"

# A replay that writes no journal should not pay for what journals need, nor one without a folder for what that needs.
if TYPE_CHECKING:
    from deploy.run.openmetrics import ScrapedRun, ScrapeJob
    from deploy.run_folder.log import RunLog
    from scheduler.core.routing.decision import DecisionLog
    from scheduler.core.scheduler import Scheduler
    from scheduler.metrics.outcome.decisions import RunDecisions
    from scheduler.runtime.journal import JournalHeader
    from scheduler.sources.clients.groups import ClientGroup
    from scheduler.sources.clients.log import ClientsLog
    from scheduler.sources.faults import FaultPlan


class ReplayJob(Struct, frozen=True):
    """What to replay on what."""

    trace: str
    options: TraceOptions
    settings: Settings
    journal: str | None = None
    faults: FaultPlan | None = None
    keeps_log: bool = False
    """Whether the result is to have what a run folder needs."""
    scrapes: ScrapeJob | None = None
    """A file of simulated scrapes to write, on the virtual clock."""
    decision_logs: Sequence[DecisionLog] = ()
    """Who else keeps what is decided."""


class LiveCost(Struct, frozen=True):
    """What being live took: emulated seconds to one on the wall, start-up, and the lateness of messages on the wall.

    `hop_share_of_ttft`: the median hop as a share of the median TTFT.
    """

    speed: float = 1.0
    startup_s: float = 0.0
    hop_p50_wall_s: float = 0.0
    hop_p99_wall_s: float = 0.0
    hop_share_of_ttft: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded like those of a summary."""
        speed, startup_s, p50_s, p99_s, share = (float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in astuple(self))
        hop_wall_s = {"p50": p50_s, "p99": p99_s}
        return {"speed": speed, "startup_s": startup_s, "hop_wall_s": hop_wall_s, "hop_share_of_ttft": share}


class ReplayResult(Struct, frozen=True):
    """What came of a replay. `warnings` are lines for a person: rows left out, failures of policies."""

    title: str
    summary: Summary
    records: Records
    prefill_addresses: list[str]
    decode_addresses: list[str]
    warnings: list[str]
    is_partial: bool
    live: LiveCost | None = None
    num_npus: int = 0
    failures: Mapping[str, PolicyFailures] = field(default_factory=dict[str, PolicyFailures])
    """Of policies, by what they are asked for: `Scheduler.policy_failures`."""
    log: RunLog | None = None
    prediction: Prediction | None = None
    class_names: Sequence[str] = ()

    def page(self) -> str:
        """For people, ending in a newline."""
        from scheduler.metrics.outcome.table import render

        return render(self.summary, self.title)

    def write(self, directory: str, document: dict[str, Any], command: Sequence[str]) -> None:
        """See `write_result`."""
        write_result(directory, self, document, command)

    def document(self) -> dict[str, Any]:
        """The result as plain values for JSON; `live` is there for a live run only, `prediction` where times were
        predicted."""
        document = {**self.summary.to_json(), "partial": self.is_partial}
        document["policy_failures"] = failures_document(self.failures)
        if self.prediction is not None:
            document["prediction"] = self.prediction.to_json()
        if self.live is not None:
            document["live"] = self.live.to_json()
        return document


def replay_virtual(job: ReplayJob) -> ReplayResult:
    """Replay on the virtual clock; Ctrl-C ends it early with everything accounted for."""
    started_s = monotonic_s()
    requests = job.settings.requests
    trace = open_trace(job.trace, options=job.options)
    blueprint = Blueprint(job.settings, trace.block_tokens, loads_models=bool(job.faults and job.faults.workers))
    core = blueprint.make_core()
    collector = collecting(core, blueprint)
    workers: list[Component] = [blueprint.make_worker(address) for address in blueprint.worker_addresses]
    workers, lose, provisioners = _losable(job.faults, blueprint, workers, lambda worker: runtime.exchange(worker))
    core.state.decision_logs += job.decision_logs
    table = core.table
    total = TraceTotal(job.trace, job.options, trace.num_requests_hint)
    decided = keep_decisions(core) if job.keeps_log else None
    profile = profile_virtual(blueprint) if needs_profile(blueprint, core.routing) else ()
    waits, keeps_log = job.options.links, job.keeps_log
    sources = make_sources(trace, job.faults, blueprint, table, profile, lose, waits=waits, keeps_log=keeps_log)
    with (
        _journalled(core, job, blueprint) as front,
        _scraped(job, blueprint, core) as scrapes,
        patient_collection(),
    ):
        observers = () if scrapes is None else (scrapes.observer,)
        runtime = VirtualRuntime([*sources, *provisioners, front, *workers, *observers], core.address)
        with (
            stop_on_interrupt(runtime.stop, breaker_of(job.settings.policies)),
            progress("replaying", lambda: (table.num_requests - table.num_open, total())),
        ):
            is_partial = runtime.run()
        if scrapes is not None:
            scrapes.write(runtime.now_ns)
    refuse_stalled(collector)
    records = Records(table)
    clients = clients_log(sources)
    info = run_info(blueprint, monotonic_s() - started_s, clients)
    summary = summarize(collector, info, requests.judged_slo, records)
    return ReplayResult(
        title(blueprint, trace.name, core.policy_failures),
        summary,
        records,
        [spec.address for spec in blueprint.prefill_stage],
        [spec.address for spec in blueprint.decode_stage],
        [*trace.skipped.lines(), *core.warnings(), *clients_warnings(sources)],
        is_partial,
        num_npus=blueprint.plan.num_npus,
        failures=core.policy_failures,
        log=run_log(job, trace.name, blueprint, collector, decided, clients),
        prediction=prediction_of(core.routing),
        class_names=requests.class_names,
    )


def _losable(
    faults: FaultPlan | None,
    blueprint: Blueprint,
    workers: list[Component],
    exchange: Callable[[Component], None],
) -> tuple[list[Component], Callable[[str, int], Outputs], list[Component]]:
    """The workers such that those that are to be lost can be, and those that come and go; what loses one, and who
    starts and ends them."""
    lost, scaling = faults.workers if faults is not None else frozenset[str](), blueprint.settings.scaling
    if not (lost or scaling.is_on):
        return workers, lose_nothing, []
    from deploy.faults.workers import LosableWorkers

    kept = LosableWorkers(
        workers,
        lambda address, now_ns: blueprint.make_worker(address, began_ns=now_ns),
        exchange,
        blueprint.absent,
    )
    if not scaling.is_on:
        return kept.components, kept.lose, []
    from scheduler.sources.provisioner import Provisioner

    return kept.components, kept.lose, [Provisioner(kept.start, kept.stop, round(scaling.start_s * 1e9))]


def refuse_stalled(collector: Collector) -> None:
    """A run that has ended with requests open is no result."""
    num_open, broken = collector.table.num_open, collector.failed_parts
    if not num_open:
        return
    if broken:
        shown = ", ".join(broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise ConfigError(
            f"the run stalled with {num_open:,} requests open: nothing reaches them while {shown} stays broken; "
            "have it repaired, by 'for' in the faults file or 'supernode repair'"
        )
    raise SupernodeError(f"the run stalled with {num_open} requests open")


@contextmanager
def _journalled(core: Component, job: ReplayJob, blueprint: Blueprint) -> Generator[Component]:
    """The core, or one that keeps a journal if that was asked for."""
    if job.journal is None:
        yield core
        return
    from scheduler.runtime.journal import JournalledCore, JournalWriter

    with JournalWriter(job.journal, journal_header(blueprint)) as writer:
        yield JournalledCore(core, writer)


@contextmanager
def _scraped(job: ReplayJob, blueprint: Blueprint, core: Scheduler) -> Generator[ScrapedRun | None]:
    """What looks at the run as a Prometheus would, if that was asked for."""
    if job.scrapes is None:
        yield None
        return
    from deploy.run.openmetrics import scraped

    with scraped(job.scrapes, job.trace, job.options, blueprint, core) as run:
        yield run


def title(blueprint: Blueprint, trace_name: str, failures: Mapping[str, PolicyFailures]) -> str:
    """What was run on what, in one line."""
    flat = blueprint.settings.flat
    caches = {"none": "no cache", "local": "cache local", "pool": f"cache pool on {flat['cache_plane']}"}
    system = f"{flat['model']} on {flat['cluster']}, plan {flat['plan']}"
    failed = failed_text(failures)
    return f"{trace_name}: {system}, policy {flat['policy']}{failed}, {caches[blueprint.settings.cache.mode.value]}"


def journal_header(blueprint: Blueprint) -> JournalHeader:
    """Says which core a journal is for: `deploy.commands.journal` builds it again from this."""
    from scheduler.runtime.journal import JournalHeader
    from workers.ray_shell.identity import identity

    settings = blueprint.settings
    code = "".join(digest for _, digest in identity().values())
    # A journal is data: code of a user's own is named in it, with a digest, and given again by who replays it.
    config = {**settings.to_plain(), "policy_source": "", "block_tokens": blueprint.block_tokens}
    own_code = {choice.kind: choice.files.digest for choice in settings.policies if choice.files is not None}
    policy = settings.routing.policy.digest
    return JournalHeader(config, settings.run.seed, policy, code, own_code=own_code)


def keep_decisions(core: Scheduler) -> RunDecisions:
    """Have the core's decisions logged from now on."""
    from scheduler.metrics.outcome.decisions import RunDecisions

    decisions = RunDecisions(core.routing, core.state)
    core.state.decision_logs.append(decisions)
    return decisions


def run_log(
    job: ReplayJob,
    trace_name: str,
    blueprint: Blueprint,
    collector: Collector,
    decided: RunDecisions | None,
    clients: ClientsLog | None,
) -> RunLog | None:
    """What a run folder needs, if decisions were logged for one."""
    if decided is None:
        return None
    from deploy.run_folder.log import RunLog

    return RunLog(trace_name, job.trace, job.options, blueprint, collector, decided, clients)


def empty_document(
    settings: Settings, *, live: bool, groups: Sequence[ClientGroup] = (), waits: bool = False
) -> dict[str, Any]:
    """What `ReplayResult.document` would be of a run without requests: it shows which paths there will be. `groups` are
    the clients that wait; with `waits` turns wait for the turns before them."""
    blueprint, table = Blueprint(settings, BLOCK_TOKENS), RequestTable()
    slo = settings.requests.judged_slo
    info = run_info(blueprint, 0.0, expected_clients(groups, waits=waits))
    summary = summarize(make_collector(blueprint, table), info, slo)
    cost = LiveCost() if live else None
    core = blueprint.make_core()
    prediction = None if live else prediction_of(core.routing)
    failures = core.policy_failures
    return ReplayResult(
        "", summary, Records(table), [], [], [], False, cost, failures=failures, prediction=prediction
    ).document()


def write_result(directory: str, result: ReplayResult, document: dict[str, Any], command: Sequence[str] = ()) -> None:
    """`summary.json` and `requests.csv`, and the rest of a run folder if the result has a log, in a directory that is
    made if need be; `command` is what asked for it."""
    folder = Path(directory)
    addresses = result.prefill_addresses, result.decode_addresses
    write_figures(folder, document, result.records, addresses, result.class_names)
    if result.log is not None:
        from deploy.run_folder.write import write_log

        write_log(folder, result.log, result.title, result.records, command)


def write_figures(
    folder: Path,
    document: dict[str, Any],
    records: Records,
    addresses: tuple[Sequence[str], Sequence[str]],
    class_names: Sequence[str],
) -> None:
    """`summary.json` and `requests.csv` in a folder that is made if need be, and is no run folder any more."""
    import json

    from deploy.terminal.whole_file import write_whole

    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_NAME).unlink(missing_ok=True)  # comes last: a folder that has one is whole
    write_whole(folder / SUMMARY_NAME, (json.dumps(document, indent=2) + "\n").encode())
    write_records(folder, records, *addresses, class_names)
