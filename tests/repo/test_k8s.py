"""The manifests render, conform to the Kubernetes schemas, and have the settings for a safe operation."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from shipped import needs_shipped

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted(path.name for path in (ROOT / "k8s/overlays").iterdir())
FOLDERS = ["k8s", *(f"k8s/overlays/{name}" for name in FLOWS)]
LIMIT = 30  # seconds between SIGTERM and SIGKILL, the default of Kubernetes


def render(folder: Path) -> str:
    """Return the manifests that `kubectl apply -k` would apply."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/ (1.27 or newer)")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if "unknown field" in done.stderr:
        pytest.skip("this kubectl is too old for the manifests: 1.27 or newer renders them")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    """Folder → its rendered manifests."""
    return {folder: render(ROOT / folder) for folder in FOLDERS}


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest, rendered: dict[str, str]) -> dict[str, Any]:
    """The rendered manifests of one folder, by kind."""
    documents = list(YAML(typ="safe").load_all(rendered[request.param]))
    assert len({document["kind"] for document in documents}) == len(documents)
    return {document["kind"]: document for document in documents}


@pytest.mark.slow
def test_the_manifests_fit_the_schemas(rendered: dict[str, str], tmp_path: Path) -> None:
    """All fields are known to Kubernetes and have values of the right type."""
    files = [tmp_path / f"{number}.yaml" for number in range(len(rendered))]
    for file, text in zip(files, rendered.values(), strict=True):
        file.write_text(text)
    files.append(ROOT / "k8s/batch/job.yaml")
    command = [Path(sys.executable).with_name("kubernetes-validate"), "--strict", *files]  # it takes seconds to start
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_flow_has_an_overlay() -> None:
    """One command serves each shipped model; a user may add overlays for others."""
    needs_shipped("flows/params.yaml")
    assert set(YAML(typ="safe").load(ROOT / "flows/params.yaml")["flows"]) == set(FLOWS)


