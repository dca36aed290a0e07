"""Aligned motion to the tensors that a network wants."""
