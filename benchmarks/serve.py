"""The service under load: `python benchmarks/serve.py BUNDLE texts.jsonl --seconds 60 --clients 16`.

`kdray serve` runs in a process of its own; clients in this one send texts, one or several in a request, each its next
request when the last is answered. Printed: requests and texts a second, p50, p95 and p99 of the answer times in
milliseconds, answers by status, and how many of the answers differ from those of the model without a server. With
`--kill`, a worker is killed in the middle: what was answered is still compared, and how many requests found no server
is printed.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.errors import RunError
from kdray.serve.loading import open_scorer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("texts", type=Path, help="JSON Lines with the columns of the model")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--per-request", type=int, default=1, help="texts of a request")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--kill", action="store_true", help="kill a worker in the middle (with --workers 2 or more)")
    arguments = parser.parse_args()
    scorer = open_scorer(arguments.bundle, threads=1)
    rows = [json.loads(line) for line in arguments.texts.read_text().splitlines()]
    texts = [tuple(row[name] for name in scorer.fields) for row in rows]
    expected = scorer.predictions(scorer.score(texts).values)
    command = [sys.executable, "-m", "kdray.cli", "serve", str(arguments.bundle), "--port", str(arguments.port)]
    command += ["--workers", str(arguments.workers), "--threads", str(arguments.threads)]
    server = subprocess.Popen(command)
    try:
        print(table([asyncio.run(_load(arguments, server.pid, texts, expected))]))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


async def _load(arguments: argparse.Namespace, pid: int, texts: list[Any], expected: list[Any]) -> dict[str, Any]:
    url = f"http://127.0.0.1:{arguments.port}"
    seconds: list[float] = []
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        await _until_up(session, url)
        end = time.perf_counter() + arguments.seconds
        if arguments.kill:
            asyncio.get_running_loop().call_later(arguments.seconds / 2, _kill_a_worker, pid)

        async def client(number: int) -> None:
            draw = random.Random(number)
            while time.perf_counter() < end:
                chosen = [draw.randrange(len(texts)) for _ in range(arguments.per_request)]
                start = time.perf_counter()
                try:
                    body = {"texts": [list(texts[each]) for each in chosen]}
                    async with session.post(f"{url}/predict", json=body) as answer:
                        document = await answer.json()
                except aiohttp.ClientError:
                    found["no answer"] += 1
                    await asyncio.sleep(0.05)
                    continue
                seconds.append(time.perf_counter() - start)
                found[str(answer.status)] += 1
                if answer.status == 200:
                    labels = [each["label"] for each in document["predictions"]]
                    found["other labels"] += labels != [expected[each] for each in chosen]

        await asyncio.gather(*(client(number) for number in range(arguments.clients)))
    p50, p95, p99 = 1000 * np.percentile(seconds, [50, 95, 99])
    rate = len(seconds) / arguments.seconds
    row = {"clients": arguments.clients, "workers": arguments.workers, "texts a request": arguments.per_request}
    row |= {"requests/s": rate, "texts/s": rate * arguments.per_request, "p50 ms": p50, "p95 ms": p95, "p99 ms": p99}
    return row | {"answers": ", ".join(f"{count} x {kind}" for kind, count in sorted(found.items()) if count)}


async def _until_up(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(600):
        try:
            async with session.get(f"{url}/healthz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.2)
    raise RunError(f"{url} did not come up in two minutes.")


def _kill_a_worker(pid: int) -> None:
    workers = [each for each in psutil.Process(pid).children() if "resource_tracker" not in " ".join(each.cmdline())]
    workers[0].kill()


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))
