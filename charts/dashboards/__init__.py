"""Grafana dashboards of Parkade as code: `python -m dashboards` writes charts/parkade/dashboards/*.json.

Each file of this folder is one dashboard, a `Board` of plain values; `grafana` turns it into Grafana's own types, and
`picture` draws one from what a Prometheus answers. No query names a vehicle.
"""
