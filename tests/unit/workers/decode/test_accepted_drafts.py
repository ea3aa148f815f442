"""What a sequence accepts: at every step what a look at one draft after the other says, and as often as is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.drafts import num_right
from workers.decode.accepted_drafts import accepted_path
from workers.decode.config import Sampling

SAMPLINGS = st.builds(
    Sampling,
    st.integers(1, 16),
    st.one_of(st.sampled_from([0.0, 0.7, 1.0]), st.floats(0, 1)),
    st.one_of(st.integers(0, 2**64 - 1), st.just(2**64 - 1)),
)


@given(SAMPLINGS, st.integers(0, 2**40), st.integers(0, 300), st.integers(1, 200))
def test_each_step_accepts_drafts_up_to_the_first_wrong_one(
    sampling: Sampling, request_id: int, produced: int, left: int
) -> None:
    expected, output = [produced], produced + left
    while expected[-1] < output:
        right = num_right(sampling.drafts, sampling.acceptance, sampling.key, request_id, expected[-1])
        expected.append(min(output, expected[-1] + 1 + right))
    assert accepted_path(sampling, request_id, produced, output).tolist() == expected


@given(SAMPLINGS, st.integers(0, 999), st.integers(2, 300), st.data())
def test_who_goes_on_later_meets_the_same_tokens(
    sampling: Sampling, request_id: int, output: int, data: st.DataObject
) -> None:
    path = accepted_path(sampling, request_id, 1, output)
    at = data.draw(st.integers(0, len(path) - 2))
    assert accepted_path(sampling, request_id, int(path[at]), output).tolist() == path[at:].tolist()


@pytest.mark.parametrize("drafts", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("acceptance", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_accepted_drafts_are_geometric_and_their_mean_is_the_expectation(drafts: int, acceptance: float) -> None:
    sampling, num = Sampling(drafts, acceptance, 5), 40_000
    accepted = np.diff(accepted_path(sampling, 7, 0, num))[:-1] - 1  # the last step may be cut
    shares = [acceptance**count * (1 - acceptance) for count in range(drafts)] + [acceptance**drafts]
    counts = np.bincount(accepted, minlength=1 + drafts)
    spread = 5 * np.sqrt(len(accepted) * np.array(shares) * (1 - np.array(shares)))
    assert (np.abs(counts - len(accepted) * np.array(shares)) <= spread + 1e-6).all()
    expected = sum(acceptance**position for position in range(1 + drafts))
    assert accepted.mean() + 1 == pytest.approx(expected, abs=5 * drafts / len(accepted) ** 0.5 + 1e-9)


def test_requests_and_keys_differ() -> None:
    paths = {
        tuple(accepted_path(Sampling(1, 0.5, key), request_id, 0, 200).tolist())
        for key in range(5)
        for request_id in range(20)
    }
    assert len(paths) == 100
