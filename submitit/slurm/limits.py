"""What a cluster refuses: how lasting a refusal is, and the limits behind it."""

# Annotations are evaluated here: as strings, every field of a NamedTuple would be compiled by itself, which takes
# longer than all the rest of the import. Patterns are compiled when they are first used.

import enum
import re
from typing import Final, NamedTuple


class Refusal(enum.Enum):
    """What is to be done about a submission that failed."""

    #: The controller was busy or out of reach. Try again; the job may have been taken all the same.
    TRANSIENT = "transient"
    #: A limit on the number of jobs was hit. Try again when some have ended.
    BACK_PRESSURE = "back-pressure"
    #: This job will not be taken, however often it is sent.
    PERMANENT = "permanent"


#: Texts of slurm_errno.c and of sbatch, as far as they end a submission. The first that occurs decides. What is not listed is
#: PERMANENT: to fail at once with Slurm's own words is better than to wait for nothing.
_TEXTS: Final = (
    # -- the number of jobs (resource_limits.shtml; acct_policy_validate prints the reason, job_reason_codes.shtml)
    (Refusal.BACK_PRESSURE, "MaxJobCount limit reached"),
    # EAGAIN, which is what sbatch hears of MaxJobCount (22.05): after two minutes of retries of its own it gives up.
    (Refusal.BACK_PRESSURE, "Resource temporarily unavailable"),
    (Refusal.BACK_PRESSURE, "Slurm temporarily unable to accept job"),
    (Refusal.BACK_PRESSURE, "Slurm job queue full"),
    # -- the controller (slurm_errno.c, sbatch.c)
    (Refusal.TRANSIENT, "Unable to contact slurm controller"),
    (Refusal.TRANSIENT, "Communication connection failure"),
    (Refusal.TRANSIENT, "Communication shutdown failure"),
    (Refusal.TRANSIENT, "Message send failure"),
    (Refusal.TRANSIENT, "Message receive failure"),
    (Refusal.TRANSIENT, "Socket timed out on send/recv operation"),
    (Refusal.TRANSIENT, "Zero Bytes were transmitted or received"),
    (Refusal.TRANSIENT, "Header lengths are longer than data received"),
    (Refusal.TRANSIENT, "Connection timed out"),
    (Refusal.TRANSIENT, "Connection refused"),
    (Refusal.TRANSIENT, "Connection reset by peer"),
    (Refusal.TRANSIENT, "Unexpected missing socket error"),
    (Refusal.TRANSIENT, "Interrupted system call"),
    (Refusal.TRANSIENT, "Job creation temporarily disabled"),
    (Refusal.TRANSIENT, "Requested nodes are busy"),
    (Refusal.TRANSIENT, "Required ports are in use"),
    (Refusal.TRANSIENT, "controller in standby mode"),
    (Refusal.TRANSIENT, "Controller is in standby mode"),
    (Refusal.TRANSIENT, "Process is shutting down"),
    (Refusal.TRANSIENT, "Rate limit exceeded"),
    (Refusal.TRANSIENT, "I/O error writing script/environment to file"),
    (Refusal.TRANSIENT, "Problem talking to the database"),
    (Refusal.TRANSIENT, "Unable to connect to database"),
    (Refusal.TRANSIENT, "System submissions disabled"),
    # -- munge restarting, or its clock (slurm_errno.c, slurm_auth errors)
    (Refusal.TRANSIENT, "Munge encode failed"),
    (Refusal.TRANSIENT, "Protocol authentication error"),
    # -- the configuration's server (configless_slurm.shtml). The name service knows no such server (netdb.h, HOST_NOT_FOUND and
    # NO_DATA, not TRY_AGAIN): this machine has no configuration at all, and will have none in a minute.
    (Refusal.PERMANENT, "res_nsearch error: Unknown host"),
    (Refusal.PERMANENT, "res_nsearch error: No address associated with name"),
    (Refusal.TRANSIENT, "failed to fetch config"),
    (Refusal.TRANSIENT, "Could not establish a configuration source"),
)

#: The one error text behind which both kinds hide; the reason stands in a line before it.
_POLICY: Final = "Job violates accounting/QOS policy"
#: Reasons about how many jobs are submitted, as opposed to how large one is: QOSMaxSubmitJobPerUserLimit,
#: AssocGrpSubmitJobsLimit, MaxSubmitJobsPerAccount, … (job_reason_codes.shtml).
_SUBMIT_REASON: Final = r"\b\w*Submit\w*Jobs?\w*\b"
_REASON: Final = r"(?m)^sbatch: error: ((?:Assoc|QOS|Max|Job|Acc|Partition)\w+)\s*$"
_OWN_REASON: Final = r"^AssocMaxSubmit|PerUser"


