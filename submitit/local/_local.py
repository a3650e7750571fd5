"""``python -m submitit.local._local FOLDER``: the controller of one job, whose id is its own process number.

It is told by variables what to run, as in version 1; `start_controller` sets them. A client that was upgraded while it lived
starts its jobs in this way, too.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys

from submitit.local import controller, processes
from submitit.local.protocol import Launch, user_signal
from submitit.storage.paths import layout_of, unique_name


def launch_of(folder: str, env: dict[str, str]) -> Launch:
    """What the variables of version 1 say."""
    timeout_s = float(env["SUBMITIT_LOCAL_TIMEOUT_S"])
    command, shell = shlex.split(env["SUBMITIT_LOCAL_COMMAND"]), False
    if env.get("SUBMITIT_LOCAL_WITH_SHELL"):
        command, shell = [env["SUBMITIT_LOCAL_COMMAND"]], True
    gpus = [gpu for gpu in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    return Launch(
        folder=folder,
        command=command,
        shell=shell,
        cwd=os.getcwd(),
        env={name: value for name, value in env.items() if not name.startswith("SUBMITIT_LOCAL_")},
        umask=processes.current_umask(),
        limits=processes.limits(),
        tasks=int(env["SUBMITIT_LOCAL_NTASKS"]),
        cpus=1,
        max_cpus=None,
        max_jobs=None,
        parallelism=None,
        mem_gb=0,
        gpus=len(gpus),
        visible_gpus=gpus,
        lease_gpus=False,
        timeout_s=timeout_s,
        signal_delay_s=float(env.get("SUBMITIT_LOCAL_SIGNAL_DELAY_S", "30")),
        user_signal=user_signal(env),
        stderr_to_stdout=bool(env.get("SUBMITIT_STDERR_TO_STDOUT")),
        preload=[],
    )


def main() -> None:
    """Run the job to its end."""
    folder = sys.argv[1]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    layout = layout_of(folder)
    layout.make()
    # As long as its client lives it is the client's child: nobody has to be watched.
    server = controller.Controller(unique_name(), os.getppid(), connection=None)
    server.serve(str(layout.root), launch_of(folder, dict(os.environ)), str(os.getpid()))


if __name__ == "__main__":
    main()
