"""Schemathesis on the document that is served: whatever it makes of it, it is answered as the document says.

FUZZ_REQUESTS is how many requests are sent in all, a few hundred if it is not set; `make fuzz` sends 10,000.
"""

from __future__ import annotations

import os
from collections import Counter
from hashlib import sha256
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from deploy.http.routes import ROUTES
from tests.unit.deploy.http.running import Running, running
from tests.unit.deploy.http.served import make_service

NUM_REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "240"))
KEY = {"Authorization": "Bearer a-key-of-enough-characters"}
OF_BODIES = [route for route in ROUTES if route.body is not None]


@pytest.mark.timeout(3600)
def test_what_the_document_allows_and_what_it_forbids_is_answered_as_it_says(
    capfd: pytest.CaptureFixture[str],
) -> None:
    digest = sha256(KEY["Authorization"].removeprefix("Bearer ").encode()).hexdigest()
    statuses = Counter[int]()
    with running(service=make_service(key_digests=(digest,))) as one, requests.Session() as client:
        client.headers.update(KEY)
        document = client.get(f"{one.url}/openapi.json", timeout=30).json()
        for path, operation in ((path, name) for path, known in document["paths"].items() for name in known):
            for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE):
                statuses += _fuzz(one, client, document, path, operation.upper(), mode)
        client.close()
        one.check_nothing_is_left()
    out, err = capfd.readouterr()
    assert not out + err
    assert statuses.total() >= 0.8 * NUM_REQUESTS
    # Not vacuous: much was wrong, and much was right.
    assert statuses[200] > 0.1 * NUM_REQUESTS
    assert statuses[400] + statuses[422] > 0.3 * NUM_REQUESTS
    assert set(statuses) <= {200, 400, 401, 404, 413, 422}


def _fuzz(
    one: Running, client: requests.Session, document: Any, path: str, method: str, mode: GenerationMode
) -> Counter[int]:
    """How often one operation answered what."""
    statuses = Counter[int]()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=one.url)
    operation = schema[path][method]
    has_body = any(route.path == path for route in OF_BODIES)
    if not has_body and mode is GenerationMode.NEGATIVE:
        return statuses  # it takes nothing that could be wrong

    @settings(
        max_examples=NUM_REQUESTS // (2 * len(OF_BODIES)) if has_body else 1,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        response = case.call(session=client, timeout=30)
        statuses[response.status_code] += 1
        # What the schema allows may still be refused: two prompts, a model that is not served, too long a prompt.
        # That a body is too large is no answer to wrong data in Schemathesis' eyes.
        is_too_large = response.status_code == 413
        excluded = [positive_data_acceptance, *([negative_data_rejection] if is_too_large else [])]
        case.validate_response(response, excluded_checks=excluded)

    send()
    return statuses
