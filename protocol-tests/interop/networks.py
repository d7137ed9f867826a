"""Two hosts in one machine, with a network of their own between them that can be cut in several ways.

A host is a network and a mount namespace, held by a process that ends with the tests: nothing stays behind, however
they end. A name that both know is the broker's; on the broker's own host it is 127.0.0.1, so that what runs there
notices nothing of what happens in between.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from support import ROOT

BROKER = "broker.test"
NEAR, FAR, MOVED = "10.77.0.1", "10.77.0.2", "10.77.0.3"
LINK = "link0"


class Host:
    """A host; `command` before another one runs that there."""

    def __init__(self, around, hosts_file):
        self._holder = subprocess.Popen(
            [*around, "unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", "echo held; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._holder.stdout.readline() != b"held\n":
            raise PermissionError(NO_RIGHTS)
        self.pid = self._holder.pid
        user = ["--user", "--preserve-credentials"] if os.getuid() else []
        self.command = ["nsenter", f"--target={self.pid}", *user, "--net", "--mount", "env", f"--chdir={ROOT}"]
        self._hosts = hosts_file
        self.name_broker("127.0.0.1")
        self.run("mount", "--bind", hosts_file, "/etc/hosts")
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *arguments, stdin=None):
        subprocess.run([*self.command, *map(str, arguments)], check=True, input=stdin, text=True)

    def name_broker(self, address):
        """From now on the broker's name has this address here."""
        self._hosts.write_text(f"127.0.0.1 localhost\n{address} {BROKER}\n", encoding="utf-8")

    def filter(self, rule):
        """Drops what comes in and fits; `None` lets everything through."""
        table = "" if rule is None else (
            f"table inet cut {{ chain incoming {{ type filter hook prerouting priority -300; {rule} drop; }}; }}\n")
        self.run("nft", "-f", "-", stdin="flush ruleset\n" + table)

    def connections_opened(self):
        """How often a TCP connection was tried from here."""
        names, values = [line.split() for line in Path(f"/proc/{self.pid}/net/snmp").read_text().splitlines()
                         if line.startswith("Tcp:")]
        return int(values[names.index("ActiveOpens")])

    def ports_in_use(self):
        """The ports of this host's TCP connections, whatever their state."""
        table = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
        return sorted({int(line.split()[1].split(":")[1], 16) for line in table})

    def close(self):
        self._holder.stdin.close()
        self._holder.wait()


class Network:
    """Both hosts: `near`, where readers are, and `far`, where the broker is."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="hop-networks-")
        folder = Path(self._folder.name)
        around = []
        if os.getuid():
            # Who is not root is root of a world of their own, if the system lets them.
            self._world = subprocess.Popen(["unshare", "--map-root-user", "sh", "-c", "echo held; exec cat"],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if self._world.stdout.readline() != b"held\n":
                raise PermissionError(NO_RIGHTS)
            around = ["nsenter", f"--target={self._world.pid}", "--user", "--preserve-credentials"]
        self.near, self.far = Host(around, folder / "near"), Host(around, folder / "far")
        self.near.run("ip", "link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", self.far.pid)
        for host, address in ((self.near, NEAR), (self.far, FAR)):
            host.run("ip", "address", "add", f"{address}/24", "dev", LINK)
            host.run("ip", "link", "set", LINK, "up")
        self._address = FAR
        self.near.name_broker(FAR)

    def lose_everything(self):
        """Every packet is lost on its way, and nobody says so."""
        self._filter(f"iifname {LINK}")

    def forget_connections(self):
        """As a NAT that has been restarted: what belongs to a connection that there is now is lost."""
        ports = ", ".join(map(str, self.near.ports_in_use()))
        self.far.filter(f"iifname {LINK} tcp sport {{ {ports} }}")
        self.near.filter(f"iifname {LINK} tcp dport {{ {ports} }}")

    def heal(self):
        self._filter(None)

    def pull_cable(self):
        """The near host has no network any more, and knows it."""
        self.near.run("ip", "link", "set", LINK, "down")

    def plug_in_cable(self):
        self.near.run("ip", "link", "set", LINK, "up")

    def move_broker(self):
        """The broker is at another address, and its name knows it."""
        old, self._address = self._address, MOVED if self._address == FAR else FAR
        self.far.run("ip", "address", "del", f"{old}/24", "dev", LINK)
        self.far.run("ip", "address", "add", f"{self._address}/24", "dev", LINK)
        self.near.name_broker(self._address)

    def close(self):
        self.near.close()
        self.far.close()
        self._folder.cleanup()

    def _filter(self, rule):
        self.near.filter(rule)
        self.far.filter(rule)


NO_RIGHTS = ("two hosts in one machine want network namespaces: run this as root (in a container with CAP_SYS_ADMIN and "
             "CAP_NET_ADMIN), or allow users to have namespaces")
