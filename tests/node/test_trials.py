"""Where trials run: on a device that the task is for, and edited code only in a sandbox that lets that device in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.trials import Trials, run_recipe
from tests.trainer.toys import KNOB_TASK
from trainer.device import detect
from trainer.errors import DeviceError
from trainer.recipe import Recipe
from trainer.sandbox import Sandbox


@pytest.mark.parametrize(("cards", "reason"), [((), "the sandbox lets no cuda in"), (("nvidia0",), None)])
def test_edited_code_for_a_card_needs_a_sandbox_that_lets_it_in(
    tmp_path: Path, cards: tuple[str, ...], reason: str | None
) -> None:
    walls: Any = object()
    with Trials(
        KNOB_TASK,
        replace(detect(("cpu",)), device_class="cuda-24g"),
        store=tmp_path / "trials.sqlite",
        workspaces=tmp_path,
        data=None,
        trouble=lambda what, why: None,
        sandbox=Sandbox(walls, cards=cards),
    ) as trials:
        assert (trials.accepts_code(own=True) or "").startswith(reason or "")
        assert (trials.accepts_code(own=True) is None) == (reason is None)


@pytest.mark.skipif(detect(("cuda", "mps")).kind != "cpu", reason="this machine has what the task is for")
async def test_a_task_for_cards_is_not_run_on_a_processor(tmp_path: Path) -> None:
    task = KNOB_TASK.model_copy(update={"devices": ("cuda", "mps")})
    with pytest.raises(DeviceError, match="toy runs on cuda or mps, and here is only cpu"):
        await run_recipe(task, Recipe(), 1, workspace=tmp_path, data=None, sandbox=None)
