"""The linear relaxation by OR-Tools PDLP at its documented tolerance for practical use, 1e-4 relative."""

import numpy as np
from ortools.pdlp import solve_log_pb2, solvers_pb2
from ortools.pdlp.python import pdlp
from scipy.sparse import csc_matrix

from benchmarks.solver.answers import THREADS, Answer, Task
from benchmarks.solver.matrix import Matrix, prepare

__all__ = ["prepare", "solve"]


def solve(model: Matrix, task: Task) -> Answer:
    """First-order steps until the relative gap and infeasibilities are below 1e-4."""
    program = pdlp.QuadraticProgram()
    program.resize_and_initialize(len(model.cost), len(model.row_lower))
    program.objective_vector = model.cost
    program.variable_lower_bounds = np.zeros(len(model.cost))
    program.variable_upper_bounds = model.upper
    program.constraint_lower_bounds = model.row_lower
    program.constraint_upper_bounds = model.row_upper
    shape = (len(model.row_lower), len(model.cost))
    program.constraint_matrix = csc_matrix((model.values, model.rows, model.starts), shape=shape)
    settings = solvers_pb2.PrimalDualHybridGradientParams()
    criteria = settings.termination_criteria
    criteria.simple_optimality_criteria.eps_optimal_relative = 1e-4
    criteria.simple_optimality_criteria.eps_optimal_absolute = 1e-4
    criteria.time_sec_limit = task.limit
    settings.num_threads = THREADS
    found = pdlp.primal_dual_hybrid_gradient(program, settings)
    complete = found.solve_log.termination_reason == solve_log_pb2.TERMINATION_REASON_OPTIMAL
    value = float(found.primal_solution @ model.cost) if complete else None  # before that it breaks rows
    return Answer(value=value, bound=model.proved(np.array(found.dual_solution)), complete=complete)
