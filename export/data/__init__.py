"""Readers of evaluation data."""
