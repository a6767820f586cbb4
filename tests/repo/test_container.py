"""The image contains the locked environment and nothing else; the Compose file and the dashboard are valid."""

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", re.MULTILINE)
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "compose.yaml")
DASHBOARD: dict[str, Any] = json.loads((ROOT / "monitoring/grafana/dashboards/artifact-flow.json").read_text())


def installed(name: str) -> Path:
    """Return the path of a command in this environment, or skip with the reason."""
    command = Path(sys.executable).with_name(name)
    if not command.is_file():
        pytest.skip(f"{name} is not installed: `make test` installs it")
    return command


def make(*arguments: str, code: int = 0, **environ: str) -> str:
    """Run make in the repository, expect its exit code, and return its output."""
    command = ["make", "--no-print-directory", *arguments]
    inherited = {name: value for name, value in os.environ.items() if name != "REGISTRY"}
    done = subprocess.run(
        command, cwd=ROOT, env=inherited | environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions as pairs of name and arguments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines) if name]


def test_the_dockerfile_has_no_finding() -> None:
    """Hadolint reports nothing, and no comment disables it."""
    done = subprocess.run([installed("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "hadolint ignore" not in DOCKERFILE


def test_the_image_contains_nothing_for_training() -> None:
    """It has no scikit-learn, so it cannot open pickles, and no DVC, installer or data analysis packages."""
    names = dict(PIN.findall((ROOT / "requirements/serve.txt").read_text()))
    assert {"fastapi", "numpy", "onnxruntime", "pyarrow", "uvicorn"} <= set(names)
    assert not {"dvc", "joblib", "mlflow", "pandas", "pip", "pytest", "scikit-learn", "scipy", "skl2onnx"} & set(names)


def test_the_image_has_the_tested_versions() -> None:
    """Every package has the version that the tests use."""
    serve, dev = (set(PIN.findall((ROOT / f"requirements/{name}.txt").read_text())) for name in ("serve", "dev"))
    assert serve <= dev


def test_every_stage_has_the_same_base_image() -> None:
    """The base image is the same in every stage and named by its digest, which cannot change."""
    files = ROOT / "Dockerfile", ROOT / "k8s/batch/Dockerfile"
    bases = [base for file in files for base in re.findall(r"^FROM (python\S+)", file.read_text(), re.MULTILINE)]
    assert len(bases) == 3
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", bases[0])


def test_only_hashed_wheels_are_installed() -> None:
    """Only locked wheels are installed, so no compiler is needed and no package code runs during the build."""
    (install,) = [rest for name, rest in instructions() if name == "RUN" and "pip" in rest and "install" in rest]
    for option in ("--require-hashes", "--only-binary :all:", "--no-cache-dir", "-r serve.txt"):
        assert option in install
    assert "apt" not in DOCKERFILE


@pytest.mark.parametrize("place", [".", "flows/iris"])
def test_the_image_gets_the_documents_that_lie_beside_the_model(tmp_path: Path, place: str) -> None:
    """The build copies what there is of the model's files, and does not need the rest."""
    (copy,) = [rest for name, rest in instructions() if name == "RUN" and "install -D" in rest]
    folder = tmp_path / "context" / place
    folder.mkdir(parents=True)
    for name in ("model.onnx", "contract.json", "MODEL_CARD.md", "model_train.pkl"):
        (folder / name).touch()
    environ = os.environ | {"MODEL": f"{place}/model.onnx", "SHA256": ""}
    script = copy.replace('"/app/', f'"{tmp_path}/app/')
    subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path / "context", env=environ, check=True)
    copied = {path.name for path in (tmp_path / "app" / place).iterdir()}
    assert copied == {"model.onnx", "contract.json", "MODEL_CARD.md"}


def test_the_image_runs_unprivileged_and_gets_signals() -> None:
    """It has a numeric user, which Kubernetes can verify is not root, commands without a shell, and a health check."""
    last = dict(instructions())
    user, _, group = last["USER"].partition(":")
    assert int(user) > 1000
    assert int(group) > 1000
    assert json.loads(last["ENTRYPOINT"]) == ["artifact-flow"]
    assert json.loads(last["CMD"])[0] == "serve"
    assert "/ready" in last["HEALTHCHECK"]
    assert "org.opencontainers.image.revision" in last["LABEL"]
    assert "artifact-flow.model.sha256" in last["LABEL"]


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("model.onnx", True),
        ("contract.json", True),
        ("MODEL_CARD.md", True),
        ("flows/iris/model.cdx.json", True),
        ("flows/iris/croissant.json", True),
        ("README.md", False),
        ("dvc.lock", True),
        ("flows/dvc.lock", True),
        ("flows/iris/model.onnx", True),
        ("flows/iris/contract.json", True),
        ("src/artifact_flow/cli/serve.py", True),
        ("requirements/serve.txt", True),
        (".git/config", False),
        (".dvc/config.local", False),
        (".env", False),
        ("data.parquet", False),
        ("model_train.pkl", False),
        ("flows/iris/data.parquet", False),
        ("flows/iris/model_train.pkl", False),
        ("src/artifact_flow/__pycache__/errors.cpython-311.pyc", False),
        ("requirements/dev.txt", False),
    ],
)
def test_the_build_sees_only_what_it_needs(path: str, sent: bool) -> None:
    """.dockerignore excludes keys, data and pickles from the build context."""
    parents = ["/".join(path.split("/")[: number + 1]) for number in range(path.count("/") + 1)]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line or line.startswith("#"):
            continue
        if any(_matches(parent, pattern) for parent in parents):
            ignored = not line.startswith("!")
    assert ignored is not sent


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(path.rsplit("/", 1)[-1], pattern.removeprefix("**/"))
    steps, marks = path.split("/"), pattern.split("/")
    return len(steps) == len(marks) and all(map(fnmatch, steps, marks))


