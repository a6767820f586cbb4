"""What docs/serve.md says about the service is what it does."""

import json
import re
from pathlib import Path

import pytest
from serving.server import Server
from shipped import needs_shipped

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/serve.md").read_text()


@pytest.fixture(autouse=True)
def shipped_page() -> None:
    """Skip in a project with a README of its own."""
    needs_shipped("README.md")


def test_the_example_is_answered_as_shown(served: Server) -> None:
    """The row that the page sends to the iris model gives the answer that it shows."""
    row = re.findall(r"curl -s http://127.0.0.1:8000/predict \\\n  -d '(.*?)'", PAGE)[0]
    shown = json.loads(re.findall(r"```json\n(.*?)\n```", PAGE)[0])
    answer = served.post("/models/iris/predict", json.loads(row)).document
    assert answer.pop("probabilities") == pytest.approx(shown.pop("probabilities"), abs=2e-3)
    assert answer.pop("confidence") == pytest.approx(shown.pop("confidence"), abs=2e-3)
    assert answer == shown


def test_every_address_is_there(served: Server) -> None:
    """Each endpoint of the page's table is in the OpenAPI document, which has no others."""
    section = PAGE.partition("## Endpoints")[2].partition("\n## ")[0]
    listed = re.findall(r"`(?:GET|POST) (/[\w/<>]*)`", section)
    paths = served.get("/openapi.json").document["paths"]
    others = ("/models/", "/v2/models/digits", "/v2/models/own")
    documented = {path.replace("/iris", "/<name>") for path in paths if not path.startswith(others)}
    assert set(listed) == documented | {"/models/<name>/invocations"}
    assert "/models/iris/invocations" in paths
    assert served.get("/ping").body == served.get("/health").body


def test_the_examples_of_other_protocols_are_answered_as_shown(served: Server) -> None:
    """Each command of the section gives predictions; the first those that the page shows."""
    section = PAGE.partition("## Other protocols")[2].partition("\n## ")[0]
    sent = re.findall(r"curl -s http://127.0.0.1:8000(/\S+).*?-d '(.*?)'\n", section, re.DOTALL)
    answers = [served.post(path, json.loads(body)) for path, body in sent]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].document == json.loads(re.findall(r"```json\n(.*?)\n```", section)[0])
    assert answers[1].document["predictions"][0]["class_name"] == "setosa"
