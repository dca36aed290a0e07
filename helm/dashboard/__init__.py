"""The Grafana dashboard of the chart, as a program: see `helm.dashboard.__main__`."""