def classify(stderr: str | bytes) -> Refusal:
    """How lasting the refusal is that sbatch's stderr tells of. PERMANENT where nothing is known."""
    text = stderr.decode("utf-8", errors="replace") if isinstance(stderr, bytes) else stderr
    if _POLICY in text:
        # Without a reason (before 17.02, or LogLevel) it is taken for what it nearly always is: too many jobs.
        reasons = re.findall(_REASON, text)
        return Refusal.BACK_PRESSURE if not reasons or re.search(_SUBMIT_REASON, text) else Refusal.PERMANENT
    # sbatch says what it retried by itself before it says why it gave up.
    last = text.rpartition("Batch job submission failed:")[2]
    return next((refusal for refusal, words in _TEXTS if words in last), Refusal.PERMANENT)


class Counted(enum.Enum):
    """Which jobs a limit on their number counts."""

    #: those of the user: when they end there is room
    OWN = "own"
    #: those of other users as well: of an account, or of a quality of service
    SHARED = "shared"
    #: all that the controller remembers, those that have ended included
    ALL = "all"


def reason(stderr: str) -> str:
    """The name of the limit that a refusal tells of, such as ``"AssocMaxSubmitJobLimit"``; empty where there is none."""
    return next(iter(re.findall(_REASON, stderr)), "") if _POLICY in stderr else ""


def counted(stderr: str) -> Counted:
    """Which jobs the limit counts that a refusal of the kind BACK_PRESSURE tells of."""
    if _POLICY not in stderr:
        return Counted.ALL
    return Counted.OWN if re.search(_OWN_REASON, reason(stderr)) else Counted.SHARED


def is_invalid_array(stderr: str) -> bool:
    """Whether an array was refused for its indices: there are more elements than MaxArraySize allows."""
    return "Invalid job array specification" in stderr


def advice(stderr: str, *, single: bool) -> str:
    """What a user can do about a refusal that Slurm's words leave open; ``single``: nobody waits for a single job's turn."""
    if "Could not establish a configuration source" in stderr:
        return (
            "This machine has no configuration of Slurm: submit from a node of the cluster, "
            "or set SLURM_CONF to the path of its slurm.conf."
        )
    if "other parameter too long" in stderr:
        return (
            "The script may be too long: Slurm takes 4 MB unless its max_script_size says otherwise. "
            "Put long lines of setup or teardown into a file, and let them source it."
        )
    if single and classify(stderr) is Refusal.BACK_PRESSURE:
        return (
            "As many jobs are in the queue as may be. Submit again when some have ended (`squeue --me` shows yours); "
            "several calls sent together, by map_array, submit_array or batch, wait for their turn by themselves."
        )
    return ""


# ---------------------------------------------------------------- limits


class ClusterLimits(NamedTuple):
    """What ``scontrol show config`` says that matters to submitting and watching; ``None`` where it says nothing."""

    version: str | None = None
    #: the largest index of an array is one less; 0: the cluster takes no arrays (slurm.conf.5)
    max_array_size: int | None = None
    #: elements of one array, where it is set apart (slurm.conf.5, SchedulerParameters max_array_tasks)
    max_array_tasks: int | None = None
    #: jobs of all users, each element counted
    max_job_count: int | None = None
    #: how long the controller remembers a job that has ended; 0: for ever
    min_job_age_s: int | None = None
    #: between SIGTERM and SIGKILL
    kill_wait_s: int | None = None
    #: whether jobs may be requeued unless they say otherwise
    requeue: bool | None = None
    preempt_mode: str | None = None
    #: whether sacct has anything to tell
    accounting: bool | None = None
    #: whether limits on associations and qualities of service are kept to
    enforces_limits: bool | None = None

    @property
    def array_elements(self) -> int | None:
        """How many elements one array can have; ``None`` if that is not known."""
        sizes = [size for size in (self.max_array_size, self.max_array_tasks) if size is not None]
        return min(sizes, default=None)


def config_command() -> list[str]:
    """Ask the controller for the cluster's configuration."""
    return ["scontrol", "show", "config"]


_SETTING: Final = r"(?m)^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$"


def parse_settings(output: str | bytes) -> dict[str, str]:
    """Every setting that ``scontrol show config`` prints, by its name."""
    text = output.decode("utf-8", errors="replace") if isinstance(output, bytes) else output
    settings: dict[str, str] = {}
    for name, value in re.findall(_SETTING, text):
        settings.setdefault(name, value)
    return settings


