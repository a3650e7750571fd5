"""parameter_tables.py: writes the tables of docs/reference/parameters.md from the code. Needs the checkout and nothing else."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "parameters.md"


def slurm() -> list[tuple[str, str, str]]:
    """Name, default and meaning of each parameter of a Slurm job: the fields of ``SlurmParameters`` and what stands below each."""
    from submitit.slurm.parameters import SlurmParameters

    tree = ast.parse((ROOT / "submitit" / "slurm" / "parameters.py").read_text(encoding="utf-8"))
    (body,) = (n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "SlurmParameters")
    told: dict[str, str] = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            told[field.target.id] = ast.literal_eval(below.value)
    defaults = SlurmParameters._field_defaults
    return [(f"slurm_{name}", _value(defaults[name]), told[name]) for name in sorted(SlurmParameters._fields)]


def options() -> str:
    """The other long options of ``sbatch``."""
    from submitit.slurm.options import OPTIONS, REFUSED
    from submitit.slurm.parameters import SlurmParameters

    return ", ".join(f"`slurm_{name}`" for name in sorted(set(OPTIONS) - set(REFUSED) - set(SlurmParameters._fields)))


def equivalents() -> list[tuple[str, str, str]]:
    """The generic parameters: type, and what Slurm calls each."""
    from submitit.client.parameters import GENERIC
    from submitit.slurm.parameters import EQUIVALENTS

    return [(name, kind.__name__, EQUIVALENTS.get(name, name)) for name, kind in GENERIC.items()]


def _value(default: object) -> str:
    return "" if default is None else f"`{default!r}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('``', '`') for cell in line)} |" for line in lines)


def tables() -> dict[str, str]:
    """What stands on the page between ``<!-- NAME -->`` and ``<!-- end -->``."""
    return {
        "generic": _table(("parameter", "type", "for Slurm"), [(f"`{n}`", t, f"`{s}`") for n, t, s in equivalents()]),
        "slurm": _table(("parameter", "default", ""), [(f"`{n}`", d, t.replace("|", "\\|")) for n, d, t in slurm()]),
        "options": options(),
    }


def written(page: str) -> str:
    """The page with its tables as the code has them now."""
    for name, text in tables().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        found = pattern.search(page)
        assert found, f"{PAGE} has no place for {name}"
        page = f"{page[: found.start()]}{found[1]}{text}\n{found[2]}{page[found.end() :]}"
    return page


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
