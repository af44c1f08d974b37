"""The platform engineer's commands about fleets: tokens, enrolment, revocation, forgetting.

It decides nothing: `carlet` does the work on the fleet link, and `vehicle` speaks for a car. It only finds the keys,
the address and the program, and passes a car's real id on without an argument list that other users could read.
"""
