"""The caller's process from outside, with a process in its place that misbehaves as the real one may."""

import sys

import psutil
import pytest

from agent.llm.prompt import Message
from node.llm.process import CallerProcess, CallFailed
from node.llm.terms import Address
from tests.trainer.toys import running

ADDRESS = Address("some/model", "http://127.0.0.1:1/v1", "sk-1")
ASKED = [Message("user", "hello")]
PROGRAM = """\
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    said = request.get("messages", [{}])[0].get("content", "")
    if said == "sleep":
        time.sleep(60)
    if said == "die":
        sys.exit("died")
    if said == "garbage":
        print("no JSON", flush=True)
    elif "model" in request:
        print(json.dumps({"provider": "some", "usd_in": 1.0, "usd_out": 1.0, "missing_keys": ["KEY"]}), flush=True)
    else:
        print(json.dumps({"text": f"{said} {os.getpid()}", "tokens": [1, 2]}), flush=True)
"""


@pytest.fixture
def caller() -> CallerProcess:
    return CallerProcess(ADDRESS, (sys.executable, "-c", PROGRAM))


async def call(caller: CallerProcess, text: str = "hello", seconds: float = 30.0) -> tuple[str, int]:
    reply = await caller.call([Message("user", text)], max_tokens=10, seconds=seconds)
    said, _, pid = reply.text.partition(" ")
    assert reply.tokens == (1, 2)
    return said, int(pid)


async def test_one_process_answers_all_calls_and_ends_when_it_is_closed(caller: CallerProcess) -> None:
    first, second = await call(caller), await call(caller)
    assert first == second
    await caller.aclose()
    assert not running([first[1]])


async def test_what_is_served_at_home_is_free_and_needs_no_key(caller: CallerProcess) -> None:
    terms = await caller.describe()
    assert (terms.free, terms.missing_keys) == (True, ())
    await caller.aclose()


@pytest.mark.parametrize(("said", "kind"), [("sleep", "slow"), ("die", "lost"), ("garbage", "lost")])
async def test_a_process_that_misbehaves_is_ended_and_the_next_call_has_a_new_one(
    caller: CallerProcess, said: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.llm.process.GRACE_SECONDS", 0.2)
    _, old = await call(caller)
    with pytest.raises(CallFailed) as failed:
        await call(caller, said, seconds=0.1)
    assert (failed.value.kind, failed.value.charged) == (kind, True)
    assert not psutil.pid_exists(old)
    answer, new = await call(caller)
    assert (answer, new != old) == ("hello", True)
    await caller.aclose()
