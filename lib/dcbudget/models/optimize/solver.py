"""Linear and mixed-integer programmes, row by row, and one call of HiGHS."""

from dataclasses import dataclass, field

import numpy as np

THREADS = 2


@dataclass
class Rows:
    """Rows of a programme: entries by row, column and value; limits; what each is about.

    `about` holds (what, place, place) of every row, `scale` what it was divided by.
    """

    columns: int
    row: list = field(default_factory=list)
    column: list = field(default_factory=list)
    value: list = field(default_factory=list)
    low: list = field(default_factory=list)
    high: list = field(default_factory=list)
    scale: list = field(default_factory=list)
    about: list = field(default_factory=list)

    def add(self, about: tuple, columns, values, low: float, high: float, scale: float = 1.0) -> None:
        self.row.append(np.full(len(columns), len(self.low)))
        self.column.append(np.asarray(columns))
        self.value.append(np.broadcast_to(values, len(columns)) / scale)
        self.low.append(low / scale)
        self.high.append(high / scale)
        self.scale.append(scale)
        self.about.append(about)


@dataclass(frozen=True)
class Answer:
    """What the solver found.

    Attributes
    ----------
    found : whether anything meets all rows.
    values : of the columns.
    objective, bound : as maximised, and what nothing can exceed.
    duals : of the rows, per unit of what limits them, by their `about`; empty where something is decided as a whole.
    reduced : what one more unit of each column would bring; 0 where something is decided as a whole.
    """

    found: bool
    values: np.ndarray
    objective: float
    bound: float
    duals: dict
    reduced: np.ndarray


def maximise(rows: Rows, cost, low, high, integer: np.ndarray, gap: float = 0.0, seconds: float = np.inf) -> Answer:
    """The columns, between their bounds, that meet all rows and bring the most.

    The same input gives the same answer, unless time runs out.

    Parameters
    ----------
    cost, low, high : what a unit of each column brings, and its bounds.
    integer : which columns are whole numbers.
    gap, seconds : where to stop: share between the answer and its bound, time of the clock.
    """
    import highspy
    from scipy.sparse import csc_matrix

    size = len(rows.low), len(cost)
    matrix = csc_matrix((np.concatenate(rows.value), (np.concatenate(rows.row), np.concatenate(rows.column))), size)
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = size
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_, model.col_lower_, model.col_upper_ = cost, low, high
    model.row_lower_, model.row_upper_ = np.array(rows.low), np.array(rows.high)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    deciding = bool(integer.any())
    if deciding:
        kinds = highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger
        model.integrality_ = [kinds[whole] for whole in integer.astype(int)]
    solver = highspy._Highs()  # highspy.Highs greets on standard output
    options = {"output_flag": False, "threads": THREADS, "mip_rel_gap": gap, "mip_abs_gap": 0.0,
               "mip_feasibility_tolerance": 1e-9, "time_limit": float(seconds)}  # fmt: skip
    for name, option in options.items():
        solver.setOptionValue(name, option)
    solver.passModel(model)
    solver.run()
    info, answer = solver.getInfo(), solver.getSolution()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.array(answer.col_value) if found else np.zeros(size[1])
    objective = info.objective_function_value if found else -np.inf
    duals, reduced = {}, np.zeros(size[1])
    if found and not deciding:
        told = np.array(answer.row_dual) / np.array(rows.scale)
        duals, reduced = dict(zip(rows.about, told, strict=True)), np.array(answer.col_dual)
    return Answer(found, values, objective, info.mip_dual_bound if deciding else objective, duals, reduced)
