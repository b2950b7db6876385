"""Bytes of events to typed columns: every declared field is checked, the rest of an event is skipped.

    layout.py       the fields' paths as msgspec types
    columns.py      Python values of one field to a polars column, checked against its type
    timestamps.py   RFC 3339 texts and epoch numbers to microseconds
    decimals.py     exact decimals from JSON numbers and texts
    encodings.py    what the headers of a record say about its value
    events.py       a batch of JSON events
    cloudevents.py  a batch of CloudEvents, structured and binary

What is valid depends on the event and the source's declaration alone, never on its neighbours in a batch.

Of a key that an object has twice the last value counts, as in JavaScript and most JSON libraries. Undeclared fields
need to be well-formed JSON; nothing else about them is looked at.
"""
