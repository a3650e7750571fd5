"""Training in several processes, which survives that its job is taken away: a small network learns a function, on CPUs.

    python examples/train_distributed.py                                       # two processes on this machine
    python examples/train_distributed.py --cluster slurm --nodes 2             # one on each of two nodes
    python examples/train_distributed.py --interrupt 5                         # ask the job to come back later, after five epochs

Needs submitit and torch. What is saved lies in the job's folder; a job that was preempted, or is out of time, goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

import submitit
from submitit import helpers


@dataclass
class Training:
    """The call that is submitted. Every process of the job makes it, with a rank of its own."""

    epochs: int
    epoch_s: float
    #: where the processes save their state
    folder: str

    def __call__(self) -> dict[str, Any]:
        import torch
        from torch import distributed

        torch.set_num_threads(1)
        env = helpers.TorchDistributedEnvironment().export()
        distributed.init_process_group("gloo")
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
        model = torch.nn.parallel.DistributedDataParallel(network)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        state = os.path.join(self.folder, "state.pt")
        losses: list[float] = []
        if os.path.exists(state):
            saved = torch.load(state)
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
            losses = saved["losses"]
        begun_at = len(losses)
        print(f"rank {env.rank} of {env.world_size} begins at epoch {begun_at + 1}", flush=True)
        # Each process has its own part of the points.
        points = torch.linspace(-3, 3, 512).reshape(-1, 1)[env.rank :: env.world_size]
        while len(losses) < self.epochs:
            end = time.monotonic() + self.epoch_s
            total = torch.zeros(())
            for batch in points[torch.randperm(len(points))].split(32):
                optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(model(batch), torch.sin(batch))
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(batch) / len(points)
            distributed.all_reduce(total)
            losses.append(total.item() / env.world_size)
            if env.rank == 0:
                print(f"epoch {len(losses)}: loss {losses[-1]:.4f}", flush=True)
                # Beside, then renamed: the job may be gone in between.
                torch.save(
                    {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses},
                    f"{state}.new",
                )
                os.replace(f"{state}.new", state)
            distributed.barrier()  # nobody goes on before the epoch is saved
            time.sleep(max(0.0, end - time.monotonic()))
        distributed.destroy_process_group()
        return {"rank": env.rank, "begun at": begun_at, "losses": losses}

    def checkpoint(self) -> helpers.DelayedSubmission:
        """What to run when the job comes back. All that counts has been saved after the last epoch."""
        return helpers.DelayedSubmission(self)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", choices=["slurm", "local"], default="local")
    parser.add_argument("--partition", help="of Slurm")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--tasks-per-node", type=int, default=2)
    parser.add_argument("--folder", default="train_distributed")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--epoch-s", type=float, default=0.1, help="seconds that an epoch takes at least, to watch it")
    parser.add_argument("--interrupt", type=int, metavar="EPOCHS", help="as a cluster does that needs the nodes")
    given = parser.parse_args()

    executor = submitit.AutoExecutor(folder=os.path.join(given.folder, "jobs"), cluster=given.cluster)
    executor.update_parameters(
        name="train",
        timeout_min=30,
        nodes=given.nodes,
        tasks_per_node=given.tasks_per_node,
        slurm_partition=given.partition,
    )
    job = executor.submit(Training(given.epochs, given.epoch_s, os.path.abspath(given.folder)))
    print(f"job {job.job_id}, logs in {job.paths.stdout.parent}", flush=True)
    if given.interrupt is not None:
        while f"epoch {given.interrupt}:" not in (job.task(0).stdout() or "") and not job.done():
            time.sleep(0.1)
        job._interrupt()
    results = job.results()
    losses = results[0]["losses"]
    assert all(result["losses"] == losses for result in results)
    print(f"the last attempt began at epoch {results[0]['begun at'] + 1}")
    print(f"{len(results)} processes, {len(losses)} epochs: the loss went from {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
