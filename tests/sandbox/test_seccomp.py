"""System calls of a unit: every one decided, none beyond the engine's default, refusals seen from inside."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import docker
import pytest

from unlearn_bench.sandbox.engine import images, seccomp
from unlearn_bench.sandbox.types import Job, Sandbox

QUESTION = (Path(__file__).parent / "filter_question.py").read_text()
with (Path(__file__).parent.parent / "data" / "syscalls.csv").open() as table:
    CALLS = {row["name"]: row for row in csv.DictReader(table)}
ALLOWED = {name: group for group in seccomp.policy().allow for name in group.calls}
REFUSED = {name: group for group in seccomp.policy().refuse for name in group.calls}
NEVER = [
    "io_uring_setup", "io_uring_enter", "io_uring_register", "ptrace", "process_vm_readv", "process_vm_writev",
    "kcmp", "userfaultfd", "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "mount", "umount2",
    "pivot_root", "chroot", "setns", "unshare", "fsopen", "move_mount", "open_tree", "mount_setattr", "shmget",
    "shmat", "shmctl", "semget", "semop", "semctl", "msgget", "msgsnd", "msgrcv", "mq_open", "mq_notify", "clone3",
    "init_module", "kexec_load", "reboot", "open_by_handle_at", "memfd_secret",
]  # fmt: skip
NAMESPACES = {
    "NEWTIME": 0x00000080, "NEWNS": 0x00020000, "NEWCGROUP": 0x02000000, "NEWUTS": 0x04000000, "NEWIPC": 0x08000000,
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000,
}  # fmt: skip
"""Every flag of linux/sched.h that makes a namespace."""
FLAGS = [1 << bit for bit in range(64)]
"""Every flag that the argument of ``clone`` can hold, whether a kernel knows it yet or not."""
THREAD = 0x003D0F00
"""The flags that libc makes a thread with."""
SIGCHLD = 17
"""The signal at the end of a process that libc forks; it lies in the lowest byte of the flags."""
BEYOND = 450
"""Calls from this number on are unknown to some engines, which answer ENOSYS for them."""


def numbers(names: dict[str, Any]) -> dict[str, int]:
    column = "aarch64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    return {name: int(CALLS[name][column]) for name in names if CALLS[name][column]}


def test_every_system_call_is_decided_once() -> None:
    decided = [name for side in (seccomp.policy().allow, seccomp.policy().refuse) for g in side for name in g.calls]
    assert sorted(decided) == sorted(CALLS)
    assert all(group.subject and group.why for group in (*ALLOWED.values(), *REFUSED.values()))


def test_nothing_is_wider_than_the_engines_default() -> None:
    assert [name for name in ALLOWED if CALLS[name]["engine_default"] != "allowed"] == []
    assert len(ALLOWED) < sum(row["engine_default"] == "allowed" for row in CALLS.values())


def test_what_must_never_be_allowed_is_refused() -> None:
    assert [name for name in NEVER if name not in REFUSED] == []


def test_the_profile_says_what_the_policy_says() -> None:
    profile = json.loads(seccomp.profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert [entry["subArchitectures"] for entry in profile["archMap"]] == [[], []]
    allow = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    assert {name for rule in allow for name in rule["names"]} == set(ALLOWED)
    conditional = {name: rule["args"] for rule in allow if "args" in rule for name in rule["names"]}
    assert set(conditional) == {"socket", "socketpair", "clone", "personality"}
    assert conditional["socket"] == [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    refused = {name: rule["errnoRet"] for rule in profile["syscalls"] if rule not in allow for name in rule["names"]}
    assert refused["clone3"] == 38 and set(refused.values()) == {38}


def test_clone_is_refused_with_each_flag_that_makes_a_namespace_and_with_no_other() -> None:
    profile = json.loads(seccomp.profile())
    (rule,) = (rule for rule in profile["syscalls"] if "clone" in rule["names"])
    (compared,) = rule["args"]
    assert (compared["index"], compared["op"]) == (0, "SCMP_CMP_MASKED_EQ")
    passed = {flags for flags in (*FLAGS, THREAD, SIGCHLD) if flags & compared["value"] == compared["valueTwo"]}
    assert {*FLAGS, THREAD, SIGCHLD} - passed == set(NAMESPACES.values())


def test_no_other_call_makes_or_enters_a_namespace() -> None:
    """``unshare`` takes the same flags, ``clone3`` takes them where a filter cannot look, ``setns`` takes a file."""
    assert {"unshare", "clone3", "setns"} <= set(REFUSED)


def test_the_documentation_lists_what_is_refused() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    listed = [f"| {group.subject} | {group.why} |" for group in seccomp.policy().refuse]
    start = page.index(listed[0])
    assert page[start:].split("\n\n")[0].splitlines() == listed


ASK = """
def unlearn(model, retain):
    wrong, ends = [], 0
    for name, number in REFUSED.items():
        if verdict(number) != "EPERM" and (name not in ENOSYS and number < BEYOND or verdict(number) != "passed"):
            wrong.append((name, "is not refused by the filter", verdict(number)))
        if call(number) not in ([errno.ENOSYS] if name in ENOSYS else [errno.EPERM, errno.ENOSYS]):
            wrong.append((name, "is not refused"))
    for name, number, *arguments in PASS:
        if verdict(number, *arguments) != "passed":
            wrong.append((name, arguments, verdict(number, *arguments)))
    for name, number, *arguments in STOP:
        if verdict(number, *arguments) != "EPERM" or call(number, *arguments) != errno.EPERM:
            wrong.append((name, arguments, verdict(number, *arguments)))
    print("WRONG", wrong, "ASKED", len(REFUSED), len(PASS), len(STOP))
