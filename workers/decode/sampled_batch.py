"""Sequences that each accept their own number of drafts in each step.

Why nothing is drawn in a step. What a sequence will accept is known when it joins (`accepted_drafts`): after how many
steps it will have how many tokens, so when it finishes and when it outgrows its room. That is added once to a ledger of
tokens by die and step, and a step has to look at dies only, however many sequences they run: its length is that of the
slowest die, with the tokens at its start. The ledger takes 4 bytes for each die and each step that the longest running
output has left.

Why many steps at once. Until somebody joins or leaves, lengths follow from the ledger: some steps are planned together,
and cut as ever where a message comes. Sums are of integers, so that grouping steps changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from sim_hw.instance.compiled_decode import StepForm
from sim_hw.instance.throttle import StepLoad, stretched_ps
from workers.decode.accepted_drafts import accepted_path
from workers.decode.batch import Batch
from workers.decode.config import Sampling
from workers.decode.sampled_run import SampledRun
from workers.decode.sequences import Sequence
from workers.decode.token_ledger import TokenLedger
from workers.decode.token_paths import TokenPaths

if TYPE_CHECKING:
    from workers.decode.step_governor import StepGovernor

Ints = npt.NDArray[np.int64]

MOST_STEPS: Final = 32
"""Planned at once: more would mostly be thrown away, as somebody joins or leaves before."""


class SampledBatch(Batch):
    """As a `Batch`, but sequences do not produce alike."""

    def __init__(self, num_dies: int, sampling: Sampling) -> None:
        super().__init__(num_dies, 1 + sampling.drafts, 1)
        self._steps = SampledRun(self.expected)
        self.run = self._steps
        self._sampling = sampling
        self._form: StepForm | None = None
        self._requests: Ints = np.zeros(num_dies, np.int64)
        self._tokens: Ints = np.zeros(num_dies, np.int64)
        self._kv_tokens = 0
        # As `_look_ahead` found it: who has sequences, and what they hold before each step and after the last.
        self._dies: Ints = np.zeros(0, np.int64)
        self._held: Ints = np.zeros((0, 1), np.int64)
        self._ledger = TokenLedger(num_dies)
        self._paths = TokenPaths()
        self._reported_steps = 0
        self._more_tokens = 0

    @property
    def kv_tokens(self) -> int:
        """That all of them hold."""
        return self._kv_tokens

    def use(self, form: StepForm) -> None:
        """Steps run in this form from now on."""
        self._form = form

    def add(self, sequence: Sequence, kv_tokens: int, produced: int) -> None:
        """It runs from the next step on, with so much KV and so many output tokens: note when it will finish."""
        step, die = self.run.step, sequence.die
        path = accepted_path(self._sampling, sequence.request_id, produced, sequence.output_tokens)
        # What it holds beside its output tokens.
        sequence.base_tokens = kv_tokens - produced
        sequence.finish_step = step + len(path) - 1
        self._paths.add(sequence.request_id, step, path)
        self._ledger.add(die, step, step, path[1:] - path[:-1])
        self._requests[die] += 1
        self._tokens[die] += kv_tokens
        self._kv_tokens += kv_tokens
        self.num_running += 1

    def remove(self, sequence: Sequence) -> int:
        """It runs no longer; returns the output tokens that it has."""
        step, die = self.run.step, sequence.die
        path = self._paths.remove(sequence.request_id, step)
        produced = int(path[0])
        if len(path) > 1:  # it would have gone on
            self._ledger.add(die, step, step, path[:-1] - path[1:])
        self._requests[die] -= 1
        kv_tokens = sequence.base_tokens + produced
        self._tokens[die] -= kv_tokens
        self._kv_tokens -= kv_tokens
        self.num_running -= 1
        return produced

    def step_holding(self, sequence: Sequence, kv_tokens: int) -> int:
        """The first step after which it holds so many tokens of KV, or one at which it has finished."""
        step = self.run.step
        return step + int(self._paths.path(sequence.request_id, step).searchsorted(kv_tokens - sequence.base_tokens))

    def plan(self, num_steps: int, governor: StepGovernor | None) -> None:
        """Run at most so many steps from here on."""
        step = self.run.step
        num_steps = min(num_steps, MOST_STEPS)
        if governor is not None:
            num_steps = min(num_steps, governor.steps_ahead(step))
        lengths_ps = self._look_ahead(num_steps)
        if governor is not None:
            # No later step is shorter, nor reads more than if every draft were accepted.
            most_tokens = self._kv_tokens + self.num_running * self.most_tokens * (governor.steps_ahead(step) - 1)
            stretch = governor.stretch_for((StepLoad(int(lengths_ps[0]), self.num_running, most_tokens),))
            lengths_ps = np.array([stretched_ps(one, stretch) for one in lengths_ps.tolist()], np.int64)
        self._steps.begin_steps(lengths_ps, self._held.sum(axis=0))

    def next_step_ps(self) -> int:
        """How long the next step would last."""
        return int(self._look_ahead(1)[0])

    def begin_step(self, length_ps: int) -> None:
        """Run one step of that length; where sequences run, `next_step_ps` has just been asked for."""
        self._steps.begin_steps(np.array([length_ps]), np.array([self._kv_tokens]))

    def _look_ahead(self, num_steps: int) -> Ints:
        """Length of the next steps in picoseconds, shape (num_steps,), while nobody joins or leaves."""
        form, dies = self._form, np.flatnonzero(self._requests)
        assert form is not None, "steps run in a form"
        held = np.empty((len(dies), num_steps + 1), np.int64)
        held[:, 0] = self._tokens[dies]
        held[:, 1:] = self._ledger.brought(dies, self.run.step, num_steps)
        held.cumsum(axis=1, out=held)
        self._dies, self._held = dies, held
        requests, before = self._requests[dies], held[:, :num_steps]
        lines = [
            (before * line.kv_ps + (line.base_ps[requests] + line.constant_ps)[:, np.newaxis]).max(axis=0)
            for line in form.streams
        ]
        return lines[0] if len(lines) == 1 else np.maximum(*lines)

    def end_run(self) -> int:
        """All steps of the run have run; returns the tokens of KV that were read, summed over them."""
        run = self.run
        read, num_steps = run.accepted_over, run.num_steps
        if self.num_running:
            held = self._held[:, num_steps]
            self._tokens[self._dies] = held
            kv_tokens = int(held.sum())
            self._more_tokens += kv_tokens - self._kv_tokens - self.num_running * num_steps
            self._kv_tokens = kv_tokens
        self._reported_steps += num_steps
        run.end()
        return read

    def take_report(self) -> tuple[int, int, bytes]:
        """Of what was produced since the last report: what each has at least, what all together have beside, and what
        each has in all, as a column of the report."""
        tokens, more = self._reported_steps, self._more_tokens
        self._reported_steps = self._more_tokens = 0
        return tokens, more, self._paths.column(self.run.step)
