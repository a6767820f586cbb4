"""A proof that travels: attest, reproduce and trust, on a real project, and forgeries of all that they read."""

import base64
import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from project import Project

from artifact_flow.cli import main
from artifact_flow.core.base.determinism import library_versions
from artifact_flow.core.base.files import hash_bytes, hash_file
from artifact_flow.proof.attest import attest, statement_of
from artifact_flow.proof.envelope import make_key, open_envelope, read_keys, read_private, seal
from artifact_flow.proof.provenance import PROVENANCE, REBUILD, without_credentials
from artifact_flow.proof.rebuild import reproduce_model, write_rebuild
from artifact_flow.proof.weights import describe_difference

SOURCE = Path(__file__).resolve().parents[2]

# A flow whose one stage takes no time, for answers that do not depend on what the stages compute
PIPELINE = """\
stages:
  train:
    cmd: cat rows.csv params.yaml > model.bin && cp promise.json contract.json
    params: [train]
    deps: [rows.csv, promise.json]
    outs:
      - model.bin
      - contract.json: {cache: false}
"""


@dataclass(frozen=True)
class Keys:
    """Two trusted keys, with the folder that holds their public halves, and the key of a stranger."""

    folder: Path
    mine: Path
    other: Path
    stranger: Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    made = Keys(folder / "trusted", *(folder / name for name in ("mine", "other", "stranger")))
    made.folder.mkdir()
    for path in (made.mine, made.other, made.stranger):
        public = make_key(path)
        if path != made.stranger:
            shutil.copy(public, made.folder)
    return made


@pytest.fixture(scope="module")
def statement(built: Project, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The statement of the built project's model; `built` itself must not change."""
    path, _ = attest(built.root / "model.onnx", keys.mine, tmp_path_factory.mktemp("statement") / "statement.json")
    return path.read_bytes()


@pytest.fixture
def shipped(built: Project, statement: bytes, tmp_path: Path) -> Path:
    """A copy of the built project's model, with its statement and nothing else beside it."""
    model = Path(shutil.copy(built.root / "model.onnx", tmp_path))
    statement_of(model).write_bytes(statement)
    return model


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository with the pipeline that takes no time, reproduced and committed; the current directory."""
    project = Project(tmp_path / "plain")
    (project.root / "requirements").mkdir(parents=True)
    shutil.copy(SOURCE / "requirements/lean.txt", project.root / "requirements")
    for name, content in (
        ("rows.csv", "id,target\n0,3\n"),
        ("promise.json", '{"portable": true}\n'),
        ("params.yaml", "train:\n  tolerance: 1.0e-5\n"),
        ("dvc.yaml", PIPELINE),
        (".gitignore", "/.artifact-flow/\n/model.bin\n"),
    ):
        (project.root / name).write_text(content)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    project.repro()
    project.commit("Reproduced")
    monkeypatch.chdir(project.root)
    return project


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Return the exit code of `artifact-flow` and what it printed on both streams."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = "".join(capsys.readouterr())
    if isinstance(ended.value.code, str):
        return 1, printed + ended.value.code
    return int(ended.value.code or 0), printed


def payload_of(envelope: bytes) -> dict[str, Any]:
    """Return the statement in an envelope."""
    return dict(json.loads(base64.b64decode(json.loads(envelope)["payload"])))


def sealed(statement: dict[str, Any], key: Path) -> bytes:
    """Return a statement signed again."""
    (subject,) = statement["subject"]
    return seal(
        subject["name"],
        subject["digest"]["sha256"],
        statement["predicateType"],
        statement["predicate"],
        read_private(key),
    )


def lock_as_is(project: Project, path: str, before: bytes) -> None:
    """Make the lock name a changed output, as `dvc commit --force` does."""
    after = (project.root / path).read_bytes()

    def rename(text: str) -> str:
        text = text.replace(hash_bytes(before, "md5"), hash_bytes(after, "md5"))
        return text.replace(f"size: {len(before)}\n", f"size: {len(after)}\n")

    project.edit("dvc.lock", rename)


def amend(project: Project) -> None:
    """Rewrite the only commit, as one who forges a whole repository would."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--amend", "--no-edit")


