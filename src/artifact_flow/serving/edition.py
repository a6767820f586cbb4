"""Edition: the models that a process opened at one time, with their endpoints and windows; a reload makes the next."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from artifact_flow.core.base.contract import CONTRACT
from artifact_flow.core.base.errors import ArtifactFlowError, ServeError
from artifact_flow.core.base.files import hash_file
from artifact_flow.core.model.artifacts import QUANTIZED
from artifact_flow.core.model.predictions import METRICS
from artifact_flow.serving import meters
from artifact_flow.serving.lifespan import Resources
from artifact_flow.serving.logs import MODULE
from artifact_flow.serving.model import ServedModel, open_models
from artifact_flow.serving.papers import PAPERS
from artifact_flow.serving.routes import ModelRoutes
from artifact_flow.serving.settings import ServiceSettings
from artifact_flow.serving.shadow import Shadow
from artifact_flow.serving.shared import shared_folder
from artifact_flow.serving.window import Window

logger = logging.getLogger(MODULE)

Stat = tuple[int, int, int] | None  # inode, size and time of a file; None if it does not exist


class Edition:
    """Opened models by name, in the order of the settings; the first is also at the root."""

    def __init__(self, settings: ServiceSettings, resources: Resources, before: "Edition | None" = None) -> None:
        """Open the models after their checks; an edition `before` this one leaves it the windows whose rows fit.

        Raises ArtifactFlowError when a check fails, or when the models have other names than those before.
        """
        self.settings, self.resources = settings, resources
        self.disk = Disk(
            (*settings.models, *settings.shadows)
        )  # before the models are opened: what is written meanwhile is a change
        self.models = open_models(settings)
        if before and set(before.models) != set(self.models):
            raise ServeError(
                f"the models are {', '.join(self.models)} now, and {', '.join(before.models)} are served: restart the "
                "service to serve models of other names."
            )
        self.first = next(iter(self.models.values()))
        self.routes = {name: self._open_routes(model, before) for name, model in self.models.items()}
        try:
            self._open_shadows()
        except ArtifactFlowError:
            self.close()
            raise

    def announce(self, before: "Edition | None" = None) -> str:
        """Set the gauge of the models that answer from now on; return the changes since `before` in words."""
        if before is None:
            self._set_info(1)
            return ""
        before._set_info(0)
        self._set_info(1)
        return ", ".join(
            f"{name} {before.models[name].sha256[:12]} → {model.sha256[:12]}"
            if model.sha256 != before.models[name].sha256
            else f"{name} {model.sha256[:12]} as before"
            for name, model in self.models.items()
        )

    def retire(self, after: "Edition") -> None:
        """Finish the work of the shadows; remove the windows that the edition after this one does not use."""
        self.close()
        for name, routes in self.routes.items():
            if routes.window is not after.routes[name].window:
                routes.window.remove()

    async def record_drift(self) -> None:
        """Add a point to the history of each model's drift, if one is due."""
        for routes in self.routes.values():
            await asyncio.to_thread(routes.record_drift)

    def close(self) -> None:
        """Finish the work of the shadows."""
        for routes in self.routes.values():
            if routes.shadow:
                routes.shadow.close()

    def _open_shadows(self) -> None:
        opened: list[ServedModel] = []
        for path in self.settings.shadows:
            model = ServedModel(Path(path), self.settings)
            if model.name not in self.models or model.name in [other.name for other in opened]:
                names = ", ".join(self.models)
                raise ServeError(f"{path} is a model named {model.name}: give one shadow for each of {names} at most.")
            model.check()
            opened.append(model)
        for model in opened:
            routes, put_line = self.routes[model.name], self.resources.log.put
            if model.sha256 == routes.model.sha256:
                logger.warning("the shadow of %s is the same model: there is nothing to compare", model.name)
            else:
                routes.shadow = Shadow(model, routes.model, put_line)
                logger.info("shadow of %s %s: %s", model.name, routes.model.sha256[:12], model.sha256[:12])

    def _open_routes(self, model: ServedModel, before: "Edition | None") -> ModelRoutes:
        old = before.routes[model.name] if before else None
        if old and old.model.encoding == model.encoding:
            window = old.window
        else:
            window = Window(f"{model.name}-{model.encoding}", len(model.contract.features), shared_folder())
        return ModelRoutes(model, window, self.resources.slow, self.resources.memory, self.settings)

    def _set_info(self, value: int) -> None:
        for model in self.models.values():
            meters.INFO.labels(model.name, model.sha256, self.settings.commit).set(value)


class Disk:
    """The files of models as they were on disk when this was made."""

    def __init__(self, models: Iterable[str]) -> None:
        """Hash the files of `models`, paths of model files."""
        self._files = {path: (_stat(path), _hash(path)) for path in _files_of(models)}

    def find_change(self) -> Path | None:
        """Return a file with another content than then. A file is hashed only if its time or size has changed."""
        for path, (stat, sha256) in self._files.items():
            now = _stat(path)
            if now == stat:
                continue
            if _hash(path) != sha256:
                return path
            self._files[path] = now, sha256
        return None


def _files_of(models: Iterable[str]) -> Iterator[Path]:
    beside = [path.name for path in (QUANTIZED, CONTRACT, METRICS, *PAPERS)]
    for model in models:
        for name in dict.fromkeys((Path(model).name, *beside)):
            yield Path(model).with_name(name)


def _stat(path: Path) -> Stat:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
