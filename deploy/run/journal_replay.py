"""The core of a journal built again, with the code of policies of one's own as it is given, and perhaps with another
policy asked beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from deploy.settings.load import typed_values
from deploy.settings.own_files import OwnFiles
from deploy.settings.own_policy import KINDS, PolicyChoice, files_text, is_own, read_policy
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.core.routing.decision import Decision
from scheduler.core.scheduler import Scheduler
from scheduler.policies.beside import AskedBeside
from scheduler.policies.options import split_spec
from scheduler.policies.view import PolicyContext, RoutingPolicy, StageKind
from scheduler.protocol.errors import ConfigError, JournalError
from scheduler.protocol.messages import TransferDone
from scheduler.runtime.journal import JournalHeader
from scheduler.runtime.random_streams import stream
from scheduler.sources.synthetic.section import Section

SHOWN: Final = 5
"""Decisions that differ of which all is told."""


class Differing(Struct, frozen=True):
    """One decision that another policy would have made otherwise."""

    stage: str
    request_id: int
    arrived_s: float
    chosen: str
    other: str
    reason: str


class StageCount(Struct):
    """Decisions of a stage on which the other policy was asked and answered, and those on which it said otherwise."""

    asked: int = 0
    differ: int = 0


class Beside(Struct):
    """What another policy would have said: a `DecisionLog` of the core that it is asked beside."""

    policy: Final[str]
    counts: Final[dict[StageKind, StageCount]] = field(default_factory=lambda: {one: StageCount() for one in StageKind})
    first: Final[list[Differing]] = field(default_factory=list[Differing])
    asked: Final[dict[StageKind, AskedBeside]] = field(default_factory=dict[StageKind, AskedBeside])
    core: Scheduler | None = None

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """Compare what both said, while the instances are still those that they were shown."""
        asked = self.asked[stage]
        own, other = asked.take()
        if other is None or self.core is None:
            return
        state = self.core.state
        fleet = state.prefill if stage is StageKind.PREFILL else state.decode
        chosen = decision.instance if own is None else fleet.eligible[own]
        named = fleet.eligible[other]
        count = self.counts[stage]
        count.asked += 1
        if named == chosen:
            return
        count.differ += 1
        if len(self.first) < SHOWN:
            arrived_s = state.table.arrived_ns[request_id] / 1e9
            at, its = fleet.addresses[chosen], fleet.addresses[named]
            reason = decision.reason if own is None else asked.reason
            self.first.append(Differing(stage.value, request_id, arrived_s, at, its, reason))

    def started(
        self, stage: StageKind, now_ns: int, instance: int, ids: Sequence[int], flow: TransferDone | None
    ) -> None:
        """That a choice is carried out is no further choice."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        failures = {stage.value: to_builtins(asked.failures) for stage, asked in self.asked.items()}
        counts = {stage.value: to_builtins(count) for stage, count in self.counts.items()}
        return {"policy": self.policy, **counts, "failures": failures, "first": to_builtins(self.first)}


class CoreOfJournal:
    """Makes the core that a journal was written beside. `given`: policies named by who replays it.

    One of them that is the class of a recorded policy of one's own gives its code, which must be as it was, unless
    `may_differ`. Any other is asked `beside` the recorded one, on the same reports.
    """

    def __init__(self, given: Sequence[str] = (), *, may_differ: bool = False) -> None:
        self.beside: Beside | None = None
        self._given = list(given)
        self._may_differ = may_differ

    def __call__(self, header: JournalHeader) -> Scheduler:
        """The core; `JournalError` or `ConfigError` if it cannot be made."""
        section = Section("", "the journal's header", dict(header.config))
        block_tokens = section.integer("block_tokens", 0)
        if block_tokens < 1:
            raise JournalError("the journal's header names no block_tokens; was it written by supernode replay?")
        del section.values["block_tokens"]
        told = typed_values(section)
        others = self._take_code(header, told)
        settings = Settings.from_plain(told)
        if len(others) > 1:
            raise ConfigError(
                f"--policy: {', '.join(others)}: one policy at a time is asked beside that of the journal"
            )
        if not others:
            return Blueprint(settings, block_tokens).make_core()
        choice = _choice(others[0])
        beside = self.beside = Beside(choice.spec)
        recorded = settings.routing.policy
        doubled = _Doubled("policy", recorded.spec, recorded.files, recorded, choice, settings.run.seed, beside)
        settings = replace(settings, routing=dataclasses.replace(settings.routing, policy=doubled))
        core = beside.core = Blueprint(settings, block_tokens).make_core()
        core.state.decision_logs.append(beside)
        return core

    def _take_code(self, header: JournalHeader, told: dict[str, Any]) -> list[str]:
        """Put the code of policies of one's own into `told`; returns those given that are none of them."""
        others, files = list(self._given), dict[str, OwnFiles]()
        for kind in KINDS:
            spec = str(told.get(kind, ""))
            if not is_own(spec):
                continue
            name, options = split_spec(spec)
            found = next((one for one in self._given if is_own(one) and _is_same_class(split_spec(one)[0], name)), None)
            if found is None:
                raise ConfigError(
                    f"the journal was written with {name} of one's own, and carries no code: give its file, "
                    f"--policy {name}"
                )
            given = split_spec(found)[0]
            files[kind] = OwnFiles.read(given.rpartition(":")[0])
            self._check_digest(given, files[kind].digest, header.own_code.get(kind, "unknown"))
            told[kind] = f"{given}:{options}" if options else given
            if found in others:
                others.remove(found)
        told["policy_source"] = files_text(files)
        return others

    def _check_digest(self, given: str, digest: str, recorded: str) -> None:
        if digest != recorded and not self._may_differ:
            raise ConfigError(
                f"{given} is not the code that the journal was written with (digest {digest}, recorded {recorded}); "
                "give the file as it was, or add --changed to ask this one"
            )


def _choice(spec: str) -> PolicyChoice:
    try:
        choice = PolicyChoice("policy", spec, read_policy("policy", spec))
        choice.check()
    except ConfigError as error:
        raise ConfigError(f"--policy: {error}") from None
    return choice


def _is_same_class(given: str, recorded: str) -> bool:
    """Wherever the file is now."""
    (path, _, name), (was, _, wanted) = given.rpartition(":"), recorded.rpartition(":")
    return name == wanted and Path(path).name == Path(was).name


class _Doubled(PolicyChoice, frozen=True):
    """A choice beside which another is asked."""

    recorded: PolicyChoice
    other: PolicyChoice
    seed: int
    beside: Beside

    def make(self, context: PolicyContext) -> RoutingPolicy:
        """Both; the other draws from a stream of its own, so that the recorded one draws as it did."""
        random = stream(self.seed, f"policy {context.stage.value} asked beside")
        asked = AskedBeside(self.recorded.make(context), self.other.make(PolicyContext(context.stage, random)))
        self.beside.asked[context.stage] = asked
        return asked
