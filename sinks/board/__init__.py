"""The HTTP API and the live board: what Redis holds and the catalog says, for browsers and programs.

`app.build_app` puts it together; it reads Redis and writes nothing.
"""
