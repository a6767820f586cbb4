"""Card: MODEL_CARD.md, Markdown with the front matter that Hugging Face reads. Pure.

The keys of the front matter are those of `huggingface_hub`'s model card metadata:
https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from artifact_flow.core.base.contract import CONTRACT, Contract
from artifact_flow.core.base.legend import UNKNOWN, ColumnLegend
from artifact_flow.core.base.lock import LOCK
from artifact_flow.core.base.pipeline import PIPELINE
from artifact_flow.core.model.artifacts import MODEL, PARITY, PORTABLE, QUANTIZATION, QUANTIZED
from artifact_flow.core.model.predictions import METRICS
from artifact_flow.core.table.tables import DATA
from artifact_flow.evidence.columns import Line, summarize
from artifact_flow.evidence.facts import Facts, Value
from artifact_flow.evidence.markdown import code, escape, list_some, show_words, write_table
from artifact_flow.evidence.training import NATIVE_PLACE, show_arguments, show_promise, split_metrics

CARD = Path("MODEL_CARD.md")
MOST_LINES = 100  # of the table of columns
SPLITS = {"train": "train", "test": "test", "cv": "cross-validation"}


def render_card(facts: Facts) -> str:
    """Return the model card; the same facts give the same text."""
    sections = (_about, _data, _training, _metrics, _limits, _use, _reproduction)
    head = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{head}---\n\n" + "\n\n".join("\n".join(section(facts)) for section in sections) + "\n"


def front_matter(facts: Facts) -> dict[str, Any]:
    """Return the card's metadata; the metrics of each split are one result of the model index."""
    contract = facts.contract
    task = f"tabular-{contract.target.task}"
    onnx = ["onnx"] if PORTABLE.name in facts.models else []
    source = Path(str(contract.params["data"]["source"])).name
    return {
        "library_name": "sklearn",
        "pipeline_tag": task,
        "tags": ["sklearn", task, *onnx, "artifact-flow", "reproducible"],
        "model-index": [
            {
                "name": facts.result.name,
                "results": [
                    {
                        "task": {"type": task},
                        "dataset": {"name": source, "type": contract.model_name, "split": split},
                        "metrics": [{"type": name, "value": value, "name": name} for name, value in values.items()],
                    }
                    for split, values in split_metrics(facts.result.metrics).items()
                    if values
                ],
            }
        ],
    }


def show_split(contract: Contract) -> str:
    """Return in words how the rows were split."""
    data = contract.params["data"]
    split = data.get("split")
    if split and split["by"] == "column":
        return f"the rows that the column {code(split['column'])} names"
    if split and split["by"] == "time":
        return f"the last {data['test_size']:g} in time for testing, by {code(split['column'])}"
    if split:
        share, seed = data["test_size"], data["seed"]
        return f"{share:g} for testing: whole groups of {code(split['column'])}, drawn with seed {seed}"
    kept = ", each class with its share" if data["stratify"] else ""
    return f"{data['test_size']:g} of the rows for testing, drawn with seed {data['seed']}{kept}"


def _about(facts: Facts) -> Iterator[str]:
    contract = facts.contract
    target = contract.target
    yield f"# {escape(facts.result.name)}"
    yield ""
    yield (
        f"A {target.task} model: {code(contract.params['train']['estimator'])} predicts {code(target.name)} from "
        f"{len(contract.features)} columns of {code(contract.params['data']['source'])}."
    )
    yield ""
    yield (
        f"`artifact-flow card` wrote this page from {CONTRACT}, {METRICS} and {LOCK}, after it had checked the hash of "
        "every output. What these files cannot know is not here: the licence, the intended use, where the data come "
        "from and whom a wrong prediction harms."
    )