"""


@pytest.mark.docker
def test_each_refused_call_is_refused_inside_a_unit(docker_sandbox: Sandbox, make_job: Callable[..., Job]) -> None:
    of = numbers(CALLS)
    stop = [(name, of[name], family) for name in ("socket", "socketpair") for family in (0, 2, 10, 16, 17, 38, 40)]
    stop += [("clone", of["clone"], flag | rest) for flag in NAMESPACES.values() for rest in (0, SIGCHLD, THREAD)]
    stop += [("personality", of["personality"], persona) for persona in (8, 0x40000, 0x20000, 1 << 32)]
    stop += [("socket", of["socket"], 1 << 32 | 1)]
    go = [(name, number) for name, number in numbers(ALLOWED).items() if name not in ("exit", "exit_group")]
    go = [entry for entry in go if entry[0] not in ("socket", "socketpair")]
    go += [("socket", of["socket"], 1, 1), ("socketpair", of["socketpair"], 1, 1)]
    go += [("clone", of["clone"], flag) for flag in FLAGS if flag not in NAMESPACES.values()]
    go += [
        ("clone", of["clone"], THREAD),
        ("clone", of["clone"], SIGCHLD),
        ("personality", of["personality"], 0xFFFFFFFF),
    ]
    refused = numbers(REFUSED)
    enosys = [name for name, group in REFUSED.items() if group.errno == "ENOSYS"]
    names = f"REFUSED, ENOSYS, PASS, STOP, BEYOND = {refused!r}, {enosys!r}, {go!r}, {stop!r}, {BEYOND}\n"
    outcome = docker_sandbox.run(make_job(QUESTION + names + ASK, deadline=300), nullcontext())
    assert outcome.status == "ok", outcome
    assert f"WRONG [] ASKED {len(refused)} {len(go)} {len(stop)}" in outcome.log, outcome.log


@pytest.mark.docker
def test_the_engines_own_profile_allows_all_that_is_allowed(docker_sandbox: Sandbox) -> None:
    """And without any profile nothing is refused: the question can tell."""
    asked = {name: number for name, number in numbers(ALLOWED).items() if name not in ("exit", "exit_group")}
    asked |= {name: numbers(CALLS)[name] for name in ("mount", "ptrace", "bpf")}
    refused = f"[name for name, number in {asked!r}.items() if verdict(number, name != 'personality') != 'passed']"
    source = f"{QUESTION}\nprint({refused})"
    client = docker.from_env(timeout=60)
    image = images.find(client, (), "cpu")
    said = [
        client.containers.run(
            image,
            ["python3", "-c", source],
            entrypoint=[],
            user="65534:65534",
            cap_drop=["ALL"],
            network_mode="none",
            security_opt=["no-new-privileges=true", *options],
            remove=True,
        ).decode()
        for options in ([], ["seccomp=unconfined"])
    ]
    client.close()
    # ptrace: engines differ in it by their kernel
    assert said[0].replace("'ptrace', ", "").strip() == "['mount', 'bpf']"
    assert said[1].strip() == "[]"


@pytest.mark.docker
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other entrances are those of x86")
def test_the_other_entrances_of_the_kernel_are_closed(docker_sandbox: Sandbox, make_job: Callable[..., Job]) -> None:
    source = """
