"""Names that people can remember for nodes that gave themselves none."""

import re
from typing import Final

ADJECTIVES: Final = """
amber bold brisk calm clever coral crisp dapper deft eager early fair fleet fond frank gentle glad golden
grand hardy hazel humble jolly keen kind lively lucid mellow merry mild neat nimble noble patient plain plucky
proud quick quiet rapid ready rosy rustic sage serene sharp shy silver sleek sly smart snug spry steady still
sunny swift tidy true vivid warm wise witty
""".split()
ANIMALS: Final = """
ant auk bat bear bee bison boar cat civet cod crab crane crow deer dove duck eel egret elk emu ermine falcon
finch fox frog gecko goat goose hare hawk heron ibis jay kite koala lark lemur lynx marten mink mole moth
mouse newt okapi orca otter owl panda puma quail raven robin seal shrew skink sloth snail stoat swan tapir
tern toad trout vole wren yak
""".split()


class NameRefused(Exception):
    """A name that cannot be used; the message says why."""


def alias_of(author: bytes) -> str:
    """Two words from a node's public key (32 bytes)."""
    return f"{ADJECTIVES[author[0] % len(ADJECTIVES)]}-{ANIMALS[author[1] % len(ANIMALS)]}"


def clean_alias(text: str) -> str:
    """Check an alias that a person chose. Raises NameRefused."""
    if not re.fullmatch(r"[\w.-]{1,24}", text):
        raise NameRefused(f"the alias {text!r} is not 1 to 24 letters, digits, dots, dashes or underscores")
    return text


def clean_swarm(text: str) -> str:
    """Check a swarm's name, which becomes part of its topics. Raises NameRefused."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text):
        raise NameRefused(
            f"the swarm name {text!r} is not 1 to 64 lower-case letters, digits, dots, dashes or underscores"
        )
    return text
