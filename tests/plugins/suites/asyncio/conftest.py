import asyncio
import pytest


@pytest.fixture(scope="session")
async def server():
    queue = asyncio.Queue()
    yield queue, asyncio.get_running_loop()
