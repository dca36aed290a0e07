"""Protocols over the pipeline."""