def parse_config(output: str | bytes) -> ClusterLimits:
    """Read ``scontrol show config``. Whatever is missing or odd is ``None``."""
    settings = parse_settings(output)
    storage = settings.get("AccountingStorageType")
    enforce = settings.get("AccountingStorageEnforce")
    requeue = settings.get("JobRequeue", "")
    tasks = re.search(r"\bmax_array_tasks=(\d{1,9})\b", settings.get("SchedulerParameters", ""))
    return ClusterLimits(
        version=settings.get("SLURM_VERSION"),
        max_array_size=_number(settings, "MaxArraySize"),
        max_array_tasks=int(tasks[1]) if tasks else None,
        max_job_count=_number(settings, "MaxJobCount"),
        min_job_age_s=_number(settings, "MinJobAge"),
        kill_wait_s=_number(settings, "KillWait"),
        requeue=requeue == "1" if requeue else None,
        preempt_mode=settings.get("PreemptMode"),
        # "(null)" since 20.11, "accounting_storage/none" before
        accounting=None if storage is None else storage not in ("(null)", "", "accounting_storage/none"),
        enforces_limits=None if enforce is None else bool(re.search(r"\b(limits|safe|all)\b", enforce)),
    )


def _number(settings: dict[str, str], name: str) -> int | None:
    """The number that a setting begins with: ``"300 sec"``."""
    match = re.match(r"\d{1,15}\b", settings.get(name, ""))
    return int(match[0]) if match else None


def queue_command(user: str | None) -> list[str]:
    """Ask for the jobs of ``user`` that have not ended, or for all that the controller remembers; one line an element.

    Without a choice of states squeue would list those that are COMPLETING, which limits count no more.
    """
    command = ["squeue", "--noheader", "--all", "--array", "--format=%i"]
    if user is None:
        return [*command, "--states=all"]
    return [*command, "--states=PENDING,RUNNING,SUSPENDED", f"--user={user}"]


def parse_queue(output: str | bytes) -> int:
    """How many jobs there are, each element counted."""
    text = output.decode("utf-8", errors="replace") if isinstance(output, bytes) else output
    return sum(1 for line in text.split("\n") if line.strip()[:1].isdigit())


class SubmitLimit(NamedTuple):
    """How many jobs may be in the queue at once, waiting or running, each element counted."""

    #: what it applies to, such as ``"association test/physics/ada"`` or ``"qos normal, each user"``
    scope: str
    jobs: int


def associations_command(user: str) -> list[str]:
    """Ask the accounts for the limits on a user's associations."""
    return [
        "sacctmgr",
        "--parsable2",
        "show",
        "associations",
        f"user={user}",
        "format=Cluster,Account,User,Partition,MaxSubmit,GrpSubmit,QOS",
    ]


def qos_command() -> list[str]:
    """Ask the accounts for the limits of every quality of service."""
    return ["sacctmgr", "--parsable2", "show", "qos", "format=Name,MaxSubmitPU,MaxSubmitPA,GrpSubmit"]


#: Columns of sacctmgr that hold a number of jobs, and whose jobs it counts. Later versions write the longer names.
_COUNTED: Final = {
    "MaxSubmit": "each association",
    "MaxSubmitJobs": "each association",
    "GrpSubmit": "all together",
    "GrpSubmitJobs": "all together",
    "MaxSubmitPU": "each user",
    "MaxSubmitJobsPU": "each user",
    "MaxSubmitPA": "each account",
    "MaxSubmitJobsPA": "each account",
}


def parse_sacctmgr(output: str | bytes) -> list[SubmitLimit]:
    """The limits in a table of associations or of qualities of service; columns are found by its header."""
    text = output.decode("utf-8", errors="replace") if isinstance(output, bytes) else output
    header: list[str] = []
    found: list[SubmitLimit] = []
    for line in text.split("\n"):
        values = line.split("|")
        if not header:
            header = values if len(values) > 1 else []
            continue
        row = dict(zip(header, values, strict=False))
        parts = (row.get(name, "") for name in ("Cluster", "Account", "User", "Partition"))
        subject = f"qos {row['Name']}" if "Name" in row else f"association {'/'.join(part for part in parts if part)}"
        found += [
            SubmitLimit(f"{subject}, {whose}", int(row[name]))
            for name, whose in _COUNTED.items()
            if row.get(name, "").isdecimal() and len(row[name]) < 10
        ]
    return found
