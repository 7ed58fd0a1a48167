"""What a language model's client costs a node, beside the model itself: a process of its own, and time before a call.

    python -m bench.llm [CALLS]

The process of `arnode join --model` against a server on loopback that answers at once.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil

from bench.figures import figure, machine
from node.llm.process import COMMAND

PROMPT = "x" * 40_000  # as long as one about story-cpu
STARTS = 3


class Handler(BaseHTTPRequestHandler):
    """Answers everything with one word."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": "yes"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        data = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def server() -> Iterator[str]:
    """The address of a model that says yes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}/v1"
        made.shutdown()


@contextmanager
def caller() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def exchange(process: subprocess.Popen[str], request: dict[str, Any]) -> float:
    """Seconds from a request to its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.perf_counter()
    print(json.dumps(request), file=process.stdin, flush=True)
    answer = json.loads(process.stdout.readline())
    assert "failed" not in answer, answer
    return time.perf_counter() - began


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    ask = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 10, "seconds": 60}
    starts, work, first, later, resident, own = [], [], [], [], [], []
    with server() as url:
        for _ in range(STARTS):
            with caller() as process:
                starts.append(exchange(process, {"model": "openai/m", "base_url": url, "api_key": None}))
                first.append(exchange(process, ask))
                seen = psutil.Process(process.pid)
                used = seen.cpu_times()
                work.append(used.user + used.system)
                later += [1000 * exchange(process, ask) for _ in range(calls)]
                memory = seen.memory_full_info()
                resident.append(memory.rss / 1e6)
                own.append(memory.uss / 1e6)
    print(machine())
    print(figure("the client's process, from its start until it knows the model", "s", starts))
    print(figure("the first call, without the model's own time", "s", first))
    print(figure("both", "s of CPU", work))
    print(figure("a later call, without the model's own time", "ms", later))
    print(figure("memory of the process, resident", "MB", resident))
    print(figure("memory of the process, its own", "MB", own))


if __name__ == "__main__":
    main()
