"""The text of a throwaway cluster's configuration: values in, text out, nothing read or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CLUSTER_NAME: Final = "test"
ACCOUNT: Final = "test"
NODES: Final = ("n1", "n2")
CPUS_PER_NODE: Final = 8
MEMORY_MB_PER_NODE: Final = 8000
MEMORY_MB_PER_CPU: Final = 500

MUNGED: Final = "munged"
DATABASE: Final = "mariadbd"
SLURMDBD: Final = "slurmdbd"
SLURMCTLD: Final = "slurmctld"


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one cluster."""

    slurmctld: int
    slurmdbd: int
    database: int
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where a cluster keeps its files.

    `directory` is the caller's and may have any path and any mode. `public` is short (a Unix socket's path has at most
    107 bytes) and open to every user: clients read their configuration there, and jobs of any user run below it.
    """

    directory: Path
    public: Path

    @property
    def log_dir(self) -> Path:
        return self.directory / "log"

    @property
    def controller_dir(self) -> Path:
        return self.directory / "slurmctld"

    @property
    def database_dir(self) -> Path:
        return self.directory / "mariadb"

    @property
    def database_init(self) -> Path:
        return self.directory / "mariadb.sql"

    @property
    def record(self) -> Path:
        """What another process needs to know to command this cluster."""
        return self.directory / "cluster.json"

    @property
    def conf_link(self) -> Path:
        """A name for `slurm_conf` that stays the same at the next start."""
        return self.directory / "slurm.conf"

    @property
    def slurm_conf(self) -> Path:
        return self.public / "slurm.conf"

    @property
    def slurmdbd_conf(self) -> Path:
        return self.public / "slurmdbd.conf"

    @property
    def cgroup_conf(self) -> Path:
        return self.public / "cgroup.conf"

    @property
    def munge_key(self) -> Path:
        return self.public / "munge.key"

    @property
    def munge_socket(self) -> Path:
        return self.public / "munge.socket"

    @property
    def database_socket(self) -> Path:
        return self.public / "mariadb.socket"

    @property
    def supervisor_socket(self) -> Path:
        return self.public / "supervisor.socket"

    @property
    def spool_dir(self) -> Path:
        return self.public / "spool"

    def log(self, daemon: str) -> Path:
        return self.log_dir / f"{daemon}.log"


def slurm_conf(
    layout: Layout,
    ports: Ports,
    *,
    accounting: bool,
    cgroup: bool,
    settings: Mapping[str, object],
    extra_lines: Iterable[str],
) -> str:
    """The text of slurm.conf. A value in `settings` takes the place of the default; None leaves Slurm's own."""
    values: dict[str, object] = {
        "ClusterName": CLUSTER_NAME,
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": ports.slurmctld,
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={layout.munge_socket}",
        "CredType": "cred/munge",
        "StateSaveLocation": layout.controller_dir,
        "SlurmdSpoolDir": layout.spool_dir / "%n",
        "SlurmctldPidFile": layout.public / "slurmctld.pid",
        "SlurmdPidFile": layout.public / "%n.pid",
        "SlurmctldLogFile": layout.log(SLURMCTLD),
        "SlurmdLogFile": layout.log("%n"),
        "MailProg": "/bin/true",
        "MpiDefault": "none",
        "ReturnToService": 2,
        # More CPUs than the machine has, so that many jobs run side by side.
        "SlurmdParameters": "config_overrides",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "DefMemPerCPU": MEMORY_MB_PER_CPU,
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "sched_interval=1,batch_sched_delay=0,bf_interval=1",
        "PriorityType": "priority/basic",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "SlurmctldParameters": "preempt_send_user_signal",
        "ProctrackType": "proctrack/cgroup" if cgroup else "proctrack/linuxproc",
        "TaskPlugin": "task/cgroup" if cgroup else "task/none",
        "JobAcctGatherType": "jobacct_gather/cgroup" if cgroup else "jobacct_gather/linux",
        # The default of 30 s sees nothing of a job that is shorter.
        "JobAcctGatherFrequency": "task=1",
    }
    if accounting:
        values |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": ports.slurmdbd,
            # AuthInfo is not used for the connection to slurmdbd.
            "AccountingStoragePass": layout.munge_socket,
            "AccountingStorageEnforce": "limits",
        }
    lines = _merged(values, settings)
    size = f"CPUs={CPUS_PER_NODE} Sockets=1 CoresPerSocket={CPUS_PER_NODE} ThreadsPerCore=1"
    for node, port in zip(NODES, ports.nodes, strict=True):
        lines.append(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} {size}"
            f" RealMemory={MEMORY_MB_PER_NODE} State=UNKNOWN"
        )
    everywhere = f"Nodes={','.join(NODES)} State=UP DefaultTime=10 MaxTime=UNLIMITED"
    lines += [
        # `main` has the tier of `low`: it neither preempts nor is preempted.
        f"PartitionName=main {everywhere} Default=YES PriorityTier=1 PreemptMode=OFF",
        f"PartitionName=low {everywhere} PriorityTier=1 PreemptMode=REQUEUE",
        f"PartitionName=high {everywhere} PriorityTier=10 PreemptMode=OFF",
        *extra_lines,
    ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(layout: Layout, ports: Ports, password: str) -> str:
    """The text of slurmdbd.conf, which slurmdbd accepts with mode 0600 only."""
    return f"""\
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports.slurmdbd}
CommunicationParameters=NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={layout.munge_socket}
PidFile={layout.public / "slurmdbd.pid"}
LogFile={layout.log(SLURMDBD)}
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports.database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""


def cgroup_conf() -> str:
    """The text of cgroup.conf: memory is limited, CPUs are not (the nodes declare more than there are)."""
    return """\
CgroupPlugin=cgroup/v1
CgroupAutomount=no
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""


def database_init(password: str) -> str:
    """What MariaDB runs at its start: the account of slurmdbd, the only one that may come over TCP."""
    return "".join(
        f"CREATE USER 'slurm'@'{host}' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO 'slurm'@'{host}';\n"
        for host in ("127.0.0.1", "localhost")
    )


def munged_command(layout: Layout) -> list[str]:
    public = layout.public
    return [
        "munged",
        "--foreground",
        # A sticky directory above (/tmp) would be refused otherwise.
        "--force",
        f"--key-file={layout.munge_key}",
        f"--socket={layout.munge_socket}",
        f"--pid-file={public / 'munged.pid'}",
        f"--seed-file={public / 'munged.seed'}",
        f"--log-file={layout.log(MUNGED)}",
    ]


def database_install_command(layout: Layout) -> list[str]:
    return [
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={layout.database_dir}",
        "--auth-root-authentication-method=socket",
        "--auth-root-socket-user=root",
        "--skip-test-db",
        "--user=root",
    ]


def database_command(layout: Layout, ports: Ports) -> list[str]:
    return [
        "mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={layout.database_dir}",
        f"--socket={layout.database_socket}",
        f"--pid-file={layout.public / 'mariadbd.pid'}",
        f"--log-error={layout.log(DATABASE)}",
        f"--init-file={layout.database_init}",
        "--bind-address=127.0.0.1",
        f"--port={ports.database}",
        "--skip-name-resolve",
        # The data is thrown away: nothing needs to survive a crash of the machine.
        "--skip-innodb-doublewrite",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--innodb-fast-shutdown=2",
        # Below it slurmdbd warns.
        "--innodb-lock-wait-timeout=900",
        "--innodb-buffer-pool-size=128M",
        "--innodb-log-file-size=64M",
    ]


def slurmdbd_command() -> list[str]:
    return ["slurmdbd", "-D"]


def slurmctld_command() -> list[str]:
    return ["slurmctld", "-D"]


def slurmd_command(node: str) -> list[str]:
    return ["slurmd", "-D", "-N", node]


def _merged(values: Mapping[str, object], settings: Mapping[str, object]) -> list[str]:
    # Slurm's keys know no case, and a key given twice makes every command complain.
    names = {name.lower(): name for name in values}
    merged = dict(values) | {names.get(name.lower(), name): value for name, value in settings.items()}
    return [f"{name}={value}" for name, value in merged.items() if value is not None]
