"""Manifests: what Kubernetes and the operator would take them for, and Dask with certificates exactly as they say."""

import copy
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dask_kubernetes
import jsonschema
import kubernetes_validate
import pytest
import yaml
from dask.utils import parse_bytes
from dask_kubernetes.operator.controller import controller as operator
from dask_kubernetes.operator.validation import validate_cluster_name
from jsonpatch import JsonPatch

from rsmtl.dispatch import cluster_at
from rsmtl.errors import InputError
from tests import fakes
from tests.cluster.containers import CLUSTER, Site
from tests.flows.prefect_site import until
from tests.scene.rasters import image, write_raster

FOLDER = CLUSTER / "kubernetes"
README = (FOLDER / "README.md").read_text()
OPERATOR = Path(dask_kubernetes.__file__).parent / "operator"
CHART = OPERATOR / "deployment" / "helm" / "dask-kubernetes-operator"
SERVICES = yaml.safe_load((CLUSTER / "containers" / "compose.yaml").read_text())["services"]
TLS = "/etc/rsmtl/tls"
KUBERNETES = "1.37"

Document = dict[str, Any]


def _documents(path: Path) -> list[Document]:
    return list(yaml.safe_load_all(path.read_text()))


def _listed(folder: str) -> list[Path]:
    """Files that a kustomization brings together."""
    found = _documents(FOLDER / folder / "kustomization.yaml")[0]["resources"]
    return [FOLDER / folder / name for name in found]


CPU = {(one["kind"], one["metadata"]["name"]): one for file in _listed("cpu") for one in _documents(file)}


def _gpu_cluster() -> Document:
    """The cluster as the patches of `gpu/` make it."""
    (overlay,) = _documents(FOLDER / "gpu" / "kustomization.yaml")
    (patch,) = overlay["patches"]
    cluster = CPU[patch["target"]["kind"], patch["target"]["name"]]
    return dict(JsonPatch(yaml.safe_load(patch["patch"])).apply(copy.deepcopy(cluster)))


CLUSTERS = {"cpu": CPU["DaskCluster", "rsmtl"], "gpu": _gpu_cluster()}


def _made(cluster: Document) -> dict[str, Document]:
    """What the operator makes of a cluster, by its own functions."""
    name, scheduler, worker = (
        cluster["metadata"]["name"],
        cluster["spec"]["scheduler"],
        cluster["spec"]["worker"],
    )
    return copy.deepcopy(
        {
            "scheduler": operator.build_scheduler_deployment_spec(name, scheduler["spec"], {}, {}),
            "service": operator.build_scheduler_service_spec(name, scheduler["service"], {}, {}),
            "worker": operator.build_worker_deployment_spec(
                f"{name}-default", "rsmtl", name, "0123456789", worker["spec"], {}, {}
            ),
        }
    )


def _pods(folder: str) -> dict[str, Document]:
    """Specifications of all pods, by what they are."""
    made = _made(CLUSTERS[folder])
    deployments = [made["scheduler"], made["worker"], CPU["Deployment", "prefect-worker"]]
    return {
        name: deployment["spec"]["template"]["spec"]
        for name, deployment in zip(("scheduler", "worker", "prefect-worker"), deployments, strict=True)
    }


def _container(folder: str, name: str) -> Document:
    (only,) = _pods(folder)[name]["containers"]
    return dict(only)


def _strict(schema: Any) -> Any:
    """A schema that refuses fields that it does not know; Kubernetes would drop them without a word."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "x-kubernetes-preserve-unknown-fields" not in schema:
        found.setdefault("additionalProperties", False)
    return found


@cache
def _resource(kind: str) -> tuple[str, Any]:
    """Group and version of an object of the operator's, and the schema that it brings to the cluster."""
    crd = yaml.load((CHART / "crds" / f"{kind.lower()}.yaml").read_bytes(), yaml.CSafeLoader)["spec"]
    (version,) = crd["versions"]
    return f"{crd['group']}/{version['name']}", _strict(version["schema"]["openAPIV3Schema"])


def _check_custom(document: Document) -> None:
    version, schema = _resource(document["kind"])
    assert document["apiVersion"] == version
    body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata")}
    jsonschema.validate(body, schema)


def test_every_manifest_is_in_the_kustomization() -> None:
    assert {file.name for file in _listed("cpu")} | {"kustomization.yaml"} == {
        file.name for file in (FOLDER / "cpu").iterdir()
    }
    assert [file.resolve() for file in _listed("gpu")] == [FOLDER / "cpu"]


