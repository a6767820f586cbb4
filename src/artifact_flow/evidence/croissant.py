"""Croissant: croissant.json describes data.parquet as MLCommons Croissant 1.0 does. Pure.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.legend import UNKNOWN, ColumnLegend
from artifact_flow.core.table.tables import DATA, ID, KEY, SPLIT, TARGET, stored_name
from artifact_flow.evidence.columns import name_some, show_range
from artifact_flow.evidence.facts import Facts

CROISSANT = Path("croissant.json")
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet",
            "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
            "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
            "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
    "wd": "https://www.wikidata.org/wiki/",
}  # fmt: skip
ROLES = {
    ID: "the row: the value of the source's id column, or its number",
    KEY: "the place of the row in time, or the number of its group, by which the rows were split",
    SPLIT: "the split that the row is in",
}
USES = {"train": "cr:TrainingSplit", "test": "cr:TestSplit"}


def render_croissant(facts: Facts) -> str:
    """Return the description of the data set as JSON; the same facts give the same text."""
    return json.dumps(describe_data(facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def describe_data(facts: Facts) -> dict[str, Any]:
    """Return the data set, its one file, and its record sets: the splits, the classes if any, and the rows."""
    contract = facts.contract
    rows = contract.rows
    sets = [_enumerate("splits", "name", "sc:Text", list(USES.items()))]
    if contract.target.classes:
        sets.append(_enumerate("classes", "index", "sc:Integer", list(enumerate(contract.target.classes))))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": contract.model_name,
        "description": (
            f"{rows['train']} rows to train and {rows['test']} rows to test a {contract.target.task} model of "
            f"{contract.target.name}, from {contract.params['data']['source']}."
        ),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "isLiveDataset": False,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": DATA.name,
                "name": DATA.name,
                "contentSize": f"{facts.data_bytes} B",
                "contentUrl": DATA.name,
                "encodingFormat": "application/x-parquet",
                "md5": facts.md5[DATA.name],
                "sha256": facts.result.sha256[DATA.name],
            }
        ],
        "recordSet": [*sets, _describe_rows(facts)],
    }


def type_of(column: pa.DataType) -> str:
    """Return the schema.org type of a column of data.parquet."""
    for is_kind, name in (
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
        (pa.types.is_temporal, "sc:DateTime"),
    ):
        if is_kind(column):
            return name
    return "sc:Text"


def _describe_rows(facts: Facts) -> dict[str, Any]:
    contract = facts.contract
    features = {stored_name(feature.name): feature for feature in contract.features}
    about = {name: _explain(feature, facts.legend.get(feature.name, UNKNOWN)) for name, feature in features.items()}
    words = facts.legend.get(contract.target.name, UNKNOWN)
    target = "the index of its class" if contract.target.classes else f"its value{words.in_unit}"
    about |= ROLES | {TARGET: f"{words.lead}the target {contract.target.name}: {target}"}
    fields = []
    for name, kind in facts.columns.items():
        types: str | list[str] = [type_of(kind), "cr:Split"] if name == SPLIT else type_of(kind)
        field = {
            "@type": "cr:Field",
            "@id": f"rows/{quote(name, safe='')}",
            "name": name,
            "description": about[name],
            "dataType": types,
            "source": {"fileObject": {"@id": DATA.name}, "extract": {"column": name}},
        }
        referred = {SPLIT: "splits/name", TARGET: "classes/index" if contract.target.classes else None}.get(name)
        fields.append(field | ({"references": {"field": {"@id": referred}}} if referred else {}))
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": "One record a row, with its features, its target and its split.",
        "field": fields,
    }


def _enumerate(name: str, key: str, kind: str, rows: Sequence[tuple[Any, str]]) -> dict[str, Any]:
    """Return a record set with its data in the document: keys and what each stands for."""
    splits = name == "splits"
    value = "url" if splits else "name"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": "What each split is for." if splits else "The name of each class.",
        "dataType": "cr:Split" if splits else "sc:Enumeration",
        "key": {"@id": f"{name}/{key}"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{key}", "name": key, "dataType": kind},
            {
                "@type": "cr:Field",
                "@id": f"{name}/{value}",
                "name": value,
                "dataType": ["sc:URL", "wd:Q3985153"] if splits else ["sc:Text", "sc:name"],
            },
        ],
        "data": [{f"{name}/{key}": one, f"{name}/{value}": other} for one, other in rows],
    }


def _explain(feature: Feature, words: ColumnLegend) -> str:
    """Return a column's legend, type and range in the train split in words."""
    return f"{words.lead}{_show_type(feature, words.in_unit)}"


def _show_type(feature: Feature, in_unit: str) -> str:
    found = show_range(feature)
    missing = f"; {100 * feature.missing:.6g} % missing" if feature.missing else ""
    if not found:
        return f"{feature.type}{in_unit}; no value in the train split"
    if feature.type == "category":
        named, more = name_some(found)
        return f"category{in_unit}: {', '.join(named)}{f' and {more} more' if more else ''}{missing}"
    unit = " characters" if feature.type == "text" else ""
    return f"{feature.type}{in_unit}: {' to '.join(dict.fromkeys(found))}{unit} in the train split{missing}"
