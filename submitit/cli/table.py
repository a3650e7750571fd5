"""Lines of columns, for thousands of rows: as wide as the terminal in one, whole and uncoloured elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from submitit.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What a cell holds: pieces of text, each with a style of ``views.colours`` or ``""``. They are harmless, and of one line.
Cell = list[tuple[str, str]]
_GAP = "  "


class Column(NamedTuple):
    """How a column is written."""

    title: str
    right: bool = False
    #: What is left of it at least where the terminal is too narrow; 0 for a column that is never cut.
    least: int = 0


def plain(text: str) -> Cell:
    """A cell of one text without a style."""
    return [(text, "")]


def lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None) -> Iterator[str]:
    """A line of titles and one for each row; columns that are empty in all rows are left out.

    Args:
        columns: how each column is written.
        rows: a cell for each column.
        width: of the terminal, to which columns that may be cut are fitted, the widest first; ``None`` to cut nothing.
    """
    sizes = [[_size(cell) for cell in row] for row in rows]
    natural = [max((row[place] for row in sizes), default=0) for place in range(len(columns))]
    shown = [place for place in range(len(columns)) if natural[place]]
    widths = {place: max(natural[place], len(columns[place].title)) for place in shown}
    if width is not None:
        _fit(widths, [columns[place].least for place in shown], width)
    titles = [(columns[place], widths[place], [(columns[place].title, "bold")]) for place in shown]
    yield _GAP.join(_padded(cell, len(column.title), size, column.right) for column, size, cell in titles).rstrip()
    layout = [(place, widths[place], columns[place].right) for place in shown]
    for row, own in zip(rows, sizes, strict=True):
        cells = [_padded(row[place], own[place], size, right) for place, size, right in layout]
        yield _GAP.join(cells).rstrip()


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The beginning of a text that takes so many columns, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    if text.isascii():
        return f"{text[: width - 1]}…"
    from rich.cells import set_cell_size

    return f"{set_cell_size(text, width - 1)}…"


def _size(cell: Cell) -> int:
    return sum(cells(text) for text, _ in cell)


def _fit(widths: dict[int, int], least: list[int], width: int) -> None:
    """Take from the widest column that may be cut until all fit, or none can give more."""
    floors = dict(zip(widths, least, strict=True))
    excess = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0:
        spare = [place for place in widths if floors[place] and widths[place] > floors[place]]
        if not spare:
            return
        widest = max(spare, key=lambda place: widths[place] - floors[place])
        widths[widest] -= 1
        excess -= 1


def _padded(cell: Cell, size: int, width: int, right: bool) -> str:
    if size > width:
        cell, size = _cut_cell(cell, width), width
    text = "".join(output.styled(piece, style) if style else piece for piece, style in cell)
    blank = " " * (width - size)
    return blank + text if right else text + blank


def _cut_cell(cell: Cell, width: int) -> Cell:
    kept: Cell = []
    left = width
    for place, (text, style) in enumerate(cell):
        size = cells(text)
        more = size > left or (size == left and place < len(cell) - 1)
        if more:
            shortened = cut(text, left) if size > left else cut(text + " ", left)
            return [*kept, (shortened, style)]
        kept.append((text, style))
        left -= size
    return kept
