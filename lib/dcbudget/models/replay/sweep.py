"""Many replays of one log side by side: policies x clusters, in processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pandas as pd

from dcbudget.errors import OutOfRange
from dcbudget.models.ranges import whole
from dcbudget.models.replay.cluster import Cluster
from dcbudget.models.replay.policies import Policy
from dcbudget.models.replay.run import replay


@dataclass(frozen=True)
class Case:
    """One replay of a sweep: where, by which rule, and what else `replay` takes.

    Attributes
    ----------
    name : of the case, in the sweep's table.
    cluster, policy, arguments : as `replay` takes them.
    """

    name: str
    cluster: Cluster
    policy: Policy
    arguments: dict = field(default_factory=dict)


def grid(clusters: dict[str, Cluster], policies: Iterable[Policy], **arguments) -> list[Case]:
    """Every policy on every cluster, with the same other arguments."""
    return [
        Case(f"{policy.name}, {name}", cluster, policy, arguments)
        for name, cluster in clusters.items()
        for policy in policies
    ]


def sweep(
    jobs: pd.DataFrame,
    cases: Iterable[Case],
    *,
    processes: int = 1,
    on_progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Metrics of many replays; each is what `replay` alone gives.

    Parameters
    ----------
    jobs : the log, as `replay` takes it.
    cases : what to replay (see `grid`).
    processes : at once; joblib's backend may put them on other machines.
    on_progress : called after each case, in the order in which they end, with how many are done, of how many, and the
        name of the last.
    cancelled : asked after each case; where it says yes no other case begins, and the sweep ends with what is done.

    Returns
    -------
    One row a finished case, in the order of `cases`: `case`, `policy`, `gpus`, and the metrics of `Replay.metrics`.

    Raises
    ------
    OutOfRange : there is no case, two have one name, or a replay refuses its input.
    """
    cases = list(cases)
    names = [case.name for case in cases]
    if not cases or len(set(names)) < len(names):
        raise OutOfRange(f"cases must be at least one, under different names, not {names}")
    whole("processes", processes, 1, 4096)
    found: dict[int, dict] = {}
    for at, metrics in _results(jobs, cases, processes, cancelled or (lambda: False)):
        found[at] = metrics
        if on_progress:
            on_progress(len(found), len(cases), names[at])
    rows = [
        {"case": cases[at].name, "policy": cases[at].policy.name, "gpus": cases[at].cluster.gpus, **found[at]}
        for at in sorted(found)
    ]
    return pd.DataFrame(rows)


def _results(jobs, cases, processes, cancelled):
    """(position, metrics) of each case as it ends; none begins once the sweep is cancelled."""
    if processes == 1:
        for at, case in enumerate(cases):
            if cancelled():
                return
            yield _one(jobs, at, case)
        return
    from joblib import Parallel, delayed

    # handed out one by one, so that what was not begun can be left out
    waiting = (delayed(_one)(jobs, at, case) for at, case in enumerate(cases) if not cancelled())
    yield from Parallel(processes, return_as="generator_unordered", pre_dispatch=processes, batch_size=1)(waiting)


def _one(jobs, at: int, case: Case) -> tuple[int, dict]:
    return at, replay(jobs, case.cluster, case.policy, **case.arguments).metrics()