@pytest.mark.slow
def test_an_honest_model_is_reproduced_and_trusted(
    built: Project, shipped: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stranger with the file, its statement and an address gets the same bytes; two of them are enough to trust."""
    model = shipped
    answer = reproduce_model(model, f"file://{built.root}", keys=read_keys(keys.folder))
    assert answer.verdict == "REPRODUCED", answer.sentence
    assert set(answer.files.values()) == {"same bytes"}
    assert "model.onnx and 16 other files of its flow" in answer.sentence

    write_rebuild(model, answer, read_private(keys.mine))
    assert ask(capsys, "trust", model, "--keys", keys.folder)[0] == 1
    write_rebuild(model, answer, read_private(keys.stranger))
    code, printed = ask(capsys, "trust", model, "--keys", keys.folder)
    assert (code, "not counted: it carries no valid signature by one of the given keys" in printed) == (1, True)
    path = write_rebuild(model, answer, read_private(keys.other))
    code, printed = ask(capsys, "trust", model, "--keys", keys.folder, "--threshold", 2)
    assert (code, printed.count(": REPRODUCED")) == (0, 2)
    claimed = payload_of(path.read_bytes())
    assert claimed["predicate"]["commit"] == built.run("git", "rev-parse", "HEAD").strip()
    assert claimed["predicateType"] == REBUILD

    # the same voice twice, another verdict by the same key, another file
    shutil.copy(path, model.with_name("model.onnx.again.rebuild.json"))
    assert "reproduced by 2 of 3 keys" in ask(capsys, "trust", model, "--keys", keys.folder, "--threshold", 3)[1]
    claimed["predicate"]["verdict"] = "DIVERGED"
    model.with_name("model.onnx.again.rebuild.json").write_bytes(sealed(claimed, keys.other))
    assert "reproduced by 1 of 2 keys" in ask(capsys, "trust", model, "--keys", keys.folder)[1]
    model.write_bytes(b"another")
    code, printed = ask(capsys, "trust", model, "--keys", keys.folder, "--threshold", 1)
    assert (code, printed.count("it is about another file")) == (1, 3)


@pytest.mark.slow
def test_a_flow_is_found_in_the_history_and_rebuilt_alone(finished: Project, tmp_path: Path) -> None:
    """Without a statement, the model's hash leads to the commit; the other flow's stages do not run."""
    model = Path(shutil.copy(finished.root / "flows/iris/model.onnx", tmp_path / "any-name.onnx"))
    stages: list[str] = []
    answer = reproduce_model(model, str(finished.root), announce=stages.append)
    assert answer.verdict == "REPRODUCED", answer.sentence
    assert answer.path == "flows/iris/model.onnx"
    assert {stage.partition(":")[2] for stage in stages} - {""} == {
        f"{name}@iris" for name in ("data", "train", "infer", "export", "quantize")
    }
    assert "train" not in stages
    assert "flows/iris/metrics.json" in answer.files
    assert "metrics.json" not in answer.files


@pytest.mark.slow
def test_a_consistently_forged_commit_diverges(
    project: Project, keys: Keys, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model, metrics and lock forged together contradict nothing but the rebuild, which names them and the numbers."""
    monkeypatch.chdir(project.root)
    before = Path("model.onnx").read_bytes()
    model = onnx.load_model_from_string(before)
    weights = max(
        (attribute for node in model.graph.node for attribute in node.attribute if attribute.floats),
        key=lambda attribute: len(attribute.floats),
        default=None,
    )
    if weights is not None:
        weights.floats[3] += 0.5
    else:
        tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = numpy_helper.to_array(tensor).copy()
        values.flat[3] += 0.5
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    Path("model.onnx").unlink()  # a link into DVC's cache
    Path("model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    lock_as_is(project, "model.onnx", before)
    metrics = Path("metrics.json").read_bytes()
    project.edit("metrics.json", lambda text: text.replace("0.96", "0.99"))
    lock_as_is(project, "metrics.json", metrics)
    amend(project)
    main(["attest", "--key", str(keys.mine)])
    code, printed = ask(capsys, "reproduce", "model.onnx", "--keys", keys.folder, "--key", keys.mine)
    assert code == 1
    assert "DIVERGED: model.onnx: commit " in printed
    assert "gives other bytes of dvc.lock, metrics.json, model.onnx" in printed
    assert "the largest difference of coefficients is 0.5" in printed
    assert "DIVERGED" in ask(capsys, "trust", "model.onnx", "--keys", keys.folder, "--threshold", 1)[1]


def edit(path: str, old: str, new: str) -> Callable[[Project], None]:
    """Return a forgery that replaces a text in a file."""
    return lambda project: project.edit(path, lambda text: text.replace(old, new, 1))


def forge_contract(project: Project) -> None:
    """Change the contract, and the lock with it."""
    before = (project.root / "contract.json").read_bytes()
    project.edit("contract.json", lambda text: text.replace('"stratify": true', '"stratify": null'))
    lock_as_is(project, "contract.json", before)


def forge_wheel(project: Project) -> None:
    """Change one hash of a wheel of numpy."""

    def swap(text: str) -> str:
        place = text.index("sha256:", text.index("\nnumpy==")) + 7
        return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]

    project.edit("requirements/lean.txt", swap)


PARITY = "path: parity.json\n      hash: md5\n      "
REPOSITORY: dict[str, tuple[Callable[[Project], None], str]] = {
    "contract": (edit("contract.json", '"number"', '"date"'), "contract.json is not the file that dvc.lock names"),
    "contract and lock": (forge_contract, "model.onnx belongs to another contract.json"),
    "lock": (edit("dvc.lock", f"{PARITY}md5: ", f"{PARITY}md5: 0"), "parity.json is not the file"),
    "metrics": (edit("metrics.json", "0.96", "0.99"), "metrics.json is not the file that dvc.lock names"),
    "params": (edit("params.yaml", "C: 1.0", "C: 0.5"), "params.yaml has other values of train than dvc.lock"),
    "wheel hash": (forge_wheel, "requirements/lean.txt is not the file that dvc.lock names"),
    "code": (edit("src/artifact_flow/stages/train.py", "def ", "def  "), "train.py is not the file"),
}


@pytest.mark.parametrize("name", REPOSITORY)
@pytest.mark.slow
def test_a_forged_repository_is_found_before_it_is_run(
    project: Project, name: str, keys: Keys, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that contradicts itself or the model is TAMPERED, with what and where, and cannot be attested."""
    monkeypatch.chdir(project.root)
    forge, found = REPOSITORY[name]
    forge(project)
    amend(project)
    code, printed = ask(capsys, "reproduce", "model.onnx")
    assert (code, printed.partition(":")[0]) == (4, "TAMPERED"), printed
    assert "contradicts itself: " in printed
    assert found in printed
    code, printed = ask(capsys, "attest", "--key", keys.mine)
    assert code == 1
    assert f"model.onnx is stale: commit {project.run('git', 'rev-parse', '--short', 'HEAD').strip()}" in printed


def put(*keys_and_value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of one value of a statement."""
    *path, last, value = keys_and_value

    def change(statement: Any) -> None:
        for key in path:
            statement = statement[key]
        statement[last] = value

    return change


EXTERNAL = "predicate", "buildDefinition", "externalParameters"
DEPENDENCIES = "predicate", "buildDefinition", "resolvedDependencies"
CLAIMS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "subject": (put("subject", 0, "digest", "sha256", "0" * 64), "its statement is about another file"),
    "no commit": (put(*EXTERNAL, "commit", "--all"), "its statement names no commit"),
    "params": (put(*EXTERNAL, "params", "train", "params.yaml", "train", "C", 0.5), "train.C is 0.5, not 1.0"),
    "lock": (put(*DEPENDENCIES, 1, "digest", "sha256", "0" * 64), "of dvc.lock.digest.sha256 is 000"),
    "input": (put(*DEPENDENCIES, 3, "digest", "md5", "0" * 32), "of requirements/lean.txt.digest.md5 is 000"),
    "library": (put(*DEPENDENCIES, -1, "uri", "pkg:pypi/threadpoolctl@1"), "threadpoolctl.uri is pkg"),
    "output": (put("predicate", "runDetails", "byproducts", 2, "digest", {}), "of metrics.json.digest.md5 is None"),
    "portable": (put("predicate", "buildDefinition", "internalParameters", "portable", False), "portable is False"),
    "builder": (put("predicate", "runDetails", "builder", "id", "urn:other"), "another key than its builder's"),
    "model": (put(*EXTERNAL, "model", "a\x1b[2Jb"), "names it as a [2Jb"),
    "no predicate": (put("predicate", {}), "its statement names no commit"),
    "predicate type": (put("predicateType", REBUILD), f"is of type {REBUILD}, not {PROVENANCE}"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_false_statement_is_found(
    built: Project, shipped: Path, name: str, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even one that a trusted key signed: each claim is compared with the model and the commit."""
    change, found = CLAIMS[name]
    claimed = payload_of(statement_of(shipped).read_bytes())
    change(claimed)
    statement_of(shipped).write_bytes(sealed(claimed, keys.mine))
    code, printed = ask(capsys, "reproduce", shipped, "--repo", built.root, "--keys", keys.folder)
    assert code == 4, printed
    assert printed.startswith("TAMPERED: ")
    assert found in printed


def unsigned(statement: bytes) -> bytes:
    """Return an envelope whose statement was edited after it was signed."""
    envelope = json.loads(statement)
    payload = base64.b64decode(envelope["payload"]).replace(b'"portable":true', b'"portable":false')
    return json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}).encode()


def misspelt(statement: bytes) -> bytes:
    """Return an envelope with one bit of its signature changed."""
    envelope = json.loads(statement)
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[7] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(envelope).encode()


ENVELOPES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "statement": (unsigned, "no valid signature"),
    "signature": (misspelt, "no valid signature"),
    "cut off": (lambda envelope: envelope[:-9], "not an in-toto statement in a DSSE envelope"),
    "base64": (lambda envelope: envelope.replace(b'"payload": "', b'"payload": "!'), "its base64 is damaged"),
    "type": (lambda envelope: envelope.replace(b"vnd.in-toto", b"vnd.other"), "not an in-toto statement"),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_damaged_envelope_is_found(
    built: Project, shipped: Path, name: str, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signature covers each byte of the statement."""
    forge, found = ENVELOPES[name]
    before = statement_of(shipped).read_bytes()
    after = forge(before)
    assert after != before
    statement_of(shipped).write_bytes(after)
    code, printed = ask(capsys, "reproduce", shipped, "--repo", built.root, "--keys", keys.folder)
    assert (code, found in printed) == (4, True), printed


def test_a_key_that_is_not_given_is_not_believed(
    built: Project, shipped: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stranger may sign true claims; who names keys has other signers in mind."""
    statement_of(shipped).write_bytes(sealed(payload_of(statement_of(shipped).read_bytes()), keys.stranger))
    code, printed = ask(capsys, "reproduce", shipped, "--repo", built.root, "--keys", keys.folder)
    assert (code, "no valid signature by one of the given keys" in printed) == (4, True)


def test_a_changed_model_is_found(
    built: Project, statement: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its statement, or by the contract beside it, without being parsed; of a model alone nothing is known."""
    model = tmp_path / "model.onnx"
    model.write_bytes((built.root / "model.onnx").read_bytes() + b"\0")
    code, printed = ask(capsys, "reproduce", model, "--repo", built.root)
    assert (code, "no commit of" in printed) == (3, True)
    shutil.copy(built.root / "contract.json", tmp_path)
    code, printed = ask(capsys, "reproduce", model, "--repo", built.root)
    assert (code, "but no commit has a dvc.lock that names this model" in printed) == (4, True)
    statement_of(model).write_bytes(statement)
    code, printed = ask(capsys, "reproduce", model, "--repo", built.root)
    assert (code, "its statement is about another file" in printed) == (4, True)


def test_a_changed_contract_beside_the_model_is_found(
    built: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model names its contract by hash."""
    model = Path(shutil.copy(built.root / "model.onnx", tmp_path))
    (tmp_path / "contract.json").write_text((built.root / "contract.json").read_text() + "\n")
    code, printed = ask(capsys, "reproduce", model, "--repo", built.root)
    assert (code, "contract.json is not the contract that the model names" in printed) == (4, True)


@pytest.mark.slow
def test_a_commit_that_does_not_name_the_model_is_found(
    project: Project, statement: bytes, keys: Keys, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is in the repository is TAMPERED; of one that is not there nothing can be said."""
    monkeypatch.chdir(project.root)
    claimed = payload_of(statement)
    empty = project.run("git", "hash-object", "-t", "tree", "-w", "/dev/null").strip()
    for commit, code, found in (
        (
            project.run("git", "commit-tree", empty, "-m", "Empty").strip(),
            4,
            "which its statement names, names it as model.onnx",
        ),
        ("0123456789" * 4, 3, "the repository does not have commit 012345678901"),
    ):
        put(*EXTERNAL, "commit", commit)(claimed)
        Path("model.onnx.statement.json").write_bytes(sealed(claimed, keys.mine))
        assert ask(capsys, "reproduce", "model.onnx", "--keys", keys.folder)[0] == code
        assert found in ask(capsys, "reproduce", "model.onnx")[1]


def test_another_build_of_a_library_is_inconclusive(
    built: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A numpy that a distribution built has another BLAS; another version has other code."""
    model = Path(shutil.copy(built.root / "model.onnx", tmp_path))
    version = library_versions(["numpy"])["numpy"]
    for name, found in ((version, f"numpy {version} is not the registry's wheel"), ("0.1", "numpy is 0.1, not the")):
        folder = tmp_path / name / f"numpy-{name}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: numpy\nVersion: {name}\n")
        (folder / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
        monkeypatch.syspath_prepend(folder.parent)
        code, printed = ask(capsys, "reproduce", model, "--repo", built.root)
        assert (code, found in printed) == (3, True), printed
        assert printed.startswith("INCONCLUSIVE: ")


@pytest.mark.slow
def test_a_machine_without_a_promise_is_inconclusive(
    plain: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is not portable is judged on the reference machine alone."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2")
    (plain.root / "promise.json").write_text('{"portable": false}\n')
    plain.repro()
    amend(plain)
    code, printed = ask(capsys, "reproduce", "model.bin")
    assert (code, "its bytes are not promised on this machine (" in printed) == (3, True)
    assert "GLIBC_TUNABLES selects other math functions" in printed


@pytest.mark.slow
def test_missing_data_is_inconclusive_and_other_data_is_not_the_same(
    plain: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that DVC tracks is with those who have it; what they have must have the hash in the lock."""
    plain.run("git", "rm", "--quiet", "--cached", "rows.csv")
    plain.run("dvc", "add", "--quiet", "rows.csv")
    amend(plain)
    shutil.copy("model.bin", tmp_path)
    assert ask(capsys, "reproduce", "model.bin")[0] == 0
    for repository in (f"file://{plain.root}", "."):
        code, printed = ask(capsys, "reproduce", tmp_path / "model.bin", "--repo", repository)
        assert (code, "the data of stage train cannot be had: rows.csv is not in" in printed) == (
            (3, True) if repository != "." else (0, False)
        ), printed
    Path("rows.csv").unlink()
    Path("rows.csv").write_text("id,target\n0,4\n")
    code, printed = ask(capsys, "reproduce", "model.bin")
    assert (code, "has no copy with the hash in dvc.lock" in printed) == (3, True)


@pytest.mark.slow
def test_forged_data_is_found(plain: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Data in git must be what the lock names; if the lock was forged too, the rebuild gives another model."""
    before = (plain.root / "rows.csv").read_bytes()
    plain.edit("rows.csv", lambda text: text.replace("0,3", "0,4"))
    amend(plain)
    code, printed = ask(capsys, "reproduce", "model.bin")
    assert (code, "rows.csv is not the file that dvc.lock names" in printed) == (4, True)
    lock_as_is(plain, "rows.csv", before)
    amend(plain)
    code, printed = ask(capsys, "reproduce", "model.bin")
    assert (code, "gives other bytes of dvc.lock, model.bin" in printed) == (1, True)


def test_a_lock_that_dvc_did_not_write_is_found(plain: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither another form nor a conflict ends in a traceback, whose exit code would mean DIVERGED."""
    for old, new, found in (
        ("path: contract.json", "place: contract.json", "has a form that DVC does not write"),
        ("stages:", "<<<<<<< HEAD\nstages:", "dvc.lock is damaged or holds a merge conflict"),
    ):
        plain.edit("dvc.lock", lambda text, old=old, new=new: text.replace(old, new, 1))  # type: ignore[misc]
        amend(plain)
        code, printed = ask(capsys, "reproduce", "model.bin")
        assert (code, found in printed) == (4, True), printed


def test_the_statement_is_the_same_each_time_and_says_what_slsa_asks(
    project: Project, statement: bytes, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same commit, machine and key give the same bytes; the fields are those of in-toto v1 and SLSA v1."""
    monkeypatch.chdir(project.root)
    project.run("git", "remote", "add", "origin", "https://me:secret@example.org/models.git")
    main(["attest", ".", "--key", str(keys.mine), "--out", "first.json"])
    main(["attest", "--key", str(keys.mine)])
    content = Path("model.onnx.statement.json").read_bytes()
    assert content == Path("first.json").read_bytes() != statement
    opened = open_envelope(content, read_keys(keys.folder))
    assert len(opened.signers) == 1
    envelope = json.loads(content)
    payload = base64.b64decode(envelope["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload
    (key,) = (key for name, key in read_keys(keys.folder).items() if name == envelope["signatures"][0]["keyid"])
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    assert b"secret" not in base64.b64decode(json.loads(content)["payload"])
    claimed = payload_of(content)
    assert claimed["_type"] == "https://in-toto.io/Statement/v1"
    assert claimed["subject"] == [{"name": "model.onnx", "digest": {"sha256": hash_file(Path("model.onnx"))}}]
    build, run = claimed["predicate"]["buildDefinition"], claimed["predicate"]["runDetails"]
    assert build["externalParameters"]["repository"] == "https://example.org/models.git"
    assert {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} == build.keys()
    assert run["builder"]["id"].endswith(opened.signers[0])
    names = [entry["name"] for entry in build["resolvedDependencies"]]
    assert {"dvc.lock", "requirements/lean.txt", "src/artifact_flow/core", "scikit-learn"} <= set(names)
    assert all(entry.get("digest") or entry.get("uri") for entry in build["resolvedDependencies"])
    assert {"model.onnx", "metrics.json", "data.parquet"} <= {entry["name"] for entry in run["byproducts"]}


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://me:token@example.org:8443/a/b.git?x=1", "https://example.org:8443/a/b.git"),
        ("ssh://git@example.org/a.git", "ssh://example.org/a.git"),
        ("git@example.org:a/b.git", "ssh://example.org/a/b.git"),
        ("/srv/a.git", None),
        ("file:///srv/a.git", None),
        ("../a", None),
    ],
)
def test_an_address_is_stated_without_credentials(address: str, public: str | None) -> None:
    """No user and no token; a folder of this machine is no address."""
    assert without_credentials(address) == public


def test_only_a_committed_model_is_attested(
    project: Project, keys: Keys, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that HEAD's lock does not name, or names elsewhere, has no commit to state."""
    monkeypatch.chdir(project.root)
    shutil.copy("model.onnx", "copied.onnx")
    project.set_param("decimals: 8", "decimals: 7")
    for name, found in (
        ("copied.onnx", "is not the file that a dvc.lock of HEAD names for copied.onnx"),
        ("absent.onnx", "cannot be read (No such file or directory)"),
    ):
        code, printed = ask(capsys, "attest", name, "--key", keys.mine)
        assert (code, found in printed) == (1, True), printed
    Path("copied.onnx").write_bytes(b"")
    assert "is empty" in ask(capsys, "attest", "copied.onnx", "--key", keys.mine)[1]
    Path("model.onnx").unlink()
    Path("model.onnx").write_bytes(b"another")
    assert "HEAD names for model.onnx" in ask(capsys, "attest", "--key", keys.mine)[1]


def test_keys_are_made_once_and_privately(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A private key is its owner's alone, and neither it nor its public half is overwritten."""
    key = tmp_path / "key"
    main(["attest", "--new-key", str(key)])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    for _ in range(2):
        code, printed = ask(capsys, "attest", "--new-key", key)
        assert (code, "exists and is never overwritten" in printed) == (1, True)
        key.unlink(missing_ok=True)  # its public half is left
    assert not key.exists()
    key.write_bytes(before)
    (tmp_path / "empty").mkdir()
    for option, value, found in (
        ("--key", tmp_path / "key.pub", "is not a private key in PEM without a password"),
        ("--key", tmp_path / "absent", "cannot be read"),
        ("--keys", tmp_path / "empty", "holds no public key"),
        ("--keys", tmp_path / "absent", "cannot be read"),
        ("--statement", tmp_path / "absent", "cannot be read"),
    ):
        code, printed = ask(capsys, "reproduce", key, option, value)
        assert (code, found in printed) == (2, True), printed
    assert ask(capsys, "trust", key, "--keys", tmp_path, "--threshold", 0)[1].endswith("give 1 or more.")


def test_a_repository_that_cannot_be_cloned_is_inconclusive(
    built: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of the model then."""
    code, printed = ask(capsys, "reproduce", built.root / "model.onnx", "--repo", tmp_path / "absent")
    assert (code, "`git clone" in printed) == (3, True)


def test_the_largest_difference_is_found_in_initializers_and_attributes() -> None:
    """A name with it; another shape or node is a difference of the graphs."""

    def model(weights: np.ndarray, coefficients: list[float]) -> bytes:
        node = onnx.helper.make_node("LinearClassifier", ["x"], ["y"], domain="ai.onnx.ml", coefficients=coefficients)
        graph = onnx.helper.make_graph([node], "g", [], [], [numpy_helper.from_array(weights, "w")])
        return bytes(onnx.helper.make_model(graph).SerializeToString())

    one = model(np.zeros(2, np.float32), [1.0, 2.0])
    other = model(np.array([0, 0.25], np.float32), [1.0, 1.5])
    assert describe_difference(one, one) == "no number differs"
    assert describe_difference(one, other) == (
        "the largest difference of coefficients is 0.5, in coefficients of node 0 (LinearClassifier)"
    )
    assert describe_difference(one, model(np.zeros(3, np.float32), [1.0, 2.0])) == "the graphs differ in w"
    assert describe_difference(one, b"no model") == "one of the two files is not ONNX"
