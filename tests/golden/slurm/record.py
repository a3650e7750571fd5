"""Records what a real Slurm prints about jobs in every state, beside this file, one folder a version.

    python tests/golden/slurm/record.py

It starts a throwaway cluster of its own (root, some minutes), submits what `_SCENARIOS` names and runs the commands of
`submitit.slurm.queries` and `limits` with it. A recording is the command, what it printed, and its exit code; the folder's
`jobs.json` has the id of each scenario. Paths of the machine are replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from submitit.slurm import job_ids, limits, parameters, queries
from support.slurm_cluster import SlurmCluster

SECONDS: Final = 60.0


class Recorder:
    """Submits and records on one cluster."""

    def __init__(self, cluster: SlurmCluster, scratch: Path, folder: Path) -> None:
        self.cluster = cluster
        self.scratch = scratch
        self.folder = folder
        self.jobs: dict[str, str] = {}
        self.replaced = {
            str(cluster.layout.public): "/cluster/public",
            str(cluster.layout.directory): "/cluster",
            str(scratch): "/home/user",
            os.uname().nodename: "localhost",
        }

    # -- recording

    def record(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and keep what it printed as NAME.txt; without `environment`, in that of a question."""
        base = {**os.environ, **self.cluster.env}
        env = queries.environment(base) if environment is None else {**base, **environment}
        env = {key: value for key, value in env.items() if key not in without}
        done = subprocess.run(
            command, env=env, cwd=self.scratch, capture_output=True, text=True, timeout=600, check=False
        )
        text = f"$ {' '.join(command)}\n{done.stdout}--- stderr\n{done.stderr}--- exit code {done.returncode}\n"
        for path, word in self.replaced.items():
            text = text.replace(path, word)
        (self.folder / f"{name}.txt").write_text(text)
        return done

    def show(self, scenario: str, name: str | None = None) -> None:
        self.record(f"scontrol-{name or scenario}", queries.show_job_command(self.jobs[scenario]))

    def live(self) -> None:
        """What the controller knows now."""
        self.record("squeue", queries.squeue_command("0"))

    # -- submitting

    def submit(self, scenario: str, script: str = "true", *options: str) -> str:
        path = self.scratch / f"{scenario}.sh"
        path.write_text(f"#!/bin/bash\n{script}\n")
        output = self.cluster.run("sbatch", "--chdir=/", "--output=/dev/null", *options, str(path)).stdout
        self.jobs[scenario] = queries.parse_sbatch(output).job_id
        return self.jobs[scenario]

    def refused(
        self, name: str, *options: str, script: str = "true", environment: Mapping[str, str] | None = None
    ) -> None:
        """A submission that is expected to fail, recorded as sbatch-NAME."""
        path = self.scratch / "refused.sh"
        path.write_text(f"#!/bin/bash\n{script}\n")
        done = self.record(f"sbatch-{name}", ["sbatch", "--output=/dev/null", *options, str(path)], environment or {})
        if not done.returncode:
            print(f"{name}: not refused: {done.stdout}", file=sys.stderr)
            self.cluster.run("scancel", queries.parse_sbatch(done.stdout).job_id)

    # -- waiting

    def state(self, job_id: str) -> str:
        done = self.cluster.run("squeue", "-h", "-a", "--states=all", "-o", "%T", "-j", f"{job_id},{job_id}")
        return done.stdout.split("\n", 1)[0]

    def wait(self, scenario: str, *states: str) -> None:
        job_id = self.jobs[scenario]
        self.until(lambda: self.state(job_id) in states, lambda: f"{scenario}: {self.state(job_id)}, not {states}")

    def until(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(what())
            time.sleep(0.2)

    def run(self, *command: str) -> None:
        self.cluster.run(*command, check=False)


def endings(recorder: Recorder) -> None:
    """Jobs that end in every way that a job can, and some that wait."""
    submit, run = recorder.submit, recorder.run
    het = (
        "#!/bin/bash\n#SBATCH --ntasks=1 --output=/dev/null --chdir=/\n#SBATCH hetjob\n#SBATCH --ntasks=2\nsleep 600\n"
    )
    script = recorder.scratch / "het.sh"
    script.write_text(het)
    recorder.jobs["het"] = queries.parse_sbatch(recorder.cluster.run("sbatch", str(script)).stdout).job_id
    recorder.wait("het", "RUNNING")
    hog = "python3 -c 'x = bytearray(400_000_000); import time; time.sleep(5)'"
    submit("completed", "srun hostname", "--nodes=2")
    submit("failed", "exit 3")
    submit("swallowed", "srun bash -c 'exit 7'\nexit 0")
    submit("killed", "kill -9 $$")
    submit("oom-step", f"srun {hog}", "--mem=100")
    submit("oom-batch", f"exec {hog}", "--mem=100")
    submit("no-log-folder", "true", "--output=/does/not/exist/%j.log")
    submit("array", "exit $((SLURM_ARRAY_TASK_ID == 2))", "--array=0-3")
    submit(
        "named", "sleep 600", "--job-name=a b JobState=FAILED x", "--comment=JobState=TIMEOUT | y", "--mem-per-cpu=300"
    )
    submit("running", "srun sleep 600", "--nodes=2", "--ntasks-per-node=2", "--mem=200")
    submit("timeout", "srun sleep 600", "--time=1")
    submit("cancelled", "srun sleep 600")
    submit("held", "true", "--hold")
    submit("cancelled-pending", "true", "--hold")
    submit("dependent", "true", f"--dependency=afterok:{recorder.jobs['failed']}")
    submit("requeued", "sleep 600", "--requeue")
    submit("throttled", "sleep 600", "--array=0-9%2")
    submit("holes", "true", "--hold", "--array=0-199")
    submit("steps", "true", "--hold", "--array=0-20:2%3")
    submit("array-cancelled", "true", "--hold", "--array=0-9")
    submit("no-requeue", "sleep 600", "--no-requeue", "--nodelist=n2")
    submit("node-failed", "sleep 600", "--requeue", "--nodelist=n2")
    for scenario in ("running", "timeout", "cancelled", "requeued", "named", "no-requeue", "node-failed"):
        recorder.wait(scenario, "RUNNING")
    recorder.wait("throttled", "RUNNING", "PENDING")

    jobs = recorder.jobs
    run("scontrol", "update", f"jobid={jobs['timeout']}", "EndTime=now+3")
    recorder.record("scancel", queries.scancel_command([jobs["cancelled"]]))
    recorder.record("scancel-unknown", queries.scancel_command(["4000000"]))
    recorder.record("scancel-no-id", ["scancel", "abc"])
    run("scancel", jobs["cancelled-pending"])
    run(
        "scancel",
        *job_ids.ranges([f"{jobs['holes']}_{index}" for index in (*range(1, 80, 2), *range(81, 84), 150)]),
    )
    run("scancel", jobs["array-cancelled"])
    recorder.record("scontrol-requeue", queries.requeue_command(jobs["requeued"]))
    recorder.wait("requeued", "PENDING")
    recorder.show("requeued", "requeued-waiting")
    recorder.record("scontrol-requeue-pending", queries.requeue_command(jobs["requeued"]))
    recorder.record("scontrol-requeue-unknown", queries.requeue_command("4000000"))
    recorder.record("scontrol-requeue-finished-no", queries.requeue_command(jobs["no-requeue"]))
    recorder.record("scontrol-start-now", queries.start_soon_command(jobs["requeued"]))
    recorder.record("scontrol-throttle", queries.throttle_command(jobs["throttled"], 3))
    recorder.record("scontrol-update-running", queries.start_soon_command(jobs["running"]))
    recorder.record("scontrol-update-finished", queries.start_soon_command(jobs["failed"]))
    recorder.wait("requeued", "RUNNING")
    recorder.wait("timeout", "TIMEOUT")
    recorder.wait("array", "COMPLETED", "FAILED")
    run("scontrol", "update", "nodename=n2", "state=down", "reason=recording")
    recorder.wait("no-requeue", "NODE_FAIL")
    run("scontrol", "update", "nodename=n2", "state=resume")
    time.sleep(3)  # the accounts lag

    recorder.live()
    recorder.record("sacct", queries.sacct_commands(jobs.values())[0])
    recorder.record(
        "sacct-duplicates", ["sacct", "-D", *queries.sacct_commands([jobs["requeued"], jobs["node-failed"]])[0][1:]]
    )
    for scenario in jobs:
        recorder.show(scenario)
    recorder.record("scontrol-unknown", queries.show_job_command("4000000"))
    recorder.record("scontrol-element", queries.show_job_command(f"{jobs['holes']}_0"))
    recorder.record("scontrol-element-cancelled", queries.show_job_command(f"{jobs['holes']}_1"))
    recorder.record("squeue-ids", queries.squeue_command(job_ids=[jobs["failed"], f"{jobs['array']}_1"]))
    recorder.record("squeue-unknown", queries.squeue_command(job_ids=["4000000"]))
    recorder.record("squeue-unknown-single", ["squeue", "-h", "-j", "4000000"])
    recorder.record("squeue-cut", queries.squeue_command("0"), {"SLURM_TIME_FORMAT": "%s"})
    recorder.record("sacct-cut", queries.sacct_commands([jobs["holes"]])[0], {})
    recorder.record("scontrol-cut", queries.show_job_command(jobs["holes"]), {})
    recorder.record("squeue-submissions", queries.submissions_command("0"))
    recorder.record("sacct-unknown", queries.sacct_commands(["4000000"])[0])
    recorder.record("sacct-unknown-field", ["sacct", "-P", "--format=JobID,Blublu", "-j", jobs["failed"]])
    recorder.record("sacct-brackets", ["sacct", "-P", "--format=JobID,State", "-j", f"{jobs['array']}_[0-2]"])
    recorder.record(
        "squeue-brackets", ["squeue", "-h", "-a", "-t", "all", "-o", "%i|%T", "-j", f"{jobs['array']}_[1-3]"]
    )
    run("scancel", "--user=root")
    time.sleep(3)
    recorder.record("squeue-cancelled", queries.squeue_command("0"))
    recorder.record("sacct-cancelled", queries.sacct_commands([jobs["throttled"], jobs["holes"]])[0])
    recorder.show("throttled", "array-cancelled-by-filter")


def preemption(recorder: Recorder) -> None:
    """A job that is preempted: before, while it has its grace, and after."""
    recorder.run("scontrol", "update", "partitionname=low", "GraceTime=8")
    recorder.submit(
        "preempted",
        "trap '' TERM; while :; do sleep 0.1; done",
        "--partition=low",
        "--nodes=2",
        "--exclusive",
        "--requeue",
    )
    recorder.wait("preempted", "RUNNING")
    recorder.submit("preemptor", "sleep 600", "--partition=high", "--nodes=2", "--exclusive")
    shown = queries.show_job_command(recorder.jobs["preempted"])
    recorder.until(
        lambda: bool(re.search(r"PreemptTime=\d", recorder.cluster.run(*shown).stdout)), lambda: "not preempted"
    )
    recorder.show("preempted", "preempting")
    recorder.record("squeue-preempting", queries.squeue_command("0"))
    recorder.wait("preempted", "PENDING")
    recorder.show("preempted")
    recorder.record("squeue-preempted", queries.squeue_command("0"))
    time.sleep(2)
    recorder.record("sacct-preempted", queries.sacct_commands([recorder.jobs["preempted"]])[0])
    recorder.run("scancel", "--user=root")


def refusals(recorder: Recorder) -> None:
    """Submissions that fail for good, and those that a limit holds back."""
    refused, run = recorder.refused, recorder.run
    refused("partition", "--partition=nowhere")
    refused("account", "--account=nobody")
    refused("qos", "--qos=nothing")
    refused("constraint", "--constraint=gpu")
    refused("gres", "--gres=gpu:1")
    refused("gpus-per-node", "--gpus-per-node=1")
    refused("nodes", "--nodes=3")
    refused("nodelist", "--nodelist=n7")
    refused("cpus", "--cpus-per-task=99")
    refused("memory", "--mem=99999999")
    refused("time", "--time=x")
    refused("option", "--blublu=1")
    refused("directive", script="#SBATCH --blublu=1\ntrue")
    refused("quote", script="#SBATCH --comment='x\ntrue")
    refused("array", "--array=0-1001")
    refused("array-range", "--array=3-1")
    refused("dependency", "--dependency=afterok:x")
    refused("reservation", "--reservation=x")
    refused("exclusive", script="#SBATCH --exclusive=False\ntrue")
    refused("begin", "--begin=x")
    refused("licenses", "--licenses=x")
    recorder.record("sbatch-missing-script", ["sbatch", "/nowhere.sh"], {})
    recorder.record("sbatch", ["sbatch", "--hold", "--output=/dev/null", "--wrap=true"], {})
    recorder.record("sbatch-parsable", ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true"], {})
    clusters = {"SLURM_CLUSTERS": "test"}
    recorder.record("sbatch-cluster", ["sbatch", "--hold", "--output=/dev/null", "--wrap=true"], clusters)
    recorder.record(
        "sbatch-parsable-cluster", ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true"], clusters
    )
    run("scontrol", "update", "partitionname=low", "State=DRAIN")
    refused("partition-drain", "--partition=low")
    run("scontrol", "update", "partitionname=low", "State=UP")
    run("scontrol", "update", "partitionname=low", "MaxTime=5")
    refused("partition-time", "--partition=low", "--time=50")
    run("scontrol", "update", "partitionname=low", "MaxTime=UNLIMITED")
    run("scancel", "--user=root")

    modify = ("sacctmgr", "-i", "-Q", "modify")
    run(*modify, "user", "root", "set", "MaxSubmitJobs=2")
    time.sleep(1)
    recorder.record("sacctmgr-associations", limits.associations_command("root"))
    refused("array-over-max-submit", "--array=0-2")
    held = ["sbatch", "--hold", "--output=/dev/null", "--wrap=true"]
    for _ in range(2):
        recorder.cluster.run(*held)
    refused("max-submit-association")
    run("scancel", "--user=root")
    run(*modify, "user", "root", "set", "MaxSubmitJobs=-1")
    run(*modify, "account", "root", "set", "GrpSubmitJobs=1")
    time.sleep(1)
    recorder.cluster.run(*held)
    refused("max-submit-account")
    run(*modify, "account", "root", "set", "GrpSubmitJobs=-1")
    run("scancel", "--user=root")
    run(*modify, "qos", "normal", "set", "MaxSubmitJobsPerUser=1", "MaxWall=10", "Flags=DenyOnLimit", "GrpSubmitJobs=7")
    time.sleep(1)
    recorder.record("sacctmgr-qos", limits.qos_command())
    recorder.cluster.run(*held)
    refused("max-submit-qos")
    run("scancel", "--user=root")
    refused("max-wall-qos", "--time=100")
    run(*modify, "qos", "normal", "set", "MaxSubmitJobsPerUser=-1", "MaxWall=-1", "GrpSubmitJobs=0")
    time.sleep(1)
    refused("group-submit-qos")
    run(*modify, "qos", "normal", "set", "GrpSubmitJobs=-1", "Flags=-1")


#: Written as they are behind ``#SBATCH --comment=``.
_WRITTEN: Final = (
    "plain", "two words", "'two words'", '"two words"', "two\\ words", "'he said \"hi\"'", "'x'\"'\"'y'", "a\\b", "'a\\b'", '"a\\b"',
    '"a\\\\b"', '"a\\"b"', "a#b", "'a#b'", "a #b", "$HOME", "`x`", "~", "a;b", "%j", "'%j%%'", "''", '""', "' lead'", "'trail '",
    "a'b c'd", "'a\\nb'", "'x'\\''y'", "*?[x]", "!x", "a|b", "'a\tb'", "é", "'a\\'", "'a", "a\\",
)  # fmt: skip
#: Values for `parameters.directive`.
_VALUES: Final = (
    "plain", "two words", "it's", 'he said "hi"', "'\"'\"", "\\", "\\\\", "a\\b", "ends with \\", "\\'", '\\"', "a\\nb", "'\\''", "# no comment",
    "a#b", "$HOME `x` $(y)", "~", "%j %%", "é 日本", "a\tb", " spaces ", "", "a=b", "--x", "!x", "*?[x]{1,2}", "a;b|c&d<e>f",
)  # fmt: skip


def quoting(recorder: Recorder) -> None:
    """What sbatch reads in the lines of a script, kept in quoting.json."""
    script = recorder.scratch / "quoting.sh"

    def read(line: str) -> dict[str, str]:
        script.write_text(f"#!/bin/bash\n{line}\ntrue\n")
        done = recorder.cluster.run("sbatch", "--parsable", "--hold", "--output=/dev/null", str(script), check=False)
        if done.returncode:
            return {"error": done.stderr.strip().replace(str(recorder.scratch), "/home/user")}
        job_id = done.stdout.strip()
        comment = recorder.cluster.run("squeue", "-h", "-o", "%k", "-j", job_id).stdout[:-1]
        return {"comment": comment}

    found = {
        "written": {value: read(f"#SBATCH --comment={value}") for value in _WRITTEN},
        "values": {value: read(parameters.directive("comment", value)) for value in _VALUES},
    }
    recorder.run("scancel", "--user=root")
    (recorder.folder / "quoting.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def outages(recorder: Recorder) -> None:
    """What the commands say while daemons are away."""
    cluster = recorder.cluster
    recorder.refused("no-configuration", environment={"SLURM_CONF": "/nowhere/slurm.conf"})
    recorder.record("sbatch-no-slurm-conf", ["sbatch", "--wrap=true"], {}, without=["SLURM_CONF"])
    cluster.stop_accounting()
    recorder.record("sacct-no-database", queries.sacct_commands(["1"])[0])
    recorder.record("sacctmgr-no-database", limits.qos_command())
    cluster.start_accounting()
    cluster.stop_controller()
    recorder.refused("no-controller")
    recorder.record("squeue-no-controller", queries.squeue_command("0"))
    recorder.record("scontrol-no-controller", queries.show_job_command("1"))
    cluster.start_controller()
    cluster.stop_daemon("munged")
    recorder.refused("no-munge")
    recorder.record("squeue-no-munge", queries.squeue_command("0"))
    cluster.start_daemon("munged")


def without_accounting(recorder: Recorder) -> None:
    """A cluster that keeps no accounts and takes few jobs."""
    recorder.submit("plain", "exit 4")
    recorder.wait("plain", "FAILED")
    recorder.show("plain", "no-accounting")
    recorder.record("sacct-no-accounting", queries.sacct_commands([recorder.jobs["plain"]])[0])
    recorder.record("sacctmgr-no-accounting", limits.qos_command())
    recorder.record("config-no-accounting", limits.config_command())
    refused = recorder.refused
    refused("array-over-max-job-count", "--array=0-30", "--hold")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        version = record_all(Path(directory))
        target = Path(__file__).resolve().parent / version
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(directory, target)


def record_all(folder: Path) -> str:
    """Fill ``folder`` and return the version that was recorded."""
    # Else a job that no node can run waits for ever instead of being refused.
    strict = {"EnforcePartLimits": "ALL", "AccountingStorageEnforce": "limits,qos"}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        scratch = Path(directory, "scratch")
        scratch.mkdir(mode=0o755)
        cluster = stack.enter_context(SlurmCluster(Path(directory, "one"), settings=strict))
        version = cluster.run("sinfo", "--version").stdout.split()[-1]
        recorder = Recorder(cluster, scratch, folder)
        recorder.record("config", limits.config_command())
        for part in (endings, preemption, refusals, quoting, outages):
            print(part.__name__, file=sys.stderr)
            part(recorder)
        (folder / "jobs.json").write_text(json.dumps(recorder.jobs, indent=2) + "\n")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory, "scratch")
        scratch.mkdir(mode=0o755)
        settings = {"MaxJobCount": 20, "SchedulerParameters": "sched_interval=1,max_array_tasks=100"}
        with SlurmCluster(Path(directory, "two"), accounting=False, settings=settings) as cluster:
            print("without_accounting", file=sys.stderr)
            without_accounting(Recorder(cluster, scratch, folder))
    return version


if __name__ == "__main__":
    main()
