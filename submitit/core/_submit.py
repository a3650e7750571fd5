"""``python -m submitit.core._submit FOLDER``: run the job that this process is a task of."""

from submitit.orchestrator.runner import submitit_main

__all__ = ["submitit_main"]

if __name__ == "__main__":
    submitit_main()
