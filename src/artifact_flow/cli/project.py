"""Project: the repository around the working directory, for the commands that examine one."""

import os
from typing import TYPE_CHECKING

from artifact_flow.cli.process import note

if TYPE_CHECKING:
    from artifact_flow.doctor.project import Project


def enter_project(service: str | None = None) -> "Project":
    """Change to the root of the DVC project around the working directory, and return it."""
    environ = dict(os.environ)  # as the user exported it: `determinism` sets BLAS's variables when it is imported
    from artifact_flow.core.base.files import repository_root
    from artifact_flow.doctor.project import Project

    root = repository_root()
    if root != root.cwd():
        note(f"in {root}, where paths and commands start:")
        os.chdir(root)
    return Project(environ, service)
