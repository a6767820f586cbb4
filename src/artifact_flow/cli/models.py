"""Models: a model's file by its path or by its name in the registry."""

import sys
from pathlib import Path


def find_model(name: str) -> tuple[Path, tuple[str, ...]]:
    """Return a model's file, and the sha256 sums that a registry vouches for, where the name is that of a version."""
    if not name.startswith("models:/"):
        return Path(name), ()
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from artifact_flow.tracking.registry import fetch

    # in a process of its own: MLflow's 200 MB are not for a service to carry
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        fetched = process.submit(fetch, name).result()
    print(f"{name}: version {fetched.version}, each file as it was registered", file=sys.stderr)
    return fetched.model, tuple(fetched.sha256.values())
