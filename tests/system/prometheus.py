"""A real Prometheus that scrapes what a test runs, and how to ask it."""

from __future__ import annotations

import json
import math
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from streamgauge.services import free_port
from tests.programs import program

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRAPE_S = 1
READY_S = 30.0
Labels = dict[str, str]


class Refused(AssertionError):
    """Prometheus does not take a query; the message is its own."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """``began``: when it was started, since the epoch."""

    port: int
    began: float

    def now(self, expr: str) -> list[tuple[Labels, float]]:
        """The series of an instant query. Raises Refused."""
        found = self._ask("query", query=expr)
        assert found["resultType"] == "vector", found["resultType"]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def so_far(self, expr: str) -> list[tuple[Labels, list[float]]]:
        """The series of a range query from the beginning until now. Raises Refused."""
        end = time.time()
        found = self._ask("query_range", query=expr, start=self.began, end=end, step=SCRAPE_S)
        return [(one["metric"], [float(text) for _, text in one["values"]]) for one in found["result"]]

    def label_values(self, selector: str, label: str) -> list[str]:
        """Raises Refused."""
        asked = {"match[]": selector, "start": self.began}
        return [str(text) for text in self._ask(f"label/{urllib.parse.quote(label)}/values", **asked)]

    def _ask(self, path: str, **asked: object) -> Any:
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{asked}: {json.load(error)['error']}") from error


def numbers(found: Sequence[tuple[Labels, float | list[float]]]) -> bool:
    """Whether there is a sample that is a number."""
    return any(not math.isnan(one) for _, given in found for one in (given if isinstance(given, list) else [given]))


@contextmanager
def running_prometheus(
    folder: Path, targets: Mapping[str, Sequence[int]], rules: Mapping[str, Any], tokens: Path | None = None
) -> Iterator[Prometheus]:
    """Runs with `deploy/prometheus.yml` and `rules`; of its jobs it has those in `targets`, on these ports instead.

    It scrapes every second. ``tokens`` is the folder in the place of ``/tokens``.
    """
    port, log = free_port(0), folder / "prometheus.log"
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text().replace("/tokens/", f"{tokens}/"))
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    assert {job["job_name"] for job in jobs} == set(targets)
    for job in jobs:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [f"127.0.0.1:{target}" for target in targets[job["job_name"]]]}]
    config["global"] |= {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"}
    config |= {"scrape_configs": jobs, "alerting": {}, "rule_files": [str(folder / "rules.yml")]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules.yml").write_text(yaml.safe_dump(dict(rules)))
    command = [
        program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    began = time.time()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(port, process, log)
        yield Prometheus(port, began)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
                return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
