"""How text becomes amounts: exactly, or not at all."""

import random
from contextlib import suppress
from decimal import Decimal, InvalidOperation, localcontext

import duckdb
import pytest

from dcbudget import warehouse

AS_WRITTEN = ("0", "-0.5", "+1", ".5", "5.", "1.81E-8", "1e-12", "5e-13", "107.0423312365528018E4", "1.0e+3",
              "999999.999999999999", "1000000.0000000000001", "-99999999999999.999999999999999999999999", "1e400",
              "1_0", "e5", "1e", "-", "0x10", "1.5.5", "1,5", "inf", "nan", "")  # fmt: skip


def texts() -> list[str]:
    draw = random.Random(3)

    def digits(most: int) -> str:
        return "".join(draw.choice("0123456789") for _ in range(draw.randint(0, most)))

    found = list(AS_WRITTEN)
    for _ in range(20_000):
        text = (
            draw.choice(("", "-", "+")) + digits(9) + draw.choice((".", ".", "")) + digits(draw.choice((2, 12, 13, 26)))
        )
        if draw.random() < 0.4:
            text += draw.choice("eE") + draw.choice(("", "-", "+")) + str(draw.randint(0, draw.choice((3, 14, 30))))
        found.append(text)
    return found


def number(text: str) -> Decimal | None:
    with suppress(InvalidOperation):
        if "_" not in text and (value := Decimal(text)).is_finite():
            return value


def kept(value: Decimal, decimals: int) -> bool:
    """Whether a decimal of 38 digits keeps a number to its last digit."""
    return abs(value) < Decimal(10) ** (38 - decimals) and value.normalize().as_tuple().exponent >= -decimals


@pytest.mark.parametrize(("macro", "decimals"), [("to_money", 24), ("to_quantity", 18)])
def test_amounts_are_exact(macro, decimals):
    """By Python's Decimal. Money with too many decimals is none, a quantity's are rounded; of numbers with an exponent
    those with more digits than DuckDB's cast takes are none either."""
    with duckdb.connect() as con, localcontext(prec=100):
        con.execute(warehouse.sql("staging")["macros"])
        rows = con.execute(
            f"select v, {macro}(v)::varchar from (select unnest(?::varchar[]) as v)", [texts()]
        ).fetchall()
        for text, found in rows:
            value = number(text)
            if found is None:
                assert value is None or not kept(value, decimals) or "e" in text.lower(), text
            elif macro == "to_money" or kept(value, decimals):
                assert Decimal(found) == value, text
        assert sum(found is not None for _, found in rows) > 10_000
        assert con.execute(f"select {macro}('1.81E-8'), {macro}('1.0e+3')").fetchone() == (Decimal("1.81E-8"), 1000)
