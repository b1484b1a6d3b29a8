"""Tables as they are shown: numbers set for readers, every text escaped."""

from dataclasses import dataclass, field
from html import escape

import pandas as pd

# z: what rounds to nothing is 0, never -0.
MONEY = "{:z,.0f}"
CENTS = "{:z,.2f}"
COUNT = "{:z,.0f}"
RATE = "{:z.1%}"
SIGNED = "{:+z,.0f}"
SIGNED_RATE = "{:+z.1%}"
HOURS = "{:z,.1f}"

# Travels with the headline, because a notebook has no stylesheet of its own, and serves every table of the same page.
# The variables are JupyterLab's colours, for its dark themes.
STYLE = """<style>
.dcb-headline { display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0 16px; }
.dcb-headline .card { flex: 1 1 165px; border: 1px solid var(--jp-border-color2, #dfe5ea); border-radius: 8px;
  padding: 10px 14px; background: var(--jp-layout-color1, #fafbfc); line-height: 1.5; }
.dcb-headline .label { color: var(--jp-ui-font-color2, #5b6670); font-size: 12px; text-transform: uppercase;
  letter-spacing: .04em; }
.dcb-headline .value { font-size: 20px; font-weight: 600; overflow-wrap: anywhere; }
.dcb-headline .remark { color: var(--jp-ui-font-color2, #5b6670); font-size: 12px; }
table.dcb { border-collapse: collapse; margin: 14px 0; font-size: 13px; font-variant-numeric: tabular-nums; }
table.dcb caption { text-align: left; font-weight: 600; font-size: 14px; line-height: 1.5; padding: 4px 0 6px; }
table.dcb th { border-bottom: 2px solid var(--jp-border-color1, #9aa7b2); padding: 4px 10px; vertical-align: bottom;
  line-height: 1.5; }
table.dcb td { border-bottom: 1px solid var(--jp-border-color2, #e8edf1); padding: 4px 10px; vertical-align: top;
  line-height: 1.5; }
table.dcb td[style*="right"] { white-space: nowrap; }
table.dcb th:first-child { min-width: 7em; }
table.dcb tr.total td { border-top: 2px solid var(--jp-border-color1, #9aa7b2); font-weight: 600; }
@media print { table.dcb { font-size: 11px; } table.dcb th, table.dcb td { padding: 3px 5px; } }
</style>"""


@dataclass(frozen=True)
class Table:
    """A frame with headings and number formats; shows as HTML in a notebook and as text elsewhere.

    Attributes
    ----------
    frame : the values, unrounded; what a spreadsheet gets.
    columns : column of the frame -> heading, in the order shown.
    formats : column -> format of its numbers.
    title : states what the table says, with its basis and currency.
    total : columns to sum in a last row.
    """

    frame: pd.DataFrame
    columns: dict[str, str]
    title: str
    formats: dict[str, str] = field(default_factory=dict)
    total: tuple[str, ...] = ()

    def cells(self) -> list[list[str]]:
        """The shown text of every row."""
        frame = self.frame
        rows = [[self._cell(name, value) for name, value in zip(self.columns, row, strict=True)]
                for row in frame[list(self.columns)].itertuples(index=False)]  # fmt: skip
        if self.total and len(frame):
            _, *others = self.columns
            rows.append(["Total", *(self._cell(n, frame[n].sum()) if n in self.total else "" for n in others)])
        return rows

    def _cell(self, name: str, value) -> str:
        if value is None or pd.isna(value):
            return "–"
        if name in self.formats:
            return self.formats[name].format(value)
        if isinstance(value, pd.Timestamp):
            return f"{value:%Y-%m-%d}"
        return str(value)

    def _repr_html_(self) -> str:
        align = [self._align(name) for name in self.columns]
        head = "".join(f"<th{a}>{escape(text)}</th>" for a, text in zip(align, self.columns.values(), strict=True))
        rows = self.cells()
        body = []
        for position, row in enumerate(rows):
            last = ' class="total"' if self.total and position == len(rows) - 1 and len(self.frame) else ""
            cells = "".join(f"<td{a}>{escape(cell)}</td>" for a, cell in zip(align, row, strict=True))
            body.append(f"<tr{last}>{cells}</tr>")
        if not rows:
            body = [f'<tr><td colspan="{len(self.columns)}">nothing to show</td></tr>']
        return (
            f'<table class="dcb"><caption>{escape(self.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        )

    def _align(self, name: str) -> str:
        if name in self.formats:
            return ' style="text-align:right"'
        whole = ";white-space:nowrap" if pd.api.types.is_datetime64_any_dtype(self.frame[name]) else ""
        return f' style="text-align:left{whole}"'

    def __repr__(self) -> str:
        lines = [list(self.columns.values()), *self.cells()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        names = list(self.columns)
        text = [self.title]
        for line in lines:
            cells = (c.rjust(w) if n in self.formats else c.ljust(w)
                     for n, c, w in zip(names, line, widths, strict=True))  # fmt: skip
            text.append("  ".join(cells).rstrip())
        return "\n".join(text)


@dataclass(frozen=True)
class Headline:
    """A few numbers that a reader sees first: (label, value, remark)."""

    title: str
    figures: list[tuple[str, str, str]]

    def lines(self) -> list[str]:
        return [f"{label}: {value}" + (f" ({remark})" if remark else "") for label, value, remark in self.figures]

    def _repr_html_(self) -> str:
        cards = "".join(
            f'<div class="card"><div class="label">{escape(label)}</div><div class="value">{escape(value)}</div>'
            f'<div class="remark">{escape(remark)}</div></div>'
            for label, value, remark in self.figures
        )
        return f'{STYLE}<h3 class="dcb">{escape(self.title)}</h3><div class="dcb-headline">{cards}</div>'

    def __repr__(self) -> str:
        return "\n".join([self.title, *self.lines()])
