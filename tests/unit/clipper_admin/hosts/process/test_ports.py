"""Ports."""

import socket
from pathlib import Path

import pytest

from clipper_admin import ClipperException
from clipper_admin.hosts.process import ports


def test_free_ports_differ_and_are_free() -> None:
    found = ports.free_ports(20)

    assert len(set(found)) == 20
    for port in found:
        ports.ensure_free(port, "a test")


def test_a_taken_port_is_refused_with_its_number_and_purpose() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClipperException, match=f"Port {port}, wanted for a test, cannot be used: Address already"):
            ports.ensure_free(port, "a test")


def test_a_port_that_envoys_could_share_is_taken_too() -> None:
    with socket.create_server((ports.LOOPBACK, 0), reuse_port=True) as taken, pytest.raises(ClipperException):
        ports.ensure_free(taken.getsockname()[1], "a test")


def test_free_ports_are_none_that_the_system_gives_away() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())

    assert not any(first <= port <= last for port in ports.free_ports(50))
