"""The account of a decode instance: steps, and the energy of steps and idle time between two reports."""

from __future__ import annotations

from typing import Protocol

from scheduler.protocol.messages import Usage


class DecodeEnergy(Protocol):
    """Joules of a whole instance from integer totals, so that they do not depend on how steps were grouped."""

    def joules(self, *, busy_ns: int, steps: int, sequence_steps: int, kv_token_steps: int, idle_ns: int) -> float:
        """Energy of busy and idle time with so many steps, in which so many sequences and tokens of KV were read.

        `sequence_steps` and `kv_token_steps`: running sequences and their KV tokens, each summed over the steps.
        """
        ...


class DecodeMeter:
    """Work and energy since the last account, which ended at `end_ns`; the first one begins at `began_ns`."""

    def __init__(self, energy: DecodeEnergy, began_ns: int) -> None:
        self.end_ns = began_ns
        self._energy = energy
        self._charged_ns = began_ns
        self._charged_j = 0.0
        self._steps = 0
        self._sequence_steps = 0
        self._kv_token_steps = 0

    def add(self, steps: int, sequence_steps: int, kv_token_steps: int) -> None:
        """These steps ran: sequences and KV tokens, each summed over the steps."""
        self._steps += steps
        self._sequence_steps += sequence_steps
        self._kv_token_steps += kv_token_steps

    def use(self, energy: DecodeEnergy, busy_until_ns: int) -> None:
        """From now on work draws this; what ran until now drew what was used before."""
        if busy_until_ns > self._charged_ns:
            self._charged_j = self._charge(busy_until_ns, 0)
            self._charged_ns = busy_until_ns
        self._energy = energy

    def account(self, now_ns: int, busy_until_ns: int) -> Usage:
        """Usage since the last account: work until `busy_until_ns`, then nothing to do."""
        start_ns = self.end_ns
        joules = self._charge(busy_until_ns, now_ns - busy_until_ns)
        self._charged_j = 0.0
        self.end_ns = self._charged_ns = now_ns
        return Usage(start_ns, now_ns, busy_until_ns - start_ns, joules)

    def _charge(self, busy_until_ns: int, idle_ns: int) -> float:
        """Joules since the last account."""
        joules = self._charged_j + self._energy.joules(
            busy_ns=busy_until_ns - self._charged_ns,
            steps=self._steps,
            sequence_steps=self._sequence_steps,
            kv_token_steps=self._kv_token_steps,
            idle_ns=idle_ns,
        )
        self._steps = self._sequence_steps = self._kv_token_steps = 0
        return joules
