"""The process that speaks with a model: real litellm against a server that does all that servers do."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from node.llm.process import COMMAND
from tests.node.model_server import ModelServer, Step, fails, hangs_up, model_server, no_json, says

KEY = "sk-planted-0123456789"
Exchange = Callable[[dict[str, Any]], dict[str, Any]]


def environment() -> dict[str, str]:
    """No keys but a planted one, and no way out of this machine."""
    own = {name: value for name, value in os.environ.items() if "KEY" not in name}
    away = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return own | away | {"NO_PROXY": "127.0.0.1", "OTHER_API_KEY": "other-planted-key"}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with model_server(says("unused")) as made:
        yield made


@pytest.fixture(scope="module")
def exchange(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """One process for all, since it takes seconds to start."""
    folder = tmp_path_factory.mktemp("caller")
    (folder / "openai.py").write_text("raise SystemExit('the current folder was imported from')")
    (folder / ".env").write_text("OPENAI_API_KEY=sk-from-a-file\n")  # the test of missing keys would find it
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            print(json.dumps(request), file=process.stdin, flush=True)
            answer: dict[str, Any] = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            return answer

        yield ask
        process.stdin.close()
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.fixture
def call(server: ModelServer, exchange: Exchange) -> Callable[..., dict[str, Any]]:
    exchange({"model": "openai/scripted", "base_url": server.url, "api_key": KEY})

    def call(*script: Step, seconds: float = 20.0) -> dict[str, Any]:
        server.script[:] = script
        server.heard.clear()
        messages = [{"role": "system", "content": "rules"}, {"role": "user", "content": "propose"}]
        return exchange({"messages": messages, "max_tokens": 100, "seconds": seconds})

    return call


Call = Callable[..., dict[str, Any]]


def test_an_answer_comes_with_the_tokens_that_it_took(call: Call, server: ModelServer) -> None:
    assert call(says("hello")) == {"text": "hello", "tokens": [1000, 100]}
    (heard,) = server.heard
    assert heard.key == f"Bearer {KEY}"
    assert heard.body["messages"] == [{"role": "system", "content": "rules"}, {"role": "user", "content": "propose"}]
    assert heard.body["max_tokens"] == 100


def test_a_server_that_does_not_count_is_not_believed_to_be_free(call: Call) -> None:
    assert call(says("hello", usage=None)) == {"text": "hello", "tokens": None}


@pytest.mark.parametrize("step", [says(None), says("x", choices=0)], ids=["reasoning only", "no choices"])
def test_nothing_said_is_an_empty_answer(call: Call, step: Step) -> None:
    assert call(step)["text"] == ""


@pytest.mark.parametrize(
    ("step", "kind", "charged", "why"),
    [
        (fails(429, "slow down"), "busy", False, "slow down"),
        (fails(500, "boom"), "server", False, "boom"),
        (fails(503, "overloaded"), "server", False, "overloaded"),
        (fails(401, "no such key"), "refused", False, "no such key"),
        (fails(404, "no such model"), "refused", False, "no such model"),
        (fails(400, "context length exceeded"), "refused", False, "context length exceeded"),
        (hangs_up, "broken", True, ""),
        (no_json, "broken", True, ""),
    ],
    ids=["429", "500", "503", "401", "404", "400", "hangs up", "html"],
)
def test_a_failure_says_what_it_was_and_whether_it_may_have_cost(
    call: Call, step: Step, kind: str, charged: bool, why: str
) -> None:
    said = call(step)
    assert (said["failed"], said["charged"]) == (kind, charged), said
    assert why in said["why"]


def test_a_slow_server_is_left_at_the_limit(call: Call, server: ModelServer) -> None:
    def stalls(heard: object, handler: object) -> None:
        server.stopped.wait(10)

    assert call(stalls, seconds=0.3)["failed"] == "slow"


def test_what_a_busy_server_asks_for_is_handed_on(call: Call) -> None:
    assert call(fails(429, Retry_After="7"))["retry_after"] == "7"


def test_keys_are_cleared_from_whatever_a_server_says(call: Call) -> None:
    assert call(fails(401, "wrong: {key}"))["why"].endswith("wrong: Bearer (secret)")
    echo = says(lambda heard: f"{heard.key} and other-planted-key")
    assert call(echo)["text"] == "Bearer (secret) and (secret)"


def test_json_is_asked_for_and_given_up_where_the_server_refuses_that(call: Call) -> None:
    def picky(heard: Any, handler: Any) -> None:
        step = fails(400, "response_format is not supported") if "response_format" in heard.body else says("hello")
        step(heard, handler)

    assert call(picky)["text"] == "hello"


@pytest.mark.parametrize(
    ("model", "prices", "missing"),
    [
        ("ollama/qwen3:8b", (0, 0), []),
        ("gpt-4o-mini", (1e-8, 1e-5), ["OPENAI_API_KEY"]),
        ("anthropic/claude-sonnet-4-5", (1e-7, 1e-3), ["ANTHROPIC_API_KEY"]),
        ("openai/homemade", None, ["OPENAI_API_KEY"]),
    ],
)
def test_prices_and_missing_keys_are_known_without_asking_anyone(
    exchange: Exchange, model: str, prices: tuple[float, float] | None, missing: list[str]
) -> None:
    said = exchange({"model": model, "base_url": None, "api_key": None})
    told = (said["usd_in"], said["usd_out"])
    assert told == (None, None) if prices is None else prices[0] <= told[0] <= told[1] <= prices[1]
    assert said["missing_keys"] == missing


def test_a_name_that_no_provider_has_is_unknown(exchange: Exchange) -> None:
    assert "provider" in exchange({"model": "nonsense", "base_url": None, "api_key": None})["unknown"].lower()
