"""`streamgauge services` as a process: says where its services are, and ends them when it is told to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_addresses_once_ready_and_ends_both_services(ending: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "streamgauge", "services", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "STREAMGAUGE_DATA_DIR": str(tmp_path),
            "STREAMGAUGE_KAFKA_PORT": "0",
            "STREAMGAUGE_REDIS_PORT": "0",
        },
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        found = json.loads(process.stdout.readline())
        ports = [int(found[name].rpartition(":")[2].partition("/")[0]) for name in ("brokers", "redis")]
        for port in ports:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        process.send_signal(ending)
        assert process.wait(40) == 0
        assert "Ctrl-C ends both" in process.stderr.read()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_data_directory_in_use_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamgauge", "services", "--data-dir", str(tmp_path), "--kafka-port", "0"]
    with subprocess.Popen([*command, "--redis-port", "0"], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline()
        second = subprocess.run(
            [*command, "--redis-port", "0"], capture_output=True, text=True, timeout=60, check=False
        )
        first.send_signal(signal.SIGTERM)
        assert first.wait(40) == 0
    assert second.returncode == 3
    assert str(tmp_path) in second.stderr and "in use" in second.stderr and "Traceback" not in second.stderr
