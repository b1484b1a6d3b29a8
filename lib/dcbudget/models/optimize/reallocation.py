"""Moving budget money between lines, under rules, so that less of it is overrun or more is worth its while."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.optimize.solver import Answer, Rows, maximise
from dcbudget.models.ranges import share, within

GOALS = ("overrun", "chance", "value")
RESERVE = "Reserve"
# Steps in which the chance of a project is decided, and in which lines of a project are told apart.
STEPS = 100
# What a line's own expected overrun counts beside that of its project: only where the project's is the same.
OF_A_LINE = 1e-3
# Chance that all of the budget must take away at least to be moved.
LEAST_CHANCE = 1e-3


@dataclass(frozen=True)
class Reallocation:
    """Proposed moves, and what they change.

    Attributes
    ----------
    moves : the largest first: `from_project`, `from_category`, `to_project`, `to_category`, `amount` [money, in cents];
        and what each brings if it is the only one: `overrun_avoided` (of the projects' expected overruns) [money],
        `chance_avoided` (of the projects' chances of overrun, added up), `value_gained`.
    lines : as given, with `budget_after`.
    projects : `project`, and before and after all moves `budget_before` ..., `chance_before` ... (that it spends
        more), `expected_overrun_before` ... (mean of what it spends more, 0 where it does not) [money].
    total : the same of all projects together, and `any_before`, `any_after`: chance that some project spends more.
    worth_of_reserve : what 1 more in the reserve would bring to the goal, by its dual; nan for chances.
    """

    moves: pd.DataFrame
    lines: pd.DataFrame
    projects: pd.DataFrame
    total: dict
    worth_of_reserve: float


def reallocate(
    lines: pd.DataFrame,
    draws: np.ndarray,
    *,
    goal: str = "overrun",
    reserve: float = 0.0,
    reserve_kept: float = 0.0,
    least_worth: float = 0.01,
    most_chance: float = 1.0,
) -> Reallocation:
    """Moves of money between budget lines that serve a goal best.

    Money is pooled within a project: it overruns where all that it spends exceeds all of its lines. What a project is
    expected to overrun falls with its budget along straight pieces, one between every two draws, less steeply in each;
    so a linear programme finds the best moves over all draws at once. Chances fall in steps, which makes it a
    mixed-integer one, in steps of at least 0.01 of them.

    Parameters
    ----------
    lines : `project`, `category`, `budget` [money]; and, where told, `floor` (what is left at least) [money], `frozen`
        (neither gives nor gets), `consent` (False: the owner lets nothing go), `most_moved` (from or to it) [money],
        `value` (of 1 of money on the line).
    draws : simulated spend over the time that the budgets are for, draws x lines [money].
    goal : `overrun`: the least expected overrun, summed over projects; `chance`: the least sum of their chances, which
        gives up projects that can hardly be saved unless `most_chance` says how far; `value`: the most value, with no
        more expected overrun than before, to the cent a line.
    reserve, reserve_kept : money beside the lines that moves may draw on, and what of it must stay [money].
    least_worth : what 1 of money must bring at least to be moved, in the unit of the goal; not for chances.
    most_chance : a project gives to others only as far as its chance of overrun stays at most this, decimal.

    Raises
    ------
    OutOfRange : a column is missing, a line is told twice, a value lies outside its range.
    """
    frame, spend = _checked(lines, draws, goal)
    spare = within("reserve", reserve, 0) - within("reserve_kept", reserve_kept, 0, float(reserve))
    within("least_worth", least_worth, 0)
    projects, of = np.unique(frame["project"], return_inverse=True)
    by_project = np.stack([spend[:, of == p].sum(axis=1) for p in range(len(projects))], axis=1)
    best = _best(frame, spend, by_project, of, goal, float(spare), least_worth, share("most_chance", most_chance))
    size = len(frame)
    net = best.values[:size] - best.values[size : 2 * size]
    changed = _cents(net, best.values[2 * size])
    budget = frame["budget"].to_numpy()
    moves = _moves(frame, changed)
    before, after = (np.bincount(of, held) for held in (budget, budget + changed))
    worths = [_worth(frame, by_project, of, move) for move in moves]
    named = [*frame[["project", "category"]].itertuples(index=False, name=None), (RESERVE, "")]
    return Reallocation(
        pd.DataFrame(
            [(*named[giver], *named[getter], amount, *worth)
             for (giver, getter, amount), worth in zip(moves, worths, strict=True)],
            columns=["from_project", "from_category", "to_project", "to_category", "amount", "overrun_avoided",
                     "chance_avoided", "value_gained"],
        ),
        frame.assign(budget_after=np.round(budget + changed, 2)),
        pd.DataFrame({"project": projects} | _overruns(by_project, before, after)),
        {name: float(values[0]) for name, values in
         _overruns(by_project.sum(axis=1)[:, None], before.sum()[None], after.sum()[None]).items()}
        | {f"any_{when}": float((by_project > held).any(axis=1).mean())
           for when, held in (("before", before), ("after", after))},
        abs(best.duals.get(("money", 0, 0), np.nan)),
    )  # fmt: skip


def _checked(lines: pd.DataFrame, draws, goal: str) -> tuple[pd.DataFrame, np.ndarray]:
    if goal not in GOALS:
        raise OutOfRange(f"goal must be one of {', '.join(GOALS)}, not {goal!r}")
    for name in ("project", "category", "budget", *(["value"] if goal == "value" else [])):
        if name not in lines:
            raise OutOfRange(f"lines must have a column {name}, not only {', '.join(map(str, lines.columns))}")
    if lines.empty:
        raise OutOfRange("lines must have at least one row, not none")
    frame = lines.reset_index(drop=True).copy()
    if frame[["project", "category"]].isna().any().any():
        raise OutOfRange("project and category must be told in every line, not left empty")
    twice = frame[frame.duplicated(["project", "category"])]
    if len(twice):
        raise OutOfRange(f"lines must have each project and category once, not {twice['project'].iloc[0]}, "
                         f"{twice['category'].iloc[0]} twice")  # fmt: skip
    usual = {"floor": 0.0, "frozen": False, "consent": True, "most_moved": np.inf, "value": 0.0}
    for name, value in usual.items():
        frame[name] = frame[name].where(frame[name].notna(), value) if name in frame else value
    for name in ("budget", "floor"):
        frame[name] = within(f"{name} of a line", frame[name].to_numpy(), 0)
    frame["value"] = within("value of a line", frame["value"].to_numpy())
    limited = frame["most_moved"].astype(float)
    within("most_moved", limited[np.isfinite(limited)].to_numpy(), 0)
    frame[["frozen", "consent"]] = frame[["frozen", "consent"]].astype(bool)
    spend = np.asarray(within("draws", draws))
    if spend.ndim != 2 or spend.shape[1] != len(frame) or not len(spend):
        raise OutOfRange(f"draws must be a table of draws by {len(frame)} lines that holds some, not {spend.shape}")
    return frame, spend


def _best(frame, spend, by_project, of, goal: str, spare: float, least_worth: float, most_chance: float) -> Answer:
    """Columns: what each line gets, what each gives, what the reserve gives, then the pieces or steps."""
    size, budget = len(frame), frame["budget"].to_numpy()
    free = ~frame["frozen"].to_numpy()
    most = np.minimum(frame["most_moved"].to_numpy(), budget.sum() + spare) * free
    gives = np.minimum(most, np.maximum(budget - frame["floor"].to_numpy(), 0.0)) * frame["consent"].to_numpy()
    gets = np.minimum(most, gives.sum() + spare)
    high = [np.concatenate([gets, gives, [spare]])]
    worth = frame["value"].to_numpy() if goal == "value" else np.zeros(size)
    least = least_worth if goal != "chance" else LEAST_CHANCE / max(budget.sum(), 1.0)
    cost = [np.concatenate([worth - least, -worth, [0.0]])]
    scale = max(float(budget.mean()), 1.0)
    rows = Rows(2 * size + 1)
    rows.add(("money", 0, 0), np.arange(2 * size + 1), np.repeat([1.0, -1.0], [size, size + 1]), -np.inf, 0.0, scale)

    for p, drawn in enumerate(by_project.T):
        own = np.flatnonzero(of == p)
        needed = np.quantile(drawn, 1 - most_chance, method="inverted_cdf") if most_chance < 1 else 0.0
        rows.add(("keeps", p, 0), [*own, *(size + own)], np.repeat([1.0, -1.0], len(own)),
                 min(needed - budget[own].sum(), 0.0), np.inf, scale)  # fmt: skip

    at, slopes, integer = 2 * size + 1, [], [np.zeros(2 * size + 1, bool)]
    for own, drawn, part in _measured(spend, by_project, of, goal):
        low = budget[own].sum() - gives[own].sum()
        lines = [*own, *(size + own)]
        signs = np.repeat([1.0, -1.0], len(own))
        if goal == "chance":
            levels, chances = _steps(drawn, low, budget[own].sum() + gets[own].sum())
            # what rounding to cents may take from the lines is added, so that the step holds after it
            levels[1:] += 0.01 * len(own)
            new = at + np.arange(len(levels))
            rows.add(("one of them", at, 0), new, 1.0, 1, 1)
            rows.add(("covers", at, 0), [*lines, *new], [*signs, *(budget[own].sum() - levels)], 0, np.inf, scale)
            high.append(np.ones(len(new)))
            cost.append(-chances)
        else:
            widths, slope = _pieces(drawn, low, budget[own].sum() + gets[own].sum())
            new = at + np.arange(len(widths))
            rows.add(("pieces", at, 0), [*lines, *new], [*signs, *-np.ones(len(new))], low - budget[own].sum(),
                     low - budget[own].sum(), scale)  # fmt: skip
            high.append(widths)
            cost.append(part * slope * (goal == "overrun"))
            kept = np.maximum(drawn - low, 0).mean() - np.maximum(drawn - budget[own].sum(), 0).mean()
            slopes.append((new, slope, kept))
        integer.append(np.full(len(new), goal == "chance"))
        at += len(new)
    rows.columns = at
    if goal == "value":
        least_avoided = sum(avoided for _, _, avoided in slopes)
        places, avoids = (np.concatenate([piece[which] for piece in slopes]) for which in (0, 1))
        rows.add(("overrun", 0, 0), places, avoids, least_avoided - 1e-9 * scale, np.inf, scale)
    return maximise(rows, np.concatenate(cost), np.zeros(at), np.concatenate(high), np.concatenate(integer), gap=1e-4)


def _measured(spend, by_project, of, goal: str):
    """Whose overrun counts: lines, draws, and how much it counts. All draws of projects, some of their lines."""
    for p in range(by_project.shape[1]):
        yield np.flatnonzero(of == p), by_project[:, p], 1.0
    if goal == "overrun":
        for line in np.flatnonzero(np.bincount(of)[of] > 1):
            yield np.array([line]), np.quantile(spend[:, line], np.linspace(0, 1, STEPS + 1)), OF_A_LINE


def _pieces(drawn, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Widths of the pieces between draws from one budget to another, and what 1 of money avoids in each."""
    ordered = np.sort(drawn)
    cuts = np.unique(np.concatenate([[low], ordered[(ordered > low) & (ordered < high)], [max(high, low)]]))
    return np.diff(cuts), 1 - np.searchsorted(ordered, cuts[:-1], side="right") / len(ordered)


def _steps(drawn, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Budgets within reach at which the chance of overrun falls, at most about `STEPS`, and the chance at each."""
    ordered = np.sort(drawn)
    reached = np.unique(ordered[(ordered > low) & (ordered <= high)])
    kept = reached[np.unique(np.linspace(0, len(reached) - 1, STEPS + 1).round().astype(int))] if len(reached) else []
    levels = np.concatenate([[low], kept])
    return levels, 1 - np.searchsorted(ordered, levels, side="right") / len(ordered)


def _cents(net: np.ndarray, reserve: float) -> np.ndarray:
    """What lines get in whole cents, never more than the givers and the reserve let go."""
    cents = np.trunc(np.round(net * 100, 4))
    drawn = np.floor(round(reserve * 100, 4))
    left = cents.sum() - drawn
    # getters go without what givers lack; givers keep what nobody gets once the reserve is left alone
    for at in np.argsort(-cents) if left > 0 else ():
        cut = min(left, max(cents[at], 0.0))
        cents[at] -= cut
        left -= cut
    if left < 0:
        left = min(left + drawn, 0.0)
        for at in np.argsort(cents):
            back = min(-left, max(-cents[at], 0.0))
            cents[at] += back
            left += back
    return cents / 100


def _moves(frame: pd.DataFrame, changed: np.ndarray) -> list[tuple[int, int, float]]:
    """Givers, getters and amounts, within projects first, then the largest of both; the reserve comes last."""
    left = np.round(changed * 100).astype(np.int64)
    project = frame["project"].to_numpy()
    found = []

    def move(giver: int, getter: int, cents: int) -> None:
        found.append((giver, getter, cents / 100))
        left[getter] -= cents
        if giver < len(frame):
            left[giver] += cents

    order = np.argsort(-np.abs(left), kind="stable")
    for near in (True, False):
        for getter in (at for at in order if changed[at] > 0):
            for giver in (at for at in order if changed[at] < 0 and (not near or project[at] == project[getter])):
                cents = int(min(left[getter], -left[giver]))
                if cents > 0:
                    move(int(giver), int(getter), cents)
    for getter in np.flatnonzero(left > 0):
        move(len(frame), int(getter), int(left[getter]))
    return sorted(found, key=lambda one: -one[2])


def _worth(frame: pd.DataFrame, by_project, of, move: tuple[int, int, float]) -> tuple[float, float, float]:
    """Expected overrun and chances that one move alone avoids, and the value that it brings."""
    giver, getter, amount = move
    budget, values = frame["budget"].to_numpy(), np.append(frame["value"].to_numpy(), 0.0)
    changed = budget.copy()
    changed[getter] += amount
    if giver < len(frame):
        changed[giver] -= amount
    told = _overruns(by_project, np.bincount(of, budget), np.bincount(of, changed))
    avoided = [float((told[f"{name}_before"] - told[f"{name}_after"]).sum()) for name in ("expected_overrun", "chance")]
    return *avoided, float(amount * (values[getter] - values[giver]))


def _overruns(spend: np.ndarray, before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Budget, chance that the spend (draws x budgets) exceeds it, and mean of what does, before and after."""
    found = {}
    for when, budget in (("before", before), ("after", after)):
        over = spend - budget > 0.005  # less than half a cent is none
        found[f"budget_{when}"] = np.round(budget, 2)
        found[f"chance_{when}"] = over.mean(axis=0)
        found[f"expected_overrun_{when}"] = np.where(over, spend - budget, 0.0).mean(axis=0)
    return found
