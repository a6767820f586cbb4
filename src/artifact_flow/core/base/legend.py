"""Legend: the unit and the description of columns, for people; no step computes with them.

`export.columns` in params.yaml holds it, and the stages `export` and `quantize` write it into the metadata of their
ONNX files, which travel with the model. It is no part of `data` or `train`, so that a better word trains nothing anew.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from artifact_flow.core.base.errors import ParamsError, closest

LEGEND_KEY = "columns"  # in an ONNX file's metadata
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"


def _line(most: int, example: str = "") -> Any:
    """Return the field of an optional line of text, which is in no document when it is not given."""
    return Field(
        exclude_if=lambda value: value is None,
        min_length=1,
        max_length=most,
        pattern=ONE_LINE,
        description=f"one line of at most {most} characters{example}",
    )


class ColumnLegend(BaseModel):
    """What people are told about one column, a feature or the target, whose name is the key."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    unit: Annotated[str | None, _line(40, ", such as USD")] = None
    description: Annotated[str | None, _line(300)] = None

    @property
    def in_unit(self) -> str:
        """The unit after a noun, such as " in USD", or nothing."""
        return f" in {self.unit}" if self.unit else ""

    @property
    def lead(self) -> str:
        """The description before further words, such as "Income of the household: ", or nothing."""
        return f"{self.description.rstrip('.')}: " if self.description else ""


Legend = dict[str, ColumnLegend]
UNKNOWN = ColumnLegend()  # of a column without an entry
_LEGEND = TypeAdapter(Legend)


def arrange_legend(given: Mapping[str, ColumnLegend] | None, names: Sequence[str]) -> Legend:
    """Return the entries in the order of `names`, the columns of the model, without empty ones.

    The order in params.yaml must not decide about bytes, because DVC does not see it. Raises ParamsError when an entry
    is about no column.
    """
    given = given or {}
    for name in given:
        if name not in names:
            raise ParamsError(
                f"params.yaml: export.columns names {name}, which is no column of the model{closest(name, names)}; "
                "allowed: the names of features and of the target."
            )
    return {name: given[name] for name in names if given.get(name, UNKNOWN) != UNKNOWN}


def dump_legend(legend: Legend) -> str:
    """Return a legend as JSON."""
    return _LEGEND.dump_json(legend).decode()


def load_legend(text: str) -> Legend:
    """Return the legend in JSON; raise ValueError when it is none."""
    return _LEGEND.validate_json(text)