import mmap, signal

def ends(body):
    child = os.fork()
    if child == 0:
        body()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "went on"

def i386():  # mov eax, 20 (getpid); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("b814000000cd80c3"))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()

def unlearn(model, retain):
    print("32-bit", ends(i386), "x32", ends(lambda: call(0x40000000 | 39)), "own", ends(lambda: call(39)))
"""
    outcome = docker_sandbox.run(make_job(QUESTION + source), nullcontext())
    assert outcome.status == "ok" and "32-bit SIGSYS x32 SIGSYS own went on" in outcome.log, outcome


AT_WORK = """
import asyncio, multiprocessing, pathlib, shutil, signal, socket, subprocess, sys, tempfile, threading
import numpy as np
import torch
from torch.utils.data import DataLoader


def mark(tensor):
    tensor += 1

class Hit(Exception):
    pass

def hit(*_):
    raise Hit

def unlearn(model, retain, forget):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for how in (None, "fork", "spawn"):
        workers = dict(num_workers=2, multiprocessing_context=how) if how else {}
        images = 0
        for _ in range(2):
            for image, label in DataLoader(retain.dataset, batch_size=5, shuffle=True, **workers):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(model(image), label).backward()
                optimiser.step()
                images += len(image)
        print("trained", how, images)
    threads, seen = [], []
    for i in range(4):
        threads.append(threading.Thread(target=lambda i=i: seen.append(float(np.linalg.norm(np.ones(100) * i)))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    print("threads", sorted(seen))
    for how in ("fork", "spawn"):
        context = multiprocessing.get_context(how)
        queue = context.Queue()
        process = context.Process(target=queue.put, args=(49,))
        process.start()
        print(how, queue.get(timeout=60), process.join(), process.exitcode)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print("pool", pool.map(abs, [-1, -2]))
    shared = torch.zeros(3).share_memory_()
    child = torch.multiprocessing.get_context("fork").Process(target=mark, args=(shared,))
    child.start()
    child.join()
    print("shared", shared.tolist())
    with tempfile.TemporaryDirectory() as folder:
        torch.save(model.state_dict(), folder + "/a.pt")
        shutil.copy2(folder + "/a.pt", folder + "/b.pt")
        again = torch.load(folder + "/b.pt", weights_only=True)
        np.save(folder + "/c.npy", np.arange(9))
        print("files", len(again) > 60, np.load(folder + "/c.npy", mmap_mode="r").sum())
    signal.signal(signal.SIGALRM, hit)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        signal.pause()
    except Hit:
        print("signal")
    print("asyncio", asyncio.run(asyncio.sleep(0.01, "slept")))
    print("child", subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True).stdout)
    for family in (socket.AF_INET, socket.AF_NETLINK, socket.AF_VSOCK):
        try:
            socket.socket(family)
        except PermissionError:
            print("no", family.name)
"""


@pytest.mark.docker
def test_training_and_all_that_surrounds_it_works_inside(docker_sandbox: Sandbox, make_job: Callable[..., Job]) -> None:
    outcome = docker_sandbox.run(make_job(AT_WORK, deadline=300), nullcontext())
    assert outcome.status == "ok", outcome
    said = [line.strip() for line in outcome.log.splitlines()]
    for line in (
        *(f"trained {how} 40" for how in (None, "fork", "spawn")),
        "threads [0.0, 10.0, 20.0, 30.0]",
        "fork 49 None 0",
        "spawn 49 None 0",
        "pool [1, 2]",
        "shared [1.0, 1.0, 1.0]",
        "files True 36",
        "signal",
        "asyncio slept",
        "child b'42\\n'",
        "no AF_INET",
        "no AF_NETLINK",
        "no AF_VSOCK",
    ):
        assert line in said, (line, outcome.log)
