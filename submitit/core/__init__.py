"""Historic import paths: everything below is defined elsewhere, and loaded when it is first asked for.

The runner starts as ``python -m submitit.core._submit``, so nothing is imported here.
"""

from submitit import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.core import core, job_environment, logger, plugins, submission, utils

__all__ = ["core", "job_environment", "logger", "plugins", "submission", "utils"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(__name__, (*__all__, "_submit"))
