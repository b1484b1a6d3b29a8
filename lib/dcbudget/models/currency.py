"""Amounts of several currencies in one, at rates with dates."""

import pandas as pd

from dcbudget.errors import MixedCurrencies


def monthly_rates(rates: pd.DataFrame, months: pd.DatetimeIndex, to: str) -> pd.DataFrame:
    """The rate of each month into one currency.

    The rate of a month is the mean of the rates that are dated in it; in a month without one the last earlier rate
    holds. A rate is also used the other way round, and over one third currency where no rate joins two.

    Parameters
    ----------
    rates : `date`, `from_currency`, `to_currency`, `rate` (one unit of `from` is `rate` units of `to`).
    months : first days of months.
    to : the currency to convert into.

    Returns
    -------
    DataFrame : one row a month, one column a currency, null before a currency's first rate.
    """
    frame = rates.assign(month=pd.to_datetime(rates["date"]).dt.to_period("M").dt.to_timestamp())
    pairs = frame.groupby(["from_currency", "to_currency", "month"])["rate"].mean()
    every = pd.DatetimeIndex(months).union(pd.DatetimeIndex(frame["month"])).unique().sort_values()
    table: dict[tuple[str, str], pd.Series] = {}
    for (base, quote), part in pairs.groupby(level=[0, 1]):
        series = part.droplevel([0, 1]).reindex(every).ffill()
        table[base, quote] = series
        table.setdefault((quote, base), 1 / series)
    found = {to: pd.Series(1.0, index=every)}
    for base in sorted({base for base, _ in table} - {to}):
        ways = [table[base, to]] if (base, to) in table else []
        ways += [
            table[base, middle] * table[middle, to]
            for first, middle in sorted(table)
            if first == base and middle != to and (middle, to) in table
        ]
        for way in ways:
            found[base] = found[base].combine_first(way) if base in found else way
    return pd.DataFrame(found).reindex(pd.DatetimeIndex(months))


def convert(frame: pd.DataFrame, rates: pd.DataFrame, to: str, amounts: list[str]) -> pd.DataFrame:
    """Amounts in one currency, at the rate of each row's month (see `monthly_rates`).

    Parameters
    ----------
    frame : `month`, `currency` and the columns of `amounts` [money in `currency`].
    rates : see `monthly_rates`.
    to : the currency to convert into, such as USD.

    Returns
    -------
    DataFrame : the same rows, with `currency` = `to`; a row without a currency stays as it is.

    Raises
    ------
    MixedCurrencies : no rate leads from a row's currency in or before its month; the first such is named.
    """
    foreign = frame["currency"].notna() & (frame["currency"] != to)
    if not foreign.any():
        return frame
    frame = frame.copy()
    months = pd.to_datetime(frame.loc[foreign, "month"]).dt.to_period("M").dt.to_timestamp()
    table = monthly_rates(rates, pd.DatetimeIndex(sorted(months.unique())), to)
    factor = pd.Series(
        [
            table.at[month, currency] if currency in table else float("nan")
            for month, currency in zip(months, frame.loc[foreign, "currency"], strict=True)
        ],
        index=frame.index[foreign],
    )
    if factor.isna().any():
        row = frame.loc[factor.index[factor.isna()][0]]
        raise MixedCurrencies(
            f"no rate from {row['currency']} to {to} in or before {pd.Timestamp(row['month']):%Y-%m};"
            " load a file of rates (date, from_currency, to_currency, rate)"
        )
    for name in amounts:
        frame[name] = frame[name].astype(float)
        frame.loc[foreign, name] = frame.loc[foreign, name] * factor
    frame.loc[foreign, "currency"] = to
    return frame
