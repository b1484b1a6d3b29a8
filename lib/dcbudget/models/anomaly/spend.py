"""Daily spend beside what was to be expected: robust level, weekday and band, for every part and for the totals.

What a day is expected to cost is the median of the four weeks before it, and what its weekday differed by in the eight
weeks before. How far days were from that, one day ahead, gives the band: `sensitivity` times their median absolute
deviation (x 1.4826: the standard deviation, were they normal), at least a share of the level for each, and at least
BURST times the third-highest peak of the last seventeen weeks, so that bursts that come every month are no news. Days
beyond the band, and weeks whose mean is beyond WEEK of it, are an episode, and the expectation stands still while it
lasts; what has lasted four weeks is what is usual from then on. A day counts only where it is beyond the band by the
length of its month too: a monthly price costs more a day in February. What is charged once a month is judged in the
same way by whole months.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import numpy as np
import pandas as pd

from dcbudget.models.anomaly import Finding
from dcbudget.models.ranges import whole, within

TOTAL = "Total"
NORMAL = 1.4826
BURST = 1.5
# Share of the band beyond which the mean of a week counts, a day at most as the whole band, and half of that the day.
WEEK = 0.5
# A part explains its total where its own excess is this share of the total's.
EXPLAINED = 0.5
# A part is looked at so many days after its first charge; with one day of charges until then it is billed by the month.
NEW_DAYS = 7


@dataclass(frozen=True)
class Rules:
    """When spend is out of the ordinary.

    Attributes
    ----------
    sensitivity : robust standard deviations from what was expected, from which a day counts; fewer find more.
    least_money : what an episode must sum to [money].
    persistence : days beyond the band before an alert; a day beyond twice the band needs no second one.
    """

    sensitivity: float = 4.0
    least_money: float = 1000.0
    persistence: int = 2

    def __post_init__(self):
        within("sensitivity", self.sensitivity, 1, 20)
        within("least_money", self.least_money, 0)
        whole("persistence", self.persistence, 1, 28)


@dataclass(frozen=True)
class Pace:
    """How a series is read, in steps (days or months).

    Attributes
    ----------
    season : steps of a season.
    level, history : steps that the level, and the season with the band, stand on.
    block, blocks : steps of a peak, and how many peaks of the past tell what bursts are usual.
    least : steps of known deviations before anything is judged.
    least_share : of the level; a standard deviation is at least this.
    rest, accepted : steps within the band that end an episode, and after which one is no news any more.
    unit : what a step is called.
    """

    season: int
    level: int
    history: int
    block: int
    blocks: int
    least: int
    least_share: float
    rest: int
    accepted: int
    unit: str


DAILY = Pace(7, 28, 56, 7, 17, 14, 0.025, 3, 28, "day")
MONTHLY = Pace(1, 6, 6, 1, 12, 2, 0.05, 1, 3, "month")
# Which of the peaks, largest first, is what is usual: one or two are not.
USUAL_PEAK = 3


@dataclass
class Episode:
    """Steps in a row beyond the band, as places in the series.

    Attributes
    ----------
    sign : 1 above, -1 below.
    start, end : first place, and the one after the last; None while it lasts.
    fired : the place at which it became an alert, None where it never did.
    beyond : how many steps counted.
    outside : how many of them were beyond the band themselves.
    """

    sign: int
    start: int
    end: int | None = None
    fired: int | None = None
    beyond: int = 0
    outside: int = 0


def expectation(series: pd.Series, pace: Pace = DAILY) -> pd.DataFrame:
    """What each step was to be expected to cost, from the steps before it.

    Parameters
    ----------
    series : money by step, every step once, null where nothing is known.

    Returns
    -------
    DataFrame : `level`, `same` (median of the steps of the same place in the season), `usual` (median over all of
        these), `scale` (the robust standard deviation), `high`, `low` (the peaks that are usual, above and below)
        [money]; expected is level + same - usual. Null until enough is known; peaks are 0 until then.
    """
    values = series.to_numpy(float)
    before = pd.Series(_earlier(values, 1))
    level = before.rolling(pace.level, min_periods=pace.level // 2).median().to_numpy()
    usual = before.rolling(pace.history, min_periods=pace.history // 2).median().to_numpy()
    same = _median([_earlier(values, steps) for steps in range(pace.season, pace.history + 1, pace.season)])
    off = pd.Series(_earlier(values - (level + same - usual), 1))
    scale = NORMAL * off.abs().rolling(pace.history, min_periods=pace.least).median().to_numpy()
    columns = [level, same, usual, np.maximum(scale, pace.least_share * np.abs(level))]
    for side in (off, -off):
        peaks = side.rolling(pace.block, min_periods=1).max().to_numpy()
        blocks = np.column_stack([_earlier(-peaks, pace.block * ago) for ago in range(pace.blocks)])
        usual_peak = -np.sort(blocks, axis=1)[:, USUAL_PEAK - 1]  # what is not known is sorted last
        columns.append(np.nan_to_num(np.maximum(usual_peak, 0.0)))
    return pd.DataFrame(np.column_stack(columns), series.index, ["level", "same", "usual", "scale", "high", "low"])


def _earlier(values: np.ndarray, steps: int) -> np.ndarray:
    """The value so many steps before each."""
    return np.concatenate([np.full(min(steps, len(values)), np.nan), values[: max(len(values) - steps, 0)]])


def _median(columns: list[np.ndarray]) -> np.ndarray:
    """The median across columns of what is known, null where nothing is."""
    ordered = np.sort(np.column_stack(columns), axis=1)
    known = np.isfinite(ordered).sum(axis=1)
    rows = np.arange(len(ordered))
    middle = (ordered[rows, np.maximum(known - 1, 0) // 2] + ordered[rows, known // 2]) / 2
    return np.where(known > 0, middle, np.nan)


@dataclass(frozen=True)
class Series:
    """A part or a total as it is judged; what no rule bears upon is computed once.

    Attributes
    ----------
    money : by step, every step once, null where nothing is known.
    project, category : "" where it is a total over them.
    pace : DAILY or MONTHLY.
    earliest : the place from which alerts are raised.
    """

    money: pd.Series
    project: str = ""
    category: str = ""
    pace: Pace = DAILY
    earliest: int = 0

    @cached_property
    def table(self) -> list[list[float]]:
        """The rows of `expectation`: step by step, plain numbers are many times as quick as arrays of one."""
        return expectation(self.money, self.pace).to_numpy(float).tolist()

    @cached_property
    def lengths(self) -> list[list[float]]:
        """Days of the month of each step, and those that its level stands on."""
        return [days.tolist() for days in _month_lengths(self.money, self.pace)]


def judge(series: pd.Series, rules: Rules, pace: Pace = DAILY) -> tuple[pd.DataFrame, list[Episode]]:
    """A series with its band as it stood at each step, and its episodes.

    Returns
    -------
    DataFrame : `actual`, `expected`, `lower`, `upper` [money], null where nothing could be judged.
    list[Episode] : in order, those that never became an alert too.
    """
    judged = Series(series, pace=pace)
    shown, episodes = _judged(judged, rules)
    return Watched(judged, shown, episodes, episodes).band, episodes


def _judged(of: Series, rules: Rules) -> tuple[np.ndarray, list[Episode]]:
    """What was expected at each step and its band's ends, (steps, 3), and the episodes."""
    series, pace = of.money, of.pace
    values, table = series.to_numpy(float), of.table
    lengths, usual_lengths = of.lengths
    shown = np.full((len(values), 3), np.nan)
    episodes: list[Episode] = []
    now: Episode | None = None
    rest, excess, recent = 0, 0.0, []
    for place, value in enumerate(values.tolist()):
        begin = place if now is None else now.start
        level, _, usual, scale, high, low = table[begin]
        center = level + table[begin + (place - begin) % pace.season][1] - usual
        above = max(rules.sensitivity * scale, BURST * high)
        below = max(rules.sensitivity * scale, BURST * low)
        if not all(map(isfinite, (value, center, center - below, center + above))):
            continue
        shown[place] = center, center - below, center + above
        off = _nearer(value - center, value * lengths[place] / usual_lengths[begin] - center)
        recent = [*recent[max(len(recent) + 1 - pace.block, 0) :], (place, _share(off, above if off > 0 else below))]
        outside = int(off > above) - int(off < -below)
        side = outside or _slow(recent, pace)
        if now is not None and side != now.sign:
            rest += 1
            if rest == pace.rest or side == -now.sign:
                now.end = place - rest + 1
                now = None
        if now is None and side:
            first = place if outside else recent[0][0]
            now = Episode(side, first, beyond=place - first)
            episodes.append(now)
            excess = float(np.nansum(values[now.start : place] - shown[now.start : place, 0]))
        if now is None:
            continue
        excess += off
        if side == now.sign:
            rest = 0
            now.beyond += 1
            now.outside += abs(outside)
            sure = now.beyond >= rules.persistence or abs(off) > 2 * (above if side > 0 else below)
            if now.fired is None and sure and abs(excess) >= rules.least_money:
                now.fired = place
        if place - now.start + 1 >= pace.accepted:
            now.end = place + 1
            table = expectation(series.where(np.arange(len(series)) >= now.start), pace).to_numpy(float).tolist()
            now, recent = None, []
    return shown, episodes


