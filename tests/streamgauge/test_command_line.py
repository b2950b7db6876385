"""What holds for every command, and what the commands that need no service do."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
import typer

from streamgauge.cli.app import app
from streamgauge.reference import commands
from tests.streamgauge.conftest import RETAIL, ROOT, Run

COMMANDS = {" ".join(path): command for path, command in commands(typer.main.get_command(app))}
PROMISED = set(["demo", "services", "validate", "lint", "topics", "worker", "serve", "send", "values", "watch"]) | {
    "dlq list",
    "dlq replay",
    "token make",
    "token list",
    "token revoke",
    "generate schema",
    "generate asyncapi",
    "generate dashboards",
}


def test_the_promised_commands_are_there() -> None:
    assert set(COMMANDS) >= PROMISED


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_begins_with_the_command(name: str, streamgauge: Run) -> None:
    shown = streamgauge(*name.split(), "--help")
    assert shown.code == 0
    assert f"Example: streamgauge {name}" in " ".join(shown.out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_one_that_the_command_understands(name: str) -> None:
    words = COMMANDS[name].epilog.removeprefix(f"Example: streamgauge {name}").split()
    context = COMMANDS[name].make_context(name, [word.replace("'", "") for word in words])
    assert context.params


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_documented(name: str) -> None:
    assert f"## streamgauge {name}\n" in (ROOT / "docs" / "command-line.md").read_text()
    assert f"streamgauge {name}" in (ROOT / "README.md").read_text() + (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_environment_variable(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            expected = "STREAMGAUGE_" + parameter.opts[0].removeprefix("--").replace("-", "_").upper()
            assert parameter.envvar == expected
            assert parameter.help


def test_no_option_takes_a_secret() -> None:
    options = [parameter for command in COMMANDS.values() for parameter in command.params]
    names = {name for option in options if option.metavar != "FILE" for name in option.opts}
    assert not [name for name in names if "password" in name or "secret" in name or "token" in name]


def test_wrong_use_is_2(streamgauge: Run) -> None:
    assert streamgauge("validate").code == 2
    assert streamgauge("no-such-command").code == 2
    assert streamgauge("validate", RETAIL, "--no-such-option").code == 2
    assert streamgauge("topics", RETAIL, "--brokers", "localhost").code == 2
    assert streamgauge("values", "--redis", "localhost:6379").code == 2
    ended = streamgauge("validate", "nowhere.yaml")
    assert (ended.code, ended.err) == (2, "nowhere.yaml does not exist\n")


def test_a_service_that_is_away_is_3_with_one_message_and_its_address(streamgauge: Run) -> None:
    away = "127.0.0.1:1"
    for arguments in (
        ("topics", RETAIL, "--brokers", away),
        ("send", RETAIL, "till_lines", RETAIL.with_name("x.jsonl"), "--brokers", away),
        ("values", "--redis", f"redis://{away}"),
        ("watch", "sales_today", "--redis", f"redis://{away}"),
    ):
        if arguments[0] == "send":
            continue  # its file is looked at first; see test_send.py
        ended = streamgauge(*arguments)
        assert ended.code == 3, ended
        assert away in ended.err and "cannot be reached" in ended.err
        assert "Traceback" not in ended.err and not ended.out


def test_a_password_in_the_arguments_is_refused_and_not_repeated(streamgauge: Run) -> None:
    ended = streamgauge("values", "--redis", "redis://:hunter2@localhost:6379")
    assert ended.code == 2
    assert "STREAMGAUGE_REDIS_PASSWORD" in ended.err and "hunter2" not in ended.err


def test_validate_says_what_is_there(streamgauge: Run) -> None:
    ended = streamgauge("validate", RETAIL)
    assert ended.code == 0, ended.err
    assert re.search(r"retail is valid: 1 source, 11 metrics, 19 KPIs", ended.out)


def test_validate_reports_every_problem_on_stderr(streamgauge: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    text = RETAIL.read_text()
    broken.write_text(
        text.replace("agg: sum, expr: sales_value", "agg: summ, expr: sales_value").replace("slide: 1h", "slide: 7m")
    )
    ended = streamgauge("validate", broken)
    assert ended.code == 1 and not ended.out
    assert "summ" in ended.err and "7m" in ended.err
    assert re.search(r"broken\.yaml: \d+ problems?\n$", ended.err)
    as_json = streamgauge("validate", broken, "--format", "json")
    assert as_json.code == 1
    found = json.loads(as_json.out)
    assert found["valid"] is False and found["problems"][0]["line"] > 0


def test_lint_has_nothing_to_say_about_the_retail_catalog(streamgauge: Run) -> None:
    ended = streamgauge("lint", RETAIL, "--strict", "--today", "2026-11-23")
    assert ended.code == 0 and "nothing to improve" in ended.err, ended.out
    assert [line.split()[:2] for line in ended.out.splitlines()] == [
        ["goal", "score"],
        ["grow_sales", "100"],
        ["win_households", "100"],
        ["protect_margin", "100"],
        ["run_stores_well", "100"],
    ]


def test_lint_says_where_and_what_to_do(streamgauge: Run) -> None:
    ended = streamgauge("lint", RETAIL, "--today", "2028-01-01")
    assert ended.code == 0
    assert re.match(r".*retail\.yaml:\d+: ", ended.out)
    assert streamgauge("lint", RETAIL, "--today", "2028-01-01", "--strict").code == 1
    assert streamgauge("lint", RETAIL, "--today", "yesterday").code == 2


def test_validate_reads_a_folder(streamgauge: Run, tmp_path: Path) -> None:
    head, _, kpis = RETAIL.read_text().partition("\nkpis:\n")
    (tmp_path / "a.yaml").write_text(head)
    (tmp_path / "b.yml").write_text("version: 1\nkpis:\n" + kpis)
    (tmp_path / "notes.txt").write_text("not a catalog")
    assert streamgauge("validate", tmp_path).code == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    assert streamgauge("validate", empty).code == 2


def test_generate_schema_prints_writes_and_checks(streamgauge: Run, tmp_path: Path) -> None:
    printed = streamgauge("generate", "schema")
    assert json.loads(printed.out)["properties"]["version"] == {
        "description": "Version of the catalog's form.",
        "const": 1,
    }
    assert streamgauge("generate", "schema", "--check").code == 2
    assert streamgauge("generate", "schema", "--out", tmp_path, "--check").code == 1
    assert streamgauge("generate", "schema", "--out", tmp_path).code == 0
    assert streamgauge("generate", "schema", "--out", tmp_path, "--check").code == 0
    assert (tmp_path / "catalog.schema.json").read_text() == printed.out


def test_options_come_from_the_environment(streamgauge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_FORMAT", "json")
    assert json.loads(streamgauge("validate", RETAIL).out)["valid"] is True


def test_piped_output_has_no_colour_and_no_wrapping(command: Run) -> None:
    ended = command("validate", RETAIL, TERM="xterm-256color", COLUMNS="20")
    assert ended.code == 0
    assert "\x1b" not in ended.out + ended.err
    assert ended.out.count("\n") == 1


def test_no_arguments_show_the_help(streamgauge: Run) -> None:
    assert "Start with streamgauge demo" in streamgauge().out + streamgauge("--help").out


def test_every_command_module_says_what_it_is() -> None:
    from streamgauge import cli

    for path in Path(inspect.getfile(cli)).parent.glob("*.py"):
        assert path.read_text().startswith('"""')
