"""Stage export: the checked model becomes model.onnx, and every row proves that both say the same."""

import json
from pathlib import Path

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.determinism import EXPORTERS, library_versions, reproducible
from artifact_flow.core.base.errors import ModelError
from artifact_flow.core.base.files import hash_bytes, hash_file, replace_files
from artifact_flow.core.base.params import ExportParams, Params
from artifact_flow.core.model.artifacts import MODEL, PORTABLE, start_session
from artifact_flow.core.model.handover import receive
from artifact_flow.core.model.predictions import predict_rows, run_portable
from artifact_flow.portable.export import check_parity, export_model, serialize

PARITY = Path("parity.json")


def main(params: Params, folder: Path) -> None:
    """Write model.onnx and parity.json, both or none."""
    block: ExportParams = params.block("export")
    given = receive(folder, params)
    contract, X = given.contract, given.X
    with reproducible(threads=1):
        graph = export_model(given.estimator, contract, block.opset)
        model = serialize(graph, hash_file(folder / CONTRACT))
        expected = predict_rows(given.estimator, X, contract.target.classes)
    found = run_portable(start_session(model), contract.features, X)
    difference, wrong = check_parity(expected, found, given.table.y, block.max_difference)
    if wrong:
        raise ModelError(
            f"{PORTABLE} and {MODEL} disagree on {wrong} of {len(X)} rows (largest difference {difference:.1e}, "
            f"allowed {block.max_difference:.1e}): nothing was written; raise export.max_difference in params.yaml if "
            "so much is fine, or bring the features to one scale."
        )
    opsets = {opset.domain or "ai.onnx": opset.version for opset in graph.opset_import}
    parity = {
        "model": PORTABLE.name,
        "sha256": hash_bytes(model),
        "opsets": opsets,  # what the graph needs: at most the one asked for
        "libraries": library_versions(EXPORTERS),
        "rows": len(X),
        "rows_within": len(X) - wrong,
        # the difference itself is the runtime's and the CPU's; that it is within this is the promise
        "max_difference": block.max_difference,
    }
    with replace_files(folder / PORTABLE, folder / PARITY) as (portable, record):
        portable.write_bytes(model)
        record.write_text(json.dumps(parity, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(f"{PORTABLE}: {len(model)} bytes; equal to {MODEL} on {len(X)} rows (largest difference {difference:.1e})")
