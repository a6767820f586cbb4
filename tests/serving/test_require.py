"""`serve --require-statement`: only a model that enough keys have reproduced is served, and reloaded."""

from pathlib import Path

import pytest
from proof.voices import make_keys, say
from serving.server import Server
from serving.test_reload import reload, replace

from artifact_flow.cli import main
from artifact_flow.core.base.files import hash_file


def test_only_a_reproduced_model_is_served(locked: Path, newer: Path, tmp_path: Path) -> None:
    """One key of two is too few, at the start as at a reload; the earlier model then goes on answering."""
    keys = make_keys(tmp_path / "trusted", "ada", "bob")
    model, files = locked / "model.onnx", [locked / "model.onnx", locked / "model_quantized.onnx"]
    required = ("--require-statement", str(tmp_path / "trusted"))
    with pytest.raises(SystemExit, match=r"model\.onnx is reproduced by 0 of the 2 keys .*no statement lies beside it"):
        main(["serve", str(model), *required])
    for file in files:
        say(file, keys[0])
    with pytest.raises(SystemExit, match=r"model\.onnx is reproduced by 1 of the 2 keys .*: REPRODUCED"):
        main(["serve", str(model), *required])
    say(files[0], keys[1])
    with pytest.raises(SystemExit, match=r"model_quantized\.onnx is reproduced by 1 of the 2 keys"):
        main(["serve", str(model), *required])
    say(files[1], keys[1])
    with Server(model, arguments=required, MODEL_SHA256="") as server:
        old = hash_file(model)
        new = replace(locked, newer)
        (refused,) = reload(server, "reload refused")
        assert "model.onnx is reproduced by 0 of the 2 keys" in refused
        assert "it is about another file" in refused
        assert server.get("/model").document["sha256"]["float"] == old
        for key in keys:
            for file in files:
                say(file, key)
        assert reload(server, "reloaded: ") == [f"reloaded: iris {old[:12]} → {new[:12]}"]


def test_a_bad_requirement_is_one_sentence(locked: Path, tmp_path: Path) -> None:
    """A threshold of none, a folder that is missing, or one without keys."""
    model = str(locked / "model.onnx")
    for arguments, fault in (
        (("--require-statement", str(tmp_path / "none")), "the keys in .*none cannot be read"),
        (("--require-statement", str(tmp_path)), "holds no public key: copy those you trust into it"),
        (("--require-statement", str(tmp_path), "--threshold", "0"), "--threshold is 0: give 1 or more"),
    ):
        with pytest.raises(SystemExit, match=f"^error: .*{fault}"):
            main(["serve", model, *arguments])
