"""A narrow link as a relay in user space: all connections share one queue in each direction, as at a car's modem."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

READ = 4096


class Direction:
    """A queue that drains at so many bytes a second, and takes no more than `room` bytes."""

    def __init__(self, rate: float, room: int) -> None:
        self.rate = rate
        self.deepest = 0
        """Most bytes that ever stood in it."""
        self._room = room
        self._depth = 0
        self._queue: asyncio.Queue[tuple[asyncio.StreamWriter, bytes]] = asyncio.Queue()
        self._drained = asyncio.Condition()

    async def put(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        async with self._drained:
            await self._drained.wait_for(lambda: self._depth + len(chunk) <= self._room)
        self._depth += len(chunk)
        self.deepest = max(self.deepest, self._depth)
        self._queue.put_nowait((writer, chunk))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        free = loop.time()
        while True:
            writer, chunk = await self._queue.get()
            free = max(free, loop.time()) + len(chunk) / self.rate
            await asyncio.sleep(max(0.0, free - loop.time()))
            if not writer.is_closing():
                writer.write(chunk)
            async with self._drained:
                self._depth -= len(chunk)
                self._drained.notify_all()


class NarrowLink:
    """Ports that lead to others' ports over one link."""

    def __init__(self, rate: float, room: int) -> None:
        self.up, self.down = Direction(rate, room), Direction(rate, room)
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def to(self, port: int) -> int:
        """Return a port that leads to that port."""

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            self._start(self._pump(reader, back, self.up))
            self._start(self._pump(there, writer, self.down))

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        self._servers.append(server)
        return server.sockets[0].getsockname()[1]

    def _start(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        try:
            while chunk := await reader.read(READ):
                await direction.put(writer, chunk)
        except OSError:
            pass
        finally:
            writer.close()

    def start(self) -> None:
        for direction in (self.up, self.down):
            self._start(direction.run())

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def narrow(rate: float, room: int) -> AsyncIterator[NarrowLink]:
    link = NarrowLink(rate, room)
    link.start()
    try:
        yield link
    finally:
        await link.stop()
