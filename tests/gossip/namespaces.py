"""Networks of network namespaces: an internet, a public machine on it, and homes behind NAT. For root on Linux."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_numbers = itertools.count()


def why_not() -> str:
    """Why namespaces cannot be used here; empty if they can."""
    missing = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} is missing: apt-get install iproute2 nftables"
    if os.geteuid():
        return "network namespaces need root"
    name = f"arnode-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "this machine allows no network namespaces"
    try:
        table = subprocess.run(
            ["ip", "netns", "exec", name, "nft", "add", "table", "ip", "probe"], capture_output=True, check=False
        )
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    return "this kernel has no nftables" if table.returncode else ""


@dataclass(frozen=True)
class Machine:
    """A machine: its namespace, its address, and the cable, by its name inside, that leads to the internet."""

    namespace: str
    ip: str
    cable: str

    @property
    def prefix(self) -> list[str]:
        """What a command line begins with to run here."""
        return ["ip", "netns", "exec", self.namespace]

    def plug(self, *, inside: bool) -> None:
        """Plug the cable in, or pull it."""
        _ip("-n", self.namespace, "link", "set", self.cable, "up" if inside else "down")
        if inside and self.cable == "home":
            _ip("-n", self.namespace, "route", "replace", "default", "via", self.ip.rsplit(".", 1)[0] + ".1")


class Internet:
    """198.51.100.0/24 as a bridge, to which machines and routers are connected. Made by `internet`."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._hosts = itertools.count(10)
        self._bridge = self._namespace()
        _ip("-n", self._bridge, "link", "add", "net", "type", "bridge")
        _ip("-n", self._bridge, "link", "set", "net", "up")

    def public_machine(self) -> Machine:
        """A machine with an address of its own on the internet."""
        name = self._namespace()
        return Machine(name, self._connect(name), "wan")

    def home_machine(self, forwarded: int = 0) -> tuple[Machine, str]:
        """A machine at 192.168.7.2 behind a router that hides it by NAT, and the router's address.

        The router lets no connection in but to the port `forwarded`, if that is not 0.
        """
        router, name = self._namespace(), self._namespace()
        outside = self._connect(router)
        _ip("-n", router, "link", "add", "lan", "type", "veth", "peer", "name", "home", "netns", name)
        _ip("-n", router, "addr", "add", "192.168.7.1/24", "dev", "lan")
        _ip("-n", router, "link", "set", "lan", "up")
        _ip("-n", name, "addr", "add", "192.168.7.2/24", "dev", "home")
        _ip("-n", name, "link", "set", "home", "up")
        _ip("-n", name, "route", "add", "default", "via", "192.168.7.1")
        rules = f"""
            table ip home {{
                chain out {{ type nat hook postrouting priority 100; oifname "wan" masquerade; }}
                chain in {{
                    type nat hook prerouting priority -100;
                    iifname "wan" tcp dport {forwarded} dnat to 192.168.7.2;
                }}
                chain through {{
                    type filter hook forward priority 0; policy drop;
                    iifname "lan" accept; ct state established,related accept; ct status dnat accept;
                }}
            }}"""
        inside = ["ip", "netns", "exec", router]
        subprocess.run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)
        subprocess.run([*inside, "nft", "-f", "-"], input=rules, text=True, check=True)
        return Machine(name, "192.168.7.2", "home"), outside

    def _namespace(self) -> str:
        name = f"arnode-{os.getpid()}-{next(_numbers)}"
        _ip("netns", "add", name)
        self._names.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def _connect(self, name: str) -> str:
        number = next(self._hosts)
        _ip("-n", name, "link", "add", "wan", "type", "veth", "peer", "name", f"to{number}", "netns", self._bridge)
        _ip("-n", self._bridge, "link", "set", f"to{number}", "master", "net", "up")
        _ip("-n", name, "addr", "add", f"198.51.100.{number}/24", "dev", "wan")
        _ip("-n", name, "link", "set", "wan", "up")
        return f"198.51.100.{number}"

    def close(self) -> None:
        """Take everything down."""
        for name in self._names:
            _ip("netns", "delete", name)


@contextmanager
def internet() -> Iterator[Internet]:
    """An internet of one's own, gone at the end."""
    made = Internet()
    try:
        yield made
    finally:
        made.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
