import socket
import pytest


def test_red():
    socket.socket(socket.AF_INET)


@pytest.mark.enable_socket
def test_allowed():
    socket.socket(socket.AF_INET).close()


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_hosts():
    with socket.socket(socket.AF_INET) as s:
        s.bind(("127.0.0.1", 0))


def test_fixture(socket_enabled):
    socket.socket(socket.AF_INET).close()
