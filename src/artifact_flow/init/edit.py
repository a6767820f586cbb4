"""Edit: params.yaml and dvc.yaml are changed to describe a user's table; comments that still apply are kept."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from artifact_flow.core.base.dates import RULES
from artifact_flow.core.base.files import replace_files
from artifact_flow.core.base.params import PARAMS, DataParams, TrainParams
from artifact_flow.core.base.pipeline import PIPELINE, Pipeline, read_pipeline
from artifact_flow.init.schema import Schema
from artifact_flow.init.trial import PARITY

COMMENTS = {
    "C": "inverse strength of the regularisation, above 0",
    "alpha": "strength of the regularisation, from 0",
    "max_iter": "iterations at most",
}


def edit_files(root: Path, data: DataParams, train: TrainParams, schema: Schema, stages: set[str]) -> list[str]:
    """Write both files, and return which of the supported `stages` dvc.yaml no longer has."""
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
    for stage in ("export", "quantize"):
        if stage not in stages:
            params.pop(stage, None)
            pipeline["stages"].pop(stage, None)
    if "export" in params:
        params["export"]["max_difference"] = PARITY
    if "quantize" in params:
        params["quantize"]["max_quality_loss"], params["quantize"]["min_agreement"] = 0.01, 0.98
    else:
        plots = pipeline.get("plots", [])
        plots[:] = [plot for plot in plots if not (isinstance(plot, dict) and "plots/float_8bit.csv" in plot)]
    with replace_files(root / PARAMS, root / PIPELINE) as paths:
        for path, document in zip(paths, (params, pipeline), strict=True):
            with path.open("w", encoding="utf-8") as file:
                yaml.dump(document, file)
    return [stage for stage in sorted(stages) if stage not in pipeline["stages"]]


def remove_outputs(root: Path, before: Pipeline | None) -> list[str]:
    """Remove the files that stages of `before` produced and no stage produces any more, and return their paths."""
    now = read_pipeline(root)
    if before is None or now is None:
        return []
    former = sorted({path for stage in before.stages.values() for path in stage.outs})
    gone = [path for path in former if not now.makes(path) and (root / path).is_file()]
    for path in gone:
        (root / path).unlink()
    return gone


def _edit_data(block: CommentedMap, data: DataParams, schema: Schema) -> None:
    if data.table is None:
        return
    block.ca.items.pop("source", None)
    block.update({"source": data.source, "preprocess": data.preprocess, "stratify": data.stratify})
    table = CommentedMap(data.table.model_dump(exclude={"columns"}))
    missing = CommentedSeq(data.table.missing)
    missing.fa.set_flow_style()
    table["missing"] = missing
    table["columns"] = CommentedMap(data.table.columns)
    for column in schema.columns:
        if column.note and column.role not in RULES:
            table["columns"].yaml_add_eol_comment(column.note, column.name, column=0)
    for key, comment in {
        "task": "classification or regression",
        "missing": "what stands for a missing value",
        "drop_missing_target": "true: leave rows without a target out",
        "columns": "each one number, boolean, date (or day-first date, month-first date), category, id or left out",
    }.items():
        table.yaml_add_eol_comment(comment, key, column=0)
    block.pop("table", None)
    block.insert(1, "table", table)


def _edit_train(block: CommentedMap, train: TrainParams) -> None:
    for key in [key for key in block if key not in ("estimator", "threads")]:
        del block[key]
    block["estimator"] = train.estimator
    for key, value in train.keywords.items():
        block[key] = value
        block.yaml_add_eol_comment(COMMENTS[key], key, column=0)
