"""The documents of `artifact-flow card` beside a model: served as they are, if they are about that model."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving.papers import DOCUMENTS, write_papers
from serving.server import Server
from serving.test_reload import messages, reload, replace

from artifact_flow.core.table.tables import DATA
from artifact_flow.serving.papers import MOST_BYTES, PAPERS, TABLE

MEDIA = ("text/markdown; charset=utf-8", "application/vnd.cyclonedx+json; version=1.6", "application/ld+json")
KEY = "s3cret-key"


@pytest.fixture
def written(locked: Path) -> dict[str, bytes]:
    """The documents beside the model of the folder `locked`."""
    return write_papers(locked)


@pytest.fixture(scope="module")
def documented(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server that needs a key, with the plain digits at the root and iris with its documents; and iris's folder."""
    folder = Path(shutil.copytree(models["iris"].parent, tmp_path_factory.mktemp("papers") / "iris"))
    write_papers(folder)
    with Server(models["digits"], folder / "model.onnx", ARTIFACT_FLOW_API_KEY=KEY) as server:
        yield server, folder


def warnings(server: Server) -> list[str]:
    """Return the log's warnings about documents."""
    return [line["message"] for line in server.log() if " is not served" in line["message"]]


def test_the_service_looks_for_what_the_command_writes() -> None:
    """The names stand in both parts of the program, neither of which imports the other."""
    assert [path.name for path in PAPERS] == list(DOCUMENTS)
    assert DATA.name == TABLE


def test_documents_are_served_as_they_are(documented: tuple[Server, Path]) -> None:
    """Each has its media type, its bytes, and the headers that name its model; the card lists their names."""
    server, folder = documented
    card = server.get("/models/iris/model", KEY)
    assert card.document["papers"] == list(DOCUMENTS)
    for name, media in zip(DOCUMENTS, MEDIA, strict=True):
        answer = server.get(f"/models/iris/papers/{name}", KEY)
        assert (answer.status, answer.headers["content-type"]) == (200, media)
        assert answer.body == (folder / name).read_bytes()
        assert answer.headers["x-model-sha256"] == card.headers["x-model-sha256"]
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert warnings(server) == []


def test_a_model_without_documents_has_none(documented: tuple[Server, Path]) -> None:
    """Its card says so; their addresses, and those of other files of the folder, are no endpoints."""
    server, _ = documented
    assert server.get("/model", KEY).document["papers"] == []
    for path in (f"/papers/{DOCUMENTS[0]}", f"/models/iris/papers/{TABLE}", "/models/iris/papers/../model.onnx"):
        answer = server.get(path, KEY)
        assert (answer.status, answer.detail) == (404, f"there is no endpoint {path}: /docs lists the endpoints.")


def test_documents_need_the_key(documented: tuple[Server, Path]) -> None:
    """They tell as much as the card does."""
    server, _ = documented
    assert [server.get(f"/models/iris/papers/{name}").status for name in DOCUMENTS] == [401, 401, 401]
    paths = server.get("/openapi.json").document["paths"]
    found = {path: operation["get"] for path, operation in paths.items() if "/papers/" in path}
    assert list(found) == [f"/models/iris/papers/{name}" for name in DOCUMENTS]
    for operation, media in zip(found.values(), MEDIA, strict=True):
        assert list(operation["responses"]["200"]["content"]) == [media]
        assert operation["security"]


def test_documents_of_another_model_are_left_out_with_a_warning(
    locked: Path, newer: Path, written: dict[str, bytes]
) -> None:
    """A reload reads them anew: after a new training they are of the model before, until the command has run again."""
    with Server(locked / "model.onnx", MODEL_SHA256="") as server:
        assert server.get(f"/papers/{DOCUMENTS[0]}").body == written[DOCUMENTS[0]]
        replace(locked, newer)
        reload(server, "reloaded: ")
        assert server.get("/model").document["papers"] == []
        assert server.get(f"/papers/{DOCUMENTS[0]}").status == 404
        whats = ("the served model", "the served model", "the data.parquet that contract.json names")
        assert warnings(server) == [
            f"{locked / name} is not served: it does not hold the sha256 of {what}; "
            "`artifact-flow card` writes it anew."
            for name, what in zip(DOCUMENTS, whats, strict=True)
        ]

        shutil.copy(newer / "data.parquet", locked)
        shutil.copy(newer / "model_train.pkl", locked)
        new = write_papers(locked)
        notice = server.get("/ready").document["notice"]
        assert notice == "MODEL_CARD.md on disk is not the one in use: SIGHUP loads it after checking its hash."
        reload(server, "reloaded: ")
        assert server.get("/model").document["papers"] == list(DOCUMENTS)
        assert server.get(f"/papers/{DOCUMENTS[0]}").body == new[DOCUMENTS[0]] != written[DOCUMENTS[0]]
        assert len(messages(server, "reloaded: ")) == 2


def test_a_document_that_is_too_large_is_left_out_with_a_warning(locked: Path, written: dict[str, bytes]) -> None:
    """A folder of a document's name is none; the others are served."""
    bom = json.loads(written["model.cdx.json"]) | {"padding": "x" * MOST_BYTES}
    (locked / "model.cdx.json").write_text(json.dumps(bom))
    (locked / "croissant.json").unlink()
    (locked / "croissant.json").mkdir()
    with Server(locked / "model.onnx", MODEL_SHA256="") as server:
        assert server.get("/model").document["papers"] == ["MODEL_CARD.md"]
        assert warnings(server) == [f"{locked / 'model.cdx.json'} is not served: it has more than 10,000,000 bytes."]
