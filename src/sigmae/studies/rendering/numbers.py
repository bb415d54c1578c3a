"""Numbers as a table shows them: as many digits as the deviation leaves certain."""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from sigmae.studies.statistics import Summary

DIGITS, DEVIATION_DIGITS = 4, 2  # significant ones, of a value without a deviation and of a deviation
MOST_DIGITS = 8  # however small the deviation is
SMALL, LARGE = -4, 6  # the powers of ten outside of which a number is written with one


@dataclass(frozen=True)
class Written:
    """A value and its deviation, empty where there is none, both to be multiplied by ten to the `power`."""

    value: str
    deviation: str
    power: int

    def text(self, plus_minus: str = " ± ", times: str = "e{}") -> str:
        """Both in one: "12.3 ± 1.4", "(1.23 ± 0.14)e-7"."""
        both = self.value + (f"{plus_minus}{self.deviation}" if self.deviation else "")
        if not self.power:
            return both
        return (f"({both})" if self.deviation else both) + times.format(self.power)


def written(summary: Summary) -> Written:
    """Mean and deviation rounded to two digits of the deviation, or the mean to four digits where it has none or none
    but zero; whole digits are never rounded away."""
    value, deviation = Decimal(summary.mean), Decimal(summary.deviation or 0)
    magnitude = max((_magnitude(number, DIGITS) for number in (value, deviation) if number), default=0)
    power = 0 if SMALL <= magnitude <= LARGE else magnitude
    certain, digits = (deviation, DEVIATION_DIGITS) if deviation else (value, DIGITS)
    least = magnitude if not certain else max(_magnitude(certain, digits) - digits, magnitude - MOST_DIGITS) + 1
    places = max(0, power - least)
    spread = "" if summary.deviation is None else _fixed(deviation, power, places)
    return Written(_fixed(value, power, places), spread, power)


def p_text(p: float) -> str:
    """A p-value with two digits."""
    return f"p = {p:#.2g}" if p >= 0.001 else "p < 0.001"


def _magnitude(number: Decimal, digits: int) -> int:
    """The power of ten of a number's first digit once it is rounded to so many."""
    with localcontext(prec=digits):
        return (+number).adjusted()


def _fixed(number: Decimal, power: int, places: int) -> str:
    text = f"{number.scaleb(-power):.{places}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text  # no negative zero
