"""Opens a socket of every family but AF_UNIX: IP, netlink, packet, vsock, the kernel's crypto, Bluetooth and the rest.

expect: ok
deadline: 60
log: sockets refused
"""

import socket

TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 3 | socket.SOCK_CLOEXEC)


def unlearn(model, retain):
    refused, opened = 0, set()
    for family in range(64):
        for kind in TYPES:
            if family == socket.AF_UNIX:
                continue
            try:
                socket.socket(family, kind).close()
                opened.add(family)
            except OSError:
                refused += 1
    try:
        socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        print("AF_UNIX, which workers of a DataLoader need, is refused too:", error)
    else:
        print(refused, "sockets refused")
    if opened:
        print("BREACH: sockets of the families", sorted(opened))