def test_the_compose_file_is_valid() -> None:
    """It conforms to the Compose specification."""
    command = [installed("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_composed_service_is_locked_down(name: str) -> None:
    """It is reachable only from this machine, read-only and unprivileged; its image has a version."""
    service = COMPOSE["services"][name]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])


def test_mounted_files_exist() -> None:
    """Docker would create an empty folder for a missing file."""
    sources = [
        volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())
    ]
    assert all((ROOT / source).exists() for source in sources if source.startswith("./"))
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_the_dashboard_uses_existing_metrics() -> None:
    """Every name in a panel's query is a metric of the service."""
    source = (ROOT / "src/artifact_flow/serving/meters.py").read_text()
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"artifact_flow_\w+", query)}
    assert len(asked) >= 8
    for name in asked:
        assert f'"{re.sub(r"_(total|bucket)$", "", name)}"' in source, name


def test_the_manifests_name_the_image_that_make_builds() -> None:
    """`make build-docker` and `kubectl apply -k k8s` use the same name and tag: the package's version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    printed = make("--dry-run", "build-docker", "MODEL=README.md", "COMMIT=abc")
    assert f'--tag "artifact-flow:{version}"' in printed
    for path in [ROOT / "k8s/kustomization.yaml", *(ROOT / "k8s/overlays").glob("*/kustomization.yaml")]:
        (image,) = YAML(typ="safe").load(path)["images"]
        assert image["newTag"] == version


def test_a_missing_model_is_one_sentence() -> None:
    """A build before `dvc repro` fails with one sentence."""
    assert "nothing.onnx does not exist: run 'dvc repro', which makes the models that dvc.yaml has stages for." in make(
        "build-docker", "MODEL=nothing.onnx", code=2
    )


def test_a_push_needs_a_registry() -> None:
    """Without a registry, nothing is tagged or pushed."""
    assert "make push-docker REGISTRY=" in make("push-docker", "DOCKER=false", code=2)


def test_a_push_is_tagged_with_the_commit_of_the_image(tmp_path: Path) -> None:
    """The commit of the workspace may have changed since the build."""
    engine = tmp_path / "engine"
    engine.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$1" = image ] && echo abc123 || true\n')
    engine.chmod(0o755)
    make("push-docker", f"DOCKER={engine}", "REGISTRY=registry.example.org/team", "TAG=1.0.0")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1:] == [
        "tag artifact-flow:1.0.0 registry.example.org/team/artifact-flow:abc123",
        "push registry.example.org/team/artifact-flow:abc123",
    ]


def test_a_missing_endpoint_fails() -> None:
    """`make test-endpoint` fails without a service."""
    printed = make("test-endpoint", "PORT=1", "RETRIES=0", code=2)
    assert "no service is ready on port 1" in printed
