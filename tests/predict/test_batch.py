"""Folders and patterns are predicted part by part: complete, in order, resumable, the same everywhere."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from predict.rows import contents, read_manifest, read_parts, write_mixed
from unit.own import Flow, as_csv, as_lines, as_parquet

from artifact_flow.cli import main
from artifact_flow.core.base.errors import ArtifactFlowError, DataError, FileError
from artifact_flow.core.base.files import hash_file
from artifact_flow.predict import batch
from artifact_flow.predict import plan as plan_module
from artifact_flow.predict.batch import Job, Summary, run_job
from artifact_flow.predict.files import predict_files
from artifact_flow.predict.plan import cut_groups


def score(flow: Flow, *inputs: object, out: Path, **more: Any) -> Summary:
    """Predict into a folder with the flow's model."""
    return run_job(Job([str(one) for one in inputs], flow.folder / "model.onnx", str(out), **more))


def stream(flow: Flow, inputs: list[Path], out: Path) -> pa.Table:
    """Return what the same command gives as one file."""
    predict_files(inputs, flow.folder / "model.onnx", out)
    return pq.read_table(out)


def test_a_folder_gives_the_predictions_of_its_files_as_one_stream(flow: Flow, tmp_path: Path) -> None:
    """The rows are equal, in the order of the files' names, whatever the formats."""
    files = write_mixed(flow, tmp_path / "rows")
    (tmp_path / "rows/_SUCCESS").touch()
    (tmp_path / "rows/.hidden").write_text("nothing")
    summary = score(flow, tmp_path / "rows", out=tmp_path / "out")
    assert read_parts(tmp_path / "out").equals(stream(flow, files, tmp_path / "one.parquet"))
    assert (summary.rows, summary.parts, summary.kept, summary.rejected) == (80, 3, 0, 0)


def test_rows_without_ids_are_numbered_over_all_files(flow: Flow, tmp_path: Path) -> None:
    """A row's number does not depend on how its file is written or cut."""
    rows = [{name: value for name, value in row.items() if name != "key"} for row in flow.rows]
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/a.csv").write_text(as_csv(rows[:10]), encoding="utf-8")
    (tmp_path / "rows/b.jsonl").write_text(as_lines(rows[10:50]) + "\n\n", encoding="utf-8")
    as_parquet(rows[50:], tmp_path / "rows/c.parquet")
    score(flow, tmp_path / "rows", out=tmp_path / "out")
    assert read_parts(tmp_path / "out")["id"].to_pylist() == list(range(80))
    files = sorted((tmp_path / "rows").iterdir())
    assert read_parts(tmp_path / "out").equals(stream(flow, files, tmp_path / "one.parquet"))


