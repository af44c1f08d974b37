"""One machine as a cluster: builds, starts and stops the upstream servers and Parkade's own processes.

It refuses to plan, to place or to know any custom resource: it only keeps processes, ports, keys and files, and
stops what it started by its own process id.
"""
