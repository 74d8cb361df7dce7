#!/usr/bin/env python3
"""What docker/ ships, on a Docker engine: `prove.py NAME FOLDER COMPOSE...`, in the root of the repository, once `bases` has made
the images of NAME. Compose builds the image and starts it as it is shipped; the curl session of docker/README.md is held; then
three runners are killed, cut off and restarted, and so is the coordinator, while jobs write down where they begin and end; and
at last tokens are demanded. Whatever happens, nothing of it is left. It knows nothing of how a node does all that."""

import collections
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

NAME, FOLDER, COMPOSE = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
HISTORY = FOLDER / "history"
RUNNERS, SLOTS = 3, 2
PATIENCE_S = 60
# Of the profile `test`: beyond `unreachable` (1.5 s), and far from `lost` (30 s).
CUT_OFF_S = 5
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


PORT = free_port()
URL = f"http://127.0.0.1:{PORT}"
# Where it is already running from this checkout, that is somebody else's: another project, image and port.
SHIPPED = os.environ | {
    "COMPOSE_PROJECT_NAME": NAME, "NODE_IMAGE": f"{NAME}-node", "COORDINATOR_PORT": str(PORT),
    "BUILD_IMAGE": os.environ.get("BUILD_IMAGE", f"{NAME}-build"),
    "RUNTIME_IMAGE": os.environ.get("RUNTIME_IMAGE", f"{NAME}-runtime"),
    "HISTORY": str(HISTORY), "OPERATOR_TOKEN": str(FOLDER / "operator.token"), "JOIN_TOKEN": str(FOLDER / "join.token"),
    "no_proxy": "*",
}
SHIPPED.pop("COMPOSE_FILE", None)
TOKENS = SHIPPED | {"COMPOSE_FILE": "docker/compose.yml:docker/compose.tokens.yml"}
FAULTY = SHIPPED | {"COMPOSE_FILE": "docker/compose.yml:.ci/compose/faults.yml"}


def ok(what):
    print(f"ok: {what}", flush=True)


def fault(what):
    raise SystemExit(f"FAULT: {what}")


def expect(so, what):
    if not so:
        fault(what)


