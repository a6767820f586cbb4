"""What Kubernetes knows by extensions alone fits their own definitions, which npm and PyPI packages carry.

`crd/` pins the packages by their hashes; they are fetched when the tests run. Types in TypeScript are generated from
the definitions of Argo CD, Knative and the Prometheus operator, and the type checker refuses a field that a literal's
type does not have, as well as a value of another type. Dask's operator ships its definition as it is.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PINNED = Path(__file__).with_name("crd")
# file → the type of its document
TYPED = {
    "argocd/application.yaml": "argo-cd/argoproj.io/v1alpha1/Application",
    "knative/service.yaml": "knative/serving.knative.dev/v1/Service",
    "components/service-monitor/service-monitor.yaml": "prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
}
OPTIONS = {"strict": True, "noEmit": True, "skipLibCheck": True, "module": "esnext", "moduleResolution": "bundler"}
CHART = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"

pytestmark = pytest.mark.slow


def fetch(*command: str | Path, folder: Path) -> None:
    """Run the client of a registry; without a network the test is skipped, but not in CI."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and "CI" not in os.environ:
        pytest.skip(f"{command[0]} cannot fetch the definitions: {(done.stderr or done.stdout).strip()[-300:]}")
    assert done.returncode == 0, done.stdout + done.stderr


def read(name: str) -> Any:
    """Return the document of a file in k8s/."""
    return YAML(typ="safe").load(ROOT / "k8s" / name)


def test_resources_of_argo_cd_knative_and_prometheus_fit_their_types(tmp_path: Path) -> None:
    """Every field is known and has a value of its type; a field that is renamed is found in each."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm is not installed: apt-get install nodejs npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINNED / name, tmp_path)
    fetch("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=tmp_path)
    for number, (name, kind) in enumerate(TYPED.items()):
        kind_name = kind.rpartition("/")[2]
        text = json.dumps(read(name))
        for label, spec in (("right", '"spec"'), ("wrong", '"specs"')):
            head = f'import type {{ I{kind_name} }} from "@kubernetes-models/{kind}";\nexport const it: I{kind_name} = '
            (tmp_path / f"{label}{number}.ts").write_text(head + text.replace('"spec"', spec, 1))
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "include": ["*.ts"]}))
    command = ["node", "node_modules/typescript/bin/tsc", "-p", "."]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout.splitlines()
    complaints = [line for line in found if not line.startswith(" ")]
    assert [line for line in complaints if not line.startswith("wrong")] == []
    assert {line.partition("(")[0] for line in complaints} == {f"wrong{number}.ts" for number in range(len(TYPED))}


def test_the_dask_cluster_fits_its_definition(tmp_path: Path) -> None:
    """Every field is known, as its operator's definition has it, down to the containers."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", tmp_path)
    fetch(*pip, "-r", PINNED / "requirements.txt", folder=tmp_path)
    (version,) = YAML(typ="safe").load(tmp_path / CHART)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    close(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    validator = jsonschema.Draft202012Validator(schema)
    cluster = read("batch/cluster.yaml")
    assert [error.message for error in validator.iter_errors(cluster)] == []
    cluster["spec"]["worker"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    assert ["imagePullPolice" in error.message for error in validator.iter_errors(cluster)] == [True]


def close(schema: Any) -> None:
    """Let no object of a schema have other fields than those it names."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)
