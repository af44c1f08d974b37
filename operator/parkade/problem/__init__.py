"""The decision as numbers: eligibility, latency, energy, capacity, objective.

`framing.frame` turns a snapshot into a `Problem` and keeps the way back to names; every line of "How the numbers are
made" in `docs/placement.md` is one small function here. The room solves nothing, names no cell or server, and reads no
clock, network or environment: equal snapshots give byte-equal problems.
"""
