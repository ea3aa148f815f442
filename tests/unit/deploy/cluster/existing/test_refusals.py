"""Ray's accounts of why a cluster cannot be joined become one line."""

from __future__ import annotations

from deploy.cluster.existing.refusals import refusal

FIX = "is it up?"


def test_other_versions_are_named_on_both_sides() -> None:
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.58.0\n    Python: 3.10.4\n"
        "This process on node 10.0.0.1:6379 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    assert refusal("h:6379", error, FIX) == (
        "the cluster at h:6379 runs Ray 2.58.0 on Python 3.10.4, this process Ray 2.60.0 on Python 3.11.7: they must "
        "be the same; use an environment with those"
    )


def test_a_token_that_is_wanted_is_told() -> None:
    line = refusal("h:6379", RuntimeError("Authentication failed:\n invalid token"), FIX)
    assert "wants a token" in line
    assert "RAY_AUTH_TOKEN_PATH" in line


def test_anything_else_is_cut_to_a_line_and_ends_in_the_fix() -> None:
    line = refusal("h:6379", ConnectionError("no\nway " * 200), FIX)
    assert line.startswith("cannot reach the cluster at h:6379: no way no way")
    assert line.endswith("; is it up?")
    assert len(line) < 300
    assert "\n" not in line
