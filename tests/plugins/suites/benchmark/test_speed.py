import pytest


@pytest.mark.parametrize("n", [10, 100])
def test_sorted(benchmark, n):
    assert benchmark(sorted, range(n))[0] == 0


@pytest.mark.benchmark(group="sum")
def test_sum(benchmark):
    benchmark.extra_info["unit"] = "numbers"
    assert benchmark(sum, range(100)) == 4950
