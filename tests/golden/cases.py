"""All golden cases, in the order in which they run."""

from __future__ import annotations

from typing import Final

from tests.golden.answers import ANSWERS
from tests.golden.case import Case
from tests.golden.refusals import REFUSALS
from tests.golden.replays import REPLAYS

CASES: Final[tuple[Case, ...]] = (*REPLAYS, *ANSWERS, *REFUSALS)
