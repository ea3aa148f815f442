"""Paths and ledger of sequences that come and go, against lists of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.running_tokens import unpack_running
from workers.decode.token_ledger import TokenLedger
from workers.decode.token_paths import TokenPaths

MOVES = st.lists(
    st.tuples(
        st.integers(0, 200),  # steps that pass before
        st.integers(0, 10**6),  # id
        st.lists(st.integers(1, 5), min_size=1, max_size=40),  # tokens of each step
        st.integers(1, 300),  # that many times over
        st.booleans(),  # whether somebody leaves
    ),
    max_size=30,
)


@given(MOVES)
def test_each_sequence_has_at_each_step_what_it_was_brought(
    moves: list[tuple[int, int, list[int], int, bool]],
) -> None:
    paths, ledger, step = TokenPaths(), TokenLedger(3), 0
    running: dict[int, tuple[int, int, list[int]]] = {}
    for passed, request_id, brought, times, leaves in moves:
        for _ in range(passed):
            step += 1
            for one in [one for one, (_, joined, tokens) in running.items() if joined + len(tokens) == step]:
                assert paths.remove(one, step).tolist() == [sum(running.pop(one)[2])]
        if leaves and running:
            one = min(running, key=lambda one: one % 97)
            die, joined, tokens = running.pop(one)
            path = paths.remove(one, step)
            assert path[0] == sum(tokens[: step - joined])
            ledger.add(die, step, step, path[:-1] - path[1:])
        if request_id not in running:
            tokens = brought * times
            running[request_id] = (request_id % 3, step, tokens)
            paths.add(request_id, step, np.cumsum([0, *tokens]))
            ledger.add(request_id % 3, step, step, np.array(tokens))
        column = paths.column(step)
        told = unpack_running(column) if column else {}
        assert told == {one: sum(tokens[: step - joined]) for one, (_, joined, tokens) in running.items()}
        assert list(told) == sorted(running)
        expected = np.zeros((3, 8), np.int64)
        for die, joined, tokens in running.values():
            ahead = tokens[step - joined :][:8]
            expected[die, : len(ahead)] += ahead
        assert ledger.brought(np.arange(3), step, 8).tolist() == expected.tolist()
