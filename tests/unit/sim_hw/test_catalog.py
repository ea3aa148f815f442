"""Names lead to entries, and a slip of one names the near one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim_hw.chips.sheet import find_chip
from sim_hw.clusters.sheet import find_hardware, find_supernode
from sim_hw.errors import UnknownNameError
from sim_hw.models.published import MODELS, find_model
from tests.unit.sim_hw.known import CHIPS, SUPERNODES


def test_every_entry_is_found_by_its_name() -> None:
    assert [find_chip(chip.name) for chip in CHIPS] == list(CHIPS)
    assert [find_supernode(one.name) for one in SUPERNODES] == list(SUPERNODES)
    assert [find_model(model.name) for model in MODELS] == list(MODELS)
    assert [find_hardware(one.name) for one in (*SUPERNODES, *CHIPS)] == [*SUPERNODES, *CHIPS]


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (find_chip, "H10", "unknown chip 'H10'; did you mean h100? known: "),
        (find_supernode, "cloudmatrix", "unknown cluster 'cloudmatrix'; did you mean cloudmatrix384? known: "),
        (find_model, "gpt", "unknown model 'gpt'; known: deepseek-r1, deepseek-v3, glm-4.5, kimi-k2, llama-3.1-405b"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(find: Callable[[str], object], name: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find(name)
    assert str(caught.value).startswith(message)


def test_what_was_found_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_chip("h800")
    monkeypatch.delattr("sim_hw.catalog.iter_modules")  # a look at the folder would fail
    assert find_chip("h800") is found
