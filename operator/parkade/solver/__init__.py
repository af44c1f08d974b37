"""From a problem's numbers to a plan's numbers, with a bound on how much better any plan could be.

The Rust kernel does the work; small problems are finished by HiGHS, whose answer is taken only when our own
arithmetic finds it feasible and cheaper. No bound of a third party is ever published. This room knows nothing of
Kubernetes, names or reasons, and reads no clock: a time limit is the kernel's backstop.
"""

from parkade.solver.arrays import SolutionArrays
from parkade.solver.solution import ExactPart, Prices, Solution, Status
from parkade.solver.solve import solve

__all__ = ["ExactPart", "Prices", "Solution", "SolutionArrays", "Status", "solve"]
