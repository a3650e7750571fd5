"""What a cluster refuses, and its limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitit.slurm import limits
from submitit.slurm.limits import ClusterLimits, Counted, Refusal, SubmitLimit
from support.recordings import Recordings

PERMANENT = [
    "account", "array", "array-range", "begin", "constraint", "cpus", "dependency", "directive", "exclusive", "gpus-per-node", "gres",
    "licenses", "max-wall-qos", "memory", "missing-script", "no-configuration", "no-slurm-conf", "nodelist", "nodes", "option",
    "partition", "partition-drain", "partition-time", "qos", "quote", "reservation", "time",
]  # fmt: skip
BACK_PRESSURE = [
    "array-over-max-job-count", "array-over-max-submit", "group-submit-qos", "max-submit-account", "max-submit-association", "max-submit-qos",
]  # fmt: skip
TRANSIENT = ["no-controller", "no-munge"]
ACCEPTED = ["sbatch", "sbatch-parsable", "sbatch-cluster", "sbatch-parsable-cluster"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, Refusal.PERMANENT) for name in PERMANENT]
    + [(name, Refusal.BACK_PRESSURE) for name in BACK_PRESSURE]
    + [(name, Refusal.TRANSIENT) for name in TRANSIENT],
)
def test_a_recorded_refusal_is_classified(golden: Recordings, name: str, expected: Refusal) -> None:
    recording = golden(f"sbatch-{name}")
    assert recording.code != 0
    assert limits.classify(recording.stderr) is expected
    assert limits.classify(recording.stderr.encode()) is expected


def test_every_recorded_refusal_has_its_test(golden: Recordings) -> None:
    named = {f"sbatch-{name}" for name in PERMANENT + BACK_PRESSURE + TRANSIENT} | set(ACCEPTED)
    assert {name for name in golden.names() if name.startswith("sbatch")} == named


FAILED = "sbatch: error: Batch job submission failed: "
POLICY = f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (f"{FAILED}Socket timed out on send/recv operation", Refusal.TRANSIENT),
        (f"{FAILED}Unable to contact slurm controller (connect failure)", Refusal.TRANSIENT),
        (f"{FAILED}Zero Bytes were transmitted or received", Refusal.TRANSIENT),
        (f"{FAILED}Slurm backup controller in standby mode", Refusal.TRANSIENT),
        (f"{FAILED}I/O error writing script/environment to file", Refusal.TRANSIENT),
        (f"{FAILED}Requested nodes are busy", Refusal.TRANSIENT),
        (f"{FAILED}Rate limit exceeded, please retry momentarily", Refusal.TRANSIENT),
        (f"{FAILED}MaxJobCount limit reached", Refusal.BACK_PRESSURE),
        (f"sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n{FAILED}Resource temporarily unavailable", Refusal.BACK_PRESSURE),
        (POLICY, Refusal.BACK_PRESSURE),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", Refusal.BACK_PRESSURE),
        (f"sbatch: error: AssocGrpSubmitJobsLimit\n{POLICY}", Refusal.BACK_PRESSURE),
        (f"sbatch: error: MaxSubmitJobsPerAccount\n{POLICY}", Refusal.BACK_PRESSURE),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", Refusal.PERMANENT),
        (f"sbatch: error: AssocMaxCpuPerJobLimit\n{POLICY}", Refusal.PERMANENT),
        (f"sbatch: error: Hello from your administrators\n{POLICY}", Refusal.BACK_PRESSURE),
        (f"sbatch: error: Job creation temporarily disabled, retrying\n{FAILED}Invalid partition name specified", Refusal.PERMANENT),
        (f"{FAILED}Invalid account or account/partition combination specified", Refusal.PERMANENT),
        (f"{FAILED}Job dependency problem", Refusal.PERMANENT),
        ("sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Host name lookup failure\nsbatch: error: _establish_config_source: failed to fetch config\nsbatch: fatal: Could not establish a configuration source", Refusal.TRANSIENT),
        (f"{FAILED}Something that no one has seen", Refusal.PERMANENT),
        ("", Refusal.PERMANENT),
    ],
)  # fmt: skip
def test_a_refusal_is_classified(stderr: str, expected: Refusal) -> None:
    assert limits.classify(stderr) is expected


@given(st.text() | st.binary())
def test_any_words_are_classified(stderr: str | bytes) -> None:
    assert limits.classify(stderr) in Refusal


@pytest.mark.parametrize(
    ("name", "reason", "counted"),
    [
        ("max-submit-association", "AssocMaxSubmitJobLimit", Counted.OWN),
        ("max-submit-qos", "QOSMaxSubmitJobPerUserLimit", Counted.OWN),
        ("max-submit-account", "AssocGrpSubmitJobsLimit", Counted.SHARED),
        ("group-submit-qos", "QOSGrpSubmitJobsLimit", Counted.SHARED),
        ("array-over-max-job-count", "", Counted.ALL),
    ],
)
def test_the_limit_behind_a_recorded_refusal(golden: Recordings, name: str, reason: str, counted: Counted) -> None:
    words = golden(f"sbatch-{name}").stderr
    assert limits.reason(words) == reason
    assert limits.counted(words) is counted


def test_what_can_be_done_is_said_where_slurm_leaves_it_open(golden: Recordings) -> None:
    assert "SLURM_CONF" in limits.advice(golden("sbatch-no-slurm-conf").stderr, single=False)
    full = golden("sbatch-max-submit-association").stderr
    assert "map_array" in limits.advice(full, single=True)
    assert limits.advice(full, single=False) == ""
    assert limits.advice(golden("sbatch-partition").stderr, single=True) == ""


def test_too_long_an_array_is_recognised(golden: Recordings) -> None:
    assert limits.is_invalid_array(golden("sbatch-array").stderr)
    assert not limits.is_invalid_array(golden("sbatch-array-over-max-submit").stderr)


def test_jobs_in_the_queue_are_counted() -> None:
    assert limits.parse_queue("12\n13_0\n13_1\n") == 3
    assert limits.parse_queue(b"CLUSTER: far\n12\n\n") == 1
    assert limits.parse_queue("") == 0


# ---------------------------------------------------------------- limits


def test_the_recorded_configuration_is_read(golden: Recordings) -> None:
    found = limits.parse_config(golden("config").stdout)
    assert found == ClusterLimits(
        version=golden.version,
        max_array_size=1001,
        max_array_tasks=None,
        max_job_count=10000,
        min_job_age_s=300,
        kill_wait_s=30,
        requeue=True,
        preempt_mode="REQUEUE",
        accounting=True,
        enforces_limits=True,
    )
    assert found.array_elements == 1001
    without = limits.parse_config(golden("config-no-accounting").stdout.encode())
    assert (without.accounting, without.enforces_limits) == (False, False)
    assert (without.max_job_count, without.max_array_tasks, without.array_elements) == (20, 100, 100)


def test_what_a_configuration_does_not_say_is_unknown() -> None:
    assert limits.parse_config("") == ClusterLimits()
    assert limits.parse_config("MaxArraySize = many\nJobRequeue\n") == ClusterLimits()
    assert limits.parse_config("").array_elements is None


def test_older_configurations_are_read() -> None:
    found = limits.parse_config("AccountingStorageType   = accounting_storage/none\nMaxArraySize            = 0\n")
    assert found.accounting is False
    assert found.array_elements == 0


def test_the_recorded_limits_on_submissions_are_read(golden: Recordings) -> None:
    assert set(limits.parse_sacctmgr(golden("sacctmgr-associations").stdout)) == {
        SubmitLimit("association test/test/root, each association", 2),
        SubmitLimit("association test/root/root, each association", 2),
    }
    assert limits.parse_sacctmgr(golden("sacctmgr-qos").stdout) == [
        SubmitLimit("qos normal, all together", 7),
        SubmitLimit("qos normal, each user", 1),
    ]


def test_longer_names_and_other_orders_of_columns_are_read() -> None:
    table = "GrpSubmitJobs|Cluster|User|MaxSubmitJobs\n|c|ada|12\n7|c||\n"
    assert limits.parse_sacctmgr(table) == [
        SubmitLimit("association c/ada, each association", 12),
        SubmitLimit("association c, all together", 7),
    ]


def test_where_nothing_is_limited_there_is_no_limit(golden: Recordings) -> None:
    assert limits.parse_sacctmgr(golden("sacctmgr-no-accounting").stdout) == []
    assert limits.parse_sacctmgr("Name|MaxSubmitPU|GrpSubmit\nnormal||\n") == []


@given(st.text() | st.binary() | st.text(alphabet="MaxSubmitNamePU|=\n 019"))
def test_any_output_is_read(output: str | bytes) -> None:
    limits.parse_config(output)
    assert all(found.jobs >= 0 for found in limits.parse_sacctmgr(output))
