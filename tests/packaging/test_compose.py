"""The compose file as data: services, health, volumes, variables that are settings, pinned images, no secrets."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from axisor_executor import __version__
from axisor_executor.settings import PLUGIN_VARIABLES, Settings, describe_settings
from tests.harness.compose import DEPLOY, compose, example, filled_in, seconds

COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("axisor-executor:")}
SETTINGS = {row.variable for row in describe_settings()} | {
    point.name for point in entry_points(group=PLUGIN_VARIABLES)
}
UVICORNS = {"FORWARDED_ALLOW_IPS"}
"""What the API's server reads by itself."""
_VARIABLE = re.compile(r"\$\{(\w+)(?P<rest>[^}]*)\}")


def test_the_services_are_there() -> None:
    assert {"protect", "default", "api", "setup"} == OURS
    assert set(SERVICES) - OURS == {"redis", "postgres", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[\w.]+)?", tag), SERVICES[name]["image"]
    if name in OURS:
        assert tag == __version__


def test_the_images_of_the_dockerfile_are_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    assert f"axisor-executor:{__version__}" in (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"setup"}))
def test_a_service_that_stays_has_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    of_image = "HEALTHCHECK" in (DEPLOY / "Dockerfile").read_text()
    assert service.get("healthcheck", {}).get("test") or (name in OURS and of_image)
    assert service["restart"] == "unless-stopped"


def test_each_lane_has_workers_of_its_own() -> None:
    for lane in ("protect", "default"):
        command = SERVICES[lane]["command"]
        assert command[:4] == ["dramatiq", "axisor_executor.actors", "--queues", lane]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_have_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" not in service, "the image's own is nobody"
    assert re.search(r"^USER 65534:65534$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_variables_are_settings_that_can_be_used(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert set(environment) - SETTINGS == (UVICORNS if name == "api" else set())
    given = filled_in(environment)
    fields = {str(field.validation_alias): attribute for attribute, field in Settings.model_fields.items()}
    Settings(**{fields[key]: value for key, value in given.items() if key in fields and value})


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_may_stand_in_the_env_file(name: str) -> None:
    service = SERVICES[name]
    assert [file["path"] for file in service["env_file"]] == [".env"]
    hidden = [key for key, value in service["environment"].items() if not value.startswith(f"${{{key}:")]
    assert hidden == [], "what stands below `environment` wins"


def test_the_headers_of_a_proxy_are_believed_only_from_where_somebody_says() -> None:
    (variable,) = UVICORNS
    assert SERVICES["api"]["environment"][variable] == f"${{{variable}:-127.0.0.1,::1}}"
    assert example()[variable] == "127.0.0.1,::1"


def test_a_stopping_worker_has_the_time_that_it_may_take() -> None:
    for name in OURS:
        service = SERVICES[name]
        given = filled_in(service["environment"])
        assert seconds(service["stop_grace_period"]) > float(given["AXISOR_SHUTDOWN_SECONDS"]) + 5


def test_what_the_file_asks_for_stands_in_the_example() -> None:
    text = (DEPLOY / "compose.yml").read_text()
    required = {found[1] for found in _VARIABLE.finditer(text) if found["rest"].startswith(":?")}
    assert required <= set(example())
    assert set(example()) <= {found[1] for found in _VARIABLE.finditer(text)}


def test_no_secret_stands_in_a_file() -> None:
    for name in ("ENCRYPTION_KEY", "POSTGRES_PASSWORD", "GRAFANA_ADMIN_PASSWORD"):
        assert example()[name] == ""
        for value in _values_of(COMPOSE, name):
            assert value.startswith(f"${{{name}:?"), value
    ignored = (DEPLOY.parent / ".gitignore").read_text().split()
    assert {"deploy/.env", "deploy/prometheus-token"} <= set(ignored)
    for path in (DEPLOY / "compose.yml", DEPLOY / ".env.example", *(DEPLOY / "systemd").iterdir()):
        for found in re.finditer(r"\w+://\w+:([^@\s]+)@", path.read_text()):
            assert found[1].startswith("${"), found[0]


def _values_of(node: Any, name: str) -> list[str]:
    if isinstance(node, dict):
        own = [value for key, value in node.items() if key.endswith(name) and isinstance(value, str)]
        return own + [found for value in node.values() for found in _values_of(value, name)]
    return [found for value in node for found in _values_of(value, name)] if isinstance(node, list) else []


def test_what_must_last_is_on_volumes() -> None:
    mounts = {
        name: dict(mount.split(":")[:2] for mount in service.get("volumes", [])) for name, service in SERVICES.items()
    }
    assert mounts["redis"]["redis"] == "/data"
    assert "--appendonly" in SERVICES["redis"]["command"]
    assert "noeviction" in SERVICES["redis"]["command"]
    assert mounts["postgres"]["postgres"] == "/var/lib/postgresql/data"
    named = {source for mount in mounts.values() for source in mount if not source.startswith(".")}
    assert named == set(COMPOSE["volumes"])


def test_what_is_mounted_from_here_is_here() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), mount
                assert mount.endswith(":ro"), mount


def test_only_loopback_is_published_and_the_stores_reach_nothing() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert {name for name, service in SERVICES.items() if service["networks"] == ["inside"]} == {"redis", "postgres"}


def test_what_a_service_depends_on_is_there_and_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert SERVICES[other]["healthcheck"]["test"], other
            else:
                assert (other, how["condition"]) == ("setup", "service_completed_successfully")


def test_prometheus_finds_the_api_and_its_token() -> None:
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["api:8420"]
    (secret,) = SERVICES["prometheus"]["secrets"]
    assert secret["target"] == job["authorization"]["credentials_file"]
    assert COMPOSE["secrets"][secret["source"]]["file"].startswith("./")
    targets = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in settings["rule_files"]} <= targets


def test_grafana_is_given_prometheus_and_the_dashboard() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "axisor.yml").read_text())["providers"]
    targets = {mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]}
    assert f"{provider['options']['path']}/axisor.json" in targets


def test_watching_changes_services_that_are_there() -> None:
    watching = yaml.safe_load((DEPLOY / "compose.watch.yml").read_text())["services"]
    assert set(watching) <= OURS
    for lane in ("protect", "default"):
        assert watching[lane]["command"][-4:-1] == ["--watch", "/checkout/axisor_executor", "--watch-include"]
    assert "watch" in watching["protect"]["build"]["args"]["EXTRAS"]


def test_the_image_gets_what_it_is_installed_from() -> None:
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")}
    copied = re.search(r"for part in (.+); do", (DEPLOY / "install").read_text())
    assert copied
    assert kept == {*copied[1].split(), "plugins", "deploy/install"}
    root = Path(__file__).parents[2]
    assert all((root / name).exists() for name in kept)
