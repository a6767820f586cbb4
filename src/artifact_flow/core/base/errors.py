"""Errors: the mistakes a user can fix. Each message is one sentence: place, finding, what is allowed, remedy.

ArtifactFlowError
├── ParamsError      a key or value in params.yaml, or one that the estimator rejects
├── DataError        a data set, or data.parquet
├── ContractError    contract.json, alone or against dvc.lock
├── LockError        dvc.lock
├── ChangedError     an input of a stage that changed while the stage ran
├── ModelError       a model file, or what its model cannot do
│   └── InapplicableError   a form that a model does not have, such as ONNX
├── FileError        a file that cannot be written
├── ServeError       a service that cannot start
├── ScaleError       worker processes, local or on a cluster, or an object store
├── TrackError       a result that cannot be logged or registered, or a version that cannot be fetched
├── ParcelError      the files that one CI job hands to the next
└── VerifyError      a repository that cannot be verified
"""

import difflib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


class ArtifactFlowError(Exception):
    """A mistake that the user can fix; the command prints the message without a traceback."""


class ParamsError(ArtifactFlowError):
    """A key or value in params.yaml is not what the pipeline or the estimator allows."""


class DataError(ArtifactFlowError):
    """A data set cannot be loaded, split or read back."""


class ContractError(ArtifactFlowError):
    """contract.json cannot be read, or is not the one that dvc.lock names."""


class LockError(ArtifactFlowError):
    """dvc.lock cannot be read."""


class ChangedError(ArtifactFlowError):
    """A parameter, a module or a file of a stage changed while it ran, so no lock may record its outputs."""


class ModelError(ArtifactFlowError):
    """A model file is not the one its contract promises, or the model cannot predict."""


class InapplicableError(ModelError):
    """A model does not have the form that a stage produces, so the stage does not apply to it."""


class FileError(ArtifactFlowError):
    """A file cannot be written."""


class ServeError(ArtifactFlowError):
    """A service cannot start with its settings."""


class ScaleError(ArtifactFlowError):
    """Workers cannot be started, differ from this process or keep dying, or an object store cannot be reached."""


class TrackError(ArtifactFlowError):
    """A result cannot be logged, registered or promoted, or a registered version cannot be fetched."""


class ParcelError(ArtifactFlowError):
    """The files a CI job received are not those the previous job published, or cannot be handed over."""


class VerifyError(ArtifactFlowError):
    """The repository cannot be verified; whether its bytes reproduce stays unknown."""


@contextmanager
def exit_on_error(whose: str = "") -> Iterator[None]:
    """On an ArtifactFlowError, print `whose` and its message on stderr and exit with code 1."""
    try:
        yield
    except ArtifactFlowError as error:
        with suppress(OSError):  # the reader has closed the pipe
            sys.stdout.flush()  # so that the message follows what was printed, on its own line
        sys.exit(f"error: {whose}{error}")


def closest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean …?)" with the known word closest to `word`, or "" when none is close."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
