"""One request's life as a list of events, each with what was decided and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

import numpy as np
from msgspec import Struct, to_builtins

from deploy.pages.units import shown
from deploy.report.before_arrival import of_session, waits_before
from deploy.report.fabric import named
from deploy.report.scaling import actions_text
from deploy.run_folder.read import RunFolder
from deploy.terminal.table import table
from scheduler.core.request_table import NOT_YET
from scheduler.core.routing.standing import NOWHERE
from scheduler.metrics.columns import NS_PER_S, Rows
from scheduler.metrics.records import CLASS_COLUMN
from scheduler.policies.view import StageKind
from scheduler.protocol.errors import InputError
from scheduler.protocol.finish import FinishReason

COLUMNS: Final = ("at", "since arrival", "event", "where", "why")


class Weighed(Struct, frozen=True):
    """How an instance stood when a choice was made; None is what nobody knew then.

    Queue: requests and tokens sent there and not done. `hit_tokens`: of the prompt, at hand there. `wait_s` until it
    has done what it had, `work_s` for this request (for decode: per output token), both predicted. `score` in the
    policy's own units.
    """

    instance: str
    queue_requests: int
    queue_tokens: int
    hit_tokens: int | None
    wait_s: float | None
    work_s: float | None
    score: float | None

    def text(self, stage: StageKind) -> str:
        """The numbers in a line."""
        parts = [
            f"{self.queue_requests:,} request{'s' * (self.queue_requests != 1)} and {self.queue_tokens:,} tokens there"
        ]
        if self.hit_tokens is not None:
            parts.append(f"{self.hit_tokens:,} tokens at hand")
        if self.wait_s is not None and self.work_s is not None:
            work = shown("s", self.work_s)
            wait = f"predicted wait {shown('s', self.wait_s)} and {work} of work"
            parts.append(f"predicted {work} per token" if stage is StageKind.DECODE else wait)
        if self.score is not None:
            parts.append(f"score {self.score:,.0f}" if abs(self.score) >= 1000 else f"score {self.score:.4g}")
        return ", ".join(parts)


class LifeEvent(Struct, frozen=True):
    """What happened at an instant of simulated time; `why` is a reason or a figure, and may be empty. `weighed`: of a
    choice at a stage, the chosen instance and the best other."""

    at_ns: int
    event: str
    where: str = ""
    why: str = ""
    stage: StageKind | None = None
    weighed: tuple[Weighed, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; `weighed` is there for choices only."""
        plain = {"at_ns": self.at_ns, "event": self.event, "where": self.where, "why": self.why}
        return plain | ({"weighed": [to_builtins(one) for one in self.weighed]} if self.weighed else {})


class Life(Struct, frozen=True):
    """A request and its events in the order of time."""

    request_id: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    finish_reason: str
    arrived_ns: int
    events: tuple[LifeEvent, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "request_id": self.request_id,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "finish_reason": self.finish_reason,
            "events": [one.to_json() for one in self.events],
        }


def life_of(run: RunFolder, request: str) -> Life:
    """The life of the request with that id; InputError that names the range if there is none."""
    num_requests = len(run.requests)
    if not (request.isascii() and request.isdigit() and int(request) < num_requests):
        known = f"ids go from 0 to {num_requests - 1}" if num_requests else "it has no request"
        raise InputError(f"no request {request!r} in {run.path}: {known}, in the order of arrival")
    request_id = int(request)
    numbers, texts = run.requests.numbers, run.requests.texts
    events = sorted(_events(run, request_id), key=attrgetter("at_ns"))
    return Life(
        request_id=request_id,
        prompt_tokens=int(numbers["prompt_tokens"][request_id]),
        cached_tokens=int(numbers["cached_tokens"][request_id]),
        output_tokens=int(numbers["output_tokens"][request_id]),
        finish_reason=texts["finish_reason"][request_id],
        arrived_ns=int(numbers["arrived_ns"][request_id]),
        events=tuple(events),
    )


def slowest(run: RunFolder, num: int) -> list[str]:
    """Ids of the requests with the longest time to first token, the slowest first."""
    ttft_s = run.requests.numbers["ttft_s"]
    known = np.flatnonzero(~np.isnan(ttft_s))
    order = known[np.argsort(-ttft_s[known], kind="stable")]
    return [str(one) for one in order[:num].tolist()]


