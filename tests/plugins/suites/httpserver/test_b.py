from urllib.request import urlopen


def test_b(httpserver):
    httpserver.expect_ordered_request("/b").respond_with_json({"a": 1})
    assert urlopen(httpserver.url_for("/b")).read() == b'{"a": 1}'


def test_red(httpserver):
    httpserver.expect_request("/c").respond_with_data("")
    urlopen(httpserver.url_for("/d"))
