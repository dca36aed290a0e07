"""Backends that are handed to a Triton of one's own; nothing here is imported by the service."""
