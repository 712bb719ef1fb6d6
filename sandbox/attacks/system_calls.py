"""Makes dangerous system calls by number: each must be refused before the kernel looks at its arguments.

expect: ok
deadline: 60
log: calls refused
"""

import ctypes
import errno
import os
import platform
import signal

NEW_USER, NEW_NAMESPACE, NEW_NET = 0x10000000, 0x00020000, 0x40000000
CALLS = {  # name: (number on x86_64, number on aarch64, arguments)
    "io_uring_setup": (425, 425, (8, b"\0" * 120)),
    "io_uring_enter": (426, 426, (-1, 0, 0)),
    "io_uring_register": (427, 427, (-1, 0)),
    "ptrace": (101, 117, (16, 1)),
    "process_vm_readv": (310, 270, (os.getpid(), 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (os.getpid(), 0, 0, 0, 0, 0)),
    "kcmp": (312, 272, (os.getpid(), os.getpid(), 1)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
    "userfaultfd": (323, 282, (1,)),
    "add_key": (248, 217, (b"user", b"name", b"value", 5, -3)),
    "request_key": (249, 218, (b"user", b"name", 0, -3)),
    "keyctl": (250, 219, (0, -3, 1)),
    "bpf": (321, 280, (0, b"\0" * 120, 120)),
    "perf_event_open": (298, 241, (b"\0" * 120, 0, -1, -1, 0)),
    "mount": (165, 40, (b"none", b"/tmp", b"tmpfs", 0, 0)),
    "umount2": (166, 39, (b"/tmp", 2)),
    "pivot_root": (155, 41, (b"/tmp", b"/tmp")),
    "chroot": (161, 51, (b"/tmp",)),
    "setns": (308, 268, (-1, 0)),
    "unshare user": (272, 97, (NEW_USER,)),
    "unshare mount": (272, 97, (NEW_NAMESPACE,)),
    "clone user": (56, 220, (NEW_USER | signal.SIGCHLD, 0, 0, 0, 0)),
    "clone net": (56, 220, (NEW_NET | signal.SIGCHLD, 0, 0, 0, 0)),
    "open_tree": (428, 428, (-100, b"/", 1)),
    "move_mount": (429, 429, (-1, b"", -1, b"", 0)),
    "fsopen": (430, 430, (b"tmpfs", 0)),
    "fsconfig": (431, 431, (-1, 0, 0, 0, 0)),
    "fsmount": (432, 432, (-1, 0, 0)),
    "fspick": (433, 433, (-100, b"/", 0)),
    "mount_setattr": (442, 442, (-1, b"", 0, 0, 0)),
    "shmget": (29, 194, (0, 4096, 0o1600)),
    "shmat": (30, 196, (-1, 0, 0)),
    "shmctl": (31, 195, (-1, 0, 0)),
    "shmdt": (67, 197, (0,)),
    "semget": (64, 190, (0, 1, 0o1600)),
    "semop": (65, 193, (-1, 0, 1)),
    "semctl": (66, 191, (-1, 0, 0)),
    "msgget": (68, 186, (0, 0o1600)),
    "msgsnd": (69, 189, (-1, 0, 0, 0)),
    "msgrcv": (70, 188, (-1, 0, 0, 0, 0)),
    "msgctl": (71, 187, (-1, 0, 0)),
    "mq_open": (240, 180, (b"queue", os.O_CREAT | os.O_RDWR, 0o600, 0)),
    "mq_unlink": (241, 181, (b"queue",)),
    "swapon": (167, 224, (b"/tmp/swap", 0)),
    "acct": (163, 89, (0,)),
    "reboot": (169, 142, (0, 0, 0)),
    "init_module": (175, 105, (0, 0, b"")),
    "finit_module": (313, 273, (-1, b"", 0)),
    "delete_module": (176, 106, (b"none", 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "kexec_file_load": (320, 294, (-1, -1, 0, b"", 0)),
    "settimeofday": (164, 170, (0, 0)),
    "clock_settime": (227, 112, (0, 0)),
    "sethostname": (170, 161, (b"x", 1)),
    "syslog": (103, 116, (3, 0, 0)),
    "quotactl": (179, 60, (0, 0, 0, 0)),
    "open_by_handle_at": (304, 265, (-1, 0, 0)),
    "fanotify_init": (300, 262, (0, 0)),
    "mknodat block device": (259, 33, (-100, b"/tmp/disk", 0o60666, 0x0800)),
    "personality without address randomisation": (135, 92, (0x0040000,)),
    "iopl": (172, None, (3,)),
    "ioperm": (173, None, (0, 1, 1)),
}
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def unlearn(model, retain):
    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
    refused = 0
    for name, numbers in CALLS.items():
        if numbers[column] is None:
            continue
        error = call(numbers[column], numbers[2])
        if error in REFUSED:
            refused += 1
        else:
            print("BREACH:", name, errno.errorcode.get(error, "succeeded"))
    print(refused, "calls refused")


def call(number, arguments):
    """The error of a system call, 0 for none, in a child: it may replace the process or add another."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        keep = [ctypes.create_string_buffer(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
        result = libc.syscall(ctypes.c_long(number), *keep)
        os.write(writing, bytes([ctypes.get_errno() if result == -1 else 0]))
        os._exit(0)
    os.close(writing)
    status = os.waitpid(child, 0)[1]
    answer = os.read(reading, 1)
    os.close(reading)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:  # the filter ended the process
        return errno.EPERM
    return answer[0] if answer else 0
