"""Any rows, in any format, are checked against the contract and predicted as in training; order and ids are kept."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from unit.own import Flow, as_csv, as_lines, as_parquet, make_flow, own_params, write_lock

from artifact_flow.core.base.errors import ArtifactFlowError, DataError, ModelError
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.predict.files import Report, predict_files

Rows = list[dict[str, Any]]
FEATURES = ("size", "open", "since", "colour")


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A classifier of a table with numbers, booleans, dates, text and gaps, in a folder of its own."""
    return make_flow(tmp_path_factory.mktemp("flow"))


def predict(flow: Flow, *inputs: Path, out: Path, model: str = "model.onnx") -> Report:
    """Predict with a model of the flow."""
    return predict_files(inputs, flow.folder / model, out)


def read(path: Path) -> dict[str, list[Any]]:
    """Return predictions by column."""
    return dict(csv.read_csv(path).to_pydict())


def changed(rows: Rows, row: int, **values: Any) -> Rows:
    """Return rows of which one holds other values."""
    return [one | values if number == row else one for number, one in enumerate(rows)]


def without(rows: Rows, *names: str) -> Rows:
    """Return rows without some columns."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


WRITERS: dict[str, Callable[[Rows, Path], Path]] = {
    "csv": lambda rows, path: (path.write_text(as_csv(rows), encoding="utf-8"), path)[1],
    "semicolons": lambda rows, path: (path.write_text(as_csv(rows, ";"), encoding="utf-8"), path)[1],
    "tabs, gzip": lambda rows, path: (path.write_bytes(gzip.compress(as_csv(rows, "\t").encode(), mtime=0)), path)[1],
    "json lines": lambda rows, path: (path.write_text(as_lines(rows)), path)[1],
    "json lines, gzip": lambda rows, path: (path.write_bytes(gzip.compress(as_lines(rows).encode(), mtime=0)), path)[1],
    "parquet": as_parquet,
}


@pytest.mark.parametrize("model", ["model.onnx", "model_train.pkl"])
@pytest.mark.parametrize("kind", WRITERS)
def test_raw_rows_of_any_format_give_the_predictions_of_training(
    flow: Flow, tmp_path: Path, kind: str, model: str
) -> None:
    """Labels, probabilities, ids and order equal predictions.csv for every input format and every model file."""
    source = WRITERS[kind](flow.rows, tmp_path / "rows")
    report = predict(flow, source, out=tmp_path / "out.csv", model=model)
    found, promised = read(tmp_path / "out.csv"), read(flow.folder / "predictions.csv")
    assert found["id"] == promised["id"] == [row["key"] for row in flow.rows]
    assert found["prediction"] == promised["prediction"]
    assert np.allclose(found["probability"], promised["probability"], atol=1e-6)
    assert report.rows == len(flow.rows)
    assert report.sha256 == {str(source): hash_bytes(source.read_bytes())}
    assert report.ignored == {}


@pytest.mark.parametrize("kind", WRITERS)
def test_columns_may_have_any_order_and_the_target_may_be_absent(flow: Flow, tmp_path: Path, kind: str) -> None:
    """Columns other than the features and the id are ignored."""
    rows = [dict(reversed(row.items())) for row in without(flow.rows, "class", "price", "remark")]
    predict(flow, WRITERS["csv"](flow.rows, tmp_path / "all"), out=tmp_path / "all.csv")
    predict(flow, WRITERS[kind](rows, tmp_path / "rows"), out=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()


def test_predictions_are_written_as_csv_parquet_or_json_lines(flow: Flow, tmp_path: Path) -> None:
    """The name of the output determines the format."""
    source = WRITERS["csv"](flow.rows, tmp_path / "rows")
    for name in ("out.csv", "out.parquet", "out.jsonl"):
        predict(flow, source, out=tmp_path / name)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["id", "prediction", "probability"]
    assert table.to_pylist() == [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert np.allclose(read(tmp_path / "out.csv")["probability"], table["probability"].to_numpy(), atol=1e-6)


def test_several_inputs_are_predicted_in_order(flow: Flow, tmp_path: Path) -> None:
    """Formats may differ; each input is reported with its hash."""
    one = WRITERS["csv"](flow.rows[:30], tmp_path / "one")
    two = WRITERS["parquet"](flow.rows[30:], tmp_path / "two")
    report = predict(flow, one, two, out=tmp_path / "out.csv")
    assert read(tmp_path / "out.csv")["id"] == [row["key"] for row in flow.rows]
    assert set(report.sha256) == {str(one), str(two)}


def test_rows_without_an_id_are_numbered(flow: Flow, tmp_path: Path) -> None:
    """From 0, over all inputs."""
    sources = [WRITERS["json lines"](without(flow.rows[:4], "key"), tmp_path / name) for name in ("one", "two")]
    predict(flow, *sources, out=tmp_path / "out.csv")
    assert read(tmp_path / "out.csv")["id"] == list(range(8))


def test_text_and_numeric_ids_do_not_mix_in_a_parquet_file(flow: Flow, tmp_path: Path) -> None:
    """Text ids are not converted to numbers; the sentence says what to do."""
    sources = [
        WRITERS["json lines"](without(flow.rows[:4], "key"), tmp_path / "one"),
        WRITERS["csv"](flow.rows[:4], tmp_path / "two"),
    ]
    with pytest.raises(ArtifactFlowError, match=r"^the inputs' ids are of two types \(.*\): predict each into"):
        predict(flow, *sources, out=tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("kind", ["csv", "json lines", "parquet"])
def test_unusual_values_are_predicted_and_reported(flow: Flow, tmp_path: Path, kind: str) -> None:
    """A number outside the training range, an unseen category, an unknown column."""
    rows = changed(changed(flow.rows, 3, size=1e6), 5, colour="violet")
    rows = [row | {"extra": 1, "more": "x"} for row in rows]
    source = WRITERS[kind](rows, tmp_path / "rows")
    report = predict(flow, source, out=tmp_path / "out.csv")
    known = predict(flow, WRITERS[kind](flow.rows, tmp_path / "known"), out=tmp_path / "known.csv").findings
    assert report.rows == len(rows)
    assert report.findings.out_of_range["size"] == known.out_of_range.get("size", 0) + 1
    assert report.findings.unseen == {"colour": {"violet": 1}}
    assert report.ignored == {str(source): ["extra", "more"]}


@pytest.mark.parametrize("kind", ["csv", "json lines", "parquet"])
def test_an_unseen_category_is_encoded_as_no_known_category(flow: Flow, tmp_path: Path, kind: str) -> None:
    """Pickle and ONNX model agree on such a row."""
    source = WRITERS[kind]([row | {"colour": "violet"} for row in flow.rows], tmp_path / "rows")
    for model in ("model.onnx", "model_train.pkl"):
        predict(flow, source, out=tmp_path / f"{model}.csv", model=model)
    one, other = (read(tmp_path / f"{model}.csv") for model in ("model.onnx", "model_train.pkl"))
    assert one["prediction"] == other["prediction"]
    assert np.allclose(one["probability"], other["probability"], atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "kind", "sentence"),
    [
        (lambda rows: without(rows, "size"), "csv", "has no column size; it has: key, open, since"),
        (lambda rows: without(rows, "size", "open"), "parquet", "has no column size, open; it has: key, since"),
        (lambda rows: without(rows, "colour"), "json lines", "has no column colour; it has: key, size, open"),
        (
            lambda rows: [row | {f"extra_{n}": 1 for n in range(20)} for row in without(rows, "size")],
            "parquet",
            "has no column size; it has: key, open, since, colour, remark, price, class, extra_0, extra_1, extra_2 and "
            "17 more.",
        ),
        (
            lambda rows: [
                {("color" if name == "colour" else name): value for name, value in row.items()} for row in rows
            ],
            "csv",
            "has no column colour (did you mean color?); it has",
        ),
        (
            lambda rows: [{name.replace("since", "sinse"): value for name, value in row.items()} for row in rows],
            "json lines",
            "has no column since (did you mean sinse?); it has",
        ),
        (
            lambda rows: changed(rows, 6, size="big"),
            "csv",
            "row 8: size is 'big', which is not a number: fix it, or list",
        ),
        (lambda rows: changed(rows, 6, size="big"), "json lines", "row 7: size is text, but a number is expected"),
        (lambda rows: changed(rows, 6, open="ajar"), "csv", "row 8: open is 'ajar', which is neither true nor false"),
        (
            lambda rows: changed(rows, 6, open="ajar"),
            "parquet",
            "row 7: open is 'ajar', which is neither true nor false",
        ),
        (
            lambda rows: changed(rows, 6, since="soon"),
            "csv",
            "row 8: since is 'soon', which is not an ISO date such as",
        ),
        (lambda rows: changed(rows, 6, since="soon"), "json lines", "row 7: since is 'soon', which is not an ISO date"),
        (lambda rows: changed(rows, 6, size=float("inf")), "parquet", "row 7: size is inf: fix it, or leave it empty"),
    ],
)
def test_a_violation_of_the_contract_is_one_sentence(
    flow: Flow, tmp_path: Path, spoil: Callable[[Rows], Rows], kind: str, sentence: str
) -> None:
    """The sentence names file, row and column, and the previous output stays."""
    source = WRITERS[kind](spoil(flow.rows), tmp_path / "rows")
    for out in ("out.csv", "out.parquet", "out.jsonl"):
        (tmp_path / out).write_text("before")
        with pytest.raises(DataError) as caught:
            predict(flow, source, out=tmp_path / out)
        assert "\n" not in str(caught.value)
        assert str(caught.value).removeprefix(f"{source}").removeprefix(",").strip().startswith(sentence)
        assert (tmp_path / out).read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"rows is empty: it needs a header and rows\."),
        (b"key,size,open,since,colour\n", r"rows has a header and no rows\."),
        (b"size,open,since,colour,size\n1,2,3,4,5\n", r"rows has several columns named size"),
        (b"size,open,since,colour\n1,Yes,2022-01-01,red,5\n", r"rows, row 2: 5 values instead of 4"),
        (
            b"size,open,since,colour\n1,Yes,2022-01-01,\xff\n",
            r"rows, row 2: colour is not UTF-8: save the file as UTF-8",
        ),
        (b'{"size":1,"open":true,"since":null,"colour":"red"}\n{"si', r"rows, row 2 cannot be read as a table: JSON"),
        (b"PAR1 and no more", r"rows is damaged or cut off \(.*\): copy it again from its origin\."),
        (
            gzip.compress(b"size,open,since,colour\n" + bytes(range(256)) * 99, mtime=0)[:-9],
            r"rows is damaged or cut off",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(flow: Flow, tmp_path: Path, content: bytes, sentence: str) -> None:
    """Empty, without rows, ragged, not UTF-8, truncated: nothing is written."""
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        predict(flow, tmp_path / "rows", out=tmp_path / "out.parquet")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


@pytest.mark.parametrize("length", [10, -10, 0.5])
def test_a_truncated_parquet_file_is_one_sentence(flow: Flow, tmp_path: Path, length: float) -> None:
    """Wherever the file is truncated."""
    source = as_parquet(flow.rows, tmp_path / "rows")
    content = source.read_bytes()
    source.write_bytes(content[: int(length * len(content)) if length == 0.5 else int(length)])
    with pytest.raises(DataError, match=r"rows is damaged or cut off \(.*\): copy it again"):
        predict(flow, source, out=tmp_path / "out.csv")


def test_an_error_gives_the_row_number_in_its_own_file(flow: Flow, tmp_path: Path) -> None:
    """The rows of earlier inputs do not count."""
    one = WRITERS["csv"](flow.rows, tmp_path / "one")
    two = WRITERS["csv"](changed(flow.rows, 6, size="big"), tmp_path / "two")
    with pytest.raises(DataError, match=r"two, row 8: size is 'big'"):
        predict(flow, one, two, out=tmp_path / "out.csv")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A classifier of two numbers without gaps and without pre-processing."""
    from artifact_flow.core.base.params import Params, TableParams
    from artifact_flow.core.table.datasets import load_own
    from artifact_flow.core.table.tables import DATA, read_table, split_rows, write_table
    from artifact_flow.stages import export, train

    folder = tmp_path_factory.mktemp("bare")
    rows = [{"a": float(i % 7), "b": float(i % 5), "y": "pq"[i % 2]} for i in range(60)]
    (folder / "own.csv").write_text(as_csv(rows))
    columns = TableParams(target="y", task="classification", columns={"a": "number", "b": "number"})
    data = own_params(folder / "own.csv", preprocess="none").model_copy(update={"table": columns})
    table = split_rows(load_own(data))
    write_table(table, folder / DATA)
    params = Params.model_validate(
        {
            "data": data.model_dump(),
            "train": {"estimator": "sklearn.linear_model.LogisticRegression", "threads": 1},
            "infer": {"decimals": 8},
            "export": {"opset": 17, "max_difference": 1e-5},
        }
    )
    for stage in (train, export):
        stage.main(params, folder)
    write_lock(folder, "model_train.pkl")
    return Flow(folder, rows, read_table(folder / DATA))


