"""Alertmanager's configuration of a catalog as YAML. The same catalog gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.catalog.alerting import Severity
from engine.catalog.model import Catalog
from sinks.alertmanager_config.inhibition import inhibit_rules
from sinks.alertmanager_config.routing import Routing
from sinks.generated_yaml import generated_yaml


def configuration(catalog: Catalog, kinds: Mapping[Severity, str], secrets: str) -> dict[str, str]:
    """File name -> YAML. ``kinds``: of each severity, one of `kinds.KINDS`; ``secrets``: the folder of the receivers'
    files, as Alertmanager sees it.
    """
    routing = Routing(catalog, kinds)
    content = {
        "route": routing.tree(),
        "inhibit_rules": inhibit_rules(catalog),
        "receivers": [receiver.as_yaml(secrets) for receiver in routing.receivers()],
    }
    return {f"{catalog.name}.alertmanager.yml": generated_yaml("generate alertmanager", catalog.name, content)}