def _events(run: RunFolder, request_id: int) -> Iterator[LifeEvent]:
    """In the order in which one request meets them, so that those of one instant stay so when they are sorted."""
    numbers, texts = run.requests.numbers, run.requests.texts

    def stamp(name: str) -> int:
        at_ns = numbers[name][request_id]
        return NOT_YET if np.isnan(at_ns) else int(at_ns)

    prompt, cached = (int(numbers[name][request_id]) for name in ("prompt_tokens", "cached_tokens"))
    of_class = f", class {texts[CLASS_COLUMN][request_id]}" if CLASS_COLUMN in texts else ""
    for at_ns, event, why in waits_before(run, request_id):
        yield LifeEvent(at_ns, event, "", why)
    what = f"{prompt:,} prompt tokens{of_class}{of_session(run, request_id)}"
    yield LifeEvent(stamp("arrived_ns"), "arrived at the gateway", "", what)
    for row in _own(run.decisions["prefill"], request_id):
        yield from _prefill_chosen(run, row, cached)
    if (at_ns := stamp("prefill_started_ns")) != NOT_YET:
        where = texts["prefill_instance"][request_id]
        computed = f"computes {prompt - cached:,} tokens, {cached:,} are cached{_chip(run, where)}"
        yield LifeEvent(at_ns, "prefill began", where, computed)
    if (at_ns := stamp("first_token_ns")) != NOT_YET:
        ttft = shown("s", (at_ns - stamp("arrived_ns")) / NS_PER_S)
        yield LifeEvent(at_ns, "first token", texts["prefill_instance"][request_id], f"TTFT {ttft}")
    for row in _own(run.decisions["decode"], request_id):
        yield from _handed_over(run, row)
    for at_ns, where in _preemptions(run, request_id):
        yield LifeEvent(at_ns, "preempted", where, "no KV block was free for a growing sequence; it is requeued")
    if numbers["retries"][request_id]:
        yield from _losses(run, stamp("arrived_ns"), stamp("ended_ns"))
    yield from _scalings(run, stamp("arrived_ns"), stamp("ended_ns"))
    if (at_ns := stamp("decode_started_ns")) != NOT_YET:
        where = texts["decode_instance"][request_id]
        yield LifeEvent(at_ns, "decode began", where, f"at a boundary between steps{_chip(run, where)}")
    reason = texts["finish_reason"][request_id]
    yield LifeEvent(stamp("ended_ns"), f"ended: {reason}", "", _outcome(run, request_id))


def _chip(run: RunFolder, address: str) -> str:
    """On what an instance runs, in a fleet in which not all run on the same."""
    if not run.has_several_clusters:
        return ""
    instance = next(one for one in run.instances if one.address == address)
    return f"; on {run.supernodes[instance.supernode].chip}"


def _own(rows: Rows, request_id: int) -> Sequence[Any]:
    return list(rows[rows["request_id"] == request_id])


def _prefill_chosen(run: RunFolder, row: Any, cached: int) -> Iterator[LifeEvent]:
    where = run.addresses("prefill")[int(row["instance"])]
    chosen_ns = int(row["said_ns"]) - int(row["transfer_ns"])
    yield _choice(run, StageKind.PREFILL, row, chosen_ns, "prefill instance chosen")
    if row["transfer_bytes"]:
        moved = _flow(row)
        yield LifeEvent(
            int(row["said_ns"]), "cached KV fetched", where, f"{cached:,} tokens: {moved}" if cached else moved
        )


def _handed_over(run: RunFolder, row: Any) -> Iterator[LifeEvent]:
    where = run.addresses("decode")[int(row["instance"])]
    if not row["transfer_requests"]:  # nothing moves
        yield LifeEvent(int(row["said_ns"]), "stays to decode", where, run.decode_reasons[int(row["reason"])])
        return
    began_ns = int(row["said_ns"]) - int(row["transfer_ns"]) - int(row["hidden_ns"])
    yield _choice(run, StageKind.DECODE, row, began_ns, "KV transfer began")
    yield LifeEvent(int(row["said_ns"]), "KV handed over", where, _flow(row))


