"""An operating point as keywords of a call."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any, get_type_hints

from deploy.hardware.operating_points import InstanceOptions
from deploy.hardware.point_answers import answer_aggregated, answer_decode, answer_prefill
from deploy.hardware.point_page import Answer, with_intervals
from scheduler.protocol.errors import ConfigError

_ANSWERS = {"prefill": answer_prefill, "decode": answer_decode, "aggregated": answer_aggregated}


def answer_of(stage: str, keywords: Mapping[str, Any]) -> Answer:
    """The point that the keywords describe, as the options of `supernode model` do. `ConfigError` for an unknown name
    or a value of a wrong type."""
    from pydantic import TypeAdapter, ValidationError

    if stage not in _ANSWERS:
        raise ConfigError(f"stage is {stage!r}; give {' or '.join(_ANSWERS)}")
    answer = _ANSWERS[stage]
    kinds_of_all = get_type_hints(InstanceOptions)
    kinds = {name: kind for name, kind in kinds_of_all.items() if name != "num_npus"}
    own = {name: get_type_hints(answer)[name] for name in signature(answer).parameters if name != "instance"}
    known: dict[str, Any] = {"npus": kinds_of_all["num_npus"], **kinds, **own}
    for name, value in keywords.items():
        if name not in known:
            near = get_close_matches(name, known, n=2)
            raise ConfigError(f"{name} is not known here; give {' or '.join(near or known)}")
        try:
            TypeAdapter[Any](known[name]).validate_python(value, strict=True)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise ConfigError(f"{name} is {value!r}; give {wanted}") from None
    of_instance = {name: value for name, value in keywords.items() if name in kinds}
    instance = InstanceOptions(num_npus=keywords.get("npus"), **of_instance)
    return with_intervals(answer(instance, **{name: value for name, value in keywords.items() if name in own}))
