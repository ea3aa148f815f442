"""Errors stay what they are when they cross processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from scheduler.protocol.errors import (
    ClusterError,
    CodecError,
    ConfigError,
    InputError,
    JournalError,
    LifecycleError,
    SupernodeError,
    TraceError,
)
from scheduler.sources.synthetic.workload import FieldError


@pytest.mark.parametrize(
    "error",
    [
        InputError("a line"),
        ConfigError("a line"),
        CodecError("a line"),
        JournalError("a line"),
        ClusterError("a line"),
        TraceError("t.jsonl", 7, "input_length", "is -1", "give at least 1"),
        TraceError("t.jsonl", 0, "", "the file is empty", "give a trace"),
        LifecycleError(3, "DECODING", "ARRIVE"),
        FieldError("cv", "is 0", "give more"),
    ],
)
def test_an_error_survives_a_change_of_process(error: SupernodeError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)