def _share(off: float, band: float) -> float:
    """A departure as a share of the band, from -1 to 1."""
    return min(max(off / band, -1.0), 1.0) if band > 0 else float(np.sign(off))


def _slow(recent: list[tuple[int, float]], pace: Pace) -> int:
    """1 or -1 where the last week was above or below what was expected without a day beyond the band, else 0."""
    if pace.block == 1 or len(recent) < pace.block:
        return 0
    shares = [share for _, share in recent]
    mean = sum(shares) / pace.block
    return int(np.sign(mean)) if abs(mean) > WEEK and shares[-1] * np.sign(mean) > WEEK / 2 else 0


def _month_lengths(series: pd.Series, pace: Pace) -> tuple[np.ndarray, np.ndarray]:
    """Days of the month of each day, and the median of those that its level stands on; ones where steps are months."""
    if pace is not DAILY or not isinstance(series.index, pd.DatetimeIndex):
        return np.ones(len(series)), np.ones(len(series))
    lengths = pd.Series(series.index.days_in_month.to_numpy(float))
    usual = lengths.shift(1).rolling(pace.level, min_periods=1).median().fillna(lengths)
    return lengths.to_numpy(), usual.to_numpy()


def _nearer(off: float, other: float) -> float:
    """The smaller of two departures, 0 where they go different ways."""
    return 0.0 if off * other < 0 else min(off, other, key=abs)


