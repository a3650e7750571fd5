"""Lists of nodes as Slurm writes them: ``n[1-3,07],gpu-[001-002]x[1-2]`` (sinfo.1, "hostlist expressions")."""

from __future__ import annotations

from typing import Final

from submitit.slurm.job_ids import _expand_id_suffix

#: As many as a cluster can have, and more than any has (slurm.h, MAX_SLURM_NODES).
NODE_LIMIT: Final = 1 << 16


class SlurmParseException(Exception):  # noqa: N818 (version 1's name)
    """A list of nodes could not be read."""


def _parse_node_list(node_list: str) -> list[str]:
    """Every node of the list, in its order; an empty list for an empty text.

    What has no brackets and no comma is one name, whatever it says (sacct writes ``None assigned``). Raises SlurmParseException
    for unbalanced or nested brackets, an empty name, an empty or falling range, and for more nodes than any cluster has.
    """
    try:
        return [name for pattern in _split(node_list) for name in _expand(pattern)] if node_list.strip() else []
    except ValueError as error:
        raise SlurmParseException(f"Unrecognized format for SLURM_JOB_NODELIST: {node_list!r}") from error


def _split(node_list: str) -> list[str]:
    """The parts between the commas that stand outside brackets."""
    text = node_list.strip()
    parts = []
    begin = 0
    inside = False
    for place, character in enumerate(text):
        if character == "," and not inside:
            parts.append(text[begin:place])
            begin = place + 1
        elif character in "[]":
            if inside is (character == "["):
                raise ValueError(f"unbalanced {character!r}")
            inside = not inside
    if inside:
        raise ValueError("unbalanced '['")
    parts.append(text[begin:])
    # Version 1 reads a trailing comma as nothing.
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def _expand(pattern: str) -> list[str]:
    """Every name of one pattern, the last bracket changing fastest."""
    if not pattern:
        raise ValueError("an empty name")
    names = [""]
    while pattern:
        literal, bracket, rest = pattern.partition("[")
        names = [name + literal for name in names]
        if not bracket:
            break
        numbers, _, pattern = rest.partition("]")
        # "6-9" has numbers, "9-6" and "" have none, "1,,2" has an empty one: a name would be missing or misspelt.
        endings = _expand_id_suffix(numbers)
        if not endings or not all(endings):
            raise ValueError(f"an empty range: {numbers!r}")
        if len(names) * len(endings) > NODE_LIMIT:
            raise ValueError("more nodes than any cluster has")
        names = [name + ending for name in names for ending in endings]
    return names
