"""The caller's process from outside: started when it is first needed, ended when a call takes too long."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from agent.llm.prompt import Message
from node.llm.terms import Address, ModelRefused, Terms

# by its path and without the current folder, so that nothing that lies there is imported in its place
COMMAND: Final = (sys.executable, "-P", str(Path(__file__).with_name("caller.py")))
START_SECONDS: Final = 120.0  # litellm on a slow disk
GRACE_SECONDS: Final = 15.0  # beyond a call's own limit, which a server that sends a byte now and then never reaches
MAX_LINE: Final = 4_000_000
CHUNK: Final = 65_536


@dataclass(frozen=True)
class Reply:
    """What the model wrote, and (prompt, completion) tokens, None where the server does not say."""

    text: str
    tokens: tuple[int, int] | None


class CallFailed(Exception):
    """A call came to nothing. kind: busy, refused, broken, server, slow, unreachable, or lost: the process died.

    retry_after: seconds that the server asks for; charged: whether it may have cost something.
    """

    def __init__(self, kind: str, why: str, retry_after: float | None = None, *, charged: bool) -> None:
        super().__init__(why)
        self.kind = kind
        self.retry_after = retry_after
        self.charged = charged


class CallerProcess:
    """One model's caller, started when it is first asked. Not for two calls at once."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._process: trio.Process | None = None
        self._rest = b""

    async def describe(self) -> Terms:
        """What is known of the model. Raises ModelRefused where no provider has one of that name, CallFailed."""
        said = await self._exchange(None, START_SECONDS)
        if "unknown" in said:
            name = self._address.model
            hint = "write provider/name, such as ollama/qwen3:8b; for a server of your own openai/NAME and --base-url"
            raise ModelRefused(f"litellm knows no model {name!r}: {hint}")
        if self._address.at_home:
            return Terms(said["provider"], 0.0, 0.0)
        return Terms(said["provider"], said["usd_in"], said["usd_out"], tuple(said["missing_keys"]))

    async def call(self, messages: Sequence[Message], *, max_tokens: int, seconds: float) -> Reply:
        """Ask once. Raises CallFailed."""
        told = [{"role": message.role, "content": message.content} for message in messages]
        request = {"messages": told, "max_tokens": max_tokens, "seconds": seconds}
        said = await self._exchange(request, seconds + GRACE_SECONDS + (0 if self._process else START_SECONDS))
        if "failed" in said:
            raise CallFailed(said["failed"], said["why"], seconds_in(said["retry_after"]), charged=said["charged"])
        return Reply(said["text"], tuple(said["tokens"]) if said["tokens"] else None)

    async def aclose(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def _exchange(self, request: Mapping[str, Any] | None, seconds: float) -> Any:
        """The answer to a request, after the process was started and told which model; to that itself for None."""
        answer = None
        try:
            with trio.fail_after(seconds):
                said = None
                if self._process is None:
                    self._process = await self._start()
                    said = await self._answer(vars(self._address))
                answer = said if request is None and said else await self._answer(request or vars(self._address))
        except trio.TooSlowError:
            raise CallFailed("slow", f"no answer within {seconds:.0f} s", charged=True) from None
        except (trio.BrokenResourceError, EOFError, ValueError) as error:
            raise CallFailed("lost", f"the process that asks the model ended: {error}", charged=True) from None
        finally:
            if answer is None:
                await self.aclose()  # an answer that came late would be taken for the next one's
        return answer

    async def _start(self) -> trio.Process:
        pipe = subprocess.PIPE
        self._rest = b""
        # a session of its own: Ctrl-C ends the node first, which then ends this
        return await trio.lowlevel.open_process(
            COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
        )

    async def _answer(self, request: Mapping[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(request).encode() + b"\n")
        return json.loads(await self._line())

    async def _line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            chunk = await self._process.stdout.receive_some(CHUNK)
            if not chunk or len(self._rest) > MAX_LINE:
                raise EOFError("it said nothing more")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def seconds_in(header: object) -> float | None:
    """The seconds of a Retry-After header; None for a date, or for what is no number."""
    try:
        seconds = float(str(header))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e6 else None
