"""Instances to measure with: placement problems as a fleet would pose them, and a year of real prices and carbon.

Everything here is drawn from a seed, and equal arguments give equal bytes. The room solves nothing, and no other room
decides by what it makes up.
"""
