"""Which answers later prompts repeat, where a trace names sessions: what a cache that keeps answers has to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from scheduler.protocol.messages import NO_ANSWER
from scheduler.sources.arrivals import BLOCK_ROWS, ArrivalBlock


def find_answers(
    blocks: Iterator[ArrivalBlock], sessions: Sequence[tuple[Any, Any]], block_tokens: int
) -> Iterator[ArrivalBlock]:
    """The same requests, with where their answers begin in blocks. Reads all rows first, in the order of turns.

    A prompt repeats the answer of the turn that it goes on from if it has all whole blocks of that turn's prompt and is
    as long as prompt and answer together. Ids are numbered anew as they come, so that those of an answer follow each
    other. `sessions` are those of all rows once `blocks` was read, or empty.
    """
    rows = next(blocks)
    for block in blocks:
        rows.extend(block)
    numbered = _numbered(rows)
    answers = [NO_ANSWER] * len(rows)
    for row, before in enumerate(_turns_before(sessions)):
        if before is None or rows.tenants[row] != rows.tenants[before]:
            continue
        prompt, whole = rows.prompt_tokens[before], rows.prompt_tokens[before] // block_tokens
        # Of prompt and answer all but the last token have KV.
        end = (prompt + rows.output_tokens[before] - 1) // block_tokens
        ids = numbered[row]
        goes_on = (
            ids[:whole] == numbered[before][:whole] and rows.prompt_tokens[row] >= prompt + rows.output_tokens[before]
        )
        if goes_on and whole < end and ids[whole:end] == list(range(ids[whole], ids[whole] + end - whole)):
            answers[before] = ids[whole]
    found = replace(rows, prefixes=numbered, answers=answers)
    for start in range(0, len(rows), BLOCK_ROWS):
        yield found.part(slice(start, start + BLOCK_ROWS))


def _numbered(rows: ArrivalBlock) -> list[list[int]]:
    """Ids in the order in which tenants have them first."""
    numbers: dict[tuple[int, int], int] = {}
    return [
        [numbers.setdefault((tenant, block_id), len(numbers)) for block_id in prefix]
        for prefix, tenant in zip(rows.prefixes, rows.tenants, strict=True)
    ]


def _turns_before(sessions: Sequence[tuple[Any, Any]]) -> Iterator[int | None]:
    """For each row the one that it goes on from, if any."""
    last: dict[Any, int] = {}
    for row, (own, parent) in enumerate(sessions):
        came_from = own if parent is None else parent
        yield last.get(came_from) if isinstance(came_from, str | int) else None
        if isinstance(own, str | int):
            last[own] = row
