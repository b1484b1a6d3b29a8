"""A slow replay in plain Python, for comparison: at every event everything is worked out anew from lists."""

import math
from dataclasses import dataclass, field

INF = math.inf


@dataclass
class Job:
    """One job; `keys` says who goes first, the lesser."""

    row: int
    submit: float
    elapsed: float
    planned: float
    gpus: int
    klass: int = 0
    key: float = 0.0
    account: object = None
    start: float | None = None
    end: float | None = None
    begun: float = 0.0
    restart: float = 0.0
    kept: float = 0.0
    lost: float = 0.0
    restarted: float = 0.0
    preemptions: int = 0
    held: dict = field(default_factory=dict)

    @property
    def keys(self):
        return (-self.klass, self.key, self.submit, self.row)

    @property
    def to_plan(self):
        return max(self.planned - self.kept, 1e-3)

    @property
    def planned_end(self):
        return self.begun + self.restart + self.to_plan

    @property
    def real_end(self):
        return self.begun + self.restart + (self.elapsed - self.kept)


def fit(free: list[int], per_node: int, gpus: int, spread: bool, whole: bool) -> dict[int, int] | None:
    """Nodes for a job, node -> GPUs."""

    def best(need, among):
        able = [n for n in among if free[n] >= need]
        return min(able, key=lambda n: (-free[n] if spread else free[n], n)) if able else None

    everywhere = range(len(free))
    if gpus <= per_node:
        found = best(gpus, everywhere)
        return None if found is None else {found: gpus}
    if whole:
        full, rest = divmod(gpus, per_node)
        empty = [n for n in everywhere if free[n] == per_node][:full]
        if len(empty) < full:
            return None
        found = dict.fromkeys(empty, per_node)
        if rest:
            last = best(rest, [n for n in everywhere if n not in found])
            if last is None:
                return None
            found[last] = rest
        return found
    if sum(free) < gpus:
        return None
    found = {}
    for n in sorted(everywhere, key=lambda n: (-free[n], n)):
        if gpus > 0 and free[n] > 0:
            found[n] = min(free[n], gpus)
            gpus -= found[n]
    return found


class Reference:
    """Replays jobs on nodes."""

    def __init__(self, jobs, nodes, per_node, *, backfill=None, depth=100, preemptive=False, half_life=None,
                 shares=None, interval=INF, restart=0.0, spread=False, whole=True):  # fmt: skip
        self.jobs, self.per_node, self.free = jobs, per_node, [per_node] * nodes
        self.backfill, self.depth, self.preemptive = backfill, depth, preemptive
        self.half_life, self.shares = half_life, shares or {}
        self.interval, self.restart, self.spread, self.whole = interval, restart, spread, whole
        self.queue, self.running, self.usage, self.promised = [], [], {}, {}

    def run(self):
        to_come, last = sorted(self.jobs, key=lambda job: (job.submit, job.row)), 0.0
        while to_come or self.running:
            time = min([job.real_end for job in self.running] + [job.submit for job in to_come[:1]])
            if self.half_life:
                self.decay(time - last)
            last = time
            for job in [job for job in self.running if job.real_end <= time]:
                job.end, job.restarted = time, job.restarted + job.restart
                self.stop(job)
            while to_come and to_come[0].submit <= time:
                self.queue.append(to_come.pop(0))
            self.schedule(time)
        assert not self.queue
        return self.jobs

    def decay(self, elapsed):
        x = elapsed * math.log(2.0) / self.half_life
        for account in {job.account for job in self.jobs}:
            holding = sum(job.gpus for job in self.running if job.account == account)
            gained = holding * (-math.expm1(-x)) * self.half_life / math.log(2.0)
            if elapsed > 0:
                self.usage[account] = self.usage.get(account, 0.0) * math.exp(-x) + gained

    def stop(self, job):
        for node, gpus in job.held.items():
            self.free[node] += gpus
        job.held = {}
        self.running.remove(job)

    def begin(self, job, nodes, time):
        for node, gpus in nodes.items():
            self.free[node] -= gpus
        job.held, job.begun = nodes, time
        job.restart = self.restart if job.preemptions else 0.0
        job.start = time if job.start is None else job.start
        self.queue.remove(job)
        self.running.append(job)

    def fit(self, free, job):
        return fit(free, self.per_node, job.gpus, self.spread, self.whole)

    def ordered(self):
        if self.half_life:
            return sorted(self.queue, key=lambda job: (
                self.usage.get(job.account, 0.0) / self.shares.get(job.account, 1.0), *job.keys))  # fmt: skip
        return sorted(self.queue, key=lambda job: job.keys)

    def schedule(self, time):
        while self.queue:
            head = self.ordered()[0]
            nodes = self.fit(self.free, head)
            if nodes is None and self.preemptive:
                nodes = self.make_room(head, time)
            if nodes is None:
                break
            self.begin(head, nodes, time)
        if self.backfill == "easy" and len(self.queue) > 1:
            self.easy(time)

    def easy(self, time):
        head = self.ordered()[0]
        shadow, later = time, list(self.free)
        for moment in sorted({max(job.planned_end, time) for job in self.running}):
            shadow, later = moment, list(self.free)
            for job in self.running:
                if max(job.planned_end, time) <= moment:
                    for node, gpus in job.held.items():
                        later[node] += gpus
            if self.fit(later, head) is not None:
                break
        for node, gpus in self.fit(later, head).items():
            later[node] -= gpus
        at = 1
        while at < len(self.queue) and at <= self.depth:
            job = self.ordered()[at]
            in_time = time + job.to_plan <= shadow
            nodes = self.fit(self.free if in_time else [min(a, b) for a, b in zip(self.free, later, strict=True)], job)
            if nodes is None:
                at += 1
                continue
            if not in_time:
                for node, gpus in nodes.items():
                    later[node] -= gpus
            self.begin(job, nodes, time)

    def make_room(self, head, time):
        lower = [job for job in self.running if job.klass < head.klass]
        lower.sort(key=lambda job: (job.klass, -job.begun, [-x for x in job.keys]))
        victims, free = [], list(self.free)
        while self.fit(free, head) is None:
            if not lower:
                return None
            victims.append(lower.pop(0))
            for node, gpus in victims[-1].held.items():
                free[node] += gpus
        for job in victims[-2::-1]:
            without = list(free)
            for node, gpus in job.held.items():
                without[node] -= gpus
            if self.fit(without, head) is not None:
                free = without
                victims.remove(job)
        for job in victims:
            ran = time - job.begun
            done = job.kept + max(ran - job.restart, 0.0)
            kept = 0.0 if self.interval == INF else done
            if 0 < self.interval < INF:
                kept = math.floor(done / self.interval) * self.interval
            kept = max(kept, job.kept)
            job.lost += done - kept
            job.restarted += min(ran, job.restart)
            job.kept = kept
            job.preemptions += 1
            self.stop(job)
            self.queue.append(job)
        return self.fit(self.free, head)


