"""Glimpse: micro-expression recognition as a service."""

import os

# ONNX Runtime's packages report to their maker from version 1.29 on: they write a device identifier and an event
# store to the home directory and upload. This must be said before the library is loaded, and child processes (workers,
# a local Triton) inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
