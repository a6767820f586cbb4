"""The errors a user can meet, each one sentence: where, what was found, what is allowed, what to do.

ArtifactFlowError
├── ParamsError      a key or value in params.yaml, or one that the estimator refuses
├── DataError        a data set, or data.parquet
├── ContractError    contract.json, alone or against dvc.lock
├── LockError        dvc.lock
├── ChangedError     an input that changed while its stage ran
├── ModelError       model_train.pkl, and what a model refuses to do
├── FileError        a file that cannot be written
├── ServeError       a service that cannot start
├── ScaleError       worker processes, here or on a cluster, and what lies in an object store
├── TrackError       a result that cannot be logged or registered, a version that cannot be had
├── ParcelError      what one CI job hands to the next
└── VerifyError      a repository that cannot be verified
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class ArtifactFlowError(Exception):
    """A mistake its user can mend; the message is shown as it is, without a traceback."""


class ParamsError(ArtifactFlowError):
    """A key or value in params.yaml is not what the pipeline or the estimator allows."""


class DataError(ArtifactFlowError):
    """A data set cannot be loaded, split or read back."""


class ContractError(ArtifactFlowError):
    """contract.json cannot be read, or is not the one that dvc.lock names."""


class LockError(ArtifactFlowError):
    """dvc.lock cannot be read."""


class ChangedError(ArtifactFlowError):
    """A parameter, a module or a file of a stage changed while it ran, so no lock may name what it made."""


class ModelError(ArtifactFlowError):
    """A model file is not the one its contract promises, or the model cannot predict."""


class FileError(ArtifactFlowError):
    """A file cannot be written."""


class ServeError(ArtifactFlowError):
    """A service cannot start, or cannot start as told."""


class ScaleError(ArtifactFlowError):
    """Workers cannot be had as asked, differ from this process or keep dying, or an object store cannot be reached."""


class TrackError(ArtifactFlowError):
    """A result cannot be logged, registered or promoted, or a registered version cannot be fetched."""


class ParcelError(ArtifactFlowError):
    """What a CI job was handed is not what the job before published, or cannot be handed over."""


class VerifyError(ArtifactFlowError):
    """The repository cannot be verified at all, which says nothing about its bytes."""


@contextmanager
def told_in_one_sentence(whose: str = "") -> Iterator[None]:
    """End the process with the sentence of an ArtifactFlowError on stderr and exit code 1; `whose` stands before it."""
    try:
        yield
    except ArtifactFlowError as error:
        with suppress(OSError):  # nobody reads it any more
            sys.stdout.flush()  # so that the sentence comes after what was printed, on a line of its own
        sys.exit(f"error: {whose}{error}")
