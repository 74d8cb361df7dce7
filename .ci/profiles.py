#!/usr/bin/env python3
"""docker/seccomp/callboard.json from the lists of calls that rooms have: a container's filter must let through all that
jobs may do in a room, and what making a room takes. `profiles.py` compares the file with the lists, `profiles.py --write`
makes it anew."""

import json
import pathlib
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
LISTS = ROOT / "actors/src/exec/sandbox/filter"
PROFILE = ROOT / "docker/seccomp/callboard.json"

# Of the calls that jobs may not make, those with which a room is made: as long as the caller has no capability, the
# kernel lets it use them in a user namespace of its own only.
OF_ROOMS = """
    unshare mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount mount_setattr
""".split()
# Of keyctl a room needs one thing: to leave the keyring of its node.
JOIN_SESSION_KEYRING = 1
# Their arguments no filter can read; with `clone` and `unshare`, and with `openat`, a caller has what it could do with them.
NEW = ["clone3", "openat2"]

# Linux, 32-bit Linux, without randomised addresses each, and the question which one it is.
PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]
# UNIX, INET, INET6, NETLINK. Beyond the last one are packets, virtual machines' sockets, ciphers and the like.
FAMILIES = [1, 2, 10, 16]
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97


def names(file):
    """The calls of every machine, and those of one machine only, by its name."""
    common, special = [], {}
    for line in (LISTS / file).read_text().splitlines():
        arch, colon, rest = line.rpartition(":")
        if line.startswith("#"):
            continue
        (special.setdefault(arch, []) if colon else common).extend(rest.split())
    return common, special


def first(value, op="EQ"):
    return [{"index": 0, "value": value, "op": f"SCMP_CMP_{op}"}]


def rules():
    (allowed, allowed_of), (refused, refused_of) = names("allowed.txt"), names("refused.txt")
    unknown = {*OF_ROOMS, "keyctl"} - set(refused)
    if unknown:
        sys.exit(f"refused.txt does not have {sorted(unknown)} any more: does a room still need them?")
    by_argument = {"personality", "socket", "socketpair"}
    allow = {"action": "SCMP_ACT_ALLOW"}
    refuse = {"action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}
    x86_64 = {"includes": {"arches": ["amd64"]}}
    if set(allowed_of) | set(refused_of) != {"x86_64"}:
        sys.exit("a list names a machine that this script does not know")
    yield {"comment": "What jobs may do in their rooms.", "names": sorted(set(allowed) - by_argument), **allow}
    yield {"comment": "The same, on this machine only.", "names": sorted(allowed_of["x86_64"]), **allow, **x86_64}
    yield {"comment": "What makes a room.", "names": sorted(OF_ROOMS + NEW), **allow}
    yield {"names": ["keyctl"], **allow, "args": first(JOIN_SESSION_KEYRING)}
    yield {"names": ["keyctl"], **refuse, "args": first(JOIN_SESSION_KEYRING, "NE")}
    for value in PERSONALITIES:
        yield {"names": ["personality"], **allow, "args": first(value)}
    for family in FAMILIES:
        yield {"names": ["socket", "socketpair"], **allow, "args": first(family)}
    no_support = {"action": "SCMP_ACT_ERRNO", "errnoRet": EAFNOSUPPORT}
    yield {"names": ["socket", "socketpair"], **no_support, "args": first(max(FAMILIES), "GT")}
    others = sorted(set(refused) - set(OF_ROOMS) - {"keyctl"})
    yield {"comment": "What changes the machine or other processes.", "names": others, **refuse}
    yield {"comment": "The same, on this machine only.", "names": sorted(refused_of["x86_64"]), **refuse, **x86_64}


def render(rule):
    """A rule with its names in lines, which a person can read and a diff can show."""
    lines = textwrap.wrap(", ".join(json.dumps(name) for name in rule["names"]), 108)
    rest = {key: value for key, value in rule.items() if key not in ("names", "comment")}
    head = f'      "comment": {json.dumps(rule["comment"])},\n' if "comment" in rule else ""
    body = "".join(f"        {line}\n" for line in lines)
    tail = ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items())
    return f'    {{\n{head}      "names": [\n{body}      ],\n{tail}\n    }}'


def profile():
    arches = ",\n".join(
        f'    {{"architecture": "SCMP_ARCH_{arch}", "subArchitectures": []}}' for arch in ("X86_64", "AARCH64")
    )
    text = (
        "{\n"
        '  "defaultAction": "SCMP_ACT_ERRNO",\n'
        f'  "defaultErrnoRet": {ENOSYS},\n'
        f'  "archMap": [\n{arches}\n  ],\n'
        '  "syscalls": [\n' + ",\n".join(map(render, rules())) + "\n  ]\n}\n"
    )
    json.loads(text)
    return text


def main():
    made = profile()
    if sys.argv[1:] == ["--write"]:
        PROFILE.write_text(made)
    elif PROFILE.read_text() != made:
        sys.exit(f"{PROFILE.relative_to(ROOT)} is not what the lists say: run `python3 .ci/profiles.py --write`")


main()