@dataclass(frozen=True)
class Watched:
    """A series that was judged.

    Attributes
    ----------
    of : the series.
    shown : what was expected at each step, and its band's ends, (steps, 3) [money].
    episodes : those that are alerts.
    begun : all of them.
    """

    of: Series
    shown: np.ndarray
    episodes: list[Episode]
    begun: list[Episode]

    @property
    def project(self) -> str:
        return self.of.project

    @property
    def category(self) -> str:
        return self.of.category

    @property
    def pace(self) -> Pace:
        return self.of.pace

    @cached_property
    def band(self) -> pd.DataFrame:
        """`expected`, `lower`, `upper`, `actual` [money] by step, as of `judge`."""
        columns = np.column_stack([self.shown, self.of.money.to_numpy(float)])
        return pd.DataFrame(columns, self.of.money.index, ["expected", "lower", "upper", "actual"])

    @cached_property
    def running(self) -> np.ndarray:
        """The running sum of actual less expected [money], before each step."""
        off = self.of.money.to_numpy(float) - self.shown[:, 0]
        return np.concatenate([[0.0], np.where(np.isnan(off), 0.0, off).cumsum()])


@dataclass(frozen=True)
class Spend:
    """Every part (project and category) and every total, ready to be judged.

    Attributes
    ----------
    total : all of it.
    projects, categories : totals over the other.
    parts : those of which days are judged, in the order in which they are told.
    months : those that are charged by the month.
    """

    total: Series
    projects: list[Series]
    categories: list[Series]
    parts: list[Series]
    months: list[Series]


