"""Documents: a params.yaml as YAML 1.2, and the blocks of one of its flows; their values are not checked here."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from artifact_flow.core.base.errors import ParamsError, closest


def flow_blocks(document: Any, path: Path, flow: str) -> dict[str, Any]:
    """Return the blocks of one flow: those under `flows`, its gate under `quantize`, and the shared `promote`.

    Raises ParamsError when there is no such flow.
    """
    flows = document.get("flows") if isinstance(document, dict) else None
    if not isinstance(flows, dict) or not isinstance(flows.get(flow), dict):
        known = [str(name) for name in flows] if isinstance(flows, dict) else []
        raise ParamsError(f"{path} has no flow {flow}{closest(flow, known)}; it has: {', '.join(known) or 'none'}.")
    gates = document.get("quantize")
    gate = {"quantize": gates[flow]} if isinstance(gates, dict) and flow in gates else {}
    shared = {"promote": document["promote"]} if "promote" in document else {}
    return {**flows[flow], **gate, **shared}


def load_yaml(path: Path) -> Any:
    """Return the document in a params.yaml; raise ParamsError when the file is missing or is not YAML."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path} is missing in {Path.cwd()}: run from the repository's root, or `git checkout {path}`."
        ) from error
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror}: it must be a readable file.") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ParamsError(f"{path}{where} is not YAML: {error.problem}: fix that line.") from error
    except (YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParamsError(f"{path} is not YAML: {reason}: fix or remove that value.") from error


def is_plain(value: object) -> bool:
    """Return whether a value consists of numbers, texts, booleans, null, lists and mappings only."""
    if isinstance(value, dict):
        return all(is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
