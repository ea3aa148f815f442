"""What happens to an instance under a power budget, at random: work comes, budgets are told, time passes."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS, Component, Outputs
from scheduler.protocol.messages import Message, RunEnded, SetPowerBudget

FLOOR_W, PEAK_W = 4_200, 11_000
"""About those of 16 NPUs of a 910C, between which budgets are told."""

Script = list[tuple[str, int, float]]
"""Of each action: what, how large, and how many seconds after the one before."""

SCRIPTS: st.SearchStrategy[Script] = st.lists(
    st.tuples(st.sampled_from(["work", "work", "budget", "wait"]), st.integers(1, 400), st.floats(0.0, 1.0)),
    min_size=1,
    max_size=15,
)


def play(instance: Component, script: Script, work: Callable[[int, int], list[Message]]) -> list[tuple[int, Message]]:
    """What the instance says, and when. `work` makes what it is told for a request of a number and a size."""
    said: list[tuple[int, Message]] = []

    def note(now_ns: int, outputs: Outputs) -> None:
        said.extend((now_ns, message) for _, message in outputs)

    now_ns = 0
    for number, (action, size, share) in enumerate(script):
        due_ns = now_ns + round(share * 1e9)
        while instance.deadline_ns <= due_ns:
            now_ns = instance.deadline_ns
            note(now_ns, instance.wake(now_ns))
        now_ns = due_ns
        told: list[Message] = []
        if action == "budget":
            told = [SetPowerBudget(round(FLOOR_W + share * (PEAK_W - FLOOR_W)))]
        elif action == "work":
            told = work(number, size)
        else:
            assert action == "wait"
        for message in told:
            note(now_ns, instance.handle(now_ns, message))
    while instance.deadline_ns != NEVER_NS:
        now_ns = instance.deadline_ns
        note(now_ns, instance.wake(now_ns))
    note(now_ns, instance.handle(now_ns, RunEnded(interrupted=False)))
    return said
