"""A proxy before an HTTP server: it makes every request wait, counts and keeps them, and lets those fail that a test chooses."""

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# What becomes of a request: None, it is passed on; "cut", the connection ends without an answer; "half", in the middle of it; a status.
Fault = None | str | int


@dataclass(frozen=True)
class Request:
    """One request: its number from 1 on, method, path with query, and Range; whether it has a condition."""

    number: int
    method: str
    path: str
    range: str
    conditional: bool = False


class FaultyProxy:
    """`with FaultyProxy(port) as proxy:` answers at `proxy.endpoint`, in a thread of this process."""

    def __init__(self, port: int, *, latency: float = 0.0, fault: Callable[[Request], Fault] = lambda request: None) -> None:
        self.behind, self.latency, self.fault = port, latency, fault
        self.requests: list[Request] = []
        self.spans: list[tuple[float, float]] = []  # when each has come, and was answered
        self.most = 0  # requests at a time
        self._now = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "FaultyProxy":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._clients: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        behind: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer, behind):
                    pass
        finally:
            self._clients.discard(task)
            for end in (writer, *(other for _, other in behind)):
                end.close()

    async def _one(self, reader, writer, behind) -> bool:
        """Pass one request on, and the answer back; returns whether the connection is kept."""
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, _ = head.partition(b"\r\n")
        method, path = line.decode().split(" ")[:2]
        conditional = bool(_header(head, "if-match") or _header(head, "if-none-match"))
        request = Request(len(self.requests) + 1, method, path, _header(head, "range"), conditional)
        self.requests.append(request)
        self._now += 1
        began = time.monotonic()
        self.most = max(self.most, self._now)
        try:
            body = await reader.readexactly(int(_header(head, "content-length") or 0))
            await asyncio.sleep(self.latency)
            fault = self.fault(request)
            if fault == "cut":
                return False
            if isinstance(fault, int):
                writer.write(b"HTTP/1.1 %d Fault\r\nContent-Length: 0\r\n\r\n" % fault)
                await writer.drain()
                return True
            if not behind:
                behind.append(await asyncio.open_connection("127.0.0.1", self.behind, limit=1 << 20))
            server, to = behind[0]
            to.write(head + body)
            await to.drain()
            head = await server.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100"):
                head = await server.readuntil(b"\r\n\r\n")
            without = method == "HEAD" or re.match(rb"HTTP/1.1 (204|304)", head)
            answer = b"" if without else await _body(server, head)
            if fault == "lost":  # done, but nobody hears of it
                return False
            if fault == "half":
                writer.write(head + answer[: len(answer) // 2])
                await writer.drain()
                return False
            writer.write(head + answer)
            await writer.drain()
            return "close" not in _header(head, "connection").lower()
        finally:
            self._now -= 1
            self.spans.append((began, time.monotonic()))


def rounds(spans: list[tuple[float, float]]) -> int:
    """How many times somebody waited: the most requests of which each came when the one before was answered."""
    count, until = 0, 0.0
    for began, ended in sorted(spans, key=lambda span: span[1]):
        if began >= until:
            count, until = count + 1, ended
    return count


async def _body(server: asyncio.StreamReader, head: bytes) -> bytes:
    if "chunked" not in _header(head, "transfer-encoding"):
        return await server.readexactly(int(_header(head, "content-length") or 0))
    parts = []
    while True:
        size = await server.readline()
        parts += [size, await server.readexactly(int(size, 16) + 2)]
        if not int(size, 16):
            return b"".join(parts)


def _header(head: bytes, name: str) -> str:
    found = re.search(rf"\r\n{name}: *([^\r]*)\r\n".encode(), head, re.IGNORECASE)
    return found[1].decode() if found else ""
