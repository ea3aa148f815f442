"""What a request of a client that waits had waited for before it arrived."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deploy.pages.units import shown
from deploy.run_folder.clients import NOTHING
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.records import SESSION_COLUMN


def waits_before(run: RunFolder, request_id: int) -> Iterator[tuple[int, str, str]]:
    """(time in ns, event, why) of the requests that it followed, of its delay, and of its client."""
    clients = run.clients
    if clients is None:
        return
    ended_ns = run.requests.numbers["ended_ns"]
    asked = clients.asked[request_id]
    before = clients.followed_by(request_id)
    last_ns = 0
    for one in before:
        last_ns = max(last_ns, int(ended_ns[one]))
        yield int(ended_ns[one]), f"request {one} ended", _followed(len(before))
    if before and (delay_ns := int(asked["ready_ns"]) - last_ns):
        yield int(asked["ready_ns"]), "ready", f"{_s(delay_ns)} after that: its delay, or a tool's time"
    yield from _client(run, request_id, int(asked["freed_by"]), int(asked["free_ns"]), int(asked["ready_ns"]))


def _followed(num_before: int) -> str:
    return "it follows this" if num_before == 1 else f"one of {num_before:,} that it waited for"


def _client(
    run: RunFolder, request_id: int, freed_by: int, free_ns: int, ready_ns: int
) -> Iterator[tuple[int, str, str]]:
    """Since when the client was free that sent it, where their number is bounded."""
    if freed_by != NOTHING:
        ended_ns = int(run.requests.numbers["ended_ns"][freed_by])
        yield ended_ns, f"request {freed_by} ended", "its client had this in flight"
        if free_ns > ended_ns:
            yield free_ns, "its client was free", f"after {_s(free_ns - ended_ns)} of thought"
    elif free_ns:
        yield free_ns, "its client began", "the ramp"
    arrived_ns = int(run.requests.numbers["arrived_ns"][request_id])
    if ready_ns != NOTHING and free_ns and arrived_ns > ready_ns:
        yield arrived_ns, "sent", f"ready for {_s(arrived_ns - ready_ns)} until a client was free"


def of_session(run: RunFolder, request_id: int) -> str:
    """Which call it is of its session, as the end of a phrase; empty if it has none."""
    sessions = run.requests.numbers.get(SESSION_COLUMN)
    if sessions is None or np.isnan(sessions[request_id]):
        return ""
    session = int(sessions[request_id])
    call = int((sessions[: request_id + 1] == session).sum())
    planned = run.clients.planned_turns if run.clients is not None else ()
    of_all = f" of {planned[session]:,}" if session < len(planned) else ""
    return f", call {call:,}{of_all} of session {session}"


def _s(time_ns: int) -> str:
    return shown("s", time_ns / NS_PER_S)
