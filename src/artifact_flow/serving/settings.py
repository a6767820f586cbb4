"""Settings: the service's configuration from the command line and the environment; secrets from the latter only."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import ConfigDict, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from artifact_flow.core.base.errors import ServeError

VARIABLE = "ARTIFACT_FLOW_SERVE"  # JSON: limits set by an operator; all settings from a supervisor to its workers
API_KEY = "ARTIFACT_FLOW_API_KEY"
COMMIT = "ARTIFACT_FLOW_COMMIT"
MODEL_SHA256 = "MODEL_SHA256"


@dataclass(frozen=True)
class ServiceSettings:
    """The models, the address, the log, and the limits on one request or on all requests together."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    models: tuple[str, ...] = ("model.onnx",)
    shadows: tuple[str, ...] = ()  # models that see the rows of the served model of the same name
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    log_inputs: bool = True
    log_file: str | None = None
    commit: str = "unknown"
    max_bytes: PositiveInt = 10_000_000  # of a body
    held_bytes: PositiveInt = 50_000_000  # of all bodies and unread answers; more are refused with 503
    max_rows: PositiveInt = 10_000  # of a batch
    max_pixels: PositiveInt = 12_500_000  # of an image: what the camera of a telephone takes
    body_seconds: PositiveFloat = 10.0  # for a client to send a whole request
    slow_at_once: PositiveInt = 2  # batches and images computed at a time
    wait_seconds: PositiveFloat = 10.0  # that they wait for their turn; those that would wait longer get 503
    in_flight: PositiveInt = 1000  # requests at a time; one more is refused with 503
    hosts: tuple[str, ...] = ()  # names by which clients address the service, besides those of this machine
    log_rows: PositiveInt = 10_000  # of a batch that are logged; of a larger one, so many evenly spread
    api_key: str | None = field(default=None, repr=False)
    sha256: tuple[str, ...] = ()  # allowed hashes, from MODEL_SHA256
    vouched: tuple[str, ...] = ()  # allowed hashes, from a registry
    reproduced: tuple[str, ...] | None = None  # the only hashes that may be served, if statements are required

    def dump(self) -> str:
        """Return the settings as JSON for a worker, without the variables that it inherits, the secret among them."""
        return json.dumps({name: value for name, value in asdict(self).items() if name not in ("api_key", "sha256")})


_LIMITS = (
    "max_bytes",
    "held_bytes",
    "max_rows",
    "max_pixels",
    "body_seconds",
    "slow_at_once",
    "wait_seconds",
    "in_flight",
    "hosts",
    "log_rows",
)


def load_settings(environ: Mapping[str, str] = os.environ) -> ServiceSettings:
    """Return the settings in the environment; raise ServeError when a variable is invalid.

    A supervisor passes its settings to the workers in VARIABLE.
    """
    try:
        settings = TypeAdapter(ServiceSettings).validate_json(environ.get(VARIABLE) or "{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "it"
        raise ServeError(
            f"{VARIABLE} is invalid: {name}: {first['msg']}: give a JSON object of {', '.join(_LIMITS)}."
        ) from error
    hashes = tuple(environ.get(MODEL_SHA256, "").lower().replace(",", " ").split())
    if any(not re.fullmatch("[0-9a-f]{64}", item) for item in hashes):
        raise ServeError(
            f"{MODEL_SHA256} contains something other than sha256 hashes: give 64 hexadecimal digits for each model."
        )
    key = environ.get(API_KEY)
    if key is not None and not key.strip():
        raise ServeError(f"{API_KEY} is empty: set a key, or unset the variable to serve without one.")
    return replace(settings, api_key=key, sha256=hashes)


def build_commit(environ: Mapping[str, str], root: Path) -> str:
    """Return the commit that the environment names, else the one checked out in `root`, else "unknown"."""
    if environ.get(COMMIT):
        return environ[COMMIT]
    git = root / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            return loose.read_text().strip()
        packed = re.search(rf"^([0-9a-f]{{40,64}}) {re.escape(name)}$", (git / "packed-refs").read_text(), re.MULTILINE)
        return packed[1] if packed else "unknown"
    except OSError:
        return "unknown"
