"""Parkade places inference on parked cars or on Triton servers, wherever it is cheapest to serve it well.

The flow, one value per border: manifests -> api objects -> Snapshot -> Problem -> Solution -> Plan -> Changes.
"""

__version__ = "0.1.0"
