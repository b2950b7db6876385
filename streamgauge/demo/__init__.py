"""Everything on one machine: Kafka and Valkey, a worker, the board, a retailer's year as events, and its KPIs live.

The year is moved by whole weeks so that its last line lies at or after now: first everything up to now is sent as fast
as it goes, then the rest at the pace of the clock, or a multiple of it. Where sending stopped is read off the topic
itself, so a second start on the same data directory goes on from there.
"""


class DemoError(Exception):
    """The demo cannot go on; the message is complete, and meant for people."""