def read(daily: pd.DataFrame, as_of: pd.Timestamp) -> Spend | None:
    """The series of daily spend; None where there are no days.

    Parameters
    ----------
    daily : `day`, `project`, `category`, `cost` [money]; a day without any row is not known, not 0.
    as_of : the first day that is not known yet.
    """
    daily = daily[daily["day"] < as_of]
    if daily.empty:
        return None
    parts = daily.pivot_table(index="day", columns=["project", "category"], values="cost", aggfunc="sum")
    parts = parts.reindex(pd.date_range(parts.index.min(), as_of - pd.Timedelta(days=1)))
    known = parts.notna().any(axis=1)
    monthly = [name for name in parts if _by_month(parts[name])]
    of_days = parts.fillna(0.0).where(known, np.nan)
    for name in monthly:
        of_days.loc[_first(parts[name]) + pd.Timedelta(days=NEW_DAYS) :, name] = 0.0

    def total(project: str = "", category: str = "") -> Series:
        chosen = [name for name in of_days if project in ("", name[0]) and category in ("", name[1])]
        return Series(of_days[chosen].sum(axis=1, min_count=1), project, category)

    def earliest(name: tuple[str, str]) -> int:
        return int(of_days.index.searchsorted(_first(parts[name]) + pd.Timedelta(days=NEW_DAYS - 1)))

    return Spend(
        total(),
        [total(project=name) for name in of_days.columns.unique("project")],
        [total(category=name) for name in of_days.columns.unique("category")],
        [Series(of_days[name], *name, earliest=earliest(name)) for name in of_days if name not in monthly],
        [Series(_months(parts[name], as_of), *name, pace=MONTHLY) for name in monthly],
    )


def watch(daily: pd.DataFrame | Spend | None, as_of: pd.Timestamp, rules: Rules) -> list[Watched]:
    """Every part (project and category) and every total with its band and its alerts.

    The alert of a total stands only where the alerts of its parts do not explain most of it; parts that go different
    ways do not hide in a total, since they are watched themselves.

    Parameters
    ----------
    daily, as_of : as for `read`; or what that gave.
    """
    spend = read(daily, as_of) if isinstance(daily, pd.DataFrame) else daily
    if spend is None:
        return []
    parts = [_watched(one, rules) for one in spend.parts]
    totals = [[_watched(one, rules) for one in ones] for ones in (spend.projects, spend.categories)]
    for one in (one for ones in totals for one in ones):
        own = [part for part in parts if one.project in ("", part.project) and one.category in ("", part.category)]
        _drop_explained(one, [own])
    whole = _watched(spend.total, rules)
    _drop_explained(whole, [parts, *totals])
    return [whole, *totals[0], *totals[1], *parts, *(_watched(one, rules) for one in spend.months)]


def findings(watched: list[Watched]) -> Iterator[Finding]:
    """The alerts as findings; money is actual less expected over the days of each."""
    for series in watched:
        for episode in series.episodes:
            yield _finding(series, episode)


def marked(series: Watched) -> pd.DataFrame:
    """The days of a series' alerts: `day`, those of its band, and `label`, the alert's money at its furthest day."""
    parts = [series.band.head(0).assign(label="")]
    for episode in series.episodes:
        spell = series.band.iloc[episode.start : episode.end]
        off = spell["actual"] - spell["expected"]
        at = spell.index == (off * episode.sign).idxmax()
        parts.append(spell.assign(label=np.where(at, f"{off.sum():+,.0f}", "")))
    return pd.concat([part for part in parts if len(part)] or parts).rename_axis("day").reset_index()


