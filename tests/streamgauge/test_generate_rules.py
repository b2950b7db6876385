"""`streamgauge generate rules`: files written and compared."""

from __future__ import annotations

from pathlib import Path

from tests.streamgauge.conftest import RETAIL, Run


def test_it_writes_and_check_names_what_differs(streamgauge: Run, tmp_path: Path) -> None:
    first = streamgauge("generate", "rules", RETAIL, "--out", tmp_path, "--job", "kpis")
    assert first.code == 0 and first.err.count("wrote ") == 2
    assert streamgauge("generate", "rules", RETAIL, "--out", tmp_path, "--job", "kpis", "--check").code == 0
    path = tmp_path / "retail.rules.yml"
    assert 'job="kpis"' in path.read_text()
    other = streamgauge("generate", "rules", RETAIL, "--out", tmp_path, "--check")
    assert other.code == 1 and f"{path} differs" in other.err
    assert streamgauge("generate", "rules", RETAIL).code == 2
