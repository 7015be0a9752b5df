"""Draws the dashboards from a real Prometheus, with the components that Grafana itself is made of."""