def _finding(series: Watched, episode: Episode) -> Finding:
    spell = series.band.iloc[episode.start : episode.end]
    days = series.band.index
    actual, expected = spell["actual"].mean(), spell["expected"].mean()
    off = (spell["actual"] - spell["expected"]).dropna()
    peak = spell.loc[(off * episode.sign).idxmax()]
    edge, side = ("upper", "above") if episode.sign > 0 else ("lower", "below")
    unit, count = series.pace.unit, int(spell["actual"].notna().sum())
    when = f"{peak.name:%Y-%m-%d}" if unit == "day" else f"{peak.name:%Y-%m}"
    spans = f"on {when}" if count == 1 else f"a {unit} over {count} {unit}s"
    return Finding(
        kind=f"spend {side} expected",
        project=series.project or TOTAL,
        subject=series.category,
        since=days[episode.start],
        until=days[episode.end] if episode.end is not None and episode.end < len(days) else _after(series, episode),
        money=float(off.sum()),
        basis="effective",
        what=f"{actual:,.0f} {spans} where {expected:,.0f} was expected",
        why=f"{_counted(episode, series.pace)} {side} the band; the furthest, {when}, was"
            f" {peak['actual']:,.0f} with {peak['expected']:,.0f} expected and {peak[edge]:,.0f} the band's edge",
    )  # fmt: skip


def _counted(episode: Episode, pace: Pace) -> str:
    """How many steps were beyond the band, or that only the week was."""
    if not episode.outside:
        return f"no {pace.unit} alone, the mean of a week more than {WEEK:.0%}"
    return f"{episode.outside} {pace.unit}{'s' if episode.outside > 1 else ''}"


def _after(series: Watched, episode: Episode) -> pd.Timestamp:
    """The end of an episode that ends with the series, NaT where it lasts."""
    if episode.end is None:
        return pd.NaT
    return series.band.index[-1] + (pd.Timedelta(days=1) if series.pace is DAILY else pd.DateOffset(months=1))


def _watched(series: Series, rules: Rules) -> Watched:
    shown, episodes = _judged(series, rules)
    fired = [episode for episode in episodes if episode.fired is not None]
    for episode in fired:
        episode.fired = max(episode.fired, series.earliest)
    return Watched(series, shown, [episode for episode in fired if episode.fired < len(shown)], episodes)


def _drop_explained(total: Watched, levels: list[list[Watched]]) -> None:
    """Let alerts of a total stand from the first day on which no level of its parts explains most of it.

    Until it has ended, parts explain it that are beyond their bands, in the end only those that are alerts.
    """
    sums, days = total.running, len(total.shown)
    known = [[(part.running, part) for part in parts] for parts in levels]
    stand = []
    for episode in total.episodes:
        over = days if episode.end is None else min(episode.end + total.pace.rest - 1, days - 1)
        for place in range(episode.fired, over + (episode.end is not None)):
            end = place + 1 if episode.end is None else min(place + 1, episode.end)
            excess = episode.sign * (sums[end] - sums[episode.start])
            told = [
                sum(_told(running, part, episode.start, end, place, place < over) for running, part in parts)
                for parts in known
            ]  # fmt: skip
            if max((episode.sign * money for money in told), default=0.0) < EXPLAINED * excess:
                episode.fired = place
                stand.append(episode)
                break
    total.episodes[:] = stand


def _told(running: np.ndarray, part: Watched, start: int, stop: int, place: int, lasts: bool) -> float:
    """What a part's alerts explain of the steps [start, stop) at a place, and its episodes where it `lasts`."""
    money = 0.0
    for episode in part.begun if lasts else part.episodes:
        first, end = max(episode.start, start), min(stop, len(running) if episode.end is None else episode.end)
        is_alert = episode.fired is not None and episode.fired <= place
        is_open = episode.end is None or place < episode.end + part.pace.rest - 1
        if end > first and (is_alert or (lasts and is_open)):
            money += running[end] - running[first]
    return money


def _first(part: pd.Series) -> pd.Timestamp:
    return part.first_valid_index()


def _by_month(part: pd.Series) -> bool:
    """Whether a part had one day of charges in its first week."""
    begin = _first(part)
    week = part.loc[begin : begin + pd.Timedelta(days=NEW_DAYS - 1)]
    return len(week) == NEW_DAYS and week.notna().sum() == 1


def _months(part: pd.Series, as_of: pd.Timestamp) -> pd.Series:
    """Whole months of a part."""
    sums = part.resample("MS").sum()
    return sums[sums.index + pd.DateOffset(months=1) <= as_of]
