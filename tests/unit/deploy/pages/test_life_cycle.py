"""The page of the life cycle is what the table says."""

from __future__ import annotations

from deploy.pages.life_cycle import PATH, page
from scheduler.core.lifecycle import TRANSITIONS, Event, State


def test_the_committed_page_is_what_the_table_makes() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run: python -m deploy.pages.life_cycle"


def test_every_state_and_event_is_described_and_every_way_on_is_drawn() -> None:
    text = page()
    for member in (*State, *Event):
        assert text.count(f"| `{member.name}` | ") == 1, member
    ways = [pair for pair in TRANSITIONS if pair[1] not in (Event.LOST, Event.END)]
    assert text.count(" --> ") == len(ways) + 3
