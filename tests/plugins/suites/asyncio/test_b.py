import asyncio


async def test_timeout():
    try:
        await asyncio.wait_for(asyncio.sleep(9), 0.01)
    except asyncio.TimeoutError:
        pass


def test_sync(): pass
