"""Columns that stay aligned, whatever stands in them, and fit the terminal."""

from __future__ import annotations

from rich.cells import cell_len

from submitit.cli.table import Column, cut, lines, plain

COLUMNS = [Column("ID"), Column("NAME", least=8), Column("N", right=True), Column("WHY", least=4)]


def table(*rows: tuple[str, str, str, str], width: int | None = None) -> list[str]:
    return list(lines(COLUMNS, [[plain(text) for text in row] for row in rows], width))


def test_columns_are_aligned_and_those_without_a_word_left_out() -> None:
    assert table(("1", "one", "7", ""), ("22", "日本語", "100", "")) == [
        "ID  NAME      N",
        "1   one       7",
        "22  日本語  100",
    ]


def test_what_does_not_fit_is_cut_in_the_widest_columns() -> None:
    for width in (80, 60, 40, 30):
        shown = table(("1", "n" * 60, "7", "w" * 30), ("2", "日本" * 30, "8", "why"), width=width)
        assert max(map(cell_len, shown)) <= width
        assert all("…" in line for line in shown[1:])
        assert cell_len(shown[1][: shown[1].index("7")]) == cell_len(shown[2][: shown[2].index("8")])
    assert len(table(("1", "n" * 60, "7", "w" * 30))[1]) > 90  # a pipe is as wide as it takes


def test_a_column_that_may_not_be_cut_is_whole() -> None:
    assert table(("1" * 50, "name", "7", "because"), width=40)[1].startswith("1" * 50)


def test_a_cut_text_fits_also_where_a_wide_character_stands_at_the_edge() -> None:
    for text in ("abcdef", "日本語日本語", "a日本語日本語"):
        for width in range(2, 8):
            assert cell_len(cut(text, width)) <= width


def test_pieces_of_a_cell_are_cut_together() -> None:
    columns = [Column("STATE", least=8)]
    cell = [("3 FAILED", "red"), (", ", ""), ("97 COMPLETED", "green")]
    assert list(lines(columns, [[cell]], 15)) == ["STATE", "3 FAILED, 97 C…"]
    assert list(lines(columns, [[cell]], 8)) == ["STATE", "3 FAILE…"]
