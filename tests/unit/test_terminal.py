"""Text of others on the user's terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.terminal import harmless


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain\ttext\nand more", "plain\ttext\nand more"),
        ("caf\xe9 \u4e2d \U0001f642", "caf\xe9 \u4e2d \U0001f642"),
        ("\x1b[1;31merror\x1b[0m: x", "error: x"),
        ("a\x1b[2K\x1b[1Ab", "ab"),
        ("\x1b]0;a title\x07rest", "rest"),
        ("\x1b]8;;http://x\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x1b]52;c;cm0gLXJm\x07copied", "copied"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9crest", "rest"),
        ("\x1bP+q544e\x1b\\rest", "rest"),
        ("\x1bc\x1b(B\x1b7rest", "rest"),
        ("over\rwritten, bac\x08k, bell\x07", "overwritten, back, bell"),
        ("cut\x1b[31", "cut"),
        ("cut\x1b]0;title", "cut"),
        ("cut\x1b", "cut"),
        ("unended \x1b]0;title\nnext line", "unended \nnext line"),
        ("moc.\u202elive", "moc.live"),
        ("\x00\x7f", ""),
    ],
)
def test_what_is_left(printed: str, shown: str) -> None:
    assert harmless(printed) == shown


@given(st.text() | st.text("\x1b[]P\\;0mK\x07\x9b\x9d\x9c\nab?"))
def test_any_text_is_harmless_and_keeps_its_lines(text: str) -> None:
    found = harmless(text)
    assert harmless(found) == found
    assert found.count("\n") == text.count("\n")
    assert not any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in found)


@given(st.text(st.characters(exclude_categories=["Cc", "Cf"])))
def test_words_stay(text: str) -> None:
    assert harmless(text) == text
