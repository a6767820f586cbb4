"""`artifact-flow predict` as people run it: in pipes, with its report on stderr, in constant memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from unit.own import Flow, as_csv, as_lines, as_parquet, make_flow

HEADER = b"key,size,open,since,colour\n"
BLOCK = b"".join(b"k%05d,%d.25,yes,2022-03-04,red\n" % (i, i % 3) for i in range(50_000))
COMMAND = [sys.executable, "-c", "from artifact_flow.cli import main; main()", "predict"]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A classifier of a table with numbers, booleans, dates, text and gaps, in a folder of its own."""
    return make_flow(tmp_path_factory.mktemp("flow"))


def start(flow: Flow, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start the command in the flow's folder, with pipes."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *arguments], cwd=flow.folder, env=environ, stdin=pipe, stdout=pipe, stderr=pipe)


def run(flow: Flow, *arguments: str, content: bytes = b"", code: int = 0) -> tuple[bytes, str]:
    """Run the command on what is piped into it and return its output and its report."""
    process = start(flow, *arguments)
    out, report = process.communicate(content)
    assert process.returncode == code, report.decode()
    return out, report.decode()


def test_rows_go_through_a_pipe(flow: Flow) -> None:
    """`predict -` reads standard input and writes CSV to standard output; the report goes to stderr."""
    out, report = run(flow, "-", content=as_csv(flow.rows).encode())
    lines = out.decode().splitlines()
    assert lines[0] == "id,prediction,probability"
    assert [line.split(",")[0] for line in lines[1:]] == [row["key"] for row in flow.rows]
    assert report.startswith("standard input: sha256 ")
    assert report.endswith("80 rows predicted by model.onnx\n")


@pytest.mark.slow
def test_a_wrong_value_early_in_a_large_input_is_one_line(flow: Flow) -> None:
    """Arrow reads ahead in threads of its own when the command ends; they must not abort it."""
    rows = HEADER + b"k,x,yes,2022-03-04,red\n" + BLOCK * 40
    (flow.folder / "large.csv").write_bytes(rows)
    for source, name in (("-", "standard input"), ("large.csv", "large.csv")):
        process = start(flow, source, "--out", "out.csv")
        _, report = process.communicate(rows)
        assert report.decode().startswith(f"error: {name}, row 2: size is 'x', which is not a number: fix it")
        assert report.count(b"\n") == 1
        assert process.returncode == 1


@pytest.mark.slow
def test_predict_does_not_import_pandas(flow: Flow, tmp_path: Path) -> None:
    """If pandas is installed, pyarrow would import it, which costs 0.2 s and 30 MB."""
    (tmp_path / "pandas.py").write_text("raise SystemExit('pandas is imported')")
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    rows = as_csv(flow.rows).encode()
    subprocess.run([*COMMAND, "-"], cwd=flow.folder, env=environ, input=rows, capture_output=True, check=True)


@pytest.mark.slow
def test_parquet_goes_through_a_pipe_too(flow: Flow, tmp_path: Path) -> None:
    """Parquet is read from its end, which a pipe does not offer: the rows equal those of the file."""
    source = as_parquet(flow.rows, tmp_path / "rows")
    piped, _ = run(flow, "-", content=source.read_bytes())
    out, _ = run(flow, str(source))
    assert piped == out
    assert out.count(b"\n") == 81


def test_unusual_values_are_reported_on_stderr(flow: Flow) -> None:
    """Out of range, unseen or unknown: predicted, and reported by column."""
    rows = [row | {"size": 1e9, "colour": "violet", "extra": 1} for row in flow.rows[:5]]
    out, report = run(flow, "-", content=as_lines(rows).encode())
    assert out.count(b"\n") == 6
    assert "standard input: ignored columns that the model does not use: extra\n" in report
    assert "size: 5 rows outside the training range\n" in report
    assert "colour: 5 rows with a value not seen in training: violet\n" in report


@pytest.mark.parametrize(
    ("arguments", "content", "sentence"),
    [
        (["-"], b"", "error: standard input is empty: it needs a header and rows."),
        (["-"], b"size,open,since\n1,yes,\n", "error: standard input has no column colour; it has: size, open, since."),
        (
            ["-"],
            b"size,open,since,colour\nx,,,\n",
            "error: standard input, row 2: size is 'x', which is not a number: fix",
        ),
        (["absent.csv"], b"", "error: absent.csv cannot be read: No such file or directory: name a CSV, Parquet or"),
        (["-", "--model", "absent.onnx"], b"", "error: absent.onnx cannot be read (No such file or directory): `dvc"),
        (["-", "--model", "no/model.onnx"], b"", "error: no/contract.json cannot be read (No such file or directory)"),
    ],
)
@pytest.mark.slow
def test_a_mistake_is_one_line(flow: Flow, arguments: list[str], content: bytes, sentence: str) -> None:
    """Exit code 1, one sentence on stderr, nothing on stdout, and never a traceback."""
    out, report = run(flow, *arguments, "--out", "out.csv", content=content, code=1)
    assert out == b""
    assert report.startswith(sentence)
    assert report.count("\n") == 1
    assert not (flow.folder / "out.csv").exists()


def test_a_closed_pipe_ends_predict_without_an_error(flow: Flow, tmp_path: Path) -> None:
    """`predict … | head` ends silently, like any filter."""
    (tmp_path / "rows.csv").write_bytes(HEADER + BLOCK * 10)
    done = subprocess.run(
        ["sh", "-c", '{ "$@"; echo "exit code $?" >&2; } | head -n 1', "sh", *COMMAND, str(tmp_path / "rows.csv")],
        cwd=flow.folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "id,prediction,probability\n"
    assert done.stderr == "exit code 141\n"


@pytest.mark.slow
def test_memory_is_constant(flow: Flow) -> None:
    """Ten times the rows take nearly the same memory."""
    peaks = []
    for blocks in (4, 40):
        with start(flow, "-", "--out", "out.parquet") as process:
            assert process.stdin is not None
            assert process.stderr is not None
            for part in (HEADER, *[BLOCK] * blocks):
                process.stdin.write(part)
            process.stdin.close()
            report = process.stderr.read().decode()
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0  # it was waited for, and how it ended stands in its report
        assert report.endswith(f"{blocks * 50_000} rows predicted by model.onnx\n")
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.3 * peaks[0]
