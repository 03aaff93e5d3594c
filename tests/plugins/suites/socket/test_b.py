import socket
import pytest


def test_b():
    with pytest.raises(RuntimeError):
        socket.socket(socket.AF_INET)
