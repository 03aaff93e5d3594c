from urllib.request import urlopen
import pytest


@pytest.mark.parametrize("n", range(4))
def test_n(httpserver, n):
    httpserver.expect_request("/").respond_with_data(str(n))
    assert urlopen(httpserver.url_for("/")).read() == str(n).encode()
