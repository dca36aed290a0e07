"""Bytes to frames with presentation times."""
