"""Models: find a model's file by its path or by its name in the registry."""

from pathlib import Path

from artifact_flow.cli.process import note


def find_model(name: str) -> tuple[Path, tuple[str, ...]]:
    """Return a model's file, and the sha256 hashes that the registry gives if `name` is that of a version."""
    if not name.startswith("models:/"):
        return Path(name), ()
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from artifact_flow.tracking.fetch import fetch

    # in a separate process, so that a service does not keep the 200 MB that MLflow takes
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        fetched = process.submit(fetch, name).result()
    note(f"{name}: version {fetched.version}, each file as it was registered")
    return fetched.model, tuple(fetched.sha256.values())
