"""Annotations of expressions, by people or machines, as other programs write them."""
