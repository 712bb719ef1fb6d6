"""Makes system calls through the old 32-bit gate of x86 and through x32, where a filter may have other numbers.

expect: ok
deadline: 60
log: refused or absent
"""

import ctypes
import errno
import mmap
import os
import platform
import socket

# push rbx; mov eax, edi; mov ebx, esi; mov ecx, edx; int 0x80; pop rbx; ret
CODE = bytes.fromhex("53 89f8 89f3 89d1 cd80 5b c3")
MAP_32BIT = 0x40
X32 = 0x40000000
OLD = {  # number of the 32-bit table, first and second argument
    "io_uring_setup": (425, 8, 0),
    "ptrace": (26, 16, 1),
    "unshare user": (310, 0x10000000, 0),
    "mq_unlink": (278, 0, 0),
    "keyctl": (288, 0, 0),
    "ipc shmget": (117, 23, 0),
    "shmget": (395, 0, 4096),
    "bpf": (357, 0, 0),
}
OTHER = {"socket": (X32 | 41, 2, 1), "io_uring_setup": (X32 | 425, 8, 0), "unshare user": (X32 | 272, 0x10000000, 0)}
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def unlearn(model, retain):
    if platform.machine() != "x86_64":
        print("refused or absent: no x86")
        return
    breaches = [f"32-bit {name}" for name, call in OLD.items() if allowed(old, *call)]
    for family in (socket.AF_INET, socket.AF_NETLINK, socket.AF_VSOCK):
        breaches += [f"32-bit socketcall, family {int(family)}"] * allowed(socketcall, family)
        breaches += [f"32-bit socket, family {int(family)}"] * allowed(old, 359, family, 1)
    libc = ctypes.CDLL(None, use_errno=True)
    for name, call in OTHER.items():
        breaches += [f"x32 {name}"] * allowed(lambda *c: -ctypes.get_errno() if libc.syscall(*c) == -1 else 0, *call)
    for breach in breaches:
        print("BREACH:", breach)
    if not breaches:
        print("refused or absent")


def allowed(call, *arguments):
    """Whether a call was neither refused nor killed; in a child, which a missing gate or a filter may kill."""
    child = os.fork()
    if child == 0:
        os._exit(-call(*arguments) in REFUSED)
    status = os.waitpid(child, 0)[1]
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


def old(number, first, second):
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(CODE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)(address)(number, first, second)


def socketcall(family):
    low = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT)
    low.write(b"".join(int(number).to_bytes(4, "little") for number in (family, 1, 0)))
    return old(102, 1, ctypes.addressof(ctypes.c_char.from_buffer(low)))
