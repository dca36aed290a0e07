"""Adaptation to a camera: what can be learnt from samples of the place of use that nobody has labelled."""
