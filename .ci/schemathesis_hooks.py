"""What no schema can say. An Idempotency-Key that is used again for another body is refused, so each is made new; no
variable may be secret and open at once; no two files of a job may be in one place; a reader that follows the
events never comes to an end; the only runner must stay at work, or every job after that would wait; and nobody waits for a job that requires another."""

import itertools
import re

import schemathesis

NUMBERS = itertools.count()
KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context, case, **kwargs):
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key):
        case.headers[KEY] = f"{key[:240]}-{next(NUMBERS)}"
    if case.path == "/v1/events" and case.query:
        case.query.pop("follow", None)
    if case.path.startswith("/v1/runners/{id}") and case.method != "GET" and not case.path.endswith("/resume"):
        case.path_parameters["id"] = "elsewhere"
    wait = (case.query or {}).get("wait")
    if isinstance(wait, str) and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?|([0-9]{1,3}(ms|s|m|h|d)){1,5}", wait):
        case.query["wait"] = "1s"
    for job in jobs(case.body):
        env, secret = job.get("env"), job.get("secret_env")
        if isinstance(env, dict) and isinstance(secret, dict):
            for name in env:
                secret.pop(name, None)
        if isinstance(job.get("files"), list):
            job["files"] = apart(job["files"])


def apart(files):
    """The files without those that are where another one is, or is a folder of; whatever is no file stays."""
    kept, places = [], []
    for file in files:
        path = file.get("path") if isinstance(file, dict) else None
        if isinstance(path, str):
            if any(f"{path}/".startswith(f"{place}/") or f"{place}/".startswith(f"{path}/") for place in places):
                continue
            places.append(path)
        kept.append(file)
    return kept


def jobs(body):
    """The jobs of a submit's or a batch's body, whatever else it is."""
    if not isinstance(body, dict):
        return []
    inner = body.get("jobs")
    return [job for job in (inner if isinstance(inner, list) else [body]) if isinstance(job, dict)]
