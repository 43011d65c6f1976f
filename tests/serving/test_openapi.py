"""A thousand malformed requests, and well-formed ones, made from the OpenAPI: no crash, no lost document.

A request that is malformed by the server's own description gets a 4xx; whatever comes back is what OpenAPI says.
"""

import json
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode, checks

from tests.serving.loopback import BY_LENGTH, serving

schemathesis.checks.load_all_checks()
CHECKS = [
    checks.CHECKS.get_one(name)
    for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
]
MALFORMED, WELL_FORMED = 1000, 150


@pytest.mark.slow
def test_a_thousand_malformed_requests_do_no_harm(tmp_path):
    values = {
        "index": "index",
        "live": True,
        "pipelines": {"best": ["bm25", BY_LENGTH], "order": [BY_LENGTH], "lead": [{"lead_pruner": 1}]},
    }
    path = tmp_path / "serve.yaml"
    path.write_text(json.dumps(values))
    with serving(path) as client:
        kept = {f"kept/{number}": f"The sky of document {number}." for number in range(20)}
        documents = [{"id": doc_id, "text": text} for doc_id, text in kept.items()]
        client.put("/v1/documents", json={"documents": documents}).raise_for_status()
        schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        bodies = [one for one in operations if one.body]  # of a path nothing is malformed
        statuses = Counter()
        for number, operation in enumerate(bodies):
            statuses += asked(operation, GenerationMode.NEGATIVE, client, -(-MALFORMED // len(bodies)), number)
        assert statuses.total() >= MALFORMED
        assert all(400 <= status < 500 for status in statuses), statuses
        fine = Counter()
        for number, operation in enumerate(operations):
            fine += asked(operation, GenerationMode.POSITIVE, client, -(-WELL_FORMED // len(operations)), number)
        assert fine[200] > 10
        assert fine.keys() <= {200, 404, 409, 422, 504}, fine  # 504: it had a deadline of next to nothing
        for doc_id, text in kept.items():
            assert client.get(f"/v1/documents/{doc_id}").json()["text"] == text
        assert client.get("/ready").status_code == 200


def asked(operation, mode, client, count, number):
    """How often each status comes back from so many requests, each of which is checked against OpenAPI."""
    statuses = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case):
        answer = case.call(base_url=str(client.base_url))
        case.validate_response(answer, checks=CHECKS)
        statuses[answer.status_code] += 1

    ask()
    return statuses
