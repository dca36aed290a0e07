"""Tensors to probabilities, in-process or through Triton."""
