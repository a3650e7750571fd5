"""Text that does harm where it meets a shell, sbatch or a file name unquoted."""

from __future__ import annotations

from hypothesis import strategies as st

#: Made in the current directory by a text that was executed.
CANARY = "harmed"

_SNIPPETS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"; touch {CANARY} ;",
    f"' ; touch {CANARY} ; '",
    f'" ; touch {CANARY} ; "',
    f"\\' ; touch {CANARY} ; #",
    f"| touch {CANARY} #",
    f"&& touch {CANARY}",
    f"> {CANARY}",
    "$HOME ${PATH} $0 $$ $?",
    "#SBATCH --hold",
    " #",
    "--uid=0",
    "-rf",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "~root",
    "!!",
    "%%",
    "%x",
    "%%j %%t",
    "'",
    '"',
    "\\",
    "\\n",
    "caf\xe9 \u4e2d",
    "\x01\x1b[31m\x7f",
    "  two  spaces ",
    "\t",
    "=",
    ",",
    "EOF",
    "EndTime=x JobState=COMPLETED",
]

_plain = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), max_size=8)

#: One line of hostile text.
lines = st.lists(st.sampled_from(_SNIPPETS) | _plain, min_size=1, max_size=4).map("".join)


def _is_name(text: str) -> bool:
    # Tags of folders mean something, in the middle of anything.
    no_tags = not any(tag in text for tag in ("%j", "%t", "%A", "%a"))
    return text not in {"", ".", ".."} and no_tags and len(text.encode()) < 120


#: A name of a file or directory.
names = lines.map(lambda line: line.replace("/", "")).filter(_is_name)
#: The value of a variable: of any number of lines.
values = st.lists(lines, min_size=1, max_size=3).map("\n".join)
