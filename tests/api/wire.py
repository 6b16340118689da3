"""What lies between client and server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Wire:
    """A TCP proxy that can become a black hole: connections stay open, but nothing passes any more.

    Attributes:
        cut: Once set, nothing passes.
        connections: How many were opened.
        spared: Of connections, from the how-manieth on they pass all the same, as a network that has healed.
    """

    def __init__(self, spared: int | None = None) -> None:
        self.cut, self.connections, self.spared = asyncio.Event(), 0, spared

    @asynccontextmanager
    async def to(self, port: int) -> AsyncIterator[int]:
        """Listen on a port of its own and pass on what comes, both ways, until cut."""
        writers: list[asyncio.StreamWriter] = []

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            number, self.connections = self.connections, self.connections + 1
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writers.extend((writer, far_writer))
            ways = ((reader, far_writer), (far_reader, writer))
            await asyncio.gather(*(self._pass_on(*way, number) for way in ways))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in writers:
                writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        spared = self.spared is not None and number >= self.spared
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if spared or not self.cut.is_set():
                    writer.write(data)
                    await writer.drain()
