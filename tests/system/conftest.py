"""The command line, for the tests that need more than one of its processes."""

from tests.streamgauge.conftest import command, orders, streamgauge

__all__ = ["command", "orders", "streamgauge"]
