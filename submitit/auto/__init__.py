"""The historic home of ``AutoExecutor``: ``submitit.auto.auto``."""

from submitit import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from submitit.auto import auto

__all__ = ["auto"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attributes(__name__, __all__)
