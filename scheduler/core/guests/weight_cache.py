"""Which versions of the weights the memories hold from which instances load: a directory, never the weights.

A memory deals the blocks of a version out evenly to its servers and keeps so many versions, the last ones used.
"""

from __future__ import annotations

from collections import OrderedDict


class WeightCache:
    """Of one memory of `num_servers` servers, which begins with the first version whole."""

    def __init__(self, num_tokens: int, capacity: int, num_servers: int, first: str) -> None:
        self._num_tokens = num_tokens
        self._capacity = capacity
        self._up = set(range(num_servers))
        # What is there of each, the least recently used first.
        self._tokens: OrderedDict[str, int] = OrderedDict([(first, num_tokens)])

    def clear(self) -> None:
        """Nothing is there."""
        self._tokens.clear()

    def missing_tokens(self, version: str) -> int:
        """What is to be fetched before a version is whole; this is a use of it."""
        if version not in self._tokens:
            return self._num_tokens
        self._tokens.move_to_end(version)
        return self._num_tokens - self._tokens[version]

    def store(self, version: str) -> None:
        """A version is whole now and was used now; the least recently used ones go."""
        self._tokens[version] = self._num_tokens
        self._tokens.move_to_end(version)
        while len(self._tokens) > self._capacity:
            self._tokens.popitem(last=False)

    def lose_server(self, number: int) -> None:
        """A server is gone with its blocks."""
        if number in self._up:
            for version, tokens in self._tokens.items():
                self._tokens[version] = tokens * (len(self._up) - 1) // len(self._up)
            self._up.remove(number)

    def drain_server(self, number: int) -> None:
        """A server leaves and hands over its blocks; the last one has nobody to hand them to."""
        if self._up == {number}:
            self._tokens.clear()
        self._up.discard(number)

    def add_server(self, number: int) -> None:
        """A server is there again, and takes its part of what the others hold."""
        self._up.add(number)
