"""`streamgauge generate dashboards`: files written, compared, removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.streamgauge.conftest import RETAIL, Run

KPIS = 19


def test_it_writes_and_then_finds_nothing_to_do(streamgauge: Run, tmp_path: Path) -> None:
    out = tmp_path / "grafana" / "dashboards"
    first = streamgauge("generate", "dashboards", RETAIL, "--out", out)
    assert first.code == 0 and first.err.count("wrote ") == KPIS + 2
    assert len(list(out.glob("*.json"))) == KPIS + 2
    checked = streamgauge("generate", "dashboards", RETAIL, "--out", out, "--check")
    assert (checked.code, checked.err) == (0, "")


def test_check_names_every_difference_and_changes_nothing(streamgauge: Run, tmp_path: Path) -> None:
    streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path)
    changed, missing = tmp_path / "sg-engine-retail.json", tmp_path / "sg-kpi-retail-sales_30d.json"
    changed.write_text(changed.read_text().replace("Memory", "Storage"))
    missing.unlink()
    gone = tmp_path / "sg-kpi-retail-gone.json"
    gone.write_text(json.dumps({"tags": ["streamgauge-generated", "catalog-retail"]}))
    mine = tmp_path / "sg-mine.json"
    mine.write_text(json.dumps({"tags": ["mine"]}))
    checked = streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path, "--check")
    assert checked.code == 1
    assert {line.split(" ")[0] for line in checked.err.splitlines()[:-1]} == {str(changed), str(missing), str(gone)}
    assert "Storage" in changed.read_text() and not missing.exists() and gone.exists()
    again = streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path)
    assert again.code == 0 and f"removed {gone}" in again.err
    assert not gone.exists() and mine.exists()
    assert streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path, "--check").code == 0


def test_the_board_is_where_it_is_said_to_be(streamgauge: Run, tmp_path: Path) -> None:
    streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path, "--board-url", "https://kpi.example.org/")
    text = (tmp_path / "sg-kpi-retail-sales_30d.json").read_text()
    assert '"https://kpi.example.org/kpi/sales_30d"' in text and "localhost" not in text


@pytest.mark.parametrize("wrong", ["kpi.example.org", "/board", "ftp://kpi.example.org", "https://", "https://a/?b=1"])
def test_the_board_must_be_an_address(streamgauge: Run, tmp_path: Path, wrong: str) -> None:
    ended = streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path / "out", "--board-url", wrong)
    assert ended.code == 2 and f"--board-url {wrong}" in ended.err
    assert not (tmp_path / "out").exists()


def test_wrong_use_is_2_and_a_wrong_catalog_1(streamgauge: Run, tmp_path: Path) -> None:
    assert streamgauge("generate", "dashboards", RETAIL).code == 2
    (tmp_path / "file").write_text("")
    ended = streamgauge("generate", "dashboards", RETAIL, "--out", tmp_path / "file")
    assert ended.code == 2 and "file" in ended.err
    broken = tmp_path / "broken.yaml"
    broken.write_text(RETAIL.read_text().replace("agg: sum", "agg: summ"))
    assert streamgauge("generate", "dashboards", broken, "--out", tmp_path / "out").code == 1
    assert not (tmp_path / "out").exists()