def test_there_are_three_replicas(manifests: dict[str, Any]) -> None:
    """There are at least three replicas, also with the autoscaler; node maintenance removes at most one."""
    assert manifests["Deployment"]["spec"]["replicas"] == 3
    scaler = manifests["HorizontalPodAutoscaler"]["spec"]
    assert scaler["minReplicas"] == 3
    assert scaler["scaleTargetRef"]["name"] == manifests["Deployment"]["metadata"]["name"]
    assert manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert manifests["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_every_selector_matches_only_the_pods_of_this_model(manifests: dict[str, Any]) -> None:
    """Two models in one namespace share neither traffic nor budgets, and no rule applies to other pods."""
    pod = manifests["Deployment"]["spec"]["template"]
    wanted = {name: pod["metadata"]["labels"][f"app.kubernetes.io/{name}"] for name in ("name", "instance")}
    expected = {f"app.kubernetes.io/{name}": value for name, value in wanted.items()}
    selectors = [
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(item["labelSelector"]["matchLabels"] for item in pod["spec"]["topologySpreadConstraints"]),
    ]
    assert len(selectors) == 6
    assert all(selector == expected for selector in selectors)


def test_models_can_share_a_namespace(rendered: dict[str, str]) -> None:
    """Names and instances of all folders are unique, so that all can be applied to one namespace."""
    names, instances = set(), set()
    for text in rendered.values():
        (deployment,) = [item for item in YAML(typ="safe").load_all(text) if item["kind"] == "Deployment"]
        names.add(deployment["metadata"]["name"])
        instances.add(deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"])
    assert len(names) == len(instances) == len(FOLDERS)


def test_a_pod_has_minimal_permissions(manifests: dict[str, Any]) -> None:
    """It meets the restricted Pod Security Standard, with a read-only disk, no token and no outgoing connections."""
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    policy = manifests["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (ports,) = [rule["ports"] for rule in policy["ingress"]]
    assert [port["port"] for port in ports] == ["http"]


def test_a_batch_has_minimal_permissions() -> None:
    """The Job meets the restricted standard, and is not matched as a pod of the service."""
    pod = YAML(typ="safe").load(ROOT / "k8s/batch/job.yaml")["spec"]["template"]
    cluster = YAML(typ="safe").load(ROOT / "k8s/batch/cluster.yaml")["spec"]
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] != "artifact-flow"
    assert pod["spec"]["restartPolicy"] == "OnFailure"
    for spec in (pod["spec"], cluster["worker"]["spec"], cluster["scheduler"]["spec"]):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_image_and_the_pod_agree(manifests: dict[str, Any]) -> None:
    """They have the same port and user, and every other object uses the name of the container's port."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    pod = manifests["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in dockerfile
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    context = pod["spec"]["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile


def test_the_probes_use_the_right_endpoints(manifests: dict[str, Any]) -> None:
    """/ready decides about traffic; only /health decides about a restart, so that draining does not cause one."""
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/ready", "readiness": "/ready", "liveness": "/health"}


def test_a_drain_ends_before_the_kill(manifests: dict[str, Any]) -> None:
    """The pause before SIGTERM and the time limits for idle connections and requests fit into the grace period."""
    sources = "".join(path.read_text() for path in sorted((ROOT / "src/artifact_flow/serving").glob("*.py")))
    seconds = dict(re.findall(r"^(DRAIN|GRACE)_SECONDS = ([\d.]+)", sources, re.MULTILINE))
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    _, pause = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    needed = int(pause) + float(seconds["DRAIN"]) + float(seconds["GRACE"])
    assert needed < pod["terminationGracePeriodSeconds"] == LIMIT


def render_with(tmp_path: Path, *components: str, more: str = "") -> str:
    """Return the manifests of the main model with components, and with `more` lines of a kustomization."""
    base, *others = (os.path.relpath(ROOT / "k8s" / name, tmp_path.resolve()) for name in ("", *components))
    listed = ", ".join(others)
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]\ncomponents: [{listed}]\n{more}")
    return render(tmp_path)


def by_kind(text: str) -> dict[str, Any]:
    """Return rendered manifests by kind."""
    return {document["kind"]: document for document in YAML(typ="safe").load_all(text)}


def assert_valid(documents: list[Any], folder: Path) -> None:
    """Check Kubernetes' own kinds against its schemas."""
    file = folder / "manifests.json"
    for document in documents:
        file.write_text(json.dumps(document))
        command = [Path(sys.executable).with_name("kubernetes-validate"), "--strict", file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_node_port_component_changes_only_the_type(tmp_path: Path) -> None:
    """Without a load balancer, the component changes only the Service's type."""
    plain, changed = render(ROOT / "k8s"), render_with(tmp_path, "components/node-port")
    assert changed == plain.replace("type: LoadBalancer", "type: NodePort")
    assert changed != plain


OVERLAY = "nameSuffix: -iris\nlabels: [{includeSelectors: true, pairs: {app.kubernetes.io/instance: iris}}]\n"


@pytest.mark.parametrize("suffix", ["", "-iris"])
@pytest.mark.slow
def test_ingress_and_service_monitor_belong_to_their_model(tmp_path: Path, suffix: str) -> None:
    """In an overlay too, the Ingress leads to this model's Service, and the ServiceMonitor scrapes only its pods."""
    components = ("components/ingress", "components/service-monitor")
    found = by_kind(render_with(tmp_path, *components, more=OVERLAY if suffix else ""))
    assert_valid([found["Ingress"]], tmp_path)
    service = found["Service"]
    assert service["metadata"]["name"] == f"artifact-flow{suffix}"
    assert service["spec"]["type"] == "ClusterIP"
    (rule,) = found["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    (port,) = service["spec"]["ports"]
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": port["name"]}}
    assert found["Ingress"]["spec"]["tls"][0]["hosts"] == [rule["host"]]
    monitor = found["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"] == service["spec"]["selector"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    metadata = found["Deployment"]["spec"]["template"]["metadata"]
    assert not metadata.get("annotations"), "a pod that is found twice is scraped twice"


@pytest.mark.parametrize("source", ["registry", "bucket"])
@pytest.mark.slow
def test_a_model_from_a_store_is_opened_by_its_hash(tmp_path: Path, source: str) -> None:
    """An init container fills a volume that the service only reads; the hash comes from the manifest."""
    generated = "{name: artifact-flow-model, literals: [model=m, store=s, sha256=0123]}"
    component = f"components/model-from-{source}"
    found = by_kind(render_with(tmp_path, component, more=f"configMapGenerator: [{generated}]\n"))
    assert_valid([found["Deployment"], found["NetworkPolicy"]], tmp_path)
    plain = by_kind(render(ROOT / "k8s"))["Deployment"]["spec"]["template"]["spec"]
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (loader,), (service,) = pod["initContainers"], pod["containers"]
    assert loader["securityContext"] == service["securityContext"] == plain["containers"][0]["securityContext"]
    mounts = {mount["mountPath"]: mount for mount in service["volumeMounts"]}
    assert mounts["/model"]["readOnly"] is True
    assert mounts["/model"]["name"] in [mount["name"] for mount in loader["volumeMounts"]]
    assert service["workingDir"] == "/model"
    hashes = [item["valueFrom"]["configMapKeyRef"] for item in service["env"] if item["name"] == "MODEL_SHA256"]
    assert hashes == [{"name": found["ConfigMap"]["metadata"]["name"], "key": "sha256"}]
    named = [item["valueFrom"]["configMapKeyRef"]["name"] for item in loader["env"] if "valueFrom" in item]
    assert set(named) == {found["ConfigMap"]["metadata"]["name"]}, "another version restarts the pods"
    assert service["args"][-2:] == plain["containers"][0]["args"][-2:]


def test_the_knative_service_is_the_same_container() -> None:
    """It differs from the Deployment only where Knative forbids a field or has its own."""
    (service,) = YAML(typ="safe").load_all(render(ROOT / "k8s/knative"))
    assert service["apiVersion"] == "serving.knative.dev/v1"
    mine, theirs = service["spec"]["template"], by_kind(render(ROOT / "k8s"))["Deployment"]["spec"]["template"]
    (container,), (other,) = mine["spec"]["containers"], theirs["spec"]["containers"]
    same = ("args", "env", "image", "imagePullPolicy", "resources", "volumeMounts")
    assert {name: container[name] for name in same} == {name: other[name] for name in same}
    assert container["securityContext"].items() >= other["securityContext"].items()
    assert container["securityContext"].items() >= theirs["spec"]["securityContext"].items()
    assert mine["spec"]["volumes"] == theirs["spec"]["volumes"]
    probes = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("readiness", "liveness")]
    assert probes == ["/ready", "/health"]
    assert container["ports"] == [{"name": "http1", "containerPort": other["ports"][0]["containerPort"]}]
    forbidden = {"terminationGracePeriodSeconds", "topologySpreadConstraints", "securityContext"}
    assert not forbidden & set(mine["spec"])
    assert "lifecycle" not in container


def test_argo_cd_leaves_the_replicas_to_the_autoscaler() -> None:
    """The Application names a folder that exists, and does not undo what the autoscaler does."""
    application = YAML(typ="safe").load(ROOT / "k8s/argocd/application.yaml")
    spec = application["spec"]
    assert (ROOT / spec["source"]["path"] / "kustomization.yaml").is_file()
    assert spec["ignoreDifferences"] == [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]
    assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
