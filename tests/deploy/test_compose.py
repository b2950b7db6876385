"""`deploy/compose.yaml` and the files beside it: nothing here starts a container, so every line is held to its reader.

The schema of the compose specification, the parser of our own command line, promtool, amtool, and each other.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from sinks.grafana.generating import dashboards
from sinks.names import METRICS_PATH
from sinks.prometheus_rules.generating import rules
from streamgauge.catalog_files import read_catalog
from streamgauge.cli.app import app
from streamgauge.reference import PAGES, commands
from streams.worker import PUBLISH_SECONDS, STOP_SECONDS
from tests.deploy.compose import COMPOSE, DEPLOY, ENVIRONMENT, OURS, SERVICES, lines
from tests.programs import program

COMMANDS = {" ".join(path): command for path, command in commands(typer.main.get_command(app))}
ONCE = {"topics", "tokens", "dashboards", "rules"}
Json = dict[str, Any]


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def mounts(service: str) -> dict[str, str]:
    """Path in the container -> named volume, or path beside the compose file; "" for a volume without a name."""
    found = {}
    for text in SERVICES[service].get("volumes", ()):
        source, _, target = text.removesuffix(":ro").rpartition(":")
        found[target] = source
    return found


def parsed(service: str) -> Iterator[tuple[str, Json]]:
    """(command, its parameters), as our parser takes them with the service's environment."""
    for words in lines(service):
        length = next(length for length in (2, 1) if " ".join(words[:length]) in COMMANDS)
        name = " ".join(words[:length])
        yield name, COMMANDS[name].make_context(name, words[length:]).params


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in ENVIRONMENT.items():
        monkeypatch.setenv(name, text)


def test_it_is_of_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    said = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_key_that_compose_does_not_know_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": {"a": {"image": "a", "imagee": "b"}}}))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    said = subprocess.run([*command, tmp_path / "compose.yaml"], capture_output=True, text=True, check=False)
    assert said.returncode == 1 and "imagee" in said.stdout


@pytest.mark.parametrize("service", OURS)
def test_our_commands_understand_their_lines(service: str) -> None:
    found = list(parsed(service))
    assert found
    for _, parameters in found:
        catalog = parameters.get("catalog")
        if catalog is not None:
            host = DEPLOY / mounts(service)[str(catalog.parent)] / catalog.name
            assert read_catalog(host).problems == ()


def test_what_is_listened_to_is_what_is_asked_for() -> None:
    listening = {
        service: (parameters["host"], parameters["port"])
        for service in OURS
        for _, parameters in parsed(service)
        if "host" in parameters
    }
    assert listening == {"worker": ("0.0.0.0", 9108), "serve": ("0.0.0.0", 8080)}
    for service, (_, port) in listening.items():
        assert f":{port}/" in SERVICES[service]["healthcheck"]["test"][-1]
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"//{ENVIRONMENT['STREAMGAUGE_BROKERS']}," in listeners
    assert ENVIRONMENT["STREAMGAUGE_REDIS"] == "redis://valkey:6379/0"


def test_ports_are_of_this_machine_alone() -> None:
    published = {service: given["ports"] for service, given in SERVICES.items() if "ports" in given}
    assert set(published) == {"kafka", "serve", "prometheus", "alertmanager", "grafana"}
    for ports in published.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)
    assert "network_mode" not in json.dumps(COMPOSE)


def test_nothing_has_a_password_that_everybody_knows() -> None:
    assert not re.search(r"(?i)password", json.dumps(COMPOSE))
    grafana = SERVICES["grafana"]["environment"]
    assert grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["GF_AUTH_BASIC_ENABLED"] == "false"
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


def test_images_are_of_one_version() -> None:
    for service, given in SERVICES.items():
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", given["image"]), service
    bases = re.findall(r"(?m)^FROM (\S+)", (DEPLOY / "Dockerfile").read_text())
    assert bases and all(re.fullmatch(r"python:\d\.\d+\.\d+-slim-[a-z]+", base) for base in bases)


def test_our_image_is_built_once_and_asked_of_no_registry() -> None:
    """Compose builds side by side: a second build of the same tag fails where images are in containerd's store."""
    assert [service for service in SERVICES if "build" in SERVICES[service]] == ["topics"]
    assert len({SERVICES[service]["image"] for service in OURS}) == 1
    assert {SERVICES[service]["pull_policy"] for service in OURS} == {"never"}
    started = {service for service in OURS if SERVICES[service]["restart"] != "no"}
    assert started and all("topics" in SERVICES[service]["depends_on"] for service in started)


def test_nothing_is_killed_while_it_ends() -> None:
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS + PUBLISH_SECONDS


