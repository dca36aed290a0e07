"""Glimpse: micro-expression recognition as a service."""

__version__ = "0.1.0"