def _data(facts: Facts) -> Iterator[str]:
    contract = facts.contract
    yield "## Data"
    yield ""
    rows = contract.rows
    facts_of = {
        "source": code(contract.params["data"]["source"]),
        "rows": f"{sum(rows.values())}: {rows['train']} to train, {rows['test']} to test",
        "split": show_split(contract),
        "target": code(contract.target.name) + _show_legend(facts.legend.get(contract.target.name, UNKNOWN)),
    }
    if contract.target.classes:
        facts_of["classes"] = f"{len(contract.target.classes)}: {list_some(contract.target.classes)}"
    if contract.id:
        facts_of["id"] = code(contract.id)
    yield from write_table(("", ""), facts_of.items())
    lines = summarize(contract.features, facts.legend)
    described = any(feature.name in facts.legend for feature in contract.features)
    yield ""
    yield from write_table(
        ("column", "type", "in the train split", "missing", *(("unit", "description") if described else ())),
        [
            (*_show_line(line), *(show_words(facts.legend.get(line.first, UNKNOWN)) if described else ()))
            for line in lines[:MOST_LINES]
        ],
    )
    if len(lines) > MOST_LINES:
        yield ""
        yield f"{len(lines) - MOST_LINES} more lines are left out; {CONTRACT} describes every column."


def _training(facts: Facts) -> Iterator[str]:
    contract = facts.contract
    train, data = contract.params["train"], contract.params["data"]
    rows = {"estimator": code(train["estimator"])}
    rows |= {f"argument {code(name)}": code(_yaml(value)) for name, value in show_arguments(contract).items()}
    search = train.get("search")
    if search:
        best = ", ".join(contract.params.get("best") or ())
        rows["search"] = f"{search['strategy']} over {search['cv']} folds, which found {code(best)}"
    rows["pre-processing"] = {
        "none": "none",
        "auto": "missing values imputed, numbers scaled, categories one-hot, words of a text as tf-idf",
    }[data["preprocess"]]
    fixed = train.get("arithmetic") == "fixed"
    rows["arithmetic"] = "one fixed order of IEEE 754 operations" if fixed else "scikit-learn's own"
    rows["threads"] = str(train["threads"])
    if contract.target.threshold is not None:
        second = code(contract.target.classes[1])
        rows["decision threshold"] = f"{contract.target.threshold:g} of the probability of {second}"
    rows["libraries"] = ", ".join(f"{name} {version}" for name, version in contract.libraries.items())
    yield "## How it was trained"
    yield ""
    yield from write_table(("", ""), rows.items())


def _metrics(facts: Facts) -> Iterator[str]:
    found = split_metrics(facts.result.metrics)
    splits = [split for split in dict.fromkeys((*SPLITS, *found)) if split in found]
    names = list(dict.fromkeys(name for split in splits for name in found[split]))
    yield "## Metrics"
    yield ""
    yield from write_table(
        ("metric", *(SPLITS.get(split, split) for split in splits)),
        [[code(name), *(_figure(found[split].get(name)) for split in splits)] for name in names],
    )
    cost = facts.quantization
    if QUANTIZED.name in facts.models and "float" in cost:
        metric = cost["metric"]
        yield ""
        yield (
            f"{code(QUANTIZED.name)}, in 8 bits: {metric} {_figure(cost['quantized'][metric])} on the test "
            f"split, {_figure(cost['float'][metric])} with the float model."
        )


def _limits(facts: Facts) -> Iterator[str]:
    contract = facts.contract
    test = contract.rows["test"]
    yield "## Limits"
    yield ""
    yield (
        "- It knows only the ranges and categories in the table above. `artifact-flow predict` and the service name "
        "values outside of them; a prediction for such a row is a guess."
    )
    if contract.target.task == "classification":
        yield f"- The test metrics rest on {test} rows: one row is {100 / test:.2g} % of the accuracy."
    else:
        yield f"- The test metrics rest on {test} rows."
    missing = [feature.name for feature in contract.features if not contract.may_miss(feature)]
    if missing:
        yield f"- A row must have a value in {_some(missing)}."
    if contract.portable:
        yield "- Its bytes are portable: every machine with the locked libraries makes the same, x86-64 or arm64."
    else:
        yield f"- Its bytes are promised on an {NATIVE_PLACE} only; elsewhere the last digits may differ."
    for record, name, stage in (
        (facts.parity, PORTABLE.name, PARITY),
        (facts.quantization, QUANTIZED.name, QUANTIZATION),
    ):
        if name not in facts.result.sha256:
            yield f"- There is no {name}: the pipeline has no stage for it."
        elif name not in facts.models:
            yield f"- There is no {name}: {escape(str(record.get('reason', f'see {stage}')))}."


