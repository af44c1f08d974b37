"""Questions that people ask of the product as a whole, answered by its own formulas.

A report decides and changes nothing: it frames made-up or recorded snapshots as the operator would, and counts.
"""
