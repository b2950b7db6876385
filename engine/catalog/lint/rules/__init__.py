"""One rule a file, each a function ``advise(given)``."""
