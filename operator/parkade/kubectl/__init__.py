"""`kubectl parkade`: what a person at a terminal sees of Parkade and may tell it.

Screens are pure functions from what `cluster.surveying` read: no clock, no terminal, no API server. The commands read,
call them and print. This room decides nothing about placement, keeps nothing, and asks the API server only: what a
role that may read shows is all there is.
"""
