"""The demo as people run it: ports taken, its end by time and by Ctrl-C, a second start, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import psutil

from tests.streamgauge.conftest import Run

BOARD = re.compile(r"the board is at (http://127\.0\.0\.1:\d+),")
SENT = re.compile(r"([\d,]+) of ([\d,]+) lines sent")


def processes_of(folder: Path) -> list[list[str]]:
    """Command lines of the processes that work in `folder`."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [line for line in found if any(str(folder) in argument for argument in line)]


def sent(said: str) -> list[int]:
    return [int(found[1].replace(",", "")) for found in SENT.finditer(said)]


def test_it_starts_ends_and_goes_on(command: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.socket() as kafka, socket.socket() as valkey, socket.socket() as worker, socket.socket() as board:
        ports = {}
        for name, taken in (("Kafka", kafka), ("Valkey", valkey), ("the worker", worker), ("the board", board)):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            ports[name] = taken.getsockname()[1]
        options = [
            "--kafka-port",
            ports["Kafka"],
            "--redis-port",
            ports["Valkey"],
            "--metrics-port",
            ports["the worker"],
            "--port",
            ports["the board"],
        ]
        first = command(
            "demo", "--data-dir", data, "--days", 3, "--for", 6, *options, "--picture", tmp_path / "view.svg"
        )
    assert first.code == 0, first.err
    for name, port in ports.items():
        assert f"port {port} is taken, {name} listens on" in first.err
    assert "first values after" in first.err
    assert "Sales, last 30 days" in first.out and "filling" in first.out
    assert (tmp_path / "view.svg").read_text().startswith("<svg")
    assert processes_of(tmp_path) == []

    again = subprocess.Popen(
        [sys.executable, "-m", "streamgauge", "demo", "--data-dir", data]
        + ["--kafka-port", "0", "--redis-port", "0", "--metrics-port", "0", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ, start_new_session=True,
    )  # fmt: skip
    watchdog = threading.Timer(90, again.kill)
    watchdog.start()
    assert again.stderr is not None
    said = ""
    while "KPIs have values" not in said and (line := again.stderr.readline()):
        said += line
    address = BOARD.search(said)
    assert address is not None, said
    with urllib.request.urlopen(f"{address[1]}/api/v1/kpis/sales_30d/values", timeout=10) as answer:
        [value] = json.load(answer)["values"]
    with urllib.request.urlopen(address[1], timeout=10) as answer:
        assert '<div id="board">' in answer.read().decode()
    os.killpg(again.pid, signal.SIGINT)  # as Ctrl-C does, to all in the foreground
    out, rest = again.communicate()
    watchdog.cancel()
    assert again.returncode == 0, said + rest
    assert value["value"] > 0
    assert "the same command goes on from here" in rest
    assert "Sales, last 30 days" in out
    assert sent(said)[0] >= sent(first.err)[-1] > 1_000
    assert "Traceback" not in said + rest
    assert processes_of(tmp_path) == []


def test_a_catalog_that_is_not_for_its_events_is_refused(command: Run, orders: Path, tmp_path: Path) -> None:
    ended = command("demo", "--data-dir", tmp_path / "data", "--catalog", orders, "--for", 1)
    assert ended.code == 1
    assert "the demo's events need a source named till_lines" in ended.err
