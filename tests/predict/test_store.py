"""Rows from an object store and parts into one, over a real S3 API of this machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from predict.rows import contents, write_mixed
from s3fs import S3FileSystem
from unit.own import Flow

from artifact_flow.core.base.errors import ArtifactFlowError, DataError
from artifact_flow.predict.batch import Job, Summary, run_job


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 API: its address."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket named `bucket`, and in the environment what leads to it."""
    import boto3

    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", server),
    ):
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    for one in client.list_objects_v2(Bucket="bucket").get("Contents", ()):
        client.delete_object(Bucket="bucket", Key=one["Key"])
    client.delete_bucket(Bucket="bucket")
    S3FileSystem.clear_instance_cache()
    client.close()


def objects(store: Any, prefix: str) -> dict[str, bytes]:
    """Return name → bytes of what a bucket holds under a prefix."""
    found = store.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", ())
    return {
        one["Key"].removeprefix(prefix): store.get_object(Bucket="bucket", Key=one["Key"])["Body"].read()
        for one in found
    }


def upload(store: Any, files: list[Path]) -> None:
    """Put files under rows/, and a marker as other tools leave them."""
    for path in files:
        store.upload_file(str(path), "bucket", f"rows/{path.name}")
    store.put_object(Bucket="bucket", Key="rows/_SUCCESS", Body=b"")


def score(flow: Flow, *inputs: str, out: str, **more: Any) -> Summary:
    """Predict into a folder with the flow's model."""
    return run_job(Job(inputs, flow.folder / "model.onnx", out, **more))


@pytest.mark.parametrize("given", ["s3://bucket/rows/", "s3://bucket/rows", "s3://bucket/rows/*.*"])
@pytest.mark.slow
def test_a_store_gives_the_same_parts_as_a_folder(flow: Flow, store: Any, tmp_path: Path, given: str) -> None:
    """Rows read from and written to a store are equal to those of a folder; a second run keeps the parts."""
    files = write_mixed(flow, tmp_path / "rows")
    upload(store, files)
    score(flow, str(tmp_path / "rows"), out=str(tmp_path / "out"))
    local = contents(tmp_path / "out")
    first = score(flow, given, out="s3://bucket/out/")
    assert (first.rows, first.parts, first.kept) == (80, 3, 0)
    parts = objects(store, "out/")
    assert set(parts) == set(local)
    assert {name: parts[name] for name in parts if name.endswith(".parquet")} == {
        name: local[name] for name in local if name.endswith(".parquet")
    }
    assert score(flow, given, out="s3://bucket/out/").kept == 3
    assert objects(store, "out/") == parts
    manifest = json.loads(parts["manifest.json"])
    assert [one["name"] for one in manifest["inputs"]] == [f"s3://bucket/rows/{path.name}" for path in files]
    assert all(one["etag"] and one["sha256"] is None for one in manifest["inputs"])
    assert b"testing" not in b"".join(parts.values())


@pytest.mark.slow
def test_a_tampered_object_is_computed_again(flow: Flow, store: Any, tmp_path: Path) -> None:
    """As for a file."""
    upload(store, write_mixed(flow, tmp_path / "rows"))
    score(flow, "s3://bucket/rows/", out="s3://bucket/out")
    before = objects(store, "out/")
    store.put_object(Bucket="bucket", Key="out/part-00001.parquet", Body=b"PAR1")
    assert score(flow, "s3://bucket/rows/", out="s3://bucket/out").kept == 2
    assert objects(store, "out/") == before


@pytest.mark.slow
def test_workers_read_and_write_a_store(flow: Flow, store: Any, tmp_path: Path) -> None:
    """Several workers process the row groups of one object."""
    table = pa.Table.from_pylist(flow.rows * 15_000)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=1 << 18)
    upload(store, [tmp_path / "rows.parquet"])
    score(flow, "s3://bucket/rows/rows.parquet", out="s3://bucket/out/", workers=2)
    score(flow, str(tmp_path / "rows.parquet"), out=str(tmp_path / "out"))
    parts = objects(store, "out/")
    assert [name for name in parts if name.endswith(".parquet")] == ["part-00000.parquet", "part-00001.parquet"]
    for name in ("part-00000.parquet", "part-00001.parquet"):
        assert parts[name] == (tmp_path / "out" / name).read_bytes()


def test_rows_of_a_store_are_predicted_into_a_local_folder(flow: Flow, store: Any, tmp_path: Path) -> None:
    """The input may be in a store while the output is local."""
    upload(store, write_mixed(flow, tmp_path / "rows"))
    assert score(flow, "s3://bucket/rows/b.jsonl", out=str(tmp_path / "out")).rows == 30


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("s3://bucket/absent.csv", r"^s3://bucket/absent.csv has no files: name a file, a folder or a pattern"),
        ("s3://bucket/absent/*.csv", r"^s3://bucket/absent/\*.csv has no files"),
        ("s3://nobody/rows/", r"^s3://nobody/rows/ (has no files|cannot be reached)"),
        ("unheard://bucket/rows/", r"^unheard://bucket/rows/ cannot be reached \(ValueError: Protocol not known: unhe"),
    ],
)
def test_a_missing_object_is_one_sentence(flow: Flow, store: Any, tmp_path: Path, given: str, sentence: str) -> None:
    """The sentence names the URL."""
    with pytest.raises(ArtifactFlowError, match=sentence) as caught:
        score(flow, given, out=str(tmp_path / "out"))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_an_unreachable_store_is_one_sentence(
    flow: Flow, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence contains neither credentials nor a traceback."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    S3FileSystem.clear_instance_cache()  # one that was made before knows the address of then
    with pytest.raises(
        ArtifactFlowError, match=r"^s3://bucket/else/ cannot be reached \(.*\): check its name"
    ) as caught:
        score(flow, "s3://bucket/else/", out=str(tmp_path / "out"))
    assert "testing" not in str(caught.value)


def test_an_object_that_is_not_a_table_is_one_sentence(flow: Flow, store: Any, tmp_path: Path) -> None:
    """As for a file."""
    store.put_object(Bucket="bucket", Key="rows/a.parquet", Body=b"PAR1 and no more")
    with pytest.raises(DataError, match=r"^s3://bucket/rows/a.parquet is damaged or cut off"):
        score(flow, "s3://bucket/rows/", out=str(tmp_path / "out"))
