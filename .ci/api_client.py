"""Uses the client that a generator wrote from our API's description, against a node whose jobs are made up.

Arguments: where the API stands, and the token that it demands. The client judges every answer by the types of the
description, so that an answer of another shape fails here; what is asserted beside that is what the answer says.
"""

import importlib
import pkgutil
import sys

import callboard_client
from callboard_client import ApiClient, ApiException, Configuration, models
from callboard_client.api.jobs_api import JobsApi
from callboard_client.api.operation_api import OperationApi
from callboard_client.api.original_api import OriginalApi
from callboard_client.api.output_api import OutputApi

URL, TOKEN = sys.argv[1:]
ENDS = ("completed", "failed")  # by its id, which is new each time


def refusal(status, name, call):
    """A call that must be refused with this status, and a problem of this name that the client can read."""
    try:
        call()
    except ApiException as error:
        problem = error.data
        assert isinstance(problem, models.ProblemBody), error
        assert error.status == status and problem.status == status, error
        assert problem.type.endswith(f"/problems/{name}"), problem
        assert problem.request_id, problem
        return problem
    raise AssertionError(f"not refused: {status} {name}")


def submit_and_read(jobs):
    words = models.SubmitBody(
        command=models.CommandBody(["echo", "a b"]),
        name="generated",
        env={"LANG": "C"},
        stdin=models.StdinBody(models.StdinText(text="input")),
        timeout_ms=5000,
        on_lost="never",
    )
    done = jobs.submit_job(words, wait="10s")
    assert isinstance(done, models.JobBody) and done.status in ENDS, done
    assert done.command.actual_instance == ["echo", "a b"] and done.name == "generated", done
    seen = jobs.get_job(done.id)
    assert seen == done, (seen, done)
    line = models.SubmitBody(command=models.CommandBody("echo hello"))
    again = [jobs.submit_job(line, idempotency_key="once").id for _ in range(2)]
    assert again[0] == again[1], again
    batch = jobs.submit_batch(models.BatchBody(jobs=[line, line]))
    assert [item.job.command.actual_instance for item in batch.items] == ["echo hello"] * 2, batch
    return done


def list_all(jobs, newest_first):
    """Every page of two, by the cursors."""
    found, cursor = [], None
    while True:
        page = jobs.list_jobs(limit=2, cursor=cursor)
        found += [job.id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(found) == len(set(found)) and set(newest_first) <= set(found), (found, newest_first)
    named = jobs.list_jobs(name="generated")
    assert named.items and all(job.name == "generated" for job in named.items), named


def cancel_and_write(jobs, output, operation):
    """A job that waits, because the queue is paused, can be cancelled; one that is over takes no input."""
    assert operation.pause_queue().paused is True
    streamed = models.StdinBody(models.StdinStream(stream=True))
    waiting = jobs.submit_job(models.SubmitBody(command=models.CommandBody("cat"), stdin=streamed))
    seen = jobs.get_job(waiting.id)
    assert seen.status == "pending" and seen.reason == "queue_paused", seen
    gone = jobs.cancel_job(waiting.id, models.CancelBody(note="not needed"))
    assert gone.status == "cancelled", gone
    assert operation.resume_queue().paused is False
    refusal(409, "conflict", lambda: output.write_stdin(waiting.id, b"input"))
    return waiting


def main():
    for module in pkgutil.walk_packages(callboard_client.__path__, "callboard_client."):
        importlib.import_module(module.name)
    with ApiClient(Configuration(host=URL, access_token=TOKEN)) as client:
        jobs, output = JobsApi(client), OutputApi(client)
        operation, original = OperationApi(client), OriginalApi(client)
        done = submit_and_read(jobs)
        cancelled = cancel_and_write(jobs, output, operation)
        list_all(jobs, [done.id, cancelled.id])
        # Of what a route answers this generator asks for whatever has `json` in its name, and reads only JSON itself.
        text = {"Accept": "text/plain"}
        assert output.read_logs(done.id, stream="stdout", _headers=text) == "", "nothing is executed here"
        accepted = original.original_submit_job(models.CompatSubmit(command="true", timeout=models.CompatTimeout(5)))
        assert original.original_get_job(accepted.job_id).status in ("pending", "running", *ENDS)
        events = operation.read_events_without_preload_content(topic="job").data.decode().splitlines()
        assert any(models.EventBody.from_json(line).job == done.id for line in events), events
        assert original.health().service == "coordinator"
        assert operation.version().version and operation.stats() and operation.readyz()
        jobs.delete_job(done.id)
        refusal(404, "not-found", lambda: jobs.get_job(done.id))
        refusal(422, "validation", lambda: output.read_logs(cancelled.id, offset=1))
    with ApiClient(Configuration(host=URL, access_token="wrong")) as client:
        refusal(401, "unauthorized", lambda: JobsApi(client).list_jobs())
    print("ok: submit, read, list, cancel and refusals, through a generated client")


main()