@pytest.mark.parametrize(
    "key", [key for key, one in CPU.items() if "dask.org" not in one["apiVersion"]], ids=str
)
def test_core_objects_are_kubernetes_own(key: tuple[str, str]) -> None:
    kubernetes_validate.validate(CPU[key], KUBERNETES, strict=True)


@pytest.mark.parametrize("folder", ["cpu", "gpu"])
def test_what_the_operator_makes_is_kubernetes_own(folder: str) -> None:
    _check_custom(CLUSTERS[folder])
    validate_cluster_name(CLUSTERS[folder]["metadata"]["name"])
    for made in _made(CLUSTERS[folder]).values():
        kubernetes_validate.validate(made, KUBERNETES, strict=True)


def test_an_unknown_field_is_not_lost_without_a_word() -> None:
    broken = copy.deepcopy(CLUSTERS["cpu"])
    broken["spec"]["worker"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(jsonschema.ValidationError, match="livenessProb"):
        _check_custom(broken)


def test_the_autoscaler_is_of_this_cluster() -> None:
    autoscaler = CPU["DaskAutoscaler", "rsmtl"]
    _check_custom(autoscaler)
    assert autoscaler["spec"]["cluster"] == CLUSTERS["cpu"]["metadata"]["name"]
    assert autoscaler["spec"]["minimum"] == CLUSTERS["cpu"]["spec"]["worker"]["replicas"]


def test_the_service_finds_the_scheduler() -> None:
    made = _made(CLUSTERS["cpu"])
    labels = made["scheduler"]["spec"]["template"]["metadata"]["labels"]
    assert made["service"]["spec"]["selector"].items() <= labels.items()
    named = {port["name"]: port["containerPort"] for port in _container("cpu", "scheduler")["ports"]}
    for port in made["service"]["spec"]["ports"]:
        assert named[port["targetPort"]] == port["port"]
    assert (
        _environment("worker")["DASK_SCHEDULER_ADDRESS"]
        == f"tls://{made['service']['metadata']['name']}:8786"
    )


def test_only_the_namespace_reaches_dask_and_the_operator_its_dashboard() -> None:
    made = _made(CLUSTERS["cpu"])
    for name in ("scheduler", "worker"):
        assert "dask.org/cluster-name" in made[name]["spec"]["template"]["metadata"]["labels"]
    inside, outside = (CPU["NetworkPolicy", name]["spec"] for name in ("dask", "dask-operator"))
    assert inside["podSelector"]["matchExpressions"] == [
        {"key": "dask.org/cluster-name", "operator": "Exists"}
    ]
    assert inside["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert outside["podSelector"]["matchLabels"] == {"dask.org/component": "scheduler"}
    assert [port["port"] for rule in outside["ingress"] for port in rule["ports"]] == [8787]
    assert "--namespace dask-operator" in README


@pytest.mark.parametrize("folder", ["cpu", "gpu"])
@pytest.mark.parametrize("name", ["scheduler", "worker", "prefect-worker"])
def test_pods_may_do_little(folder: str, name: str) -> None:
    pod, container = _pods(folder)[name], _container(folder, name)
    (user,) = set(
        re.findall(r"^USER (?!0)(\d+)", (CLUSTER / "containers" / "Dockerfile").read_text(), re.MULTILINE)
    )
    assert (
        CPU["Namespace", "rsmtl"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert "memory" in container["resources"]["limits"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {mounts["/tmp"], mounts[TLS]} == {volume["name"] for volume in pod["volumes"]}


def test_a_gpu_worker_has_one_gpu() -> None:
    worker = _container("gpu", "worker")
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "NTHREADS", "value": "4"} in worker["env"]
    assert _container("gpu", "scheduler") == _container("cpu", "scheduler")


def test_images_and_commands_are_those_of_the_containers() -> None:
    for folder in ("cpu", "gpu"):
        for name in ("scheduler", "worker", "prefect-worker"):
            assert _container(folder, name)["image"] == "rsmtl"
            assert "command" not in _container(folder, name)  # tini, the image's own, passes signals on
    (base,), (overlay,) = (_documents(FOLDER / name / "kustomization.yaml") for name in ("cpu", "gpu"))
    assert [one["name"] for one in overlay["images"]] == [base["images"][0]["newName"]]
    assert _container("cpu", "prefect-worker")["args"] == SERVICES["prefect-worker"]["command"]
    for name in ("scheduler", "worker"):
        assert _container("cpu", name)["args"][:2] == SERVICES[name]["command"][:2]
        options = {word for word in SERVICES[name]["command"] if word.startswith("--")}
        assert options <= set(_container("cpu", name)["args"])


def test_every_secret_is_told_of_and_every_setting_is_there() -> None:
    texts = [file.read_text() for file in [*(FOLDER / "cpu").iterdir(), *FOLDER.glob("*.yaml")]]
    found = {name for text in texts for name in re.findall(r"rsmtl-(?:tls|s3|prefect)\b", text)}
    for pod in _pods("cpu").values():
        for source in pod["containers"][0]["envFrom"]:
            for kind, named in source.items():
                if kind == "configMapRef":
                    assert ("ConfigMap", named["name"]) in CPU
                else:
                    found.add(named["name"])
    assert found == {"rsmtl-tls", "rsmtl-s3", "rsmtl-prefect"}
    for name in found:
        assert f"| `{name}` |" in README


def _paths(values: Document, above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        path = f"{above}.{key}".lstrip(".")
        yield path, value
        if isinstance(value, dict):
            yield from _paths(value, path)


def test_values_of_the_operator_are_of_its_chart() -> None:
    (ours,) = _documents(FOLDER / "dask-operator-values.yaml")
    (theirs,) = _documents(CHART / "values.yaml")
    for key, value in ours.items():
        assert type(value) is type(theirs[key]), key
    version = re.findall(r"--version (\S+)", README)
    assert version == [
        next(iter(re.findall(r"--version (\S+)", (FOLDER / "dask-operator-values.yaml").read_text())))
    ]
    assert version[0] == dask_kubernetes.__version__


PREFECT_VALUES: dict[str, type] = {
    "worker.image.repository": str,
    "worker.image.prefectTag": str,
    "worker.apiConfig": str,
    "worker.selfHostedServerApiConfig.apiUrl": str,
    "worker.config.type": str,
    "worker.config.workPool": str,
    "worker.config.installPolicy": str,
    "worker.livenessProbe.enabled": bool,
    "worker.livenessProbe.config.initialDelaySeconds": int,
    "worker.livenessProbe.config.periodSeconds": int,
    "worker.livenessProbe.config.timeoutSeconds": int,
    "worker.livenessProbe.config.failureThreshold": int,
    "worker.podSecurityContext.runAsNonRoot": bool,
    "worker.podSecurityContext.runAsUser": int,
    "worker.podSecurityContext.fsGroup": int,
    "worker.podSecurityContext.seccompProfile.type": str,
    "worker.containerSecurityContext.allowPrivilegeEscalation": bool,
    "worker.containerSecurityContext.readOnlyRootFilesystem": bool,
    "worker.containerSecurityContext.runAsNonRoot": bool,
    "worker.containerSecurityContext.runAsUser": int,
    "worker.containerSecurityContext.capabilities.drop": list,
    "worker.resources.requests.cpu": str,
    "worker.resources.requests.memory": str,
    "worker.resources.limits.memory": str,
    "worker.extraEnvVarsCMs": list,
    "worker.extraEnvVarsSecrets": list,
    "worker.extraVolumes": list,
    "worker.extraVolumeMounts": list,
    "serviceAccount.create": bool,
    "serviceAccount.name": str,
    "role.create": bool,
    "rolebinding.create": bool,
}
"""What the chart prefect-worker takes of what is set, and as what: it refuses keys that it does not know."""


def test_values_of_the_prefect_worker_are_of_its_chart_and_as_in_the_manifest() -> None:
    (values,) = _documents(FOLDER / "prefect-worker-values.yaml")
    leaves = {path: value for path, value in _paths(values) if not isinstance(value, dict)}
    assert {path: type(value) for path, value in leaves.items()} == PREFECT_VALUES
    pod, worker = _pods("cpu")["prefect-worker"], values["worker"]
    assert worker["extraVolumes"] == [one for one in pod["volumes"] if one["name"] == "tls"]
    assert worker["extraVolumeMounts"] == [
        one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "tls"
    ]
    assert worker["resources"] == pod["containers"][0]["resources"]
    assert worker["selfHostedServerApiConfig"]["apiUrl"] == _environment("prefect-worker")["PREFECT_API_URL"]
    assert ("ConfigMap", worker["extraEnvVarsCMs"][0]) in CPU
    dockerfile = (CLUSTER / "containers" / "Dockerfile").read_text()
    assert "/opt/prefect/entrypoint.sh" in dockerfile  # what the chart starts commands with
    assert "install --yes --no-install-recommends libexpat1 tini" in dockerfile


def _environment(name: str) -> dict[str, str]:
    """What a pod's container has in its environment, secrets excepted."""
    container = _container("cpu", name)
    environment = dict(CPU["ConfigMap", "rsmtl-settings"]["data"])
    limit = parse_bytes(f"{container['resources']['limits']['memory']}B")
    for one in container.get("env", []):
        from_limits = one.get("valueFrom", {}).get("resourceFieldRef", {}).get("resource") == "limits.memory"
        environment[one["name"]] = str(limit) if from_limits else one["value"]
    return environment


def _command(name: str) -> list[str]:
    """A container's words, with `$(NAME)` put in as the kubelet does."""
    environment = _environment(name)
    return [
        re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], word)
        for word in _container("cpu", name)["args"]
    ]


@dataclass(frozen=True)
class Certified:
    """A scheduler and a worker as the manifests have them, and where their certificates lie."""

    site: Site
    certificates: Path


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    folder = tmp_path_factory.mktemp("kubernetes")
    certificates = folder / "certificates"
    for _ in range(2):  # the second time, with the authority of the first
        subprocess.run([FOLDER / "certificates.sh", certificates], check=True, capture_output=True)
    (folder / "tmp").mkdir()
    here = {TLS: str(certificates), "/tmp": str(folder / "tmp"), "rsmtl-scheduler:": "127.0.0.1:"}
    with Site(folder, here, [8786, 8787, 8788]) as site:
        for name, port in (("scheduler", 8787), ("worker", 8788)):
            process = site.start(name, _command(name), _environment(name))

            def healthy(
                url: str = f"http://127.0.0.1:{port}/health", of: "subprocess.Popen[bytes]" = process
            ) -> bool:
                assert of.poll() is None, site.said("scheduler")
                return site.answers(url)

            until(healthy, 120, f"{name} is healthy")
        yield Certified(site, certificates)


def test_keys_are_for_their_owner_alone(certified: Certified) -> None:
    assert {file.name for file in certified.certificates.iterdir()} == {
        "ca.crt",
        "ca.key",
        "tls.crt",
        "tls.key",
    }
    for file in certified.certificates.iterdir():
        assert file.stat().st_mode & 0o077 == 0
    for name in re.findall(r"--from-file=certificates/(\S+)", README):
        assert (certified.certificates / name).exists()
        assert name != "ca.key"


def _api(site: Site, page: str, body: Document | None = None) -> Any:
    asked = urllib.request.Request(
        site.words(f"http://127.0.0.1:8787/api/v1/{page}"), json.dumps(body).encode() if body else None
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_dask_takes_the_certificates_and_nobody_without(certified: Certified) -> None:
    """Predict as the page says, without a certificate and with; then what the operator asks to scale."""
    site = certified.site
    out = Path(site.words("/tmp/out"))
    write_raster(Path(site.words("/tmp/scene.tif")), image(3, 64, 64))
    fakes.random_checkpoint(Path(site.words("/tmp/random.safetensors")))
    (address,) = set(re.findall(r"--scheduler (tls://rsmtl-scheduler:\d+)", README))
    command = [
        "rsmtl",
        "predict",
        "/tmp/scene.tif",
        "--model",
        "/tmp/random.safetensors",
        "--out",
        "/tmp/out",
    ]
    command += ["--scheduler", address, "--window", "64", "--overlap", "16"]
    for refused, why in ((address, "has no certificates"), (address.replace("tls://", "tcp://"), "has TLS")):
        with pytest.raises(InputError, match=why), cluster_at(site.words(refused)):
            pass
    status, said = site.run("predict", command, _environment("prefect-worker"))
    assert status == 0, said
    assert (out / "scene" / "item.json").exists()

    name = _made(CLUSTERS["cpu"])["worker"]["metadata"]["name"]
    assert [one["name"] for one in _api(site, "get_workers")["workers"]] == [name]
    assert _api(site, "adaptive_target") == {"workers": 0}
    retired = _api(site, "retire_workers", {"n": 1})
    assert [one["name"] for one in retired.values()] == [
        name
    ]  # by which the operator finds the deployment to delete
