"""kopf's handlers and the process around the cycle. An event only wakes the cycle; no handler decides or writes.

kopf watches (it never adds a finalizer, an annotation, a timer or a daemon), `waking` debounces, `running` keeps one
loop going while this replica leads, `working` runs what takes long beside it.
"""
