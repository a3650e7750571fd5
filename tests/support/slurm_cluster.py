"""A real Slurm cluster of two nodes on this machine, made for a test and thrown away after it.

    with SlurmCluster(tmp_path) as cluster:
        subprocess.run(["sbatch", "--wrap", "hostname"], env={**os.environ, **cluster.env})

Nothing in the system's configuration is read or changed, every daemon listens on the loopback device, and a supervisor
ends all processes when this one does, however it ends (see `supervisor.py`). It takes root: slurmd starts jobs as
their users.

By hand: `python tests/support/slurm_cluster.py up` and `… down`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

if not __package__:
    # Run as a program: the tests' own folder is not on the path then.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from support import cgroups, slurm_config, supervisor
from support.slurm_config import DATABASE, MUNGED, NODES, SLURMCTLD, SLURMDBD, Layout, Ports

#: No start takes this long; a deadline for what hangs.
START_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.02
LOG_LINES: Final = 30
#: Debian keeps daemons out of an ordinary user's PATH.
DAEMON_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ClusterError(Exception):
    """The cluster did not do what was asked; the message has the daemon's last words."""


class SlurmCluster:
    """A cluster named `test` with the nodes n1 and n2 and the partitions main (the default), low and high.

    `high` preempts `low` by requeue, with the user signal; nothing preempts `main`. With `accounting` there are a
    database, limits are enforced, and root and `users` have an association with the account `test`.

    `settings` are values of slurm.conf that take the place of the defaults (None: leave it to Slurm), `extra_lines`
    are appended as they are. `proctrack="linuxproc"` does without cgroups where there are some.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        accounting: bool = True,
        *,
        proctrack: str | None = None,
        settings: Mapping[str, object] | None = None,
        extra_lines: Sequence[str] = (),
        users: Sequence[str] = (),
    ) -> None:
        if proctrack not in (None, "cgroup", "linuxproc"):
            raise ValueError(f"proctrack is cgroup, linuxproc or None, not {proctrack!r}")
        self.directory: Final = Path(directory).absolute()
        self.accounting = accounting
        self.proctrack = proctrack
        self.settings: Final = dict(settings or {})
        self.extra_lines: Final = tuple(extra_lines)
        self.users: Final = list(users)
        self._layout: Layout | None = None
        self._ports: Ports | None = None
        self._cgroups: dict[str, Path] = {}
        self._supervisor: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, directory: str | os.PathLike[str]) -> SlurmCluster:
        """The cluster that another process runs at this directory. Raises ClusterError if none does."""
        cluster = cls._recall(Path(directory).absolute())
        if cluster is None or not cluster.is_running():
            raise ClusterError(f"no cluster runs at {directory}")
        return cluster

    @classmethod
    def _recall(cls, directory: Path) -> SlurmCluster | None:
        """What its record says of the cluster at this directory, which may have died; None without a record."""
        try:
            record = json.loads(Layout(directory, Path()).record.read_text())
        except FileNotFoundError:
            return None
        cluster = cls(directory, record["accounting"])
        cluster._layout = Layout(directory, Path(record["public"]))
        cluster._ports = Ports(**{**record["ports"], "nodes": tuple(record["ports"]["nodes"])})
        cluster._cgroups = {controller: Path(path) for controller, path in record["cgroups"].items()}
        return cluster

    # -- what a client needs -------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that lead Slurm's commands to this cluster."""
        return {"SLURM_CONF": str(self.layout.slurm_conf)}

    @property
    def has_cgroup(self) -> bool:
        """Whether memory limits are enforced and processes are tracked by the kernel."""
        return bool(self._cgroups)

    @property
    def log_dir(self) -> Path:
        """One log a daemon, kept after the stop."""
        return Layout(self.directory, Path()).log_dir

    @property
    def layout(self) -> Layout:
        if self._layout is None:
            raise ClusterError("the cluster has not been started")
        return self._layout

    @property
    def ports(self) -> Ports:
        if self._ports is None:
            raise ClusterError("the cluster has not been started")
        return self._ports

    def run(
        self,
        *argv: str | os.PathLike[str],
        check: bool = True,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command of this cluster and returns its text output.

        With `check`, a failure raises ClusterError with what the command wrote.
        """
        done = subprocess.run(
            argv,
            env=self._client_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            words = " ".join(map(str, argv))
            raise ClusterError(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
        return done

    def add_user(self, name: str) -> None:
        """Lets an ordinary user submit where accounting demands an association. The user must exist."""
        if self.accounting:
            # Slurm keeps the user id that it saw first: a user made anew may have another.
            self.run("sacctmgr", "-i", "-Q", "delete", "user", name, check=False)
            self.run("sacctmgr", "-i", "-Q", "add", "user", name, f"account={slurm_config.ACCOUNT}")

    # -- start and stop ------------------------------------------------------------------------------------------

    def start(self) -> SlurmCluster:
        """Starts all daemons; on return both nodes are idle. If that fails, nothing is left running."""
        self._start(detached=False)
        return self

    def stop(self) -> None:
        """Ends all daemons and jobs and removes all but the logs. Does nothing if the cluster is not running."""
        if self._layout is None:
            return
        try:
            supervisor.ask(self._layout.supervisor_socket, {"do": "shutdown"})
        except OSError:
            # It was killed, and took the daemons with it.
            supervisor.tidy_up(supervisor_settings(self._layout, self._cgroups, owner=None))
        if self._supervisor is not None:
            self._supervisor.wait()
        self._supervisor = self._layout = self._ports = None
        self._cgroups = {}

    def __enter__(self) -> SlurmCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def is_running(self) -> bool:
        """Whether the supervisor lives, whatever has become of its daemons."""
        if self._layout is None:
            return False
        try:
            supervisor.ask(self._layout.supervisor_socket, {"do": "status", "name": MUNGED})
        except (OSError, RuntimeError):
            return False
        return True

    # -- faults --------------------------------------------------------------------------------------------------

    def kill_node(self, node: str, *, with_jobs: bool = False) -> None:
        """SIGKILL for a node's slurmd; its jobs run on, as they do when slurmd crashes.

        With `with_jobs` all that ran on the node is gone as well, as after a power cut. Slurm notices either after
        SlurmdTimeout, or when told so (`mark_node_down`).
        """
        self._check_node(node)
        self.kill_daemon(node, with_children=with_jobs)

    def mark_node_down(self, node: str) -> None:
        """Tells Slurm that a node has failed: its jobs get NODE_FAIL and are requeued if they may be."""
        self._check_node(node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def stop_node(self, node: str) -> None:
        self._check_node(node)
        self.stop_daemon(node)

    def start_node(self, node: str) -> None:
        """On return the node takes jobs again."""
        self._check_node(node)
        self._spawn(node)
        # It may have been marked down; if not, there is nothing to resume and scontrol says so.
        self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        self._wait_until_ready(node)

    def stop_controller(self) -> None:
        self.stop_daemon(SLURMCTLD)

    def kill_controller(self) -> None:
        self.kill_daemon(SLURMCTLD)

    def start_controller(self) -> None:
        """On return the controller answers, and knows the jobs that it knew before."""
        self.start_daemon(SLURMCTLD)

    def stop_accounting(self) -> None:
        """Ends slurmdbd: sacct fails, jobs still run."""
        self.stop_daemon(SLURMDBD)

    def start_accounting(self) -> None:
        self.start_daemon(SLURMDBD)

    def stop_daemon(self, name: str) -> None:
        """Ends a daemon by SIGTERM; on return it has gone. Does nothing if it is not running."""
        self._signal(name, signal.SIGTERM)

    def kill_daemon(self, name: str, *, with_children: bool = False) -> None:
        """Ends a daemon by SIGKILL; on return it has gone. Does nothing if it is not running."""
        if with_children:
            self._ask({"do": "kill_tree", "name": name})
        else:
            self._signal(name, signal.SIGKILL)

    def start_daemon(self, name: str) -> None:
        """Starts a daemon that was stopped or killed; on return it answers."""
        self._spawn(name)
        self._wait_until_ready(name)

    def daemon_pid(self, name: str) -> int | None:
        """None if that daemon is not running. Names: munged, mariadbd, slurmdbd, slurmctld, n1, n2."""
        return self._ask({"do": "status", "name": name}).get("pid")

    def wait_for_nodes(self, nodes: Sequence[str] = NODES) -> None:
        """Waits until these nodes are idle or run jobs."""

        def are_up() -> bool:
            done = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %t", check=False)
            states = dict(line.split() for line in done.stdout.splitlines())
            # A star after the word would mean: it does not answer.
            return all(states.get(node) in ("idle", "mix", "alloc", "comp") for node in nodes)

        self._wait_for(are_up, nodes[0], "up")

    # -- how -----------------------------------------------------------------------------------------------------

    def _start(self, *, detached: bool) -> None:
        if self._layout is not None:
            raise ClusterError("the cluster is running already")
        missing = missing_programs(self.accounting)
        if missing:
            raise ClusterError(f"missing: {', '.join(missing)}; tests/support/install_programs installs programs")
        before = self._recall(self.directory)
        if before is not None:
            if before.is_running():
                raise ClusterError(f"another cluster runs at {self.directory}")
            before.stop()
        self.directory.mkdir(parents=True, exist_ok=True)
        public = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        layout = Layout(self.directory, public)
        made: dict[str, Path] = {}
        try:
            if self.proctrack != "linuxproc":
                made = cgroups.make_cgroups(f"submitit-{public.name}")
            if self.proctrack == "cgroup" and not made:
                raise ClusterError("no writable cgroup v1 hierarchy, or no right to make namespaces")
            ports = choose_ports()
            self._layout, self._ports, self._cgroups = layout, ports, made
            self._write_files(layout, ports)
            self._supervisor = start_supervisor(layout, made, detached=detached)
        except BaseException:
            self._layout = self._ports = None
            self._cgroups = {}
            for path in made.values():
                supervisor.remove_cgroup(path)
            shutil.rmtree(public, ignore_errors=True)
            raise
        try:
            self._start_daemons()
        except BaseException:
            self.stop()
            raise

    def _write_files(self, layout: Layout, ports: Ports) -> None:
        layout.public.chmod(0o755)
        shutil.rmtree(layout.log_dir, ignore_errors=True)
        for path in (layout.log_dir, layout.controller_dir, layout.spool_dir):
            path.mkdir(exist_ok=True)
        _write_secret(layout.munge_key, secrets.token_bytes(128))
        if self.accounting:
            password = secrets.token_hex(16)
            _write_secret(layout.slurmdbd_conf, slurm_config.slurmdbd_conf(layout, ports, password).encode())
            _write_secret(layout.database_init, slurm_config.database_init(password).encode())
        _write_public(layout.cgroup_conf, slurm_config.cgroup_conf())
        _write_public(
            layout.slurm_conf,
            slurm_config.slurm_conf(
                layout,
                ports,
                accounting=self.accounting,
                cgroup=self.has_cgroup,
                settings=self.settings,
                extra_lines=self.extra_lines,
            ),
        )
        layout.conf_link.unlink(missing_ok=True)
        layout.conf_link.symlink_to(layout.slurm_conf)
        record = {
            "public": str(layout.public),
            "accounting": self.accounting,
            "ports": vars(ports),
            "cgroups": {controller: str(path) for controller, path in self._cgroups.items()},
        }
        layout.record.write_text(json.dumps(record))

    def _start_daemons(self) -> None:
        self._spawn(MUNGED)
        if self.accounting:
            self._install_database()
            self._spawn(DATABASE)
            self._wait_until_ready(DATABASE)
            self._wait_until_ready(MUNGED)
            self._spawn(SLURMDBD)
            self._wait_until_ready(SLURMDBD)
            sacctmgr = ("sacctmgr", "-i", "-Q", "add")
            self.run(*sacctmgr, "cluster", slurm_config.CLUSTER_NAME)
            self.run(*sacctmgr, "account", slurm_config.ACCOUNT)
            for user in ["root", *self.users]:
                self.run(*sacctmgr, "user", user, f"account={slurm_config.ACCOUNT}")
        else:
            self._wait_until_ready(MUNGED)
        self._spawn(SLURMCTLD)
        for node in NODES:
            self._spawn(node)
        self._wait_until_ready(SLURMCTLD)
        self.wait_for_nodes()

    def _install_database(self) -> None:
        shutil.rmtree(self.layout.database_dir, ignore_errors=True)
        log = self.layout.log("mariadb-install-db")
        with log.open("wb") as output:
            done = subprocess.run(
                slurm_config.database_install_command(self.layout),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=START_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise ClusterError(f"mariadb-install-db: exit code {done.returncode}\n{tail(log)}")

    def _spawn(self, name: str) -> None:
        layout = self.layout
        if name == MUNGED:
            command = slurm_config.munged_command(layout)
        elif name == DATABASE:
            command = slurm_config.database_command(layout, self.ports)
        elif name == SLURMDBD:
            command = slurm_config.slurmdbd_command()
        elif name == SLURMCTLD:
            command = slurm_config.slurmctld_command()
        else:
            self._check_node(name)
            command = slurm_config.slurmd_command(name)
            if self._cgroups:
                command = cgroups.within(self._cgroups, command)
        env = {**self.env, "PATH": DAEMON_PATH, "LANG": "C.UTF-8"}
        output = str(layout.log_dir / f"{name}.out")
        self._ask({"do": "spawn", "name": name, "argv": command, "env": env, "output": output})

    def _wait_until_ready(self, name: str) -> None:
        layout, ports = self.layout, self.ports
        if name == MUNGED:
            self._wait_for(lambda: _listens(layout.munge_socket), name, "answering")
        elif name == DATABASE:
            self._wait_for(lambda: _listens(ports.database), name, "answering")
        elif name == SLURMDBD:
            self._wait_for(lambda: _listens(ports.slurmdbd), name, "answering")
        elif name == SLURMCTLD:
            self._wait_for(lambda: _listens(ports.slurmctld), name, "answering")
            self._wait_for(lambda: "is UP" in self.run("scontrol", "ping", check=False).stdout, name, "answering")
        else:
            # Until the controller pings it next, it believes of a node what it knew before.
            port = ports.nodes[NODES.index(name)]
            self._wait_for(lambda: _listens(port), name, "answering")
            self.wait_for_nodes([name])

    def _wait_for(self, is_true: Callable[[], bool], daemon: str, what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_true():
            status = self._ask({"do": "status", "name": daemon})
            code = status.get("returncode")
            if code is not None:
                raise ClusterError(f"{daemon} ended with exit code {code}\n{self._last_words(daemon)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{daemon} not {what} after {START_SECONDS:g} s\n{self._last_words(daemon)}")
            time.sleep(POLL_SECONDS)

    def _last_words(self, daemon: str) -> str:
        logs = (self.layout.log(daemon), self.layout.log_dir / f"{daemon}.out")
        return "\n".join(tail(log) for log in logs if log.exists())

    def _signal(self, name: str, number: signal.Signals) -> None:
        status = self._ask({"do": "signal", "name": name, "signal": number})
        deadline = time.monotonic() + START_SECONDS
        while status.get("returncode") is None:
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} has not ended {START_SECONDS:g} s after {number.name}")
            time.sleep(POLL_SECONDS)
            status = self._ask({"do": "status", "name": name})

    def _ask(self, request: supervisor.Request) -> supervisor.Status:
        try:
            return supervisor.ask(self.layout.supervisor_socket, request)
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"{request['do']} {request.get('name', '')}: {error}") from error

    def _client_environment(self) -> dict[str, str]:
        # Inside a job of another cluster its variables would be taken for options.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, **self.env}

    def _check_node(self, node: str) -> None:
        if node not in NODES:
            raise ClusterError(f"no node {node!r}: there are {', '.join(NODES)}")


def missing_programs(accounting: bool = True) -> list[str]:
    """What a cluster needs and is not to be had here, root's rights included."""
    needed = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "setpriv"]
    if accounting:
        needed += ["slurmdbd", "sacctmgr", "sacct", "mariadbd", "mariadb-install-db"]
    path = os.pathsep.join([os.environ.get("PATH", ""), DAEMON_PATH])
    lacking = [name for name in needed if shutil.which(name, path=path) is None]
    return lacking if os.geteuid() == 0 else [*lacking, "root's rights"]


