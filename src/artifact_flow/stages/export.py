"""Stage export: the checked model becomes model.onnx, and it is verified that both predict the same for every row.

For an estimator without an ONNX form the stage does not apply: model.onnx is empty, and parity.json has the reason.
"""

import json
from pathlib import Path
from typing import Any

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.determinism import EXPORTERS, library_versions, reproducible
from artifact_flow.core.base.errors import InapplicableError, ModelError
from artifact_flow.core.base.files import hash_bytes, hash_file, replace_files
from artifact_flow.core.base.legend import arrange_legend
from artifact_flow.core.base.params import ExportParams, Params
from artifact_flow.core.model.artifacts import MODEL, PARITY, PORTABLE, describe_absence
from artifact_flow.core.model.handover import Handover, receive
from artifact_flow.core.model.predictions import predict_rows
from artifact_flow.core.model.thresholds import without_threshold
from artifact_flow.portable.export import check_parity, export_model, is_rounded, name_of, predict_portable, serialize


def main(params: Params, folder: Path) -> None:
    """Write model.onnx and parity.json, both or none; an empty model.onnx if the stage does not apply."""
    block: ExportParams = params.block("export")
    given = receive(folder, params)
    try:
        content, parity, line = _export(given, block, hash_file(folder / CONTRACT))
        document = json.dumps(parity, indent=2, allow_nan=False) + "\n"
    except InapplicableError as error:
        content, document, line = b"", describe_absence(str(error)), f"export does not apply: {error}"
    with replace_files(folder / PORTABLE, folder / PARITY) as (portable, record):
        portable.write_bytes(content)
        record.write_text(document, encoding="utf-8")
    print(line)


def _export(given: Handover, block: ExportParams, contract_sha256: str) -> tuple[bytes, dict[str, Any], str]:
    """Return the model's bytes, what parity.json records, and the line to print."""
    contract, X, threshold = given.contract, given.X, given.contract.target.threshold
    legend = arrange_legend(block.columns, contract.columns)
    with reproducible(threads=1):
        graph = export_model(given.estimator, contract, block.opset, X)
        model = serialize(graph, contract_sha256, legend)
        expected = predict_rows(given.estimator, X, contract.target.classes)
    found = predict_portable(model, contract, X)
    difference, wrong = check_parity(expected, found, given.table.y, block.max_difference, threshold)
    plain = without_threshold(given.estimator, threshold)
    if wrong and is_rounded(plain):
        raise InapplicableError(
            f"{name_of(plain)} predicts differently as ONNX, in float32, on {wrong} of {len(X)} rows, by "
            f"more than export.max_difference, {block.max_difference:.1e}"
        )
    if wrong:
        raise ModelError(
            f"{PORTABLE} and {MODEL} predict differently on {wrong} of {len(X)} rows (largest difference "
            f"{difference:.1e}, allowed {block.max_difference:.1e}), so nothing was written: raise "
            "export.max_difference in params.yaml if such a difference is acceptable, or scale the features."
        )
    parity = {
        "model": PORTABLE.name,
        "sha256": hash_bytes(model),
        # the opsets that the graph needs, at most the one in params.yaml
        "opsets": {opset.domain or "ai.onnx": opset.version for opset in graph.opset_import},
        "libraries": library_versions(EXPORTERS),
        "rows": len(X),
        "rows_within": len(X) - wrong,
        # the difference itself depends on the runtime and the CPU; the promise is that it is within this limit
        "max_difference": block.max_difference,
    }
    line = f"{PORTABLE}: {len(model)} bytes; equal to {MODEL} on {len(X)} rows (largest difference {difference:.1e})"
    return model, parity, line
