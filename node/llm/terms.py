"""What a model costs, and whether the budget that a person set can hold it to that."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from node.llm.spending import Budget


class ModelRefused(Exception):
    """This model cannot be used as it was asked for; the message says what to do."""


@dataclass(frozen=True)
class Address:
    """Which model, and where. api_key: None where the provider's own variable has it, or none is needed."""

    model: str
    base_url: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"Address({self.model!r}, {self.base_url!r})"  # no key

    @property
    def at_home(self) -> bool:
        """Whether it is served on this machine or its local network, and so costs nothing."""
        host = (urlsplit(self.base_url).hostname or "") if self.base_url else ""
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True)
class Terms:
    """What is known of a model without asking it.

    usd_in, usd_out: US dollars for a token of a prompt and of an answer, None if unknown; missing_keys: names of
    variables that its provider wants and that are not set.
    """

    provider: str
    usd_in: float | None
    usd_out: float | None
    missing_keys: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        return self.usd_in == self.usd_out == 0.0

    @property
    def priced(self) -> bool:
        return self.usd_in is not None and self.usd_out is not None

    def usd(self, prompt: int, answer: int) -> float:
        """The price of so many tokens; 0 where none is known."""
        return prompt * (self.usd_in or 0.0) + answer * (self.usd_out or 0.0)


def check_terms(address: Address, terms: Terms, budget: Budget) -> None:
    """Raise ModelRefused unless the model's key is there, and the budget bounds what it can cost."""
    name = address.model
    if terms.missing_keys:
        raise ModelRefused(
            f"{name} needs a key: set {' or '.join(terms.missing_keys)} in the environment, or api_key in [llm] of "
            "config.toml"
        )
    if not terms.priced and not budget.limits_tokens:
        hint = "; --budget-usd cannot hold without a price" if budget.limits_usd else ""
        how = "limit its tokens, as in --budget-tokens-day 1000000"
        raise ModelRefused(f"the price of {name} is not known: {how}{hint}")
    if not terms.free and not budget.limits_usd and not budget.limits_tokens:
        price = f"${1e6 * (terms.usd_in or 0):g} for a million tokens read, ${1e6 * (terms.usd_out or 0):g} written"
        raise ModelRefused(f"{name} costs {price}: say what it may cost, as in --budget-usd-day 2")