def start_supervisor(layout: Layout, made: Mapping[str, Path], *, detached: bool) -> subprocess.Popen[bytes]:
    """Starts the process that owns the cluster's daemons; it listens on the layout's socket at once."""
    settings = supervisor_settings(layout, made, owner=None if detached else os.getpid())
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        (layout.log_dir / "supervisor.log").open("wb") as log,
    ):
        listener.bind(str(layout.supervisor_socket))
        layout.supervisor_socket.chmod(0o600)
        listener.listen()
        return subprocess.Popen(
            [sys.executable, "-I", supervisor.__file__, str(listener.fileno()), json.dumps(settings)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )


def supervisor_settings(layout: Layout, made: Mapping[str, Path], *, owner: int | None) -> supervisor.Settings:
    """Whom the supervisor outlives by no moment, and what it removes at the end: all but the logs."""
    own = (layout.controller_dir, layout.database_dir, layout.database_init, layout.conf_link, layout.record)
    return {
        "owner": owner,
        "remove": [str(path) for path in (*own, layout.public)],
        "cgroups": [str(path) for path in made.values()],
    }


def choose_ports() -> Ports:
    """Free ports of the loopback device, below those that the kernel gives out by itself."""
    with contextlib.ExitStack() as held:

        def choose() -> int:
            while True:
                candidate = held.enter_context(socket.socket())
                try:
                    candidate.bind(("127.0.0.1", random.randrange(20000, 32000)))
                except OSError:
                    continue
                port: int = candidate.getsockname()[1]
                return port

        return Ports(choose(), choose(), choose(), tuple(choose() for _ in NODES))


def tail(log: Path) -> str:
    """The last lines of a log, under its name."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        lines = [str(error)]
    return "\n".join([f"--- {log}", *lines[-LOG_LINES:]])


def _listens(where: Path | int) -> bool:
    family = socket.AF_INET if isinstance(where, int) else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as client:
        try:
            client.connect(("127.0.0.1", where) if isinstance(where, int) else str(where))
        except OSError:
            return False
    return True


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _write_public(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def _up(directory: Path, accounting: bool, users: Sequence[str]) -> None:
    try:
        cluster = SlurmCluster.attach(directory)
    except ClusterError:
        cluster = SlurmCluster(directory, accounting, users=users)
        cluster._start(detached=True)
    print(f"export SLURM_CONF={cluster.layout.slurm_conf}")


def _down(directory: Path) -> None:
    cluster = SlurmCluster._recall(directory.absolute())
    if cluster is not None:
        cluster.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """`up` starts a cluster that stays until `down`."""
    parser = argparse.ArgumentParser(description="A throwaway Slurm cluster for use by hand.")
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--directory", type=Path, default=Path(".slurm"), help="where it lives (default: .slurm)")
    parser.add_argument("--no-accounting", action="store_true", help="without slurmdbd and its database")
    parser.add_argument("--user", action="append", default=[], help="an ordinary user who may submit")
    options = parser.parse_args(arguments)
    try:
        if options.command == "up":
            _up(options.directory, not options.no_accounting, options.user)
        else:
            _down(options.directory)
    except ClusterError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