def _use(facts: Facts) -> Iterator[str]:
    yield "## How to use"
    yield ""
    yield "```sh"
    yield f"artifact-flow predict rows.csv --model {shlex.quote(facts.path_of(facts.models[0]))} --out predictions.csv"
    if PORTABLE.name in facts.models:
        yield f"artifact-flow serve {shlex.quote(facts.path_of(PORTABLE.name))}"
    yield "```"
    if not facts.inputs:
        return
    yield ""
    order = "in the order of the table above" if len(facts.inputs) == 1 else "a column each"
    encoding = _show_encoding(facts.contract)
    yield (
        f"In any ONNX runtime, {code(PORTABLE.name)} takes raw rows, {order}{encoding}; {CONTRACT} names the columns "
        "and classes:"
    )
    yield ""
    rows = [("input", value) for value in facts.inputs[:MOST_LINES]] + [("output", value) for value in facts.outputs]
    yield from write_table(("", "name", "type", "shape"), [(way, *_show_value(value)) for way, value in rows])
    if len(facts.inputs) > MOST_LINES:
        yield ""
        yield f"{len(facts.inputs) - MOST_LINES} more inputs are left out."


def _reproduction(facts: Facts) -> Iterator[str]:
    pipeline = f" {shlex.quote(facts.pipeline)}" if facts.pipeline != PIPELINE.name else ""
    yield "## How to reproduce"
    yield ""
    yield (
        f"The parameters and outputs in {LOCK} have the hash {code(facts.result.lock[:12])}. At a commit whose {LOCK} "
        f"names the files below, every {show_promise(facts.contract)} with the locked libraries makes the same bytes; "
        "`artifact-flow verify` reproduces that commit in clean clones and compares them:"
    )
    yield ""
    yield "```sh"
    yield "make setup"
    yield f"dvc repro{pipeline}"
    yield "artifact-flow verify"
    yield "```"
    yield ""
    yield from write_table(
        ("output", f"md5 in {LOCK}", "sha256"),
        [
            (code(facts.path_of(path)), code(facts.md5[path]), code(sha256))
            for path, sha256 in facts.result.sha256.items()
            if path in (CONTRACT.name, DATA.name, METRICS.name, MODEL.name, PORTABLE.name, QUANTIZED.name)
        ],
    )


def _show_line(line: Line) -> tuple[str, str, str, str]:
    name = code(line.first) if line.count == 1 else f"{code(line.first)} … {code(line.last)} ({line.count} columns)"
    if not line.range:
        found = "no value"
    elif line.type == "category":
        found = list_some(line.range)
    else:
        found = " to ".join(dict.fromkeys(line.range)) + (" characters" if line.type == "text" else "")
    most = "at most " if line.count > 1 and line.missing else ""
    return name, line.type, found, f"{most}{100 * line.missing:.3g} %"


def _show_legend(legend: ColumnLegend) -> str:
    """Return the unit and the description of the target, after its name."""
    unit, description = show_words(legend)
    return f"{f' in {unit}' if unit else ''}{f': {description}' if description else ''}"


def _show_value(value: Value) -> tuple[str, str, str]:
    return code(value.name), code(value.type), ", ".join(map(str, value.shape))


def _show_encoding(contract: Contract) -> str:
    """Return in words how a row becomes numbers, as far as its columns need it."""
    types = {feature.type for feature in contract.features}
    words = [
        *(["booleans as 0 and 1"] if "boolean" in types else []),
        *(["dates as days since 1970"] if "date" in types else []),
        *([f"less a column's offset in {CONTRACT}"] if any(feature.offset for feature in contract.features) else []),
    ]
    return "".join(f", {word}" for word in words)


def _some(names: list[str]) -> str:
    return f"each of its {len(names)} columns" if len(names) > 3 else list_some(names)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _yaml(value: object) -> str:
    """Return a parameter on one line, as YAML writes it."""
    text = str(yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False))
    return text.removesuffix("\n").removesuffix("\n...")
