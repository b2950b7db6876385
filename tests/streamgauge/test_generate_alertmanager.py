"""`streamgauge generate alertmanager`: a file written and compared."""

from __future__ import annotations

from pathlib import Path

from tests.streamgauge.conftest import RETAIL, Run


def test_it_writes_and_check_names_what_differs(streamgauge: Run, tmp_path: Path) -> None:
    path = tmp_path / "retail.alertmanager.yml"
    first = streamgauge("generate", "alertmanager", RETAIL, "--out", tmp_path, "--keys", "/keys")
    assert first.code == 0 and first.err == f"wrote {path}\n"
    assert "routing_key_file: /keys/pagerduty" in path.read_text()
    assert streamgauge("generate", "alertmanager", RETAIL, "--out", tmp_path, "--keys", "/keys", "--check").code == 0
    other = streamgauge("generate", "alertmanager", RETAIL, "--out", tmp_path, "--critical", "nobody", "--check")
    assert other.code == 1 and f"{path} differs" in other.err
    assert streamgauge("generate", "alertmanager", RETAIL, "--out", tmp_path, "--info", "pigeon").code == 2
