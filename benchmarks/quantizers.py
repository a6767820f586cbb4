"""Quantizers: a script that makes 8-bit models of the housing model and prints their errors and sizes as JSON.

Its arguments are the folder of the reproduced flow and an empty folder for the models. All models start from the same
coefficients. Ours is the output of the stage `quantize`; the naive one rounds all coefficients with one scale;
onnxruntime's dynamic and static quantizers get a float32 product of rows and weights and use their defaults.
"""

import artifact_flow.core.base.determinism  # noqa: F401, I001 - must pin the process before numpy is imported

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from sklearn.metrics import r2_score

from artifact_flow.core.model.artifacts import MODEL, QUANTIZED, open_model
from artifact_flow.core.base.contract import CONTRACT, read_contract
from artifact_flow.core.base.encoding import encode_rows
from artifact_flow.predict.files import open_pair
from artifact_flow.core.table.tables import DATA, read_table

INPUT, OUTPUT = "rows", "value"
CALIBRATION = 1000  # rows for the static quantizer


def main(folder: Path, scratch: Path) -> None:
    """Print for each model the error against the float model, R², and the size of its file in bytes.

    The error is the root mean square, in the target's unit. Error and R² are measured on the test split. The size is
    None for a model without a file.
    """
    table, contract = read_table(folder / DATA), read_contract(folder / CONTRACT)
    train, test = (encode_rows(contract.features, table.part(split).raw, np.float32)[0] for split in ("train", "test"))
    fitted = open_model(contract, folder / MODEL)
    weights, intercept = np.asarray(fitted.coef_, dtype=np.float64).reshape(-1), float(fitted.intercept_)
    exact = test @ weights + intercept
    single, dynamic, static = (scratch / f"{name}.onnx" for name in ("single", "dynamic", "static"))
    onnx.save(write_product(weights, intercept), single)
    quantize_dynamic(single, dynamic, weight_type=QuantType.QUInt8)
    quantize_static(single, static, Rows(train[:CALIBRATION]))
    ours = folder / QUANTIZED
    found = {
        "artifact-flow": (open_pair(ours).predict(test).values, ours),
        "rounded, one scale": (test @ round_weights(weights) + intercept, None),
        "onnxruntime, dynamic": (run(dynamic, test), dynamic),
        "onnxruntime, static": (run(static, test), static),
        "float32 product": (run(single, test), single),
    }
    costs = {
        name: {
            "off": float(np.sqrt(np.mean((values - exact) ** 2))),
            "r2": float(r2_score(table.part("test").y, values)),
            "bytes": file.stat().st_size if file else None,
        }
        for name, (values, file) in found.items()
    }
    print(json.dumps(costs))


def round_weights(weights: np.ndarray) -> np.ndarray:
    """Return weights of any shape, rounded to signed 8-bit integers times one common scale."""
    scale = np.abs(weights).max() / 127
    return np.asarray(np.rint(weights / scale) * scale)


def write_product(weights: np.ndarray, intercept: float) -> onnx.ModelProto:
    """Return a float32 ONNX model that computes rows [rows, columns] @ weights [columns] + intercept."""
    columns = len(weights)
    numbers = {"weights": weights[:, None], "intercept": np.array([intercept])}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [INPUT, "weights"], ["product"]),
            helper.make_node("Add", ["product", "intercept"], [OUTPUT]),
        ],
        "linear",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in numbers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Rows(CalibrationDataReader):  # type: ignore[misc]
    """Calibration rows, float32 [rows, columns], from which the static quantizer takes the value ranges."""

    def __init__(self, rows: np.ndarray) -> None:
        """Use the rows, as one batch."""
        self.left = iter([{INPUT: rows}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the rows on the first call, then None."""
        return next(self.left, None)


def run(model: Path, rows: np.ndarray) -> np.ndarray:
    """Return an ONNX model's predictions of rows, with shape [rows]."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (values,) = session.run([OUTPUT], {INPUT: rows})
    return np.asarray(values)[:, 0]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
