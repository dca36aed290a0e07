"""Mutated media and mutated requests against a running service: `python -m bench.fuzz`."""
