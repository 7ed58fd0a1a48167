"""The process that speaks with a language model, through litellm.

A process of its own because litellm takes seconds and some 200 MB to import, and because it prints, logs and reads the
environment as it likes: here it has no standard output, no standard error, and what it says is cleared of every key
before it leaves. Reads one JSON object a line from standard input and answers each with one: the settings, which it
answers with what is known of that model, and then calls. It ends when standard input does, in the middle of a call too.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Final

QUIET: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it downloads prices while it is imported
    "LITELLM_MODE": "PRODUCTION",  # else it reads .env files of whatever folder it was started in
    "LITELLM_LOG": "ERROR",
}
SECRET_WORDS: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
SHORTEST_SECRET: Final = 8
MAX_TEXT: Final = 400_000
MAX_WHY: Final = 300
NO_KEY: Final = "none"  # some clients refuse to ask without one
OLLAMA: Final = ("ollama", "ollama_chat")
FREE: Final = (*OLLAMA, "lm_studio", "llamafile", "hosted_vllm", "vllm", "docker_model_runner")


def main() -> None:
    """Answer until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.environ.update(QUIET)
    caller: Caller | None = None
    for request in _requests(sys.stdin):
        if "model" in request:
            caller = Caller(**request)
            answer = caller.describe()
        else:
            assert caller is not None, "the settings come first"
            answer = caller.call(**request)
        print(json.dumps(answer), file=out, flush=True)


def _requests(lines: IO[str]) -> Iterator[Any]:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in lines:
            waiting.put(line)
        os._exit(0)  # whoever asked is gone, so nobody waits for the call that may be under way

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(waiting.get())


class Caller:
    """A model behind litellm. base_url: where it is served, None for its provider's usual place."""

    def __init__(self, model: str, base_url: str | None, api_key: str | None) -> None:
        import litellm
        from litellm import exceptions

        self._raised = exceptions
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.drop_params = True
        self._litellm = litellm
        self._model = model
        # a provider's key in the environment is for that provider, not for whoever serves at another address
        self._where = {"base_url": base_url, "api_key": api_key or (NO_KEY if base_url else None)}
        self._secrets = _secrets(os.environ, api_key)
        self._json = False
        self._most_tokens: int | None = None  # of an answer

    def describe(self) -> dict[str, Any]:
        """What litellm knows of the model without asking it: provider, prices in USD a token (None if unknown), the
        names of variables with keys that are not set; or `unknown`, why there is no such model.
        """
        try:
            name, provider, *_ = self._litellm.get_llm_provider(self._model, api_base=self._where["base_url"])
        except self._raised.BadRequestError as error:
            return {"unknown": self._clear(str(error))[:MAX_WHY]}
        known = self._known(name, provider)
        self._most_tokens = known.get("max_output_tokens")
        price = known.get("input_cost_per_token"), known.get("output_cost_per_token")
        if provider in FREE and not self._where["base_url"]:
            price = 0.0, 0.0
        elif not any(price):  # two of nothing is how the list says that it does not know
            price = None, None
        parameters = self._litellm.get_supported_openai_params(model=name, custom_llm_provider=provider)
        self._json = "response_format" in (parameters or [])
        has_key = self._where["api_key"] is not None
        missing = [] if has_key or provider in FREE else self._missing_keys()
        return {"provider": provider, "usd_in": price[0], "usd_out": price[1], "missing_keys": missing}

    def _known(self, name: str, provider: str) -> Mapping[str, Any]:
        listed = self._litellm.model_cost
        return listed.get(self._model) or listed.get(f"{provider}/{name}") or listed.get(name) or {}

    def _missing_keys(self) -> list[str]:
        found = self._litellm.validate_environment(self._model)
        return [name for name in found["missing_keys"] if any(word in name for word in SECRET_WORDS)]

    def call(self, messages: Sequence[Mapping[str, str]], max_tokens: int, seconds: float) -> dict[str, Any]:
        """One call: `text` and what it used, None where the server does not say; or `failed`, why not, and whether it
        may have been charged.
        """
        max_tokens = min(max_tokens, self._most_tokens or max_tokens)
        options: dict[str, Any] = {"max_tokens": max_tokens, "timeout": seconds, "num_retries": 0, "max_retries": 0}
        if self._model.partition("/")[0] in OLLAMA:
            size = sum(len(message["content"]) for message in messages) // 3 + max_tokens
            options["num_ctx"] = 4096 * (size // 4096 + 1)  # Ollama cuts off what is beyond, silently
        if self._json:
            options["response_format"] = {"type": "json_object"}
        try:
            response = self._litellm.completion(self._model, messages=list(messages), **self._where, **options)
        except self._raised.BadRequestError as error:
            if self._json and not isinstance(error, self._raised.ContextWindowExceededError):
                self._json = False  # some servers refuse what their kind is said to know
                return self.call(messages, max_tokens, seconds)
            return self._failure(error)
        except Exception as error:  # noqa: BLE001 - litellm raises what its providers' libraries raise
            return self._failure(error)
        text = (response.choices[0].message.content or "") if response.choices else ""
        usage = getattr(response, "usage", None)
        used = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
        return {"text": self._clear(text)[:MAX_TEXT], "tokens": list(used) if any(used) else None}

    def _failure(self, error: Exception) -> dict[str, Any]:
        """Why a call failed. `failed`: busy, refused, broken, server, slow, unreachable."""
        causes = {type(cause).__name__ for cause in _causes(error)}
        status = getattr(error, "status_code", None)
        by_status = isinstance(status, int) and "HTTPStatusError" in causes
        if causes & {"ConnectError", "ConnectTimeout"}:
            kind = "unreachable"
        elif "ReadTimeout" in causes or isinstance(error, self._raised.Timeout):
            kind = "slow"
        elif status == 429:
            kind = "busy"
        elif isinstance(status, int) and 400 <= status < 500:
            kind = "refused"
        else:
            kind = "server" if by_status else "broken"
        headers = getattr(error, "litellm_response_headers", None) or {}
        return {
            "failed": kind,
            "why": " ".join(self._clear(str(error)).split())[:MAX_WHY],
            "retry_after": headers.get("retry-after"),
            "charged": kind in ("slow", "broken"),
        }

    def _clear(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "(secret)")
        return text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _secrets(environment: Mapping[str, str], api_key: str | None) -> list[str]:
    """What must not be repeated: the key, and every variable whose name says that it is one."""
    named = [
        value
        for name, value in environment.items()
        if any(word in name.upper() for word in SECRET_WORDS) and not value.isdecimal()  # as a budget of tokens is
    ]
    return sorted({s for s in (*named, api_key or "") if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)


if __name__ == "__main__":
    main()