def test_what_runs_on_is_checked_and_restarted_and_what_ends_is_waited_for() -> None:
    for service, given in SERVICES.items():
        if service in ONCE:
            assert given["restart"] == "no"
        else:
            assert given["restart"] == "unless-stopped"
            assert "healthcheck" in given or service == "events"
        for needed, how in given.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how["condition"] == expected
            assert needed in ONCE or "healthcheck" in SERVICES[needed]


def test_what_is_mounted_is_there() -> None:
    named = set()
    for service in SERVICES:
        for source in mounts(service).values():
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
            elif source:
                named.add(source)
    assert named == set(COMPOSE["volumes"])


def test_the_image_holds_what_it_copies_and_owns_what_is_written_to() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for words in re.findall(r"(?m)^COPY (?!--from)(.+)$", text):
        for source in words.split()[:-1]:
            assert (DEPLOY.parent / source).exists() and f"!{source}" in let_in
    [owned] = re.findall(r"install -d -o streamgauge -g streamgauge (.+)$", text, re.MULTILINE)
    written = {target for service in OURS for target, source in mounts(service).items() if not source.startswith("./")}
    assert written == set(owned.split())


def test_prometheus_scrapes_what_listens() -> None:
    subprocess.run(
        [program("promtool"), "check", "config", "--syntax-only", DEPLOY / "prometheus.yml"],
        check=True,
        capture_output=True,
    )
    targets = set()
    for job in read("prometheus.yml")["scrape_configs"]:
        assert job.get("metrics_path", METRICS_PATH) == METRICS_PATH
        for found in job.get("dns_sd_configs", ()):
            targets |= {f"{name}:{found['port']}" for name in found["names"]}
        for found in job.get("static_configs", ()):
            targets |= set(found["targets"])
    assert targets == {"worker:9108", "serve:8080", "alertmanager:9093"}
    [token] = [job for job in read("prometheus.yml")["scrape_configs"] if "authorization" in job]
    assert token["authorization"]["credentials_file"] == "/tokens/prometheus.token"
    assert mounts("prometheus")["/tokens"] == mounts("tokens")["/tokens"] == mounts("serve")["/tokens"]


def test_prometheus_evaluates_what_is_generated() -> None:
    [(name, written)] = parsed("rules")
    assert name == "generate rules"
    found = read_catalog(DEPLOY / "catalogs" / written["catalog"].name).catalog
    assert found is not None
    config = read("prometheus.yml")
    assert written["job"] in {job["job_name"] for job in config["scrape_configs"]}
    [pattern] = map(Path, config["rule_files"])
    file, tests = rules(found, written["job"])
    assert Path(file).match(pattern.name) and not Path(tests).match(pattern.name)
    assert mounts("prometheus")[str(pattern.parent)] == mounts("rules")[str(written["out"])] == "rules"


def test_alertmanager_routes_and_mutes_as_generated_and_tells_nobody() -> None:
    [(_, written)] = parsed("rules")
    text = (DEPLOY / "alertmanager.yml").read_text()
    assert f"from catalog {written['catalog'].stem}:" in text.splitlines()[0]
    assert text == PAGES["deploy/alertmanager.yml"]()
    assert read("alertmanager.yml")["receivers"] == [{"name": "nobody"}]


def test_alertmanager_understands_its_configuration() -> None:
    subprocess.run([program("amtool"), "check-config", DEPLOY / "alertmanager.yml"], check=True, capture_output=True)


def test_grafana_finds_datasources_and_dashboards() -> None:
    [(_, written)] = parsed("dashboards")
    catalog = read_catalog(DEPLOY / "catalogs" / written["catalog"].name).catalog
    assert catalog is not None
    made = dashboards(catalog, written["board_url"])
    sources = {one["name"]: one for one in read("grafana/provisioning/datasources/streamgauge.yaml")["datasources"]}
    variable = json.loads(next(iter(made.values())))["templating"]["list"][0]
    assert variable["type"] == "datasource" and variable["current"]["value"] == sources["Prometheus"]["uid"]
    assert '"/alerting/groups?alertmanager=Alertmanager"' in "".join(made.values()) and "Alertmanager" in sources
    assert sources["Prometheus"]["jsonData"]["timeInterval"] == read("prometheus.yml")["global"]["scrape_interval"]
    assert sources["Prometheus"]["jsonData"]["alertmanagerUid"] == sources["Alertmanager"]["uid"]
    for source in sources.values():
        host, _, port = source["url"].removeprefix("http://").partition(":")
        assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    [provider] = read("grafana/provisioning/dashboards/streamgauge.yaml")["providers"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"] and home.name in made
    assert mounts("grafana")[provider["options"]["path"]] == mounts("dashboards")[str(written["out"])]
    assert written["board_url"] == "http://localhost:8080"


def test_the_link_to_the_board_is_where_it_is_published() -> None:
    [(_, written)] = parsed("dashboards")
    port = written["board_url"].rpartition(":")[2]
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:{port}:{port}"]