def _choice(run: RunFolder, stage: StageKind, row: Any, at_ns: int, event: str) -> LifeEvent:
    """With its reason and the numbers of both instances."""
    reasons = run.prefill_reasons if stage is StageKind.PREFILL else run.decode_reasons
    addresses = run.addresses(stage.value)
    choice = run.decisions[f"{stage.value}_choices"][int(row["choice"])]
    known = [which for which in ("chosen", "other") if choice[f"{which}_instance"] >= 0]
    weighed = tuple(_weighed(choice, which, addresses) for which in known)
    return LifeEvent(at_ns, event, addresses[int(row["instance"])], reasons[int(row["reason"])], stage, weighed)


def _weighed(choice: Any, which: str, addresses: list[str]) -> Weighed:
    def of(name: str) -> Any:
        value: Any = choice[f"{which}_{name}"].item()
        return value

    def seconds(value: float) -> float | None:
        return None if np.isnan(value) else value / NS_PER_S

    hit_tokens, score = of("hit_tokens"), of("score")
    return Weighed(
        addresses[int(of("instance"))],
        of("requests"),
        of("tokens"),
        None if hit_tokens == NOWHERE else hit_tokens,
        seconds(of("wait_ns")),
        seconds(of("work_ns")),
        score if np.isfinite(score) else None,
    )


def _flow(row: Any) -> str:
    others = int(row["transfer_requests"]) - 1
    together = f", in one flow with {others} other{'s' if others > 1 else ''}" if others else ""
    hidden_s = row["hidden_ns"] / NS_PER_S
    hidden = f" after {shown('s', hidden_s)} behind the pass" if hidden_s else ""
    moved, seconds = shown("decbytes", float(row["transfer_bytes"])), shown("s", row["transfer_ns"] / NS_PER_S)
    return f"{moved} in {seconds}{hidden}{together}"


def _preemptions(run: RunFolder, request_id: int) -> Iterator[tuple[int, str]]:
    addresses = run.addresses("decode")
    for row in _own(run.decisions["preempted"], request_id):
        yield int(row["at_ns"]), addresses[row["instance"]]


def _losses(run: RunFolder, arrived_ns: int, ended_ns: int) -> Iterator[LifeEvent]:
    """All losses and broken parts of its time: which of them it met, its later starts tell."""
    for at_ns, addresses in run.losses:
        if arrived_ns <= at_ns <= ended_ns:
            yield LifeEvent(at_ns, "workers lost", ", ".join(addresses), "what was there is requeued")
    for change in run.part_changes:
        if change.broken and arrived_ns <= change.at_ns <= ended_ns:
            yield LifeEvent(change.at_ns, "parts broke", named(change.broken), "whose KV is out of reach is requeued")


def _scalings(run: RunFolder, arrived_ns: int, ended_ns: int) -> Iterator[LifeEvent]:
    """All changes of the fleet in its time."""
    for change in run.scalings:
        if arrived_ns <= change.at_ns <= ended_ns:
            yield LifeEvent(change.at_ns, "fleet scaled", actions_text(change), change.reason)


def _outcome(run: RunFolder, request_id: int) -> str:
    numbers = run.requests.numbers
    if run.requests.texts["finish_reason"][request_id] == FinishReason.TOO_LONG.name.lower():
        prompt = int(numbers["prompt_tokens"][request_id])
        return f"{prompt:,} prompt tokens; the longest that all instances hold is {run.max_prompt_tokens:,}"
    known = {name: float(numbers[key][request_id]) for name, key in (("E2E", "e2e_s"), ("TPOT", "tpot_s"))}
    parts = [f"{int(numbers['output_tokens'][request_id]):,} output tokens"]
    parts += [f"{name} {shown('s', value)}" for name, value in known.items() if not np.isnan(value)]
    return ", ".join(parts)


def render_life(life: Life) -> str:
    """A table for a terminal, ending in a newline."""
    rows: list[tuple[str, ...]] = []
    for one in life.events:
        at, since = f"{one.at_ns / NS_PER_S:.6f} s", shown("s", (one.at_ns - life.arrived_ns) / NS_PER_S)
        rows.append((at, since, one.event, one.where, one.why))
        if one.stage is not None:
            for name, weighed in zip(("  as it stood", "  best other"), one.weighed):
                rows.append(("", "", name, weighed.instance, weighed.text(one.stage)))
    title = f"Request {life.request_id}: {life.prompt_tokens:,} prompt and {life.output_tokens:,} output tokens"
    return f"{title}\n\n{table([COLUMNS, *rows], right=(0, 1))}\n"
