"""Imports: what an import path of params.yaml names: a class of scikit-learn, two libraries or src/own, a function."""

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from artifact_flow.core.base.errors import ParamsError, closest
from artifact_flow.core.base.params import PARAMS
from artifact_flow.core.model.own_code import OWN, find_folder

# With scikit-learn's interface; neither is in the locks.
LIBRARIES = ("xgboost", "lightgbm")
ROOTS = ("sklearn", OWN, *LIBRARIES)


def import_class(path: Any, key: str) -> Any:
    """Return the class that the import path under `key` of params.yaml names; raise ParamsError if it names none."""
    where = f"{PARAMS}: {key} is {path!r}"
    allowed = "allowed: the import path of a scikit-learn estimator, such as sklearn.linear_model.LogisticRegression"
    # code from elsewhere would run untracked: no stage declares it and no lock records it
    if not isinstance(path, str) or not re.fullmatch(rf"({'|'.join(ROOTS)})(\.[^\W\d]\w*)+", path):
        raise ParamsError(
            f"{where}, which is not a path in sklearn, {', '.join(LIBRARIES)} or {OWN}; {allowed}, or of a class of "
            f"your own, whose module must be in src/{OWN}."
        )
    module, _, name = path.rpartition(".")
    found = _import_module(module, where, allowed)
    if name not in found:
        raise ParamsError(f"{where}, but {module} has no {name}{closest(name, found)}; {allowed}.")
    cls = found[name]
    if not (inspect.isclass(cls) and cls.__module__.partition(".")[0] in ROOTS):
        raise ParamsError(f"{where}, which is not a class of an estimator; {allowed}.")
    return cls


def import_function(path: str, key: str) -> Callable[..., Any]:
    """Return the function in src/own that the import path under `key` names; raise ParamsError if it names none."""
    where = f"{PARAMS}: {key} is {path!r}"
    allowed = f"allowed: the import path of a function in src/{OWN}, such as {OWN}.costs.profit"
    if not re.fullmatch(rf"{OWN}(\.[^\W\d]\w*)+", path):
        raise ParamsError(f"{where}, which is not a path in {OWN}; {allowed}.")
    module, _, name = path.rpartition(".")
    found = _import_module(module, where, allowed)
    if not callable(found.get(name)):
        raise ParamsError(f"{where}, but {module} has no function {name}{closest(name, found)}; {allowed}.")
    return found[name]  # type: ignore[no-any-return]


def _import_module(module: str, where: str, allowed: str) -> dict[str, Any]:
    """Return the names in a module; raise ParamsError when it does not exist or fails."""
    root = module.partition(".")[0]
    try:
        return vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if missing == root and root in LIBRARIES:
            raise ParamsError(
                f"{where}, but {root} is not installed: install it with `pip install {root}`; it is not in the locks, "
                "so equal bytes are not promised for it."
            ) from error
        if module == missing or module.startswith(f"{missing}."):
            raise ParamsError(
                f"{where}, but there is no module {missing}{closest(missing, _list_modules(root))}; {allowed}."
            ) from error
        raise ParamsError(f"{where}, but {module} needs {missing}, which is not installed: install it.") from error
    except Exception as error:  # code of the user's own may raise anything
        reason = " ".join(str(error).split())
        raise ParamsError(f"{where}, but {module} cannot be imported: {type(error).__name__}: {reason}.") from error


def _list_modules(root: str) -> list[str]:
    """Return the public modules of scikit-learn, or those in src/own."""
    if root == OWN:
        folder = find_folder()
        return [f"{OWN}.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))] if folder else []
    return [f"{root}.{name}" for name in getattr(importlib.import_module(root), "__all__", ())]
