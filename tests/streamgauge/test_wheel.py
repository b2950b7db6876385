"""The wheel, installed away from the checkout: everything it needs is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.streamgauge.conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own; the packages it depends on are this one's, the checkout is not in it."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    folder = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # A .pth file adds the folder, and leaves the .pth files in it, such as the editable install's, unread.
    (Path(folder) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    return home


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in it."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def page_files() -> list[str]:
    folder = ROOT / "sinks" / "board" / "static"
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert "index.html" in found
    return found


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [home / "bin" / "streamgauge", *arguments],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment,
        check=False,
    )


def test_it_holds_the_four_packages_the_catalogs_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"engine", "streams", "sinks", "streamgauge"}
    assert {"streamgauge/catalogs/retail.yaml", "streamgauge/catalogs/business.yaml"} <= set(names)
    assert "sinks/redis/write.lua" in names
    assert {f"sinks/board/static/{path}" for path in page_files()} <= set(names)
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_boards_page_and_its_source_are_in_the_source_distribution(source_distribution: list[str]) -> None:
    assert {f"sinks/board/static/{path}" for path in page_files()} <= set(source_distribution)
    source = {name for name in source_distribution if name.startswith("board/")}
    assert {"board/build.py", "board/index.html", "board/package-lock.json", "board/src/App.svelte"} <= source
    assert not [name for name in source if "node_modules" in name]


def test_the_command_runs_from_there(installed: Path) -> None:
    shown = run(installed, "--version")
    assert (shown.returncode, shown.stdout) == (0, "streamgauge 0.1.0\n")
    where = subprocess.run(
        [installed / "bin" / "python", "-c", "from streamgauge.retail import catalog_path; print(catalog_path())"],
        capture_output=True, text=True, cwd=installed, check=True,
    ).stdout.strip()  # fmt: skip
    assert Path(where).is_relative_to(installed)
    valid = run(installed, "validate", where)
    assert valid.returncode == 0, valid.stderr


def test_a_short_demo_runs_from_there(installed: Path) -> None:
    ports = ["--kafka-port", "0", "--redis-port", "0", "--metrics-port", "0", "--port", "0"]
    ended = run(installed, "demo", "--days", "2", "--for", "3", *ports, "--data-dir", "demo")
    assert ended.returncode == 0, ended.stderr + (installed / "demo" / "worker.log").read_text()
    assert "first values after" in ended.stderr
    assert "Sales, today" in ended.stdout