@pytest.mark.parametrize(("kind", "row"), [("csv", 5), ("json lines", 4), ("parquet", 4)])
def test_a_missing_value_without_an_imputer_is_refused(bare: Flow, tmp_path: Path, kind: str, row: int) -> None:
    """The sentence names the row in its own file."""
    good = WRITERS[kind](bare.rows, tmp_path / "good")
    bad = WRITERS[kind](changed(bare.rows, 3, b=None), tmp_path / "bad")
    for model in ("model.onnx", "model_train.pkl"):
        said = rf"bad, row {row}: b is missing, and this model was trained without missing values"
        with pytest.raises(DataError, match=said):
            predict(bare, good, bad, out=tmp_path / "out.csv", model=model)


@pytest.mark.parametrize("kind", WRITERS)
def test_standard_input_may_be_any_format(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A pipe gives the same predictions as its file, also for Parquet, whose footer is at its end."""
    source = WRITERS[kind](flow.rows, tmp_path / "rows")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.FileIO(source))))
    piped = predict(flow, Path("-"), out=tmp_path / "piped.csv")
    predict(flow, source, out=tmp_path / "out.csv")
    assert (tmp_path / "piped.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert piped.sha256 == {"standard input": hash_bytes(source.read_bytes())}


def test_a_device_is_written_to_and_never_replaced(flow: Flow, tmp_path: Path) -> None:
    """`--out /dev/null` does not replace the device by a file."""
    predict(flow, WRITERS["csv"](flow.rows, tmp_path / "rows"), out=Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_a_folder_as_output_of_one_file_is_one_sentence(flow: Flow, tmp_path: Path) -> None:
    """A sentence, not a traceback."""
    with pytest.raises(ArtifactFlowError, match=r"^cannot write .*: Is a directory: name a file\.$"):
        predict(flow, WRITERS["csv"](flow.rows, tmp_path / "rows"), out=tmp_path)


def test_a_model_with_another_contract_is_refused(flow: Flow, bare: Flow, tmp_path: Path) -> None:
    """A mismatched pair of model and contract predicts nothing."""
    (tmp_path / "contract.json").write_bytes((flow.folder / "contract.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes((bare.folder / "model.onnx").read_bytes())
    source = WRITERS["csv"](flow.rows, tmp_path / "rows")
    with pytest.raises(
        ModelError, match=r"model.onnx belongs to another contract.json \(sha256 .*\) than .*: take both"
    ):
        predict_files([source], tmp_path / "model.onnx", tmp_path / "out.csv")


def test_a_model_that_the_lock_does_not_name_is_refused(flow: Flow, tmp_path: Path) -> None:
    """A model.onnx that was edited after its run is not opened, although it is a valid one."""
    import onnx

    (tmp_path / "contract.json").write_bytes((flow.folder / "contract.json").read_bytes())
    content = (flow.folder / "model.onnx").read_bytes()
    lock = {
        "schema": "2.0",
        "stages": {"export": {"cmd": "", "outs": [{"path": "model.onnx", "md5": hash_bytes(content, "md5")}]}},
    }
    (tmp_path / "dvc.lock").write_text(json.dumps(lock))
    source = WRITERS["csv"](flow.rows, tmp_path / "rows")
    (tmp_path / "model.onnx").write_bytes(content)
    predict_files([source], tmp_path / "model.onnx", tmp_path / "out.csv")
    tampered = onnx.load_from_string(content)
    tampered.producer_name = "someone else"
    (tmp_path / "model.onnx").write_bytes(tampered.SerializeToString())
    with pytest.raises(ModelError, match=r"model.onnx is not the one that dvc.lock names \(md5 .*\): `dvc checkout`"):
        predict_files([source], tmp_path / "model.onnx", tmp_path / "out.csv")


class _Code:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def forge_pickle(flow: Flow, folder: Path) -> None:
    """Put a pickle that runs code into a folder, with a contract that names it by its right sha256."""
    joblib.dump(_Code(folder / "ran"), folder / "model_train.pkl")
    contract = json.loads((flow.folder / "contract.json").read_text())
    contract["sha256"]["model_train.pkl"] = hash_file(folder / "model_train.pkl")
    (folder / "contract.json").write_text(json.dumps(contract))


@pytest.mark.parametrize("named", [None, "contract.json", "model_train.pkl"])
def test_a_pickle_that_no_lock_names_is_not_opened(flow: Flow, tmp_path: Path, named: str | None) -> None:
    """A matching contract in the same folder is not enough: a dvc.lock must name the file."""
    source = WRITERS["csv"](flow.rows, tmp_path / "rows")
    forge_pickle(flow, tmp_path)
    if named == "contract.json":
        write_lock(tmp_path, named)
    elif named:
        write_lock(flow.folder, named)
        (tmp_path / "dvc.lock").write_bytes((flow.folder / "dvc.lock").read_bytes())
    sentence = r"model_train.pkl was not opened: opening a pickle runs code, and no dvc.lock .* lists this file\. Open"
    if named == "model_train.pkl":
        sentence = r"model_train.pkl is not the one that dvc.lock names \(md5 .*\): `dvc checkout`"
    with pytest.raises(ModelError, match=sentence):
        predict_files([source], tmp_path / "model_train.pkl", tmp_path / "out.csv")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out.csv").exists()
    joblib.load(tmp_path / "model_train.pkl")
    assert (tmp_path / "ran").read_text() == "ran"


def test_a_pickle_is_opened_when_its_sha256_is_allowed(flow: Flow, tmp_path: Path) -> None:
    """The caller who passes the hash trusts the file, as for a registry; any other hash is refused."""
    source = WRITERS["csv"](flow.rows, tmp_path / "rows")
    for name in ("model_train.pkl", "contract.json"):
        (tmp_path / name).write_bytes((flow.folder / name).read_bytes())
    model, out = tmp_path / "model_train.pkl", tmp_path / "out.csv"
    with pytest.raises(ModelError, match=r"has the sha256 .*, but only 000000000000… may be opened: use that file"):
        predict_files([source], model, out, ["0" * 64])
    assert predict_files([source], model, out, [hash_file(model)]).rows == len(flow.rows)


@pytest.mark.parametrize("name", ["model.onnx", "model_train.pkl"])
def test_a_missing_or_damaged_model_is_one_sentence(flow: Flow, tmp_path: Path, name: str) -> None:
    """Neither a missing nor a truncated file gives a traceback."""
    (tmp_path / "contract.json").write_bytes((flow.folder / "contract.json").read_bytes())
    source = WRITERS["csv"](flow.rows, tmp_path / "rows")
    with pytest.raises(ModelError, match=rf"{name} cannot be read \(No such file"):
        predict_files([source], tmp_path / name, tmp_path / "out.csv")
    content = (flow.folder / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    write_lock(tmp_path, name)
    with pytest.raises(
        ModelError, match=rf"{name} is (damaged or not an ONNX model|not the model that contract.json names)"
    ):
        predict_files([source], tmp_path / name, tmp_path / "out.csv")