class Promises:
    """Conservative backfill on GPUs that are counted, with the list of reservations alone."""

    def __init__(self, jobs, gpus):
        self.jobs, self.gpus = jobs, gpus
        self.running, self.queue, self.reserved, self.promised, self.planned_end = [], [], {}, {}, {}
        self.before = {}

    def run(self):
        to_come = sorted(self.jobs, key=lambda job: (job.submit, job.keys))
        while to_come or self.running or self.queue:
            time = min(
                [min(job.start + job.elapsed, self.planned_end[job.row]) for job in self.running]
                + [self.reserved[job.row] for job in self.queue]
                + [job.submit for job in to_come[:1]]
            )
            ended = [job for job in self.running if job.start + job.elapsed <= time]
            early = any(self.planned_end[job.row] > time for job in ended)
            for job in ended:
                job.end = time
                self.running.remove(job)
            late = [job for job in self.running if self.planned_end[job.row] <= time]
            self.queue.sort(key=lambda job: job.keys)
            if late:
                for job in late:
                    self.planned_end[job.row] = time + (time - job.start)
                self.reserved, self.before = {}, {}
                for job in self.queue:
                    self.reserve(job, time)
            elif early:
                for job in self.queue:
                    before = self.reserved.pop(job.row)
                    self.reserve(job, time)
                    assert self.reserved[job.row] <= before
            while to_come and to_come[0].submit <= time:
                self.queue.append(to_come.pop(0))
                self.reserve(self.queue[-1], time)
                self.promised[self.queue[-1].row] = self.reserved[self.queue[-1].row]
            for job in [job for job in self.queue if self.reserved[job.row] <= time]:
                job.start = time
                self.planned_end[job.row] = time + max(job.planned, 1e-3)
                self.queue.remove(job)
                del self.reserved[job.row]
                self.running.append(job)
        return self.jobs

    def reserve(self, job, time):
        spans = [(time, self.planned_end[one.row], one.gpus) for one in self.running]
        spans += [(self.reserved[one.row], self.reserved[one.row] + max(one.planned, 1e-3), one.gpus)
                  for one in self.queue if one.row in self.reserved and one is not job]  # fmt: skip
        for begin in sorted({time} | {end for _, end, _ in spans if end > time}):
            end = begin + max(job.planned, 1e-3)
            moments = [begin] + [a for a, _, _ in spans if begin < a < end]
            if all(sum(g for a, b, g in spans if a <= t < b) + job.gpus <= self.gpus for t in moments):
                self.reserved[job.row] = begin
                return


class PromisesOnNodes(Promises):
    """The same where each reservation has nodes of its own, chosen by what is free there for all of its time."""

    def __init__(self, jobs, nodes, per_node, spread, whole):
        super().__init__(jobs, nodes * per_node)
        self.nodes, self.per_node, self.spread, self.whole = nodes, per_node, spread, whole

    def reserve(self, job, time):
        spans = [(time, self.planned_end[one.row], one.held) for one in self.running]
        spans += [(self.reserved[one.row], self.reserved[one.row] + max(one.planned, 1e-3), one.held)
                  for one in self.queue if one.row in self.reserved and one is not job]  # fmt: skip
        for begin in sorted({time} | {end for _, end, _ in spans if end > time}):
            end = begin + max(job.planned, 1e-3)
            moments = [begin] + [a for a, _, _ in spans if begin < a < end]
            free = [
                min(self.per_node - sum(held.get(node, 0) for a, b, held in spans if a <= t < b) for t in moments)
                for node in range(self.nodes)
            ]
            held = fit(free, self.per_node, job.gpus, self.spread, self.whole)
            # who cannot start sooner keeps its nodes
            if held is not None:
                if begin < self.before.get(job.row, INF):
                    job.held = held
                self.reserved[job.row] = self.before[job.row] = begin
                return
