"""Events from files to a source's topic: read in chunks, sent in whole record batches."""
