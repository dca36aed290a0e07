"""Frames to tracked, aligned faces."""