def said(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def compose(*words, env=FAULTY, check=True):
    return subprocess.run([*COMPOSE, *words], check=check, env=env)


def containers(service, *more):
    """The names of those that run."""
    labels = [f"label=com.docker.compose.project={NAME}", f"label=com.docker.compose.service={service}"]
    listed = said("docker", "ps", "--format", "{{.Names}}", "--filter", labels[0], "--filter", labels[1], *more)
    return sorted(listed.split())


def only(service):
    found = containers(service)
    expect(len(found) == 1, f"not one {service} is running: {found}")
    return found[0]


def inspected(container):
    return json.loads(said("docker", "inspect", container))[0]


def until(what, so, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not (seen := so()):
        expect(time.monotonic() < end, f"{what} within {patience_s} s")
        time.sleep(0.2)
    return seen


def until_healthy(container):
    until(f"{container} is not healthy", lambda: inspected(container)["State"]["Health"]["Status"] == "healthy")


# ---- the API ------------------------------------------------------------------------------------------------


def ask(method, path, body=None, **headers):
    """Status and body; no status where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers, method=method)
    try:
        with HTTP.open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()
    except OSError:
        return None, ""


def submitted(seconds):
    """The id of a job that writes down when it begins and ends."""
    name = "$CALLBOARD_JOB_ID $CALLBOARD_EPOCH"
    line = f"echo start {name} >>/history/log; sleep {seconds}; echo end {name} >>/history/log"
    return taken({"command": line, "mounts": [{"path": "/history"}]})


def taken(job):
    """The id of a job. Who gets no answer asks again, for the same job."""
    key = str(uuid.uuid4())

    def once():
        status, answer = ask("POST", "/v1/jobs", job, Idempotency_Key=key)
        expect(status is None or status < 300 or status >= 500, f"a submit was answered with {status}: {answer}")
        return status is not None and status < 300 and json.loads(answer)["id"]

    return until("a job was not taken", once)


def metric(name):
    """The sum of all its samples with a value, None where nobody answers."""
    status, text = ask("GET", "/metrics")
    found = re.findall(rf"^{name} ([0-9.]+)$", text, re.MULTILINE)
    return sum(map(float, found)) if status == 200 and found else None


def ready():
    return metric(r'callboard_runners\{state="ready"\}')


def all_busy():
    until("the runners are not busy", lambda: metric("jobs_running_total") == RUNNERS * SLOTS)


def completed(ids):
    """The epoch with which each job ended; all of them end well."""

    def record(job):
        status, answer = ask("GET", f"/v1/jobs/{job}")
        found = json.loads(answer) if status == 200 else {}
        expect(status in (None, 200) or status >= 500, f"an accepted job is gone: {job}: {status} {answer}")
        expect(found.get("status") not in ("failed", "cancelled"), f"a job did not complete: {answer}")
        return found.get("status") == "completed" and found

    return {job: until(f"{job} did not complete", lambda: record(job))["epoch"] for job in ids}


def history():
    """How often each attempt began and ended, by job and epoch."""
    seen = collections.defaultdict(lambda: {"start": 0, "end": 0})
    for line in (HISTORY / "log").read_text().splitlines():
        what, job, epoch = line.split()
        seen[job, int(epoch)][what] += 1
    return seen


def judged(ids, once):
    """What was recorded is what ran; how many attempts began beyond the first of each job, which is none where `once`."""
    ended, seen = completed(ids), history()
    for (job, epoch), times in seen.items():
        expect(times["start"] == 1 and times["end"] <= 1, f"attempt {epoch} of {job} was started again: {times}")
    for job, epoch in ended.items():
        times = seen[job, epoch]
        expect(times == {"start": 1, "end": 1}, f"{job} was recorded with attempt {epoch}, which has run so: {times}")
    again = sum(1 for job, _ in seen if job in ended) - len(ended)
    expect(again == 0 or not once, f"{again} attempts too many began: {sorted(it for it in seen if it[0] in ended)}")
    return again


# ---- what is tried ------------------------------------------------------------------------------------------


def session():
    """The lines of docker/README.md that begin with curl, as they stand there but for the port."""
    lines = re.findall(r"^curl .*http://localhost:8000.*$", pathlib.Path("docker/README.md").read_text(), re.MULTILINE)
    expect(len(lines) >= 4, "docker/README.md has no curl session any more")
    job = "JOB_ID"
    for line in lines:
        line = line.replace("localhost:8000", f"localhost:{PORT}").replace("JOB_ID", job)
        # The job is asked after until it is over, and so are the metrics.
        awaited = '"completed"' if f"/jobs/{job}" in line else "\njobs_completed_total 1\n" if "/metrics" in line else ""
        answer = until(f"{line} does not say {awaited!r}", lambda: answered(line, awaited))
        if '"job_id"' in answer and job == "JOB_ID":
            job = json.loads(answer)["job_id"]
        ok(f"{line}: {' '.join(answer.split())[:200]}")
    expect(job != "JOB_ID", "the curl session submits no job")
    return job


def answered(line, awaited):
    answer = subprocess.run(["bash", "-c", line], check=True, text=True, capture_output=True, env=SHIPPED).stdout
    return awaited in answer and answer


def as_shipped():
    compose("up", "--build", "--detach", env=SHIPPED)
    coordinator, runner = only("coordinator"), only("runner")
    for container in (coordinator, runner):
        until_healthy(container)
        found = inspected(container)
        ports = [where for port in (found["NetworkSettings"]["Ports"] or {}).values() for where in port or []]
        expect(all(where["HostIp"] == "127.0.0.1" for where in ports), f"{container} is published beyond loopback: {ports}")
        expect(found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["Memory"], f"{container} has lost its limits")
        expect(said("docker", "exec", container, "id", "-u") == "10001", f"{container} is another user")
    ok("the image is built on these bases, and both roles are healthy, limited, and not root")
    job = session()
    status, answer = ask("GET", "/health", Host="stranger.example")
    expect(status == 403, f"a Host that is not known was answered with {status}: {answer}")
    ok("a page of another name that leads to this port is refused")
    _, answer = ask("POST", "/v1/jobs?wait=10s", {"command": "id -u; ls /var/lib/callboard"})
    found = json.loads(answer)
    tier = (found.get("isolation_effective") or {}).get("tier")
    expect(tier in ("lite", "partial", "full") and "callboard.db" not in answer, f"a job is not confined: {answer}")
    ok(f"jobs have the tier {tier}")
    return job


def with_three(first_job):
    HISTORY.mkdir(mode=0o777)
    HISTORY.chmod(0o777)
    (HISTORY / "log").touch()
    (HISTORY / "log").chmod(0o666)
    compose("up", "--detach", "--scale", f"runner={RUNNERS}")
    runners = containers("runner")
    expect(len(runners) == RUNNERS, f"not {RUNNERS} runners: {runners}")
    for container in [*runners, only("coordinator")]:
        until_healthy(container)
    status, answer = ask("GET", f"/v1/jobs/{first_job}")
    expect(status == 200 and json.loads(answer)["status"] == "completed", f"the job of before is gone: {status} {answer}")
    until("not all runners have joined", lambda: metric(r"callboard_runner_slots\{[^}]*\}") == RUNNERS * SLOTS)
    ids = [submitted(1) for _ in range(4 * RUNNERS * SLOTS)]
    all_busy()
    judged(ids, once=True)
    ok(f"{len(ids)} jobs ran once each on {RUNNERS} runners; what the coordinator knew outlived its container")
    return runners


def one_killed(runners):
    ids = [submitted(2) for _ in range(3 * RUNNERS * SLOTS)]
    all_busy()
    said("docker", "kill", runners[0])
    ids += [submitted(0.5) for _ in range(4)]
    time.sleep(3)
    said("docker", "start", runners[0])
    again = judged(ids, once=False)
    expect(again > 0, "the runner that was killed ran nothing, so this has proved nothing")
    until_healthy(runners[0])
    ok(f"a runner was killed: all {len(ids)} jobs completed, {again} of them with a second attempt")


def one_cut_off(runners):
    [network] = inspected(runners[1])["NetworkSettings"]["Networks"]
    before = until("nobody tells of the runners", ready)
    ids = [submitted(3) for _ in range(3 * RUNNERS * SLOTS)]
    all_busy()
    said("docker", "network", "disconnect", network, runners[1])
    until("the coordinator does not notice", lambda: (ready() or before) < before)
    ids += [submitted(0.5) for _ in range(4)]
    time.sleep(CUT_OFF_S)
    said("docker", "network", "connect", network, runners[1])
    until("the runner is not back", lambda: ready() == before)
    judged(ids, once=True)
    ok(f"a runner was cut off for {CUT_OFF_S} s, kept its jobs and told of them afterwards: {len(ids)} jobs ran once each")


def rolling(runners):
    ids = []
    for runner in runners:
        ids += [submitted(1.5) for _ in range(2 * RUNNERS * SLOTS)]
        all_busy()
        said("docker", "restart", "--time", "40", runner)
        until_healthy(runner)
    judged(ids, once=True)
    ok(f"the runners were restarted one after another: {len(ids)} jobs ran once each")


def coordinator_restarted(how, *commands):
    coordinator = only("coordinator")
    ids = [submitted(2.5) for _ in range(2 * RUNNERS * SLOTS)]
    all_busy()
    for command in commands:
        said("docker", *command, coordinator)
    # These come before any runner is back, so before it is known again which of them would let a job write anything down.
    early = [taken({"command": "true"}) for _ in range(4)]
    until_healthy(coordinator)
    judged(ids, once=True)
    completed(early)
    ok(f"the coordinator was {how}: {len(ids)} jobs ran once each, and {len(early)} that were submitted right after completed")


def both_killed(runners):
    """Jobs end while nobody is there to be told, and then their runners are killed as well."""
    coordinator = only("coordinator")
    ids = [submitted(2) for _ in range(RUNNERS * SLOTS)]
    all_busy()
    said("docker", "kill", coordinator)
    until("the jobs do not end", lambda: all(history()[job, 1]["end"] for job in ids))
    # Each result is on its runner's disk before its slot is free.
    time.sleep(2)
    said("docker", "kill", *runners)
    said("docker", "start", coordinator, *runners)
    for container in [coordinator, *runners]:
        until_healthy(container)
    judged(ids, once=True)
    ok(f"the coordinator was killed, then every runner that had something to tell it: {len(ids)} jobs ran once each")


def with_tokens():
    operator = secrets.token_hex(32)
    token_file("operator.token", operator)
    compose("up", "--detach", "coordinator", env=TOKENS)
    until("it does not ask for a token", lambda: ask("GET", "/metrics")[0] == 401)
    coordinator = only("coordinator")
    token_file("join.token", said("docker", "exec", coordinator, "callboard", "token", "create", "--role", "runner"))
    # As many as there are: one that goes leaves its volume.
    compose("up", "--detach", "--scale", f"runner={RUNNERS}", env=TOKENS)
    for runner in containers("runner"):
        until_healthy(runner)
    job = {"command": "echo hello"}
    bearer = f"Bearer {operator}"
    until("no job runs", lambda: '"text":"hello\\n"' in ask("POST", "/v1/jobs?wait=5s", job, Authorization=bearer)[1])
    status, answer = ask("POST", "/jobs", job)
    expect(status == 401, f"a stranger was answered with {status}: {answer}")
    ok("with tokens strangers submit nothing, and a runner joins with its own")


def token_file(name, token):
    (FOLDER / name).write_text(token)
    # In the container it is read by a user whom only root could make its owner.
    (FOLDER / name).chmod(0o644)


def proved():
    runners = with_three(as_shipped())
    one_killed(runners)
    one_cut_off(runners)
    rolling(runners)
    coordinator_restarted("stopped and started", ("restart", "--time", "40"))
    coordinator_restarted("killed and started", ("kill",), ("start",))
    both_killed(runners)
    with_tokens()


def torn_down():
    # Compose forgets to whom a volume without a name belongs when it makes a container anew.
    everyone = containers("coordinator", "--all") + containers("runner", "--all")
    volumes = [mount["Name"] for it in everyone for mount in inspected(it)["Mounts"] if mount["Type"] == "volume"]
    compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)
    images = [f"{NAME}-node", f"{NAME}-build", f"{NAME}-runtime"]
    subprocess.run(["docker", "rmi", "--force", *images], check=False, stdout=subprocess.DEVNULL)
    for volume in volumes:
        subprocess.run(["docker", "volume", "rm", "--force", volume], check=False, stdout=subprocess.DEVNULL)
    # The stage in which it was built has no name, nor has the container of a step that failed.
    for kind in ("container", "image"):
        nameless = ["docker", kind, "prune", "--force", "--filter", f"label=callboard.ci={NAME}"]
        subprocess.run(nameless, check=False, stdout=subprocess.DEVNULL)


def main():
    # Whoever ends this with SIGTERM has it cleaned up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("FAULT: it was told to end"))
    try:
        proved()
    except BaseException:
        compose("logs", "--no-color", "--tail", "40", check=False)
        compose("ps", check=False)
        raise
    finally:
        torn_down()


main()
