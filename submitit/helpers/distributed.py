"""What ``torch.distributed`` has to be told in each process of a job."""

from __future__ import annotations

import os

from submitit.orchestrator.environment import JobEnvironment


class TorchDistributedEnvironment:
    """Address, port and ranks for ``torch.distributed``'s ``env://`` initialisation, the same answer on every rank of a job.

    To be made inside a job. ``master_addr`` is the name of the first node; where nothing resolves that, it is the address that Slurm has for the
    node, or the loopback's in a job of one node. ``master_port`` is ``$MASTER_PORT`` where that is set, else drawn from the job's id (on the local
    machine, where jobs share the ports, from its folder and attempt as well).
    """

    def __init__(self) -> None:
        self._job_env = JobEnvironment()
        self.master_addr = self._get_master_addr()
        self.master_port = self._get_master_port()
        self.rank = self._job_env.global_rank
        self.world_size = self._job_env.num_tasks
        self.local_rank = self._job_env.local_rank
        self.local_world_size = self._job_env.num_tasks // max(1, self._job_env.num_nodes)

    def _get_master_addr(self) -> str:
        """The node of rank 0, by its name; by an address where that name leads nowhere."""
        name = self._job_env.hostnames[0]
        if _resolves(name):
            return name
        if self._job_env.num_nodes == 1:
            return "127.0.0.1"
        return _slurms_address(name) or name

    def _get_master_port(self) -> int:
        """The port on which rank 0 listens."""
        given = os.environ.get("MASTER_PORT")
        if given:
            return int(given)
        import random

        seed = self._job_env.job_id
        if self._job_env.name() == "local":
            seed = f"{seed} {os.environ.get('SUBMITIT_FOLDER', '')} {self._job_env._attempt}"
        return random.Random(seed).randint(20000, 60000)

    def export(self, set_cuda_visible_devices: bool = True, overwrite: bool = False) -> TorchDistributedEnvironment:
        """Set the environment variables that ``torch.distributed`` reads, and return this object.

        With ``set_cuda_visible_devices`` the process sees one GPU alone: of those that the job has, the one of its local rank.
        Raises ``RuntimeError``, with nothing set, if one of the variables is set already and ``overwrite`` is not.
        """
        values = {
            "MASTER_ADDR": self.master_addr,
            "MASTER_PORT": str(self.master_port),
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_world_size),
        }
        for name in () if overwrite else values:
            if name in os.environ:
                raise RuntimeError(f"Cannot export environment variables as {name} is already set")
        if set_cuda_visible_devices:
            values["CUDA_VISIBLE_DEVICES"] = self._own_gpu()
        os.environ.update(values)
        return self

    def _own_gpu(self) -> str:
        granted = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
        return granted[self.local_rank] if self.local_rank < len(granted) else str(self.local_rank)


def _resolves(name: str) -> bool:
    import socket

    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def _slurms_address(node: str) -> str | None:
    """``NodeAddr`` of slurm.conf: clusters may name their nodes as no name service does."""
    import re

    from submitit import commands
    from submitit.errors import FailedJobError

    try:
        with commands.time_limit(20):  # without a configuration it asks, and asks again
            shown = commands.CommandFunction(["scontrol", "show", "node", node], verbose=False)()
    except (OSError, FailedJobError):
        return None
    found = re.search(r"\bNodeAddr=(\S+)", shown)
    return found and found[1]


TorchDistributedEnvironment.__module__ = "submitit.helpers"
