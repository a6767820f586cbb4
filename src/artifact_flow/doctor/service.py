"""Service: whether a running service answers, is ready, and serves the models that the locks name."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from artifact_flow.core.base.errors import ServeError
from artifact_flow.core.base.files import hash_file
from artifact_flow.doctor.findings import Finding
from artifact_flow.doctor.project import Project

KEY = "ARTIFACT_FLOW_API_KEY"
SECONDS = 10  # that the service may take for an answer
RESTART = "artifact-flow serve, or SIGHUP to its process, which loads the files on disk"


def check_service(project: Project) -> Iterator[Finding]:
    """Find that the service at the URL does not answer, is not ready, or serves a model that no lock names."""
    if not project.service:
        return
    url = project.service.rstrip("/")
    try:
        _ask(project, url, "/ready")
        names = _ask(project, url, "/models")
        cards = {name: _ask(project, url, f"/models/{name}/model") for name in names}
    except ServeError as error:
        yield Finding(url, str(error), "start or mend it: artifact-flow serve; its log names the reason")
        return
    known = _hash_models(project)
    if not known:
        yield Finding(url, "its models cannot be compared: no locked model is here", "dvc checkout dvc.yaml", "warning")
        return
    for name, card in cards.items():
        for weights, sha256 in card["sha256"].items():
            if sha256 not in known:
                what = (
                    f"it serves as {name} ({weights}) a model with the sha256 {sha256[:12]}…, which no dvc.lock names"
                )
                yield Finding(url, what, RESTART)


def _ask(project: Project, url: str, path: str) -> Any:
    """Return the JSON that the service answers; raise ServeError in one sentence when it does not."""
    if not url.startswith(("http://", "https://")):
        raise ServeError(f"{url} is not the URL of a service, such as http://127.0.0.1:8000")
    headers = {"X-API-Key": project.environ[KEY]} if project.environ.get(KEY) else {}
    request = urllib.request.Request(url + path, headers=headers)  # noqa: S310 - http or https
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        hint = f": {KEY} must hold its key" if error.code == 401 else _reason(error.read())
        raise ServeError(f"{path} answers {error.code}{hint}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise ServeError(f"it does not answer on {path} ({getattr(error, 'reason', error)})") from error


def _reason(body: bytes) -> str:
    """Return the sentence of a refusal, after a colon, or ""."""
    try:
        return f": {json.loads(body)['detail'].rstrip('.')}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _hash_models(project: Project) -> set[str]:
    """Return the sha256 of each locked ONNX file that is in the workspace or in DVC's cache."""
    found = set()
    for stage in project.stages.values():
        for out in stage["outs"]:
            places = (Path(out["path"]), project.object(out["md5"])) if out["path"].endswith(".onnx") else ()
            locked = (place for place in places if place.is_file() and hash_file(place, "md5") == out["md5"])
            found |= {hash_file(place) for place in locked}
    return found
