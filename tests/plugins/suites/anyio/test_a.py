import anyio
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def place():
    yield []


async def test_put(place):
    place.append(1)


async def test_got(place):
    assert place == [1]


@pytest.mark.parametrize("n", range(3))
async def test_group(n):
    got = []
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
        got.append(n)
    assert got == [n]
