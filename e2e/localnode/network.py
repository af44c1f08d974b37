"""A link between this machine and the node's namespaces, on addresses that nothing here uses yet."""

import random
import re
import subprocess
from dataclasses import dataclass
from typing import Self

from parkade.errors import LocalPlaneError


@dataclass(frozen=True, slots=True)
class Network:
    """10.NUMBER.0.0/16, of which this machine has one address, the node one, and pods and Services a range each."""

    number: int

    @classmethod
    def unused(cls) -> Self:
        """One of which this machine knows neither an address nor a route.

        Raises:
            LocalPlaneError: there is none.
        """
        known = ip("-4", "-oneline", "address") + ip("-4", "route", "show", "table", "all")
        taken = {int(number) for number in re.findall(r"\b10\.(\d+)\.", known)}
        free = sorted(set(range(64, 250)) - taken)
        if not free:
            raise LocalPlaneError("every network 10.64.0.0/16 to 10.249.0.0/16 is in use; remove one of their routes")
        return cls(random.choice(free))  # noqa: S311 -- two that choose at once should differ, no more

    @property
    def host(self) -> str:
        """This machine, as pods reach it."""
        return f"10.{self.number}.0.1"

    @property
    def node(self) -> str:
        """The node and the API server."""
        return f"10.{self.number}.0.2"

    @property
    def pods(self) -> str:
        """The range of pods."""
        return f"10.{self.number}.1.0/24"

    @property
    def services(self) -> str:
        """The range of Services."""
        return f"10.{self.number}.16.0/20"

    @property
    def dns(self) -> str:
        """The cluster's DNS."""
        return f"10.{self.number}.16.10"

    @property
    def link(self) -> str:
        """The interface on this machine."""
        return f"parkade{self.number}"

    def connect(self, pid: int) -> None:
        """Link this machine with the network namespace of a process, and route pods and Services to it."""
        enter = ("nsenter", "--target", str(pid), "--net", "ip")
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("address", "add", f"{self.host}/30", "dev", self.link)
        ip("link", "set", self.link, "up")
        run(*enter, "address", "add", f"{self.node}/30", "dev", "eth0")
        run(*enter, "link", "set", "eth0", "up")
        run(*enter, "route", "add", "default", "via", self.host)
        for network in (self.pods, self.services):
            ip("route", "add", network, "via", self.node)

    def disconnect(self) -> None:
        """Remove the link and with it the routes; it is gone already where the namespace is."""
        subprocess.run(["ip", "link", "delete", self.link], capture_output=True, check=False)


def ip(*arguments: str) -> str:
    """Run iproute2's `ip` on this machine."""
    return run("ip", *arguments)


def run(*command: str) -> str:
    """Run a command and return what it printed.

    Raises:
        LocalPlaneError: it failed, with its own words.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalPlaneError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
