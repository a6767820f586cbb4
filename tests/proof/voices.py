"""Voices: rebuild statements, as `reproduce --key` writes them, without the minute that a rebuild takes."""

from pathlib import Path

from artifact_flow.core.base.files import hash_file
from artifact_flow.proof.envelope import make_key, read_private
from artifact_flow.proof.rebuild import Answer, Verdict, write_rebuild


def make_keys(folder: Path, *names: str) -> list[Path]:
    """Make a folder of public keys, and return the private ones, which lie beside it."""
    folder.mkdir()
    private = [folder.parent / name for name in names]
    for key in private:
        public = make_key(key)
        public.rename(folder / public.name)
    return private


def say(model: Path, key: Path, verdict: Verdict = "REPRODUCED") -> Path:
    """Write what the owner of a key says of exactly this file."""
    return write_rebuild(model, Answer(verdict, "as a test says", hash_file(model)), read_private(key))
