"""Explain: what a model saw and what each column did, without a trace in the log's predictions or in the drift."""

import io

import pytest
from PIL import Image, ImageDraw
from serving.server import IRIS_ROW, Server


def drawing(*points: tuple[int, int], pen: int = 24) -> bytes:
    """Return a PNG of one line, black on white."""
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).line(points, 0, pen)
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_contributions_name_the_columns_that_decide(served: Server) -> None:
    """A setosa is known by its petals; the drift's window and the counted predictions do not change."""
    before = served.get("/models/iris/drift").document["rows"], len(served.predictions())

    said = served.post("/models/iris/explain", IRIS_ROW).document["contributions"]

    assert list(said) == list(IRIS_ROW)
    assert max(said, key=said.__getitem__) == "petal_length"
    assert (served.get("/models/iris/drift").document["rows"], len(served.predictions())) == before


def test_a_linear_contribution_is_the_coefficient_times_the_distance(served: Server) -> None:
    """Twice as far from the mean, a column adds twice as much."""
    means = {
        feature["name"]: feature["mean"]
        for feature in served.get("/models/iris/model").document["contract"]["features"]
    }

    def at(distance: float) -> float:
        row = means | {"petal_width": means["petal_width"] + distance}
        return float(served.post("/models/iris/explain", row).document["contributions"]["petal_width"])

    assert at(0.0) == pytest.approx(0.0, abs=1e-3)
    assert at(0.2) == pytest.approx(2 * at(0.1), rel=1e-2)


def test_a_mixed_table_is_explained(served: Server) -> None:
    """Categories, dates, booleans and missing values have a contribution each."""
    card = served.get("/models/own/model").document

    for row in (card["example"], {k: v for k, v in card["example"].items() if k not in card["optional"]}):
        said = served.post("/models/own/explain", row)
        assert said.status == 200
        assert list(said.document["contributions"]) == [feature["name"] for feature in card["contract"]["features"]]


def test_a_picture_is_shown_as_the_model_sees_it(served: Server) -> None:
    """64 pixels of at most 16; a 7 is like the training pictures, a dash is not."""
    seven = served.post("/explain/image", drawing((70, 60), (210, 60), (120, 240)), "image/png").document
    dash = served.post("/explain/image", drawing((30, 140), (250, 140)), "image/png").document

    assert len(seven["pixels"]) == len(seven["contributions"]) == 64
    assert max(seven["pixels"]) <= 16
    assert not seven["unlike_training"]
    assert dash["unlike_training"]


@pytest.mark.parametrize(
    ("path", "body", "kind", "detail"),
    [
        ("/models/iris/explain", b"{}", "application/json", "sepal_length is missing: send a number."),
        ("/explain/image", b"one", "image/png", "the body is not an image: send PNG, JPEG or WebP."),
    ],
)
def test_a_refusal_is_that_of_predict(served: Server, path: str, body: bytes, kind: str, detail: str) -> None:
    """The same sentence and status as the prediction's."""
    refused = served.post(path, body, kind)

    assert (refused.status, refused.detail) == served_as(served, path, body, kind)
    assert refused.detail == detail


def served_as(served: Server, path: str, body: bytes, kind: str) -> tuple[int, str]:
    """Return how the prediction of the same body is refused."""
    answer = served.post(path.replace("explain", "predict"), body, kind)
    return answer.status, answer.detail
