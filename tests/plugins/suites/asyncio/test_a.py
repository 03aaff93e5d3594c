import asyncio
import pytest


@pytest.mark.parametrize("n", range(8))
async def test_same_loop(server, n):
    assert asyncio.get_running_loop() is server[1]
    await server[0].put(n)
    assert await server[0].get() == n


async def test_red():
    await asyncio.sleep(0)
    assert 0


class TestClass:
    loop = None

    @pytest.mark.asyncio(loop_scope="class")
    async def test_first(self):
        TestClass.loop = asyncio.get_running_loop()

    @pytest.mark.asyncio(loop_scope="class")
    async def test_second(self):
        assert TestClass.loop is asyncio.get_running_loop()
