"""Tensors: a request of the Open Inference Protocol, version 2, as rows, and what a model answers as its tensors.

https://github.com/kserve/open-inference-protocol. An input is a column of shape [rows] or [rows, 1]. If all columns are
numbers, the only input may be the matrix of shape [rows, columns] instead, of any name. `Rows` reads the values.
"""

import json
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import orjson

from artifact_flow.serving.model import ServedModel
from artifact_flow.serving.objects import load, take_object
from artifact_flow.serving.plain import Parsed
from artifact_flow.serving.problems import Problem

WHOLE = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
DATATYPES: dict[str, tuple[type, ...]] = {  # → the types of JSON values; null is a missing value of any
    "BOOL": (bool,),
    "BYTES": (str,),
    **dict.fromkeys(WHOLE, (int,)),
    **dict.fromkeys(("FP16", "FP32", "FP64"), (int, float)),
}
COLUMNS = {"number": "FP64", "boolean": "BOOL"}  # a column of any other type is BYTES
KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}
DIMENSIONS = 2  # of a tensor at most


@dataclass(frozen=True)
class Tensor:
    """What the metadata say of a tensor; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


def describe_inputs(model: ServedModel) -> list[Tensor]:
    """Return the tensor of each column."""
    return [Tensor(name, COLUMNS.get(item.type, "BYTES"), [-1]) for name, item in model.rows.features.items()]


def describe_outputs(model: ServedModel) -> list[Tensor]:
    """Return the tensors of an answer, which are named like the fields of a prediction."""
    if not model.classes:
        return [Tensor("value", "FP32", [-1])]
    found = [Tensor("class_index", "INT64", [-1]), Tensor("class_name", "BYTES", [-1])]
    if "probabilities" in model.weights["float"].names:
        shares = Tensor("probabilities", "FP32", [-1, len(model.classes)])
        found += [Tensor("confidence", "FP32", [-1]), shares]
    return found


class Inference:
    """One request for inference: it is read as rows, and says which tensors its answer has."""

    def __init__(self, model: ServedModel) -> None:
        """Take the model that answers."""
        self.model, self.outputs = model, describe_outputs(model)
        self.id: str | None = None

    def read(self, body: bytes) -> Parsed:
        """Return the rows of a request and their matrix; raise Problem naming the first invalid input or row."""
        request = take_object(load(body, _wanted), "the body", _wanted)
        self.id = _take(request, "id", str, "the request")
        outputs = _take(request, "outputs", list, "the request")
        if outputs:
            self.outputs = [self._choose(output) for output in outputs]
        inputs = request.get("inputs")
        if type(inputs) is not list or not inputs:
            raise Problem(422, f"the request has no list of inputs: send {_wanted()}.")
        return self._read_inputs(inputs)

    def write(self, answers: list[dict[str, Any]]) -> bytes:
        """Return the response to a request that was read."""
        named = {} if self.id is None else {"id": self.id}
        outputs = [_fill(tensor, answers) for tensor in self.outputs if tensor.name in answers[0]]
        return orjson.dumps({"model_name": self.model.name, **named, "outputs": outputs})

    def _choose(self, output: Any) -> Tensor:
        name = take_object(output, "an item of outputs", lambda: "an object with a name").get("name")
        for tensor in describe_outputs(self.model):
            if tensor.name == name:
                return tensor
        names = ", ".join(tensor.name for tensor in describe_outputs(self.model))
        raise Problem(422, f"{_show(name)} is not an output of this model: choose from {names}.")

    def _read_inputs(self, inputs: list[Any]) -> Parsed:
        rows, columns = self.model.rows, dict[str, list[Any]]()
        for number, given in enumerate(inputs, 1):
            name, shape, values = _read_tensor(given, number)
            if len(inputs) == 1 and len(shape) == DIMENSIONS and (shape[1] != 1 or name not in rows.features):
                if shape[1] != len(rows.names):
                    raise Problem(
                        422, f"{_show(name)} has {shape[1]} columns, the model {len(rows.names)}: send {_wanted()}."
                    )
                return rows.read_matrix([values[at : at + shape[1]] for at in range(0, len(values), shape[1])])
            if shape[1:] not in ([], [1]):
                raise Problem(422, f"the input {_show(name)} has the shape {shape}: send [rows] or [rows, 1].")
            if name in columns:
                raise Problem(422, f"the input {_show(name)} is given twice: send each column once.")
            columns[name] = values
        return rows.read_columns(columns)


def _read_tensor(given: Any, number: int) -> tuple[str, list[int], list[Any]]:
    """Return the name, the shape and the values of an input, row by row."""
    where = f"input {number}"
    tensor = take_object(given, where, lambda: "an object with name, shape, datatype and data")
    name = _take(tensor, "name", str, where, required=True)
    where = f"the input {_show(name)}"
    if "binary_data_size" in (_take(tensor, "parameters", dict, where) or {}):
        raise Problem(415, f"{where} is binary, an extension that this service does not have: send its data as JSON.")
    datatype = _take(tensor, "datatype", str, where, required=True)
    if datatype not in DATATYPES:
        raise Problem(422, f"{where} has the datatype {_show(datatype)}: choose from {', '.join(DATATYPES)}.")
    shape = _take(tensor, "shape", list, where, required=True)
    if not 1 <= len(shape) <= DIMENSIONS or any(type(size) is not int or size < 0 for size in shape):
        raise Problem(422, f"{where} has the shape {_show(shape)}: send [rows], or [rows, columns].")
    values = _take(tensor, "data", list, where, required=True)
    if len(shape) == DIMENSIONS and values and all(type(row) is list and len(row) == shape[1] for row in values):
        values = list(chain.from_iterable(values))
    if len(values) != prod(shape):
        raise Problem(422, f"{where} has {len(values)} values, its shape {_show(shape)} {prod(shape)}: send as many.")
    kinds = (*DATATYPES[datatype], type(None))
    if not set(map(type, values)) <= set(kinds):
        wrong = next(value for value in values if type(value) not in kinds)
        raise Problem(422, f"{where} has the datatype {datatype} and the value {_show(wrong)}: send values of it.")
    return name, shape, values


def _take(found: dict[str, Any], name: str, kind: type, where: str, required: bool = False) -> Any:
    value = found.get(name)
    if type(value) is not kind and (required or value is not None):
        said = f"no {name}" if value is None else f"the {name} {_show(value)}"
        raise Problem(422, f"{where} has {said}: send {KINDS[kind]}.")
    return value


def _fill(tensor: Tensor, answers: list[dict[str, Any]]) -> dict[str, Any]:
    values = [answer[tensor.name] for answer in answers]
    if len(tensor.shape) == DIMENSIONS:
        values = list(chain.from_iterable(shares.values() for shares in values))
    shape = [len(answers), *tensor.shape[1:]]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": values}


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


def _wanted() -> str:
    return "an object with inputs: one for each column, or the matrix of a model of numbers"
