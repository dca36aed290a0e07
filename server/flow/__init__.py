"""Aligned faces to motion fields."""
