"""The caller's process from outside, with a process in its place that misbehaves as the real one may."""

import socket
import sys
from pathlib import Path

import psutil
import pytest

from agent.llm.prompt import Message
from node.finding import Case
from node.home import locate_home
from node.llm.checkup import model
from node.llm.process import CallerProcess, CallFailed
from node.llm.spending import Budget, Spending
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
def caller(monkeypatch: pytest.MonkeyPatch) -> CallerProcess:
    monkeypatch.setattr("node.llm.process.COMMAND", (sys.executable, "-c", PROGRAM))
    return CallerProcess(ADDRESS)


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


def looked(folder: Path, **case: object) -> tuple[str, str]:
    flags = {"llm.model": "some/model", "llm.base_url": None} | case.pop("llm", {})  # type: ignore[operator, call-overload]
    (found,) = model(Case(locate_home(folder), llm=flags, **case))  # type: ignore[arg-type]
    return found.status, found.text


@pytest.mark.usefixtures("caller")
def test_doctor_looks_at_the_model_and_asks_it_only_if_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(tmp_path / "h", llm={"llm.model": None})[0] == "ok"
    status, text = looked(tmp_path / "h")
    assert (status, text) == (
        "failed",
        "some/model needs a key: set KEY in the environment, or api_key in [llm] of config.toml",
    )
    with socket.create_server(("127.0.0.1", 0)) as served:
        at_home = {"llm.base_url": f"http://127.0.0.1:{served.getsockname()[1]}/v1"}
        status, text = looked(tmp_path / "h", llm=at_home)
        assert (status, text) == ("ok", "some/model, which costs nothing; --ask-model asks it something small")
        assert not (tmp_path / "h").exists(), "doctor changes nothing"
        status, text = looked(tmp_path / "h", llm=at_home, ask_model=True)
        assert (status, text.partition(" (")[0]) == ("ok", "some/model answers")
    assert Spending(tmp_path / "h" / "spending.sqlite", Budget()).total().tokens == 3
    status, text = looked(tmp_path / "h", llm=at_home)
    assert (status, "nothing answers at http://127.0.0.1:" in text) == ("failed", True)
    monkeypatch.setenv("ARNODE_LLM_SECONDS", "soon")
    assert looked(tmp_path / "h")[0] == "failed"
