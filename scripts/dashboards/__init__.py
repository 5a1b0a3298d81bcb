"""The Grafana dashboards that are generated from code."""
