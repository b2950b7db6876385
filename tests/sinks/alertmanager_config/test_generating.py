"""Alertmanager's configuration: amtool takes it, and says who is told of what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.catalog.loader import parse
from engine.catalog.model import Catalog
from sinks.alertmanager_config.generating import configuration
from sinks.alertmanager_config.kinds import KINDS
from streamgauge.cli.generate.alertmanager import Kind
from tests.programs import program

CATALOGS = Path(__file__).parents[3] / "deploy" / "catalogs"
OWN = Path(__file__).parent / "muting.yaml"
TOLD_BY = {"critical": "pagerduty", "warning": "slack", "info": "opsgenie"}
EVERY = pytest.mark.parametrize(
    "path", [CATALOGS / "business.yaml", CATALOGS / "retail.yaml", OWN], ids=lambda path: path.stem
)


def catalog(path: Path) -> Catalog:
    found = parse([(path.name, path.read_text())])
    assert found.catalog is not None, found.problems
    return found.catalog


def generated(path: Path) -> str:
    [(name, text)] = configuration(catalog(path), TOLD_BY, "/run/secrets/").items()  # type: ignore[arg-type]
    assert name == f"{catalog(path).name}.alertmanager.yml"
    return text


def amtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("amtool"), *words], capture_output=True, text=True, check=False)


@EVERY
def test_amtool_takes_it(path: Path, tmp_path: Path) -> None:
    written = tmp_path / "alertmanager.yml"
    written.write_text(generated(path))
    checked = amtool("check-config", written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("receiver: slack_regions", "receiver: slack_nobody_made"),
        ('severity="critical"', 'severity=~"(critical"'),
        ("routing_key_file:", "routing_key_fiel:"),
        ("group_interval: 5m", "group_interval: soon"),
    ],
)
def test_one_that_is_broken_is_refused(old: str, new: str, tmp_path: Path) -> None:
    text = generated(OWN)
    assert old in text
    written = tmp_path / "alertmanager.yml"
    written.write_text(text.replace(old, new))
    assert amtool("check-config", written).returncode != 0


@pytest.mark.parametrize(
    ("path", "labels", "told"),
    [
        (CATALOGS / "business.yaml", {"severity": "critical", "owner": "ceo", "kpi": "sales_30d"}, "pagerduty_ceo"),
        (CATALOGS / "business.yaml", {"severity": "warning", "owner": "cmo"}, "slack_cmo"),
        (CATALOGS / "business.yaml", {"severity": "critical", "alertname": "StreamgaugeNoWorker"}, "pagerduty"),
        (CATALOGS / "business.yaml", {"severity": "warning", "owner": "somebody else"}, "slack"),
        (CATALOGS / "retail.yaml", {"severity": "critical", "alertname": "StreamgaugeSinkFailing"}, "pagerduty"),
        (OWN, {"severity": "warning", "owner": "regions", "region": "EU"}, "slack_regions"),
        (OWN, {"severity": "critical", "owner": 'head of "sales"'}, "pagerduty_head_of__sales__301c3347"),
        (OWN, {"severity": "info", "owner": "regions"}, "opsgenie_regions"),
        (OWN, {"severity": "info"}, "opsgenie"),
        (OWN, {"alertname": "OfSomebodyElse"}, "slack"),
    ],
    ids=lambda found: found.stem if isinstance(found, Path) else None,
)
def test_alerts_go_where_their_severity_and_owner_say(
    path: Path, labels: dict[str, str], told: str, tmp_path: Path
) -> None:
    written = tmp_path / "alertmanager.yml"
    written.write_text(generated(path))
    words = [f"{name}={json.dumps(text)}" for name, text in labels.items()]
    asked = amtool("config", "routes", "test", f"--config.file={written}", *words)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert asked.stdout.split() == [told]


@EVERY
def test_it_holds_no_secret_but_the_names_of_files(path: Path) -> None:
    content = yaml.safe_load(generated(path))
    files = []
    for receiver in content["receivers"]:
        [kind] = set(receiver) - {"name"}
        [config] = receiver[kind]
        [found] = [text for key, text in config.items() if key.endswith(("_key_file", "_url_file"))]
        assert not {key for key in config if key.endswith(("key", "url", "token", "secret", "password"))}
        assert found == f"/run/secrets/{receiver['name']}" and "/" not in receiver["name"]
        files.append(found)
    assert len(files) == len(set(files))


@EVERY
def test_what_becomes_worse_is_told_within_five_minutes(path: Path) -> None:
    def intervals(route: dict[str, Any]) -> list[str]:
        own = [route["group_interval"]] if "group_interval" in route else []
        return [*own, *(text for below in route.get("routes", ()) for text in intervals(below))]

    found = intervals(yaml.safe_load(generated(path))["route"])
    assert len(found) == 4 and set(found) <= {"1m", "5m"}


def test_two_runs_give_the_same_bytes_and_the_first_line_says_what_wrote_it() -> None:
    code = "from tests.sinks.alertmanager_config.test_generating import *; print(generated(OWN), end='')"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert texts == {generated(OWN)}
    first = generated(OWN).splitlines()[0]
    assert first == "# Generated by `streamgauge generate alertmanager` from catalog muting: edit that, not this."


def test_nobody_is_told_where_nobody_is_to_be() -> None:
    kinds = dict.fromkeys(TOLD_BY, "nobody")
    [text] = configuration(catalog(OWN), kinds, "/run/secrets").values()  # type: ignore[arg-type]
    assert yaml.safe_load(text)["receivers"] == [{"name": "nobody"}]


def test_the_command_offers_every_kind() -> None:
    assert [kind.value for kind in Kind] == list(KINDS)
