"""Measurements. Ratios measured side by side in one run count; milliseconds depend on the machine."""
