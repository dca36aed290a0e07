"""A report as pictures: a timeline, and a sheet for each event, as PNG, SVG and PDF."""
