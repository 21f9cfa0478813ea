"""Debian's Chromium, driven by its DevTools protocol."""

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Tab:
    """One page of the browser; what it complains of is in `complaints`, what it asked for in `requests`."""

    def __init__(self, socket: "aiohttp.ClientWebSocketResponse[Any]") -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._seen: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def open(self, url: str) -> None:
        """Go there and wait until it has loaded."""
        self._seen.clear()
        await self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._seen:
            await self._receive()

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is, as plain data."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _receive(self) -> dict[str, Any]:
        message = json.loads(await self._socket.receive_str(timeout=30))
        if "method" in message:
            self._note(message["method"], message["params"])
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        self._seen.append(event)
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
            self.complaints.append(params["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("warning", "error", "assert"):
            self.complaints.append(json.dumps(params["args"]))


def visit(work: Callable[[Tab], Awaitable[None]]) -> None:
    """Do some work in a fresh browser, which ends with it; skips the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    asyncio.run(_visit(program, work))


async def _visit(program: str, work: Callable[[Tab], Awaitable[None]]) -> None:
    async with _tab(program) as tab:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await work(tab)


@asynccontextmanager
async def _tab(program: str) -> AsyncGenerator[Tab]:
    with tempfile.TemporaryDirectory(prefix="kdray-browser-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort", process)
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    (page,) = [each for each in await answer.json() if each["type"] == "page"]
                async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            process.kill()
            process.wait()


async def _port(file: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return lines[0]
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not start")
