"""Edit: params.yaml and dvc.yaml are changed to describe a user's table; comments that still apply are kept."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from artifact_flow.core.base.dates import RULES
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import PARAMS, DataParams, TrainParams
from artifact_flow.core.base.pipeline import PIPELINE
from artifact_flow.init.schema import Schema
from artifact_flow.init.trial import PARITY

COMMENTS = {
    "C": "inverse strength of the regularisation, above 0",
    "alpha": "strength of the regularisation, from 0",
    "max_iter": "iterations at most",
}


def edit_files(root: Path, data: DataParams, train: TrainParams, schema: Schema) -> None:
    """Write both files; a stage that the user removed from them stays removed."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    params, pipeline = (yaml.load((root / path).read_text(encoding="utf-8")) for path in (PARAMS, PIPELINE))
    former = params["data"].get("source")
    _edit_data(params["data"], data, schema)
    if list(params["train"])[-1] not in ("estimator", "threads"):  # the empty line after it is removed with that key
        params.yaml_set_comment_before_after_key("infer", before="\n")
    _edit_train(params["train"], train)
    deps = pipeline["stages"]["data"]["deps"]
    if former in deps:
        deps.remove(former)
    deps.insert(0, data.source)
    if "export" in params:
        params["export"]["max_difference"] = PARITY
        _edit_legend(params["export"], data)
    if "quantize" in params:
        params["quantize"]["max_quality_loss"], params["quantize"]["min_agreement"] = 0.01, 0.98
    with replace_files(root / PARAMS, root / PIPELINE) as paths:
        for path, document in zip(paths, (params, pipeline), strict=True):
            with path.open("w", encoding="utf-8") as file:
                yaml.dump(document, file)


def _edit_data(block: CommentedMap, data: DataParams, schema: Schema) -> None:
    if data.table is None:
        return
    block.ca.items.pop("source", None)
    block.pop("split", None)
    block.pop("text", None)
    block.update({"source": data.source, "preprocess": data.preprocess, "stratify": data.stratify})
    table = CommentedMap(data.table.model_dump(exclude={"columns"}))
    missing = CommentedSeq(data.table.missing)
    missing.fa.set_flow_style()
    table["missing"] = missing
    if data.table.numbers:
        styles = {name: DoubleQuotedScalarString(style) for name, style in data.table.numbers.items()}
        table["numbers"] = CommentedMap(styles)
        table.yaml_add_eol_comment("how 1234.5 is written in these columns", "numbers", column=0)
    table["columns"] = CommentedMap(data.table.columns)
    for column in schema.columns:
        if column.note and column.role not in RULES:
            table["columns"].yaml_add_eol_comment(column.note, column.name, column=0)
    for key, comment in {
        "task": "classification or regression",
        "missing": "what stands for a missing value",
        "drop_missing_target": "true: leave rows without a target out",
        "columns": "number, boolean, date (or day-first date, month-first date), category, text, id or left out",
    }.items():
        table.yaml_add_eol_comment(comment, key, column=0)
    block.pop("table", None)
    block.insert(1, "table", table)
    if data.text:
        text = CommentedMap({"max_features": data.text.max_features})
        text.yaml_add_eol_comment("words with a column of their own in the model, the most frequent", "max_features")
        block.insert(2, "text", text)
    if data.split:
        block.insert(2, "split", CommentedMap(data.split.model_dump(exclude_none=True)))


def _edit_legend(block: CommentedMap, data: DataParams) -> None:
    """Remove what is said about columns of a former table."""
    if data.table is None or "columns" not in block:
        return
    used = {name for name, role in data.table.columns.items() if role not in ("id", "left out")} | {data.table.target}
    for name in [name for name in block["columns"] if name not in used]:
        del block["columns"][name]
    if not block["columns"]:
        del block["columns"]


def _edit_train(block: CommentedMap, train: TrainParams) -> None:
    for key in [key for key in block if key not in ("estimator", "threads")]:
        del block[key]
    block["estimator"] = train.estimator
    for key, value in train.others.items():
        block[key] = value
        block.yaml_add_eol_comment(COMMENTS[key], key, column=0)
