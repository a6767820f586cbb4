"""The OpenAPI document as generators of clients need it: names that stay, types for all answers, where the key goes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving.server import IRIS_ROW, Server

from artifact_flow.serving.answers import name_types

KEY = "s3cret-key"


@pytest.fixture(scope="module")
def document(served: Server) -> Any:
    """The document of a server with three models."""
    return served.get("/openapi.json").document


@pytest.fixture(scope="module")
def locked(models: dict[str, Path]) -> Iterator[Server]:
    """A server of the regressor that needs a key."""
    with Server(models["price"], ARTIFACT_FLOW_API_KEY=KEY) as server:
        yield server


def operations(document: Any) -> dict[str, Any]:
    """Return method and path → operation."""
    paths = document["paths"].items()
    return {f"{method} {path}": found for path, methods in paths for method, found in methods.items()}


def references(value: Any) -> Iterator[str]:
    """Yield the names of the components that a part of the document refers to."""
    if isinstance(value, dict):
        if isinstance(name := value.get("$ref"), str):
            yield name.rpartition("/")[2]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from references(item)


def test_every_type_has_a_title_of_its_own_and_every_reference_leads_to_one(document: Any) -> None:
    """The title is the name, so that a generated class is called the same whatever else is served."""
    schemas = document["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {name: name for name in schemas}
    assert set(references(document)) <= set(schemas)
    kinds = ("Row", "Rows", "Prediction", "Predictions", "Probabilities")
    assert {f"{model}{kind}" for model in ("Digits", "Iris", "Own") for kind in kinds} <= set(schemas)


def test_every_answer_has_a_type_and_every_operation_an_id_of_its_own(document: Any) -> None:
    """A model has the same types at the root and under its name."""
    found = operations(document)
    identifiers = [operation["operationId"] for operation in found.values()]
    assert len(set(identifiers)) == len(identifiers)
    for name, operation in found.items():
        assert "partial(" not in operation.get("description", ""), "an endpoint is described in its own words"
        for status, response in operation["responses"].items():
            schema = next(iter(response["content"].values()))["schema"]
            assert "$ref" in schema or schema["type"] in ("string", "array", "object"), (name, status)
            assert schema != {"type": "object"}, (name, status)
    for path, kind in (("", "Prediction"), ("/batch", "Predictions")):
        for prefix in ("", "/models/digits"):
            response = found[f"post {prefix}/predict{path}"]["responses"]["200"]
            assert list(references(response)) == [f"Digits{kind}"]
    assert list(references(found["get /model"]["responses"]["200"])) == ["ModelCard"]
    assert list(references(found["get /drift"]["responses"]["200"])) == ["DriftReport"]


def test_the_same_document_comes_from_another_process(models: dict[str, Path], document: Any, locked: Server) -> None:
    """Shared types are equal, and a model's types do not change with its neighbours."""
    with Server(models["iris"]) as server:
        alone = server.get("/openapi.json").document
    for name, schema in alone["components"]["schemas"].items():
        assert document["components"]["schemas"][name] == schema
    schemas = locked.get("/openapi.json").document["components"]["schemas"]
    assert schemas["ModelCard"] == document["components"]["schemas"]["ModelCard"]
    assert list(schemas["OwnPrediction"]["properties"]) == ["value"]


def test_card_and_drift_have_every_field_that_their_types_require(served: Server, document: Any) -> None:
    """Generated code reads each required field, null or not."""
    schemas = document["components"]["schemas"]

    def check(value: Any, name: str) -> None:
        assert set(schemas[name].get("required", ())) <= set(value), name
        for field, schema in schemas[name]["properties"].items():
            for inner in references(schema) if value.get(field) is not None else ():
                for item in value[field] if isinstance(value[field], list) else [value[field]]:
                    check(item, inner)

    for model in ("digits", "iris", "own"):
        check(served.get(f"/models/{model}/model").document, "ModelCard")
        check(served.get(f"/models/{model}/drift").document, "DriftReport")


def test_numbers_have_the_range_within_which_the_model_answers(served: Server, document: Any) -> None:
    """At the bounds there is an answer; beyond float32 there is none."""
    row = document["components"]["schemas"]["IrisRow"]
    for bound in ("minimum", "maximum"):
        edge = {name: schema[bound] for name, schema in row["properties"].items()}
        assert served.post("/models/iris/predict", edge).status == 200
    assert served.post("/models/iris/predict", IRIS_ROW | {"petal_width": 3.5e38}).status == 422
    table = operations(document)["post /models/iris/predict/batch"]["requestBody"]["content"]["text/csv"]
    assert "header" in table["schema"]["description"]
    assert served.post("/models/iris/predict/batch", table["example"].encode(), "text/csv").status == 200


def test_units_and_descriptions_are_told(locked: Server) -> None:
    """In the row, in the answer and in the model card; a column without any has its type and range."""
    schemas = locked.get("/openapi.json").document["components"]["schemas"]
    row = {name: schema["description"] for name, schema in schemas["OwnRow"]["properties"].items()}
    assert row["size"].startswith("Floor space, <b>measured</b> inside: a number in 100 m², in training ")
    assert row["since"].startswith("Day of the first sale: a date such as ")
    assert row["open"] == "true or false; may be left out"
    value = schemas["OwnPrediction"]["properties"]["value"]
    assert value["description"] == "What was paid, without taxes: the predicted price in 1000 €"
    card = locked.get("/model", key=KEY).document
    assert list(card["columns"]) == ["size", "since", "price"]
    assert card["columns"]["since"] == {"description": "Day of the first sale"}


def test_two_models_whose_names_differ_in_marks_have_different_types() -> None:
    """Names in letters and digits, each beginning with a letter."""
    assert name_types(["house-prices", "house_prices", "2024", "m\u00fcnchen", "\u4e2d"]) == {
        "house-prices": "HousePrices",
        "house_prices": "HousePrices2",
        "2024": "Model2024",
        "m\u00fcnchen": "MNchen",
        "\u4e2d": "Model",
    }


def test_with_a_key_the_documentation_opens_and_says_where_the_key_goes(served: Server, locked: Server) -> None:
    """`/docs` and its document need no key, so that a browser shows its Authorize button; the rest does."""
    assert locked.get("/docs").status == 200
    document = locked.get("/openapi.json").document
    schemes = document["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"apiKey", "http"}
    for name, operation in operations(document).items():
        public = name.removeprefix("get ") in ("/health", "/ready", "/v2/health/live", "/v2/health/ready")
        assert operation["security"] == ([] if public else [{scheme: []} for scheme in schemes])
        method, _, path = name.partition(" ")
        assert (locked.ask(method.upper(), path).status == 401) is not public
    assert "securitySchemes" not in served.get("/openapi.json").document["components"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer {KEY}", 200),
        (f"BEARER  {KEY} ", 200),
        (KEY, 401),
        (f"Basic {KEY}", 401),
        ("Bearer", 401),
        (f"Bearer {KEY}x", 401),
        ("", 401),
    ],
)
def test_a_bearer_token_is_named_as_such_in_any_case(locked: Server, given: str, status: int) -> None:
    """RFC 9110: the scheme's case does not matter; a bare token has no scheme."""
    assert locked.ask("GET", "/models", Authorization=given).status == status
