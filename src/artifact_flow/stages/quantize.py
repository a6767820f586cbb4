"""Stage quantize: a linear model's weights or a forest's leaves become 8 bits, if the loss of quality passes the gate.

For another estimator, and for trees that take no fewer bytes than in model.onnx, the stage does not apply:
model_quantized.onnx is empty, and quantization.json has the reason.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.errors import InapplicableError, ModelError
from artifact_flow.core.base.figures import show_figure
from artifact_flow.core.base.files import hash_file, replace_files
from artifact_flow.core.base.legend import arrange_legend
from artifact_flow.core.base.params import ExportParams, Params, QuantizeParams
from artifact_flow.core.model.artifacts import MODEL, PORTABLE, QUANTIZATION, QUANTIZED, describe_absence, start_session
from artifact_flow.core.model.handover import Handover, receive
from artifact_flow.core.model.predictions import decide, predict_rows, run_portable
from artifact_flow.core.model.scoring import measure_cost, sample_pairs
from artifact_flow.core.model.thresholds import without_threshold
from artifact_flow.core.table.writers import write_csv
from artifact_flow.portable.eight_bit import make_twin
from artifact_flow.portable.export import check_classes, check_parity, name_of, serialize

FLOAT_8BIT = Path("plots/float_8bit.csv")
RUNTIME_TOLERANCE = 1e-4  # between the runtime's float32 and this stage's float64, as `export.check_parity` takes it
DECIMALS = 6  # significant digits of the plot


@dataclass(frozen=True)
class Output:
    """What the stage writes: the model's bytes, the record, the plot's rows, and the line to print."""

    model: bytes
    record: str
    plot: pa.Table
    line: str


def main(params: Params, folder: Path) -> None:
    """Write model_quantized.onnx, quantization.json and the plot's data, all or none; empty if it does not apply."""
    gate: QuantizeParams = params.block("quantize")
    given = receive(folder, params)
    try:
        output = _quantize(given, gate, params.block("export"), folder)
    except InapplicableError as error:
        no_rows = pa.table({"float": pa.array([], pa.float64()), "quantized": pa.array([], pa.float64())})
        output = Output(b"", describe_absence(str(error)), no_rows, f"quantize does not apply: {error}")
    outputs = (folder / path for path in (QUANTIZED, QUANTIZATION, FLOAT_8BIT))
    with replace_files(*outputs) as (portable, quantization, plot):
        portable.write_bytes(output.model)
        quantization.write_text(output.record, encoding="utf-8")
        write_csv(output.plot, plot)
    print(output.line)


def _quantize(given: Handover, gate: QuantizeParams, block: ExportParams, folder: Path) -> Output:
    contract, table, X = given.contract, given.table, given.X
    legend = arrange_legend(block.columns, contract.columns)
    threshold = contract.target.threshold
    estimator = without_threshold(given.estimator, threshold)
    check_classes(estimator, contract.target.classes)
    with reproducible(threads=1):
        twin = make_twin(estimator, contract, block.opset, X, table.split == "train")
        exact = predict_rows(given.estimator, X, contract.target.classes)
        quantized = decide(twin.predictions, threshold)
        cost = measure_cost(table, exact, quantized)
    content = serialize(twin.graph, hash_file(folder / CONTRACT), legend)
    sizes = {path.name: len((folder / path).read_bytes()) for path in (MODEL, PORTABLE)} | {
        QUANTIZED.name: len(content)
    }
    other = PORTABLE if twin.of_trees and sizes[PORTABLE.name] else MODEL
    if other == PORTABLE and len(content) >= sizes[PORTABLE.name]:
        raise InapplicableError(
            f"8 bits do not pay for {name_of(estimator)}: {QUANTIZED} would have {len(content)} bytes, {PORTABLE} has "
            f"{sizes[PORTABLE.name]}"
        )
    check_gate(cost, gate)
    found = run_portable(start_session(content, QUANTIZED), contract.features, X)
    difference, wrong = check_parity(quantized, found, table.y, RUNTIME_TOLERANCE, threshold)
    if wrong and twin.of_trees:
        raise InapplicableError(
            f"{name_of(estimator)} predicts differently as ONNX, in float32, on {wrong} of {len(X)} rows"
        )
    if wrong:
        raise ModelError(
            f"{QUANTIZED} predicts differently in its runtime than its weights do in float64, on {wrong} of {len(X)} "
            f"rows (largest difference {difference:.1e}), so nothing was written: scale the features."
        )
    record = {
        **cost,
        "gate": gate.model_dump(),
        "file_bytes": {name: size for name, size in sizes.items() if size},  # no export: model.onnx is empty
        "parameter_bytes": {
            "float": twin.float_bytes,
            "quantized": twin.quantized_bytes,
        },
    }
    return Output(
        model=content,
        record=json.dumps(record, indent=2, allow_nan=False) + "\n",
        plot=sample_pairs(table, exact, quantized, DECIMALS),
        line=f"{QUANTIZED}: {len(content)} bytes, {len(content) / sizes[other.name]:.0%} of {other}; {cost['metric']} "
        f"{show_figure(cost['float'][cost['metric']])} → {show_figure(cost['quantized'][cost['metric']])}, "
        f"agreement {cost['agreement']:.4%}",
    )


def check_gate(cost: dict[str, Any], gate: QuantizeParams) -> None:
    """Raise ModelError when 8 bits lose more quality, or agree less, than the gate allows."""
    metric, loss, agreement = cost["metric"], cost["quality_loss"], cost["agreement"]
    if not loss <= gate.max_quality_loss:
        raise ModelError(
            f"the 8-bit model loses {loss:.4g} of {metric} on the test split, but quantize.max_quality_loss in "
            f"params.yaml allows {gate.max_quality_loss}, so nothing was written: serve {PORTABLE}, or allow more."
        )
    if not agreement >= gate.min_agreement:
        raise ModelError(
            f"the 8-bit model's agreement with the float model on the test split is {agreement:.4g}, but "
            f"quantize.min_agreement in params.yaml requires {gate.min_agreement}, so nothing was written: serve "
            f"{PORTABLE}, or require less."
        )
