"""What the sequences of one decode instance produced, told from its reports of runs of steps."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.metrics.buckets import BucketCounts
from scheduler.metrics.columns import NS_PER_S
from scheduler.protocol.messages import DecodeStepped


class DecodeTally:
    """Tokens and gaps of the sequences of one decode instance in one session, from its reports.

    `kv_tokens` is what it holds. All running sequences produce alike, so one sum of tokens per sequence, noted at each
    join, tells what any of them was credited with; where it is sampled what they accept, it tells the least.
    """

    def __init__(self) -> None:
        self.kv_tokens = 0
        self._tokens = 0
        self._tokens_at_join: dict[int, int] = {}
        self._waited_ns: dict[int, int] = {}

    def lose(self) -> None:
        """All its sequences are gone; what they produced stays credited, because their clients have it."""
        self.kv_tokens = 0
        self._tokens_at_join.clear()
        self._waited_ns.clear()

    def step(self, message: DecodeStepped, gaps_s: BucketCounts) -> int:
        """Credit the tokens of a run of at least one step; returns how many.

        Its gaps are counted as `metrics.gaps` defines them. Each sequence has a gap per step, here at the mean step of
        the run. For those who joined as it began, the first gap counts from their last token.
        """
        num_steps, num_running, first_ns = message.num_steps, message.num_running, message.first_step_ns
        waited_ns = self._waited_ns
        mean_s = message.steps_ns / num_steps / NS_PER_S
        num_joined = len(waited_ns)
        total_ns = num_running * message.steps_ns - num_joined * first_ns
        gaps_s.add(mean_s, num_running * num_steps - num_joined, total_ns / NS_PER_S)
        if waited_ns:
            for waited in waited_ns.values():
                gap_s = (waited + first_ns) / NS_PER_S
                gaps_s.add(gap_s, 1, gap_s)
            waited_ns.clear()
        self._tokens += message.tokens_per_sequence
        return message.num_tokens

    def join(self, ids: Sequence[int], boundary_ns: int, last_token_ns: Sequence[int]) -> None:
        """These sequences run from now on; `last_token_ns` is by request id."""
        for request_id in ids:
            self._tokens_at_join[request_id] = self._tokens
            self._waited_ns[request_id] = boundary_ns - last_token_ns[request_id]

    def leave(self, ids: Sequence[int], num_tokens: Sequence[int], output_tokens: Sequence[int]) -> int:
        """These sequences left with so many tokens; returns how many more they were credited with.

        `output_tokens`, by request id, is what each had produced when it joined. The last step of a sequence that
        finishes may bring less than it brings to others.
        """
        num_excess = 0
        for request_id, tokens in zip(ids, num_tokens, strict=True):
            self._waited_ns.pop(request_id, None)
            credited = self._tokens - self._tokens_at_join.pop(request_id)
            num_excess += max(0, credited - (tokens - output_tokens[request_id]))
        return num_excess
