"""What complexity costs, and when a recipe is simpler than its parent.

"All else being equal, simpler is better. A small improvement that adds ugly complexity is not worth it. Conversely,
removing something and getting equal or better results is a great outcome" (autoresearch's program.md). Here: whatever
makes the program's code or the model a tenth larger must bring the minimum effect once more. So a change that doubles
the parameters must bring eight times the minimum, and a few lines more cost next to nothing. The price counts growth in
logarithms, as minimum description lengths do, and has no unit that a task would have to set.

Code is counted in tokens of Python, without comments and layout, so that neither is worth anything. The values of knobs
cost nothing: a knob set to another value is no more code.
"""

import io
import math
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from trainer.recipe import Recipe
from trainer.task import Task

PRICED_GROWTH: Final = 1.1
_LAYOUT: Final = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


@dataclass(frozen=True)
class Complexity:
    """code: tokens of the editable files; parameters: of the model, 0 where unknown; settings: knobs set otherwise."""

    code: int
    parameters: int
    settings: int


def complexity(task: Task, recipe: Recipe, parameters: int = 0) -> Complexity:
    """How complex a recipe is. parameters: as its trial told."""
    texts = (recipe.files.get(name, task.files[name]) for name in task.editable)
    return Complexity(sum(map(_tokens, texts)), parameters, len(recipe.knobs))


def price(parent: Complexity, candidate: Complexity) -> float:
    """How many times the minimum effect a candidate must bring, >= 1."""
    code = max(candidate.code, 1) / max(parent.code, 1)
    parameters = candidate.parameters / parent.parameters if candidate.parameters and parent.parameters else 1.0
    return 1 + (math.log(max(code, 1)) + math.log(max(parameters, 1))) / math.log(PRICED_GROWTH)


def is_simpler(parent: Complexity, candidate: Complexity) -> bool:
    """Less code or fewer parameters, and not more of the other; or the same of both, and fewer knobs set.

    Edited code counts its parameters itself, so fewer of them count only where the code is the same.
    """
    if candidate.code != parent.code:
        return candidate.code < parent.code and candidate.parameters <= parent.parameters
    if candidate.parameters and parent.parameters and candidate.parameters != parent.parameters:
        return candidate.parameters < parent.parameters
    return candidate.settings < parent.settings


@lru_cache(maxsize=256)
def _tokens(text: str) -> int:
    """Tokens of Python; of a text that is not Python, its words."""
    try:
        return sum(token.type not in _LAYOUT for token in tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return len(text.split())
