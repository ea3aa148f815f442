"""All golden cases, in the order in which they run, by the folder in which what they show is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.golden.answers import ANSWERS
from tests.golden.case import Case
from tests.golden.refusals import REFUSALS
from tests.golden.replays import FILES, ROUTING, RULES, SYSTEMS, TROUBLE

GROUPS: Final[Mapping[str, tuple[Case, ...]]] = {
    "routing": ROUTING,
    "trouble": TROUBLE,
    "rules": RULES,
    "systems": SYSTEMS,
    "files": FILES,
    "answers": ANSWERS,
    "refusals": REFUSALS,
}

CASES: Final[tuple[Case, ...]] = tuple(case for group in GROUPS.values() for case in group)

FOLDER_OF: Final[Mapping[str, str]] = {case.name: group for group, cases in GROUPS.items() for case in cases}
"""By the name of the case."""
