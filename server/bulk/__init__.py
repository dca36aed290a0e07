"""A corpus of clips analysed into a folder of results; what was broken off goes on (docs/batch.md)."""
