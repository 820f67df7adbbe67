"""A job's client: what it prints becomes progress, and one sentence when the job fails."""

import pytest

from hdl.errors import HdlError, SpecError, WorkerError
from hdl.runners import job as jobs
from hdl.runners.job import HadoopJob

STAMP = "2026-11-29 12:34:44,646"
SUBMITTED = f"{STAMP} INFO impl.YarnClientImpl: Submitted application application_17_0005"
STACK = [f"\tat org.apache.hadoop.X.y(X.java:{n})" for n in range(30)]
UNKNOWN_QUEUE = (
    f"{STAMP} ERROR streaming.StreamJob: Error Launching job : org.apache.hadoop.yarn.exceptions.YarnException: "
    "Failed to submit application_17_0004 to YARN : Application application_17_0004 submitted by user "
    "ada to unknown queue: nope"
)
NO_TICKET = (
    f"{STAMP} ERROR streaming.StreamJob: Error Launching job : DestHost:destPort localhost:16008 , LocalHost: "
    "localPort vm/127.0.0.1:0. Failed on local exception: java.io.IOException: org.apache.hadoop.security.Access"
    "ControlException: Client cannot authenticate via:[TOKEN, KERBEROS]"
)
FAILED_ATTEMPT = [
    f"{STAMP} INFO mapreduce.Job: Task Id : attempt_17_0005_m_000002_0, Status : FAILED",
    "Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 3",
    *STACK,
    f"{STAMP} INFO mapreduce.Job:  map 50% reduce 0%",
]
COUNTERS = [
    f"{STAMP} INFO mapreduce.Job: Counters: 40",
    "\tJob Counters ",
    *(f"\t\tcounter {n}={n}" for n in range(60)),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(lines, status)`: a client that prints them; returns the job, what was told, and its error."""
    monkeypatch.setattr(jobs.logs, "log_tail", lambda *arguments, **given: "")

    def run(lines, status=1):
        (tmp_path / "said").write_text("\n".join(lines) + "\n")
        told = []
        client = ["sh", "-c", f"cat {tmp_path}/said; exit {status}"]
        job = HadoopJob(
            client, {}, 60.0, lambda maps, reduces: told.append((maps, reduces)), lambda *why: told.append(why)
        )
        try:
            job.run()
        except HdlError as error:
            return job, told, error
        return job, told, None

    return run


def test_what_a_job_tells_comes_from_its_client_alone(run):
    lines = [SUBMITTED, f"{STAMP} INFO mapreduce.Job:  map 25% reduce 0%", *FAILED_ATTEMPT, *COUNTERS]
    job, told, error = run(lines, status=0)
    assert error is None
    assert job.application == "application_17_0005"
    why = "RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 3"
    assert told == [(0.25, 0.0), ("attempt_17_0005_m_000002_0", why), (0.5, 0.0)]
    assert job.counters["Job Counters"]["counter 7"] == 7


def test_a_job_that_was_not_submitted_says_why_in_one_sentence(run):
    _, _, error = run([f"{STAMP} INFO mapreduce.JobSubmitter: number of splits:4", UNKNOWN_QUEUE, *STACK])
    assert isinstance(error, SpecError)
    assert "the job could not be submitted: " in str(error)
    assert "nope" in str(error)
    assert "\n" not in str(error)
    _, _, error = run([NO_TICKET, *STACK, "Streaming Command Failed!"])
    assert error.exit_code == 10
    assert "kinit" in str(error)
    assert "\n" not in str(error)


def test_what_hadoop_does_not_explain_is_shown_without_its_chatter(run):
    lines = [f"{STAMP} INFO x", "Unrecognised option --xyz", *COUNTERS, "Streaming Command Failed!"]
    _, _, error = run(lines, status=5)
    assert str(error) == "the job could not be submitted (status 5): Unrecognised option --xyz"
    assert "Counters: 40" in error.__notes__[0]  # `--traceback` shows it all
    assert run(["only", "\tthis"])[2].args[0].endswith("only")


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (["Error: JAVA_HOME is not set and could not be found."], "JAVA_HOME is not set and could not be found."),
        ([f"{STAMP} ERROR streaming.StreamJob: no -input", "Try -help for more information"], "no -input"),
        (["sh: 1: hadoop: not found"], "sh: 1: hadoop: not found"),
        (["org.example.OddException: job.xml", *STACK, "Caused by: java.io.EOFException: byte 7", *STACK],
         "EOFException: byte 7 (OddException: job.xml)"),
    ],
)  # fmt: skip
def test_a_refused_submission_is_its_cause_in_one_sentence(run, said, cause):
    _, _, error = run([*(f"{STAMP} INFO mapreduce.JobSubmitter: {n}" for n in range(30)), *said])
    assert str(error).startswith("the job could not be submitted")
    assert str(error).endswith(f": {cause}")


def test_a_failed_job_says_what_its_tasks_said(run, monkeypatch):
    monkeypatch.setattr(jobs.logs, "log_tail", lambda *arguments, **given: "ModuleNotFoundError: no numpy")
    _, _, error = run([SUBMITTED, *FAILED_ATTEMPT, *COUNTERS])
    assert isinstance(error, WorkerError)
    assert "its tasks said:\nModuleNotFoundError: no numpy\nattempt_17_0005_m_000002_0: RuntimeException: " in str(
        error
    )
    assert str(error).endswith("The full log: yarn logs -applicationId application_17_0005")


def test_a_failed_job_whose_logs_nobody_has_gives_the_last_attempts_reason(run):
    _, told, error = run([SUBMITTED, *FAILED_ATTEMPT[:-1]])  # the client ends in the middle of it
    assert len(told) == 1
    assert "attempt_17_0005_m_000002_0: RuntimeException: PipeMapRed" in str(error)
    assert "X.java" not in str(error)
    assert "Counters" not in str(error)


def test_a_failed_job_without_a_failed_attempt_gives_its_end(run):
    end = "Job job_17_0005 failed with state KILLED due to: The required MAP capability is more than the supported max"
    _, _, error = run([SUBMITTED, f"{STAMP} INFO mapreduce.Job: {end}", *COUNTERS])
    assert "application_17_0005 failed; The required MAP capability is more than the supported max\n" in str(error)
