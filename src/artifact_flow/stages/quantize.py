"""Stage quantize: a linear model's weights become 8-bit integers, when what that costs passes the gate."""

import json
from pathlib import Path
from typing import Any

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.determinism import reproducible
from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.figures import show_figure
from artifact_flow.core.base.files import hash_file, replace_files
from artifact_flow.core.base.params import Params, QuantizeParams
from artifact_flow.core.model.artifacts import MODEL, PORTABLE, QUANTIZED, start_session
from artifact_flow.core.model.handover import receive
from artifact_flow.core.model.predictions import predict_rows, run_portable
from artifact_flow.core.model.scoring import measure_cost, sample_pairs
from artifact_flow.core.table.writers import write_csv
from artifact_flow.portable.export import check_parity, serialize
from artifact_flow.portable.quantize import (
    extract_linear,
    predict_quantized,
    preprocess,
    quantize_linear,
    write_quantized,
)

QUANTIZATION, FLOAT_8BIT = Path("quantization.json"), Path("plots/float_8bit.csv")
RUNTIME_TOLERANCE = 1e-4  # between the runtime's float32 and this stage's float64, as `export.check_parity` takes it
DECIMALS = 6  # significant digits of the plot


def main(params: Params, folder: Path) -> None:
    """Write model_quantized.onnx, quantization.json and the plot's data, all or none."""
    gate: QuantizeParams = params.block("quantize")
    given = receive(folder, params)
    contract, table, estimator, X = given.contract, given.table, given.estimator, given.X
    with reproducible(threads=1):
        linear = extract_linear(estimator, X)
        Z = preprocess(estimator, X)
        model = quantize_linear(linear, Z[table.split == "train"])
        exact, quantized = predict_rows(estimator, X, contract.target.classes), predict_quantized(model, Z)
        cost = measure_cost(table, exact, quantized)
    check_gate(cost, gate)
    opset = params.block("export").opset
    content = serialize(write_quantized(model, estimator, contract.features, opset), hash_file(folder / CONTRACT))
    found = run_portable(start_session(content, QUANTIZED), contract.features, X)
    difference, wrong = check_parity(quantized, found, table.y, RUNTIME_TOLERANCE)
    if wrong:
        raise ModelError(
            f"{QUANTIZED} says something else in its runtime than its numbers do, on {wrong} of {len(X)} rows (largest "
            f"difference {difference:.1e}): nothing was written; bring the features to one scale."
        )
    sizes = {path.name: len((folder / path).read_bytes()) for path in (MODEL, PORTABLE)} | {
        QUANTIZED.name: len(content)
    }
    float_bytes = linear.weights.nbytes + linear.intercept.nbytes
    record = {
        **cost,
        "gate": gate.model_dump(),
        "file_bytes": sizes,
        "parameter_bytes": {"float": float_bytes, "quantized": model.parameter_bytes},
    }
    outputs = (folder / path for path in (QUANTIZED, QUANTIZATION, FLOAT_8BIT))
    with replace_files(*outputs) as (portable, quantization, plot):
        portable.write_bytes(content)
        quantization.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        write_csv(sample_pairs(table, exact, quantized, DECIMALS), plot)
    print(
        f"{QUANTIZED}: {len(content)} bytes, {len(content) / sizes[MODEL.name]:.0%} of {MODEL}; {cost['metric']} "
        f"{show_figure(cost['float'][cost['metric']])} → {show_figure(cost['quantized'][cost['metric']])}, "
        f"agreement {cost['agreement']:.4%}"
    )


def check_gate(cost: dict[str, Any], gate: QuantizeParams) -> None:
    """Raise ModelError when 8 bits lose more quality, or agree less, than the gate allows."""
    metric, loss, agreement = cost["metric"], cost["quality_loss"], cost["agreement"]
    if not loss <= gate.max_quality_loss:
        raise ModelError(
            f"8 bits lose {loss:.4g} of {metric} on the test split; allowed by quantize.max_quality_loss in "
            f"params.yaml: {gate.max_quality_loss}: nothing was written; serve {PORTABLE}, or allow more."
        )
    if not agreement >= gate.min_agreement:
        raise ModelError(
            f"the 8-bit model agrees with the float one by {agreement:.4g} on the test split; needed by "
            f"quantize.min_agreement in params.yaml: {gate.min_agreement}: nothing was written; serve {PORTABLE}, or "
            "allow less."
        )
