"""Facts: what the documents say about a model, read from the flow's outputs, dvc.lock and requirements/lean.txt.

Only a finished flow that DVC calls up to date has facts. They hold no time and no commit, so that the same outputs give
the same documents, and a commit of the documents does not change them.
"""

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artifact_flow.core.base.contract import CONTRACT, Contract
from artifact_flow.core.base.errors import TrackError
from artifact_flow.core.base.files import repository_root
from artifact_flow.core.base.interpreter import DECISIVE, LEAN, locked_versions
from artifact_flow.core.base.legend import Legend
from artifact_flow.core.base.lock import LOCK, output_hashes, read_lock
from artifact_flow.core.base.pipeline import PIPELINE, read_pipeline
from artifact_flow.core.model.artifacts import (
    MODEL,
    PARITY,
    PORTABLE,
    QUANTIZATION,
    QUANTIZED,
    open_portable,
    read_legend,
)
from artifact_flow.core.table.tables import DATA
from artifact_flow.tracking.dvc import run_dvc
from artifact_flow.tracking.result import Result, read_result


@dataclass(frozen=True)
class Library:
    """A library that can change a byte of an output: its version, and the sha256 of the files the lock allows."""

    name: str
    version: str
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class Value:
    """An input or output of the ONNX model; a size that is not fixed, the number of rows, is a word."""

    name: str
    type: str  # as the runtime names it, such as tensor(float)
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Facts:
    """A finished, current result and what the documents need besides it."""

    result: Result
    place: str  # the flow's folder from the repository's root, "." for the root
    pipeline: str  # its dvc.yaml, from the same root
    md5: Mapping[str, str]  # path of each output, relative to the flow's folder → md5 in dvc.lock
    columns: Mapping[str, pa.DataType]  # of data.parquet, in its order
    data_bytes: int
    inputs: tuple[Value, ...]  # of model.onnx; empty if there is none
    outputs: tuple[Value, ...]
    legend: Legend  # unit and description of columns in model.onnx
    parity: Mapping[str, Any]  # the content of parity.json; empty without a stage `export`
    quantization: Mapping[str, Any]  # the content of quantization.json; empty without a stage `quantize`
    libraries: tuple[Library, ...]

    @property
    def contract(self) -> Contract:
        """The model's contract."""
        return self.result.contract

    @property
    def models(self) -> list[str]:
        """The names of the model files that hold a model, the one to predict with first."""
        names = [PORTABLE.name, QUANTIZED.name, MODEL.name]
        return [name for name in names if name in self.result.model_files]

    def path_of(self, name: str) -> str:
        """Return the path of a file of the flow from the repository's root."""
        return name if self.place == "." else f"{self.place}/{name}"


def read_facts(folder: Path) -> Facts:
    """Return the facts of the flow in a folder, after checking that its outputs are those of the current parameters.

    Raises TrackError when an output is missing, differs from dvc.lock or is stale, and LockError, ContractError and
    ModelError when a file cannot be read.
    """
    result = read_result(folder)
    check_current(result)
    return gather_facts(result)


def gather_facts(result: Result) -> Facts:
    """Return the facts of a result that is current."""
    folder = result.folder
    root = repository_root(result.pipeline)
    inputs, outputs, legend = _signature_of(result)
    parity, quantization = (_read_record(result, path) for path in (PARITY, QUANTIZATION))
    lean = root / LEAN
    return Facts(
        result=result,
        place=posixpath.relpath(folder.resolve(), root),
        pipeline=posixpath.relpath(result.pipeline.resolve() / PIPELINE, root),
        md5=_md5_of(result),
        columns={field.name: field.type for field in pq.read_schema(folder / DATA)},
        data_bytes=(folder / DATA).stat().st_size,
        inputs=inputs,
        outputs=outputs,
        legend=legend,
        parity=parity,
        quantization=quantization,
        libraries=find_libraries(
            lean.read_text(encoding="utf-8") if lean.is_file() else "",
            {**result.contract.libraries, **parity.get("libraries", {})},
        ),
    )


def check_current(result: Result) -> None:
    """Raise TrackError unless DVC calls every stage that writes into the flow's folder up to date."""
    done = run_dvc("status", "--json", *_stages_of(result), folder=result.pipeline, capture=True)
    if done.returncode:
        raise TrackError(
            f"`dvc status` fails in {result.pipeline.resolve()}, so the flow in {result.folder} may be stale and no "
            "document was written: run it to see why, then `dvc repro`."
        )
    found: dict[str, list[Any]] = json.loads(done.stdout or "{}")
    stale = [name for name, changes in found.items() if any(map(_is_stale, changes))]
    if stale:
        raise TrackError(
            f"the flow in {result.folder.resolve()} is stale or unfinished (`dvc status` names {', '.join(stale)}), so "
            "no document was written: run `dvc repro` first."
        )


def find_libraries(lock: str, recorded: Mapping[str, str]) -> tuple[Library, ...]:
    """Return the decisive libraries, with the hashes that the text of a requirements lock allows.

    `recorded` (name → version) is what the outputs name. Its versions win over those of the lock; one that the lock
    does not have, which somebody allowed, has no hashes.
    """
    versions = locked_versions(lock)
    pins = {
        name: tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))
        for name, rest in re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+.*(?:\n[ \t].*)*)", lock, re.MULTILINE)
    }
    names = sorted({*recorded, *(name for name in DECISIVE if name in versions)})
    found = {name: recorded.get(name) or versions[name] for name in names}
    return tuple(
        Library(name, version, pins.get(name, ()) if versions.get(name) == version else ())
        for name, version in found.items()
    )


def _stages_of(result: Result) -> list[str]:
    """Return the names of the stages of dvc.yaml that write into the flow's folder."""
    pipeline = read_pipeline(result.pipeline)
    start = "" if result.folder.resolve() == result.pipeline.resolve() else f"{result.folder.resolve().name}/"
    stages = pipeline.stages.items() if pipeline else ()
    return [name for name, stage in stages if stage.outs and all(out.startswith(start) for out in stage.outs)]


def _is_stale(change: str | dict[str, dict[str, str]]) -> bool:
    """Return whether a change that DVC names could give other outputs.

    Outputs that lie in the workspace, but not in DVC's cache, have been compared with dvc.lock already.
    """
    if isinstance(change, str):
        return change != "always changed"
    return set(change) != {"changed outs"} or set(change["changed outs"].values()) != {"not in cache"}


def _md5_of(result: Result) -> dict[str, str]:
    locked = output_hashes(read_lock(result.pipeline / LOCK))
    places = {(result.pipeline / path).resolve(): md5 for path, md5 in locked.items()}
    return {path: places[(result.folder / path).resolve()] for path in result.sha256}


def _signature_of(result: Result) -> tuple[tuple[Value, ...], tuple[Value, ...], Legend]:
    if PORTABLE.name not in result.model_files:
        return (), (), {}
    path = result.folder / PORTABLE
    session = open_portable(path, result.folder / CONTRACT, result.pipeline / LOCK).session
    inputs, outputs = (tuple(map(_to_value, values)) for values in (session.get_inputs(), session.get_outputs()))
    return inputs, outputs, read_legend(session, path)


def _to_value(found: Any) -> Value:
    return Value(found.name, found.type, tuple("rows" if size is None else size for size in found.shape))


def _read_record(result: Result, path: Path) -> dict[str, Any]:
    return dict(json.loads((result.folder / path).read_bytes())) if path.name in result.sha256 else {}
