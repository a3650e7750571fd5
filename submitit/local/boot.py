"""How the backend's own processes are started: with the package of the process that starts them, wherever it lies."""

from __future__ import annotations

import os

# The current directory must not shadow a module of the standard library, but the package is the starter's own.
_CODE = (
    "import sys;path=[entry for entry in sys.path if entry];sys.path[:]=[sys.argv[2],*path];import submitit;"
    "sys.path[:]=path;from submitit.local.{module} import main;main()"
)


def words(module: str, word: str, *arguments: str) -> list[str]:
    """What follows the interpreter's name and options. ``main()`` of ``module`` finds ``arguments`` in ``sys.argv[3:]``.

    ``word`` stands before them, for those who look at command lines.
    """
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return ["-c", _CODE.format(module=module), word, package_parent, *arguments]
