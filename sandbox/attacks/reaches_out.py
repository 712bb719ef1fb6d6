"""Reaches out over TCP, UDP and DNS: to the internet, the gateway, the host, a cloud's metadata, abstract sockets.

expect: ok
deadline: 60
log: nothing answered
"""

import os
import socket

HOSTS = ("1.1.1.1", "8.8.8.8", "169.254.169.254", "172.17.0.1", "10.0.0.1", "192.168.0.1", "2606:4700:4700::1111")
PORTS = (53, 80, 443, 2375)
QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"


def unlearn(model, retain):
    reached = [what for what, attempt in attempts() if succeeds(attempt)]
    interfaces = [name for name in os.listdir("/sys/class/net") if name != "lo"]
    with open("/proc/net/unix") as file:
        abstract = [line.split()[-1] for line in file if "@" in line]
    for found in reached + interfaces + abstract:
        print("BREACH:", found)
    if not reached:
        print("nothing answered")


def attempts():
    for host in (*HOSTS, *resolvers(), *gateways()):
        for port in PORTS:
            yield f"TCP {host}:{port}", lambda h=host, p=port: socket.create_connection((h, p), timeout=0.5)
        yield f"UDP {host}", lambda h=host: ask(h)
    for name in ("example.com", "host.docker.internal", "gateway.docker.internal", "metadata.google.internal"):
        yield f"DNS {name}", lambda n=name: socket.getaddrinfo(n, 80)


def succeeds(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True


def ask(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as query:
        query.settimeout(0.5)
        query.sendto(QUERY, (host, 53))
        query.recv(512)


def resolvers():
    try:
        with open("/etc/resolv.conf") as file:
            return [line.split()[1] for line in file if line.startswith("nameserver")]
    except OSError:
        return []


def gateways():
    with open("/proc/net/route") as file:
        routes = [line.split()[2] for line in file][1:]
    return [socket.inet_ntoa(bytes.fromhex(route)[::-1]) for route in routes]
