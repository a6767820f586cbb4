"""Schema: what a row is, as JSON schema for the OpenAPI document, with each column's words, range and example."""

from datetime import UTC, datetime
from typing import Any

from artifact_flow.core.base.contract import Feature
from artifact_flow.core.base.encoding import SECONDS_A_DAY
from artifact_flow.core.base.legend import UNKNOWN, ColumnLegend, Legend
from artifact_flow.serving.rows import EXPECTED, Rows

DESCRIBED_COLUMNS = 256  # up to which each column has its own entry
TYPES = {"number": "number", "boolean": "boolean", "date": "string", "category": "string", "text": "string"}
SHOWN = 20  # categories named, at most


def describe_row(rows: Rows, limit: float, legend: Legend) -> dict[str, Any]:
    """Return the JSON schema of a row whose numbers are at most `limit` from 0; `legend` describes its columns.

    With very many columns, it gives the first and last names only.
    """
    if len(rows.names) > DESCRIBED_COLUMNS:
        return {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": -limit, "maximum": limit},
            "minProperties": len(rows.names),
            "maxProperties": len(rows.names),
            "description": f"{len(rows.names)} columns, {rows.names[0]} to {rows.names[-1]}, each a number; GET /model "
            "lists them.",
        }
    return {
        "type": "object",
        "properties": {
            name: _describe_column(rows, feature, limit, legend.get(name, UNKNOWN))
            for name, feature in rows.features.items()
        },
        "required": [name for name in rows.names if name not in rows.optional],
        "additionalProperties": False,
        "example": rows.example(),
    }


def _describe_column(rows: Rows, feature: Feature, limit: float, words: ColumnLegend) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": TYPES[feature.type]}
    if feature.type == "number":
        kind |= {"minimum": -limit, "maximum": limit}
    elif feature.type == "date":
        kind |= {"format": "date"}
    optional = feature.name in rows.optional
    about = {"title": feature.name, "description": _describe(feature, optional, words), "examples": [feature.middle]}
    return {"anyOf": [kind, {"type": "null"}], **about} if optional else {**kind, **about}


def _describe(feature: Feature, optional: bool, legend: ColumnLegend) -> str:
    words = legend.lead + EXPECTED[feature.type] + legend.in_unit
    if feature.type in ("number", "date") and feature.min is not None and feature.max is not None:
        low, high = (_shown(bound, feature) for bound in (feature.min, feature.max))
        words += f", in training {low} to {high}"
    if feature.type == "text" and feature.min is not None:
        words += f", in training of {feature.min:g} to {feature.max:g} characters"
    if feature.type == "category":
        known = feature.categories or []
        words += f", in training one of {', '.join(known[:SHOWN])}{' …' if len(known) > SHOWN else ''}"
    return f"{words}; may be left out" if optional else words


def _shown(value: float, feature: Feature) -> str:
    if feature.type == "date":
        return datetime.fromtimestamp(value * SECONDS_A_DAY, UTC).date().isoformat()
    return f"{value:g}"
