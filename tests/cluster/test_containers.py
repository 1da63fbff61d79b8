"""Image and services: what the files say, and every command that a service runs, run on this machine."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml

from tests.cluster.containers import BIN, CLUSTER, Site, commands_in, interpolated, variables_of
from tests.flows.prefect_site import until
from tests.s3.conftest import SECRET, s3_server
from tests.scene.rasters import grid, image, write_raster

FOLDER = CLUSTER / "containers"
ROOT = CLUSTER.parent
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
COMPOSE = (FOLDER / "compose.yaml").read_text()
GIVEN = {"S3_ACCESS_KEY": "somebody", "S3_SECRET_KEY": SECRET, "SCENES": "/scenes"}
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(interpolated(COMPOSE, GIVEN))["services"]
ENDS = {"bucket", "deploy"}
"""Services that do one thing and end."""


def test_hadolint_finds_nothing() -> None:
    found = subprocess.run(
        [BIN / "hadolint", FOLDER / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_is_built_from_what_is_there_and_sent_to_the_builder() -> None:
    sent = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert len(sources) == 7
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in sent
    assert sent[1] == "*"


def test_bases_are_pinned_and_python_is_ours() -> None:
    bases = re.findall(r"^(?:ARG PYTHON=|FROM )(?!\$)(\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    for base in bases:
        assert re.search(r":v?\d+\.\d+\.\d+", base)
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}." in DOCKERFILE


def test_the_image_has_everything_pinned_and_leaves_no_cache() -> None:
    installs = re.findall(r"^RUN (?:.*\\\n)*?.*\binstall --constraint .*$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 2
    assert all("--mount=type=cache,target=/root/.cache/pip" in one for one in installs)
    assert "[flows]" in installs[1]
    assert "rm -rf /var/lib/apt/lists" in DOCKERFILE


def test_the_compose_file_is_valid() -> None:
    spec = pytest.importorskip("compose_spec", reason="compose-spec, of the extra dev, is not installed")
    document = yaml.safe_load(interpolated(COMPOSE, GIVEN))
    spec.PyCompose.from_json(json.dumps(document)).validate()
    document["services"]["worker"]["depend_on"] = {}
    with pytest.raises(ValueError, match="depend_on"):
        spec.PyCompose.from_json(json.dumps(document))


def test_every_variable_has_a_default_or_says_what_to_give() -> None:
    told = (FOLDER / "README.md").read_text()
    found = variables_of(COMPOSE)
    assert {name for name, kind, _ in found if kind == "?"} == set(GIVEN)
    for name, kind, word in found:
        assert (kind or "") in "-?", name
        assert word, name
        assert f"`{name}`" in told, name


def test_services_wait_for_services_that_say_when_they_are_ready() -> None:
    waited = [
        (other, how["condition"])
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
    ]
    assert len(waited) >= 6
    for other, condition in waited:
        if other in ENDS:
            assert condition == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "on-failure"
        else:
            assert condition == "service_healthy"
            assert "HEALTH_URL" in SERVICES[other]["environment"] or "healthcheck" in SERVICES[other]
            assert SERVICES[other]["restart"] == "unless-stopped"


def test_only_the_dashboards_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"prefect-server": ["127.0.0.1:4200:4200"], "scheduler": ["127.0.0.1:8787:8787"]}
    on = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, networks in on.items() if "dask" in networks} == {
        "scheduler",
        "worker",
        "prefect-worker",
    }
    assert {name for name, networks in on.items() if "store" in networks} >= {"worker", "prefect-worker"}


def test_nobody_is_root_and_nothing_but_volumes_and_tmp_is_written() -> None:
    (user,) = set(re.findall(r"^USER (?!0)(\S+)", DOCKERFILE, re.MULTILINE))
    for service in SERVICES.values():
        assert service["user"] == user == "10001:10001"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)[-1] == user


def test_no_secret_is_in_the_files() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("SECRET|PASSWORD|TOKEN|ACCESS_KEY", name):
                assert value in GIVEN.values()
    assert SECRET not in COMPOSE


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything that `docker compose up` starts, in its order, but that the store is another one."""
    folder = tmp_path_factory.mktemp("site")
    here = {
        "/var/lib/prefect": str(folder / "prefect"),
        "/data": str(folder / "data"),
        "/tmp": str(folder / "tmp"),
        "0.0.0.0": "127.0.0.1",
    }
    for path in ("data", "tmp", "prefect"):
        (folder / path).mkdir()
    for name in ("prefect-server:", "scheduler:"):
        here[f"//{name}"] = "//127.0.0.1:"
    with s3_server() as store:
        here["http://store:7070"] = store["AWS_ENDPOINT_URL"]
        with Site(folder, here, [4200, 8080, 8786, 8787, 8788]) as site:
            waits = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
            order = TopologicalSorter(waits)
            order.prepare()
            while ready := order.get_ready():
                started = {name: _start(site, name) for name in ready if name != "store"}
                for name, process in started.items():
                    _wait(site, name, process)
                order.done(*ready)
            yield site


def _start(site: Site, name: str) -> "subprocess.Popen[bytes]":
    quick = {"PREFECT_WORKER_QUERY_SECONDS": "0.5"}
    return site.start(name, SERVICES[name]["command"], {**SERVICES[name]["environment"], **quick})


def _wait(site: Site, name: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a service is healthy, as its image's health check finds it, or has ended."""
    if name in ENDS:
        assert process.wait(timeout=120) == 0, site.said(name)
        return
    check = json.loads(re.findall(r"^HEALTHCHECK .* CMD (.+)$", DOCKERFILE, re.MULTILINE)[0])
    check = [word.replace("health.py", str(FOLDER / "health.py")) for word in check]

    def healthy() -> bool:
        assert process.poll() is None, site.said(name)
        return site.run("health", check, SERVICES[name]["environment"])[0] == 0

    until(healthy, 120, f"{name} is healthy")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_of_all_services_work_together(site: Site) -> None:
    write_raster(Path(site.words("/data/scene.tif")), image(3, 300, 300), grid(0.5))
    environment = SERVICES["prefect-worker"]["environment"]
    predict, run = commands_in(FOLDER / "README.md", "docker compose exec prefect-worker ")
    assert predict[:2] == ["rsmtl", "predict"]
    assert run[:3] == ["prefect", "deployment", "run"]
    status, said = site.run("predict", predict, environment)
    assert status == 0, said
    status, said = site.run("run", run, environment)
    assert status == 0, said + site.said("prefect-worker")
    store = s3fs.S3FileSystem(endpoint_url=site.words("http://store:7070"), key="somebody", secret=SECRET)
    made = store.glob("products/*/scene/item.json")
    assert made == ["products/first/scene/item.json", "products/second/scene/item.json"]
    counted = urllib.request.urlopen(site.words("http://127.0.0.1:8788/metrics")).read().decode()
    assert re.search(r"^rsmtl_windows_total [1-9]", counted, re.MULTILINE), "the worker has run no window"
