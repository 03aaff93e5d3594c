import os, json


def test_not_patched():
    assert os.getcwd().startswith("/")


def test_time(mocker):
    mocker.patch("time.time", return_value=0)
    mocker.patch("time.perf_counter", return_value=0)
    mocker.patch("os.write")
    mocker.patch("json.dumps", return_value="nonsense")
    assert json.dumps(1) == "nonsense"


def test_spy(mocker):
    spy = mocker.spy(os.path, "join")
    os.path.join("a", "b")
    assert spy.spy_return.endswith("b")
