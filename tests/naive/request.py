"""One request of the naive simulation, with all that any part of it knows about the request."""

from __future__ import annotations

from tests.naive.case import NEVER, Outcome, Row


class Request:
    """A row and what has happened to it so far. `stage` says where it is, for people and for scans."""

    def __init__(self, row: Row) -> None:
        self.arrived_ns = row.arrived_ns
        self.prompt_tokens = row.prompt_tokens
        self.output_tokens = row.output_tokens
        self.prefix = row.prefix
        self.tenant = row.tenant
        self.answer = row.answer
        self.produced = 0
        # The how manieth arrival it is, once it has arrived.
        self.number = NEVER
        self.cached = 0
        self.from_ssd = 0
        # All that the pool has found so far; not all of it needs to have come in time.
        self.found = 0
        self.more_from_ssd = 0
        # It was sent to its prefill instance, and has not begun there.
        self.is_at_prefill = False
        self.stage = "new"
        self.reason = "PENDING"
        self.prefill_started_ns = NEVER
        self.first_token_ns = NEVER
        self.decode_started_ns = NEVER
        self.last_token_ns = NEVER
        self.ended_ns = NEVER
        self.num_preemptions = 0
        self.prefill_instance = NEVER
        self.decode_instance = NEVER
        self.decode_die = NEVER
        # One journey from prefill to decode; a preempted request makes another.
        self.prefill_is_done = False
        self.counts_at_decode = False
        self.was_stored = False

    def blocks(self) -> list[tuple[int, int]]:
        """The prompt's cache blocks under their full names."""
        return [(self.tenant, block) for block in self.prefix]

    def chain(self, block_tokens: int) -> tuple[list[tuple[int, int]], int]:
        """Whole blocks of prompt and answer of which all KV was made, and how many of them the prompt alone did not
        fill."""
        assert self.answer is not None
        num_before = self.prompt_tokens // block_tokens
        num_new = (self.prompt_tokens + self.produced - 1) // block_tokens - num_before
        ids = [*self.prefix[:num_before], *range(self.answer, self.answer + num_new)]
        return [(self.tenant, block) for block in ids], num_new

    def outcome(self) -> Outcome:
        """What is compared with the real run."""
        return Outcome(
            self.arrived_ns,
            self.prefill_started_ns,
            self.first_token_ns,
            self.decode_started_ns,
            self.last_token_ns,
            self.ended_ns,
            self.reason,
            self.produced,
            self.cached,
            self.num_preemptions,
            self.prefill_instance,
            self.decode_instance,
        )
