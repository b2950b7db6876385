"""The rules of a catalog and the tests of them as YAML, one text a file. The same catalog gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.catalog.model import Catalog
from sinks.generated_yaml import generated_yaml
from sinks.prometheus_rules import health_scenarios, recording
from sinks.prometheus_rules.health import Health
from sinks.prometheus_rules.threshold_scenarios import threshold_scenarios
from sinks.prometheus_rules.thresholds import prometheus_alerts

JOB: Final = "streamgauge"
_RECORD_EVERY: Final = "30s"
_JUDGE_EVERY: Final = "1m"


def rules(catalog: Catalog, job: str = JOB) -> dict[str, str]:
    """File name -> YAML: the rules, and what `promtool test rules` plays through them.

    ``job`` is what Prometheus calls the workers of this catalog. Alerts that `thresholds.refusals` names are left out.
    """
    file = f"{catalog.name}.rules.yml"
    thresholds = prometheus_alerts(catalog)
    groups = [
        _group(f"streamgauge:{catalog.name}:kpis", _RECORD_EVERY, recording.recordings(catalog, job)),
        _group(f"streamgauge:{catalog.name}:engine", _JUDGE_EVERY, Health(catalog, job).alerts()),
    ]
    if thresholds:
        judged = [rule for alert in thresholds for rule in (alert.alerting(), alert.recording())]
        groups.append(_group(f"streamgauge:{catalog.name}:thresholds", _JUDGE_EVERY, judged))
    scenarios = [
        *recording.scenarios(catalog, job),
        *health_scenarios.scenarios(catalog, job),
        *(scenario for alert in thresholds for scenario in threshold_scenarios(alert, job)),
    ]
    tests = {
        "rule_files": [file],
        "evaluation_interval": "1m",
        "group_eval_order": [group["name"] for group in groups],
        "tests": [scenario.as_yaml() for scenario in scenarios],
    }
    return {file: _yaml(catalog, {"groups": groups}), f"{catalog.name}.rules_test.yml": _yaml(catalog, tests)}


def _group(name: str, interval: str, found: Any) -> dict[str, Any]:
    return {"name": name, "interval": interval, "rules": [rule.as_yaml() for rule in found]}


def _yaml(catalog: Catalog, content: Mapping[str, Any]) -> str:
    return generated_yaml("generate rules", catalog.name, content)
