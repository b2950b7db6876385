"""`python -m streamgauge` is the command `streamgauge`."""

from streamgauge.cli import main

main()