def test_a_large_parquet_file_is_cut_into_runs_of_row_groups(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts together equal the whole, and the manifest names the row groups of each part."""
    monkeypatch.setattr(plan_module, "PARTITION_ROWS", 50)
    table = pa.Table.from_pylist(flow.rows)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=30)
    score(flow, tmp_path / "rows.parquet", out=tmp_path / "out")
    assert read_parts(tmp_path / "out").equals(stream(flow, [tmp_path / "rows.parquet"], tmp_path / "one.parquet"))
    assert [part["groups"] for part in read_manifest(tmp_path / "out")["parts"]] == [[0, 2], [2, 3]]


def test_runs_of_row_groups_have_a_million_rows_or_the_rest() -> None:
    """No run is empty, and none is longer than necessary."""
    million = plan_module.PARTITION_ROWS
    assert cut_groups([million, million, 5]) == [(0, 1), (1, 2), (2, 3)]
    assert cut_groups([million // 2] * 3 + [0]) == [(0, 2), (2, 4)]
    assert cut_groups([0, 0]) == []


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_each_part_is_written_in_the_chosen_format(flow: Flow, tmp_path: Path, form: Any) -> None:
    """Each part equals the file that its rows alone would give."""
    (csv, *_) = write_mixed(flow, tmp_path / "rows")
    score(flow, csv, out=tmp_path / "out", format=form)
    predict_files([csv], flow.folder / "model.onnx", tmp_path / f"one.{form}")
    assert hash_file(tmp_path / f"out/part-00000.{form}") == hash_file(tmp_path / f"one.{form}")


def test_the_manifest_names_model_inputs_and_parts_by_hash(flow: Flow, tmp_path: Path) -> None:
    """The manifest proves what made the parts; it has no times, so the same job gives the same bytes."""
    files = write_mixed(flow, tmp_path / "rows")
    for out in ("out", "again"):
        score(flow, tmp_path / "rows", out=tmp_path / out)
    manifest = read_manifest(tmp_path / "out")
    folder = flow.folder
    hashes = {"model": hash_file(folder / "model.onnx"), "contract": hash_file(folder / "contract.json")}
    assert manifest["sha256"] == hashes
    assert [one["sha256"] for one in manifest["inputs"]] == [hash_file(path) for path in files]
    assert {one["name"]: one["sha256"] for one in manifest["parts"]} == {
        path.name: hash_file(path) for path in (tmp_path / "out").glob("*.parquet")
    }
    assert manifest["rows"] == sum(part["rows"] for part in manifest["parts"]) == 80
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


def test_the_same_command_again_keeps_finished_parts(flow: Flow, tmp_path: Path) -> None:
    """No part is predicted or written twice, and the report covers the whole job."""
    write_mixed(flow, tmp_path / "rows")
    first = score(flow, tmp_path / "rows", out=tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    second = score(flow, tmp_path / "rows", out=tmp_path / "out")
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert (second.kept, second.rows, second.findings) == (3, first.rows, first.findings)


def cut(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("spoil", [cut, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["part-00001.parquet", "part-00001.json", "rejected-00001.jsonl"])
def test_a_changed_part_is_computed_again(
    flow: Flow, tmp_path: Path, spoil: Callable[[Path], object], name: str
) -> None:
    """If a part or its JSON file is edited, truncated or removed, the next run restores the folder."""
    write_mixed(flow, tmp_path / "rows")
    with (tmp_path / "rows/b.jsonl").open("a") as file:
        file.write("no row\n")
    score(flow, tmp_path / "rows", out=tmp_path / "out")
    before = contents(tmp_path / "out")
    spoil(tmp_path / "out" / name)
    assert score(flow, tmp_path / "rows", out=tmp_path / "out").kept == 2
    assert contents(tmp_path / "out") == before


def test_temporary_files_of_a_killed_process_are_removed(flow: Flow, tmp_path: Path) -> None:
    """Temporary files are in separate folders, which the next run removes."""
    write_mixed(flow, tmp_path / "rows")
    (tmp_path / "out/.part-00007.parquet.0.part").mkdir(parents=True)
    (tmp_path / "out/.part-00007.parquet.0.part/part-00007.parquet").write_bytes(b"PAR1")
    score(flow, tmp_path / "rows", out=tmp_path / "out")
    assert not list((tmp_path / "out").glob(".*"))


SPOILT: dict[str, tuple[Callable[[list[dict[str, Any]], Path], Path], int]] = {
    "csv": (lambda rows, path: (path.write_text(as_csv(rows)), path)[1], 2),
    "jsonl": (lambda rows, path: (path.write_text(as_lines(rows)), path)[1], 1),
    "parquet": (as_parquet, 1),
}


@pytest.mark.parametrize("form", SPOILT)
def test_rows_that_do_not_match_the_contract_are_rejected_with_a_reason(flow: Flow, tmp_path: Path, form: str) -> None:
    """The other rows are predicted as if the rejected rows were not there."""
    write, first = SPOILT[form]
    rows = [dict(row) for row in flow.rows]
    rows[3]["open"], rows[5]["since"], rows[6]["open"] = "ajar", "soon", "ajar"
    source = write(rows, tmp_path / "rows")
    good = [row for number, row in enumerate(flow.rows) if number not in (3, 5, 6)]
    summary = score(flow, source, out=tmp_path / "out")
    told = [json.loads(line) for line in (tmp_path / "out/rejected-00000.jsonl").read_text().splitlines()]
    assert [(one["row"], one["id"]) for one in told] == [(3 + first, "k3"), (5 + first, "k5"), (6 + first, "k6")]
    assert told[0]["reason"].startswith("open is 'ajar', which is neither true nor false: fix it")
    assert told[1]["reason"].startswith("since is 'soon', which is not an ISO date")
    assert (summary.rows, summary.rejected) == (77, 3)
    expected = stream(flow, [write(good, tmp_path / "good")], tmp_path / "one.parquet")
    assert read_parts(tmp_path / "out").equals(expected)


def test_malformed_lines_are_rejected_too(flow: Flow, tmp_path: Path) -> None:
    """CSV lines with too few or too many values, JSON lines that are not objects or have a wrong type."""
    csv, jsonl = as_csv(flow.rows).splitlines(keepends=True), as_lines(flow.rows).splitlines(keepends=True)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/a.csv").write_text("".join([*csv[:2], "1,2\n", *csv[2:5], "1" + "," * 9 + "\n", *csv[5:]]))
    odd = [
        '{"key": 1\n',
        "7\n",
        jsonl[0].replace('"size": ', '"size": [], "size_": '),
        jsonl[0].replace('"k0"', "true"),
    ]
    (tmp_path / "rows/b.jsonl").write_text("".join([*jsonl[:4], *odd, *jsonl[4:]]))
    summary = score(flow, tmp_path / "rows", out=tmp_path / "out")
    files = sorted((tmp_path / "out").glob("rejected-*"))
    told = [[json.loads(line) for line in path.read_text().splitlines()] for path in files]
    assert [[one["row"] for one in part] for part in told] == [[3, 7], [5, 6, 7, 8]]
    assert told[0][0]["reason"] == "2 values instead of 8: fix that row, or quote its separators."
    assert told[1][0]["reason"].startswith("not JSON (")
    assert told[1][1]["reason"] == "not a JSON object: write one on each line."
    assert told[1][2]["reason"] == "size is a list, but a number is expected: write it the same way in every row."
    assert told[1][3]["reason"] == "key is true or false, but text is expected: write it the same way in every row."
    assert (summary.rows, summary.rejected) == (160, 6)


def test_row_numbers_count_rejected_rows(flow: Flow, tmp_path: Path) -> None:
    """The number of a prediction leads to its row in the input."""
    rows = [{name: value for name, value in row.items() if name != "key"} for row in flow.rows[:10]]
    (tmp_path / "rows").mkdir()
    for name in ("a.csv", "b.csv"):
        lines = as_csv(rows).splitlines(keepends=True)
        (tmp_path / "rows" / name).write_text("".join([*lines[:4], "1\n", *lines[4:]]))
    score(flow, tmp_path / "rows", out=tmp_path / "out")
    assert read_parts(tmp_path / "out")["id"].to_pylist() == [i for i in range(22) if i % 11 != 3]
    assert json.loads((tmp_path / "out/rejected-00001.jsonl").read_text())["id"] == 14


def test_a_file_with_mostly_rejected_rows_ends_the_job(flow: Flow, tmp_path: Path) -> None:
    """It is the wrong file or damaged: the job fails with one sentence, and the parts before it are kept."""
    write_mixed(flow, tmp_path / "rows")
    rows = [row | {"size": f"about {number}"} for number, row in enumerate(flow.rows * 3)]
    (tmp_path / "rows/d.csv").write_text(as_csv(rows))
    with pytest.raises(DataError, match=r"d.csv: 240 of 240 rows do not fit the contract; the first is row 2: size is"):
        score(flow, tmp_path / "rows", out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("part-*.json"))) == 3
    (tmp_path / "rows/d.csv").write_text(as_csv(rows[:3]))
    with pytest.raises(DataError, match=r"d.csv: no row fits the contract; the first is row 2: size is 'about 0'"):
        score(flow, tmp_path / "rows", out=tmp_path / "other")


def test_a_damaged_file_ends_the_job(flow: Flow, tmp_path: Path) -> None:
    """Changed bytes, detected by checksums or a missing end, are not treated as rejected rows."""
    *_, parquet = write_mixed(flow, tmp_path / "rows")
    cut(parquet)
    with pytest.raises(DataError, match=r"c.parquet is damaged or cut off"):
        score(flow, tmp_path / "rows", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("model", r"out has predictions of another model \(model.onnx, sha256 .*…\): name another folder"),
        ("input", r"out has predictions of other inputs \(.*a.csv has changed, or was not given\): name"),
        ("more", r"out has predictions of other inputs \(.*d.csv has changed, or was not given\): name"),
        ("format", r"out has predictions in parquet format, with a different plan: name another folder"),
        ("plan", r"out has a damaged plan.json: name another folder"),
    ],
)
def test_a_folder_belongs_to_one_job(flow: Flow, tmp_path: Path, change: str, sentence: str) -> None:
    """Parts of another model, other inputs or another format never mix with existing ones."""
    write_mixed(flow, tmp_path / "rows")
    score(flow, tmp_path / "rows", out=tmp_path / "out")
    before = contents(tmp_path / "out")
    model, more = flow.folder / "model.onnx", {}
    if change == "model":
        model = flow.folder / "model_train.pkl"
    elif change == "input":
        (tmp_path / "rows/a.csv").write_text(as_csv(flow.rows[:19]))
    elif change == "more":
        (tmp_path / "rows/d.csv").write_text(as_csv(flow.rows))
    elif change == "format":
        more = {"format": "csv"}
    else:
        (tmp_path / "out/plan.json").write_text("{}")
        before["plan.json"] = b"{}"
    with pytest.raises(FileError, match=sentence):
        run_job(Job([str(tmp_path / "rows")], model, str(tmp_path / "out"), **more))
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((["rows"], "-"), "--out - is one file, but folders, patterns, URLs and workers write one file per part"),
        ((["rows"], "out.csv"), "--out out.csv is one file, but folders, patterns, URLs and workers"),
        ((["rows"], "rows/scored"), "--out rows/scored is inside the input rows, so its files would become input"),
        ((["rows"], "rows/a.csv"), "--out rows/a.csv is one file"),
        ((["-"], "out/"), "standard input is written to one file, not to a folder"),
        ((["rows", "rows/a.csv"], "out/"), "rows/a.csv is given twice: name it once."),
        ((["empty"], "out/"), "empty has no files: name a file, a folder or a pattern"),
        ((["rows/*.feather"], "out/"), "rows/*.feather has no files: name a file, a folder or a pattern"),
        ((["absent.csv"], "out/"), "absent.csv cannot be read: No such file or directory: name"),
        (
            (["rows", "numbered.csv"], "out/"),
            "the inputs have different kinds of ids (row number in numbered.csv, text in",
        ),
        ((["none.parquet"], "out/"), "none.parquet has no rows, and neither has any other input"),
    ],
)
def test_invalid_arguments_are_one_sentence(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[list[str], str], sentence: str
) -> None:
    """Arguments are checked before any row is read, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    write_mixed(flow, Path("rows"))
    Path("empty").mkdir()
    Path("numbered.csv").write_text(as_csv([{"size": 1, "open": "yes", "since": "", "colour": "red"}]))
    pq.write_table(pa.Table.from_pylist(flow.rows)[:0], "none.parquet")
    before = contents(tmp_path)
    with pytest.raises(ArtifactFlowError) as caught:
        run_job(Job(given[0], flow.folder / "model.onnx", given[1]))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_the_command_accepts_a_pattern_and_prints_a_summary(
    flow: Flow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary is that of a single file, with the numbers of kept parts and rejected rows."""
    write_mixed(flow, tmp_path / "rows")
    with (tmp_path / "rows/b.jsonl").open("a") as file:
        file.write(json.dumps(flow.rows[0] | {"size": 1e9, "colour": "violet", "extra": 1}) + "\nno row\n")
    out = f"{tmp_path / 'out'}/"
    for _ in range(2):
        main(["predict", f"{tmp_path}/rows/*[bc].*", "--model", str(flow.folder / "model.onnx"), "--out", out])
    said = capsys.readouterr().err
    for line in (
        f"{tmp_path}/rows/b.jsonl: ignored columns that the model does not use: extra",
        "size: 1 rows outside the training range",
        "colour: 1 rows with a value not seen in training: violet",
        "1 rows do not fit the contract: rejected-*.jsonl lists them",
        "2 parts of an earlier run were unchanged and kept",
        f"61 rows predicted by {flow.folder / 'model.onnx'} into 2 parts in {out}",
    ):
        assert line in said


@pytest.mark.parametrize(("terminal", "line"), [(False, "{0} of 3 parts, "), (True, "\r\x1b[K{0} of 3 parts, ")])
def test_progress_is_printed(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, line: str
) -> None:
    """Parts, rows per second and the remaining time: in place on a terminal, otherwise line by line."""
    write_mixed(flow, tmp_path / "rows")
    said = io.StringIO()
    monkeypatch.setattr(said, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(batch, "PROGRESS_SECONDS", 0.0)
    score(flow, tmp_path / "rows", out=tmp_path / "out")
    for number in (1, 2, 3):
        assert re.search(re.escape(line.format(number)) + r"[\d,]+ rows/s, \d+ s left", said.getvalue())


@pytest.mark.parametrize("workers", ["0", "-1", "1000"])
def test_the_number_of_workers_is_limited(flow: Flow, workers: str) -> None:
    """A number that no machine supports is a mistake."""
    with pytest.raises(SystemExit, match=rf"^error: --workers is {workers}: give 1 to 64\."):
        main(["predict", "rows", "--model", str(flow.folder / "model.onnx"), "--out", "out/", "--workers", workers])


@pytest.mark.slow
def test_a_folder_is_predicted_without_dask_and_fsspec(flow: Flow, tmp_path: Path) -> None:
    """The service's image contains neither and also predicts folders."""
    write_mixed(flow, tmp_path / "rows")
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['dask', 'distributed', 'fsspec', 'rich', 's3fs', 'sklearn']))\n"
        "from artifact_flow.cli import main\n"
        "main()"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", code, "predict", str(tmp_path / "rows"), "--out"]
    subprocess.run([*command, str(tmp_path / "out/")], cwd=flow.folder, env=environ, check=True)
    assert read_manifest(tmp_path / "out")["rows"] == 80
    for more in (["out2/", "--workers", "1"], ["s3://bucket/out/"]):
        done = subprocess.run(
            [*command, *more], cwd=flow.folder, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "`make scale` installs what" in done.stderr


def test_format_is_refused_for_a_single_output_file(
    flow: Flow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of a single output file determines its format."""
    (csv, *_) = write_mixed(flow, tmp_path / "rows")
    with pytest.raises(
        SystemExit, match=r"^error: --format applies to parts in a folder: the name of --out out.csv decides"
    ):
        main(["predict", str(csv), "--out", "out.csv", "--format", "csv"])
