from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.toys import KNOB_TASK
from trainer.errors import KnobError, TaskError
from trainer.task import Data, Knob, Metric, Task, built_in_tasks, load_task

TASK_FILE = """\
name = "toy"
title = "a toy"
[program]
folder = "code"
files = ["train.py", "prepare.py"]
editable = ["train.py"]
command = ["{python}", "train.py"]
instructions = "program.md"
[metric]
name = "val_bpb"
direction = "minimize"
unit = "bits per byte"
floor = 0.8
noise = 0.005
[budget]
kind = "flops"
amount = 1.0e12
[limits]
wall_seconds = 180
memory_mb = 3000
output_bytes = 1000000
[data]
command = ["{python}", "prepare.py"]
[[knobs]]
name = "INIT"
type = "choice"
choices = ["default", "normal"]
prior = { cpu = 2.0, cuda = 0.5, cuda-80g = 0.25 }
[[knobs]]
name = "LR"
type = "float"
low = 1e-4
high = 1
log = true
"""

TRAIN = 'INIT = "default"\nLR = 1e-3\n'


def written(folder: Path, text: str = TASK_FILE, train: str = TRAIN) -> Path:
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "train.py").write_text(train)
    (code / "prepare.py").write_text("print('---')\n")
    (code / "program.md").write_text("Make it better.\n")
    (folder / "task.toml").write_text(text)
    return folder


def test_a_folder_and_its_task_file_are_the_same_task(tmp_path: Path) -> None:
    folder = written(tmp_path)
    task = load_task(folder)
    assert load_task(str(folder / "task.toml")) == task
    assert task.files == {"train.py": TRAIN, "prepare.py": "print('---')\n"}
    assert task.fixed == {"prepare.py": "print('---')\n"}
    assert task.instructions == "Make it better.\n"
    assert list(task.knobs) == ["INIT", "LR"]
    assert task.knobs["INIT"].default == "default"
    assert task.knobs["LR"].default == 0.001
    assert task.data == Data(command=("{python}", "prepare.py"))


def test_one_program_serves_tasks_with_other_constants_and_files(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "other").mkdir()
    (folder / "other/prepare.py").write_text("print('other data')\n")
    text = TASK_FILE.replace('folder = "code"', 'folder = ["other", "code"]\ndevices = ["cuda", "mps"]')
    (folder / "task.toml").write_text(text.replace("[metric]", "constants = { LR = 0.01 }\n[metric]"))
    task = load_task(folder)
    assert task.files == {"train.py": 'INIT = "default"\nLR = 0.01\n', "prepare.py": "print('other data')\n"}
    assert task.knobs["LR"].default == 0.01
    assert task.instructions == "Make it better.\n"
    assert task.devices == ("cuda", "mps")


def test_line_ends_of_the_checkout_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    unix = load_task(written(tmp_path / "unix"))
    folder = written(tmp_path / "dos")
    (folder / "code/train.py").write_bytes(TRAIN.replace("\n", "\r\n").encode())
    assert load_task(folder).fingerprint == unix.fingerprint


DECIDES: dict[str, tuple[str, str]] = {
    "direction": ('"minimize"', '"maximize"'),
    "metric name": ('"val_bpb"', '"val_loss"'),
    "budget": ("1.0e12", "2.0e12"),
    "budget kind": ('"flops"', '"tokens"'),
    "command": ('"train.py"]\ninstructions', '"train.py", "--x"]\ninstructions'),
    "editable": ('editable = ["train.py"]', 'editable = ["train.py", "prepare.py"]'),
    "knob range": ("low = 1e-4", "low = 1e-5"),
    "knob choices": ('"normal"]', '"normal", "xavier"]'),
    "data command": ('"prepare.py"]\n[[', '"prepare.py", "x"]\n[['),
    "data hash": ("[data]\n", f'[data]\nsha256 = "{"a" * 64}"\n'),
}
ADVISES: dict[str, tuple[str, str]] = {
    "title": ('"a toy"', '"another title"'),
    "unit": ('"bits per byte"', '"bpb"'),
    "floor": ("floor = 0.8\n", ""),
    "known best": ("noise = 0.005", 'noise = 0.005\nknown_best = { value = 0.9, source = "a paper" }'),
    "noise": ("noise = 0.005", "noise = 0.05"),
    "prior": ("cpu = 2.0", "cpu = 3.0"),
    "limits": ("memory_mb = 3000", "memory_mb = 4000"),
    "instructions": ('instructions = "program.md"\n', ""),
    "spelling of a number": ("high = 1\n", "high = 1.0\n"),
}


def test_a_task_file_may_take_what_it_does_not_say_from_another(tmp_path: Path) -> None:
    whole = load_task(written(tmp_path / "a"))
    budget = TASK_FILE[TASK_FILE.index("[budget]") : TASK_FILE.index("[limits]")]
    folder = written(tmp_path / "b", 'extends = "shared/common.toml"\n' + TASK_FILE.replace(budget, ""))
    (folder / "shared").mkdir()
    with pytest.raises(TaskError, match=r"common\.toml: cannot be read"):
        load_task(folder)
    (folder / "shared" / "common.toml").write_text(f'name = "other"\n{budget}', encoding="utf-8")
    assert load_task(folder) == whole


@pytest.mark.parametrize("what", DECIDES)
def test_what_decides_a_value_is_in_the_fingerprint(tmp_path: Path, what: str) -> None:
    old, new = DECIDES[what]
    assert old in TASK_FILE
    changed = load_task(written(tmp_path / "b", TASK_FILE.replace(old, new, 1)))
    assert changed.fingerprint != load_task(written(tmp_path / "a")).fingerprint


@pytest.mark.parametrize("what", ADVISES)
def test_what_only_advises_is_not_in_the_fingerprint(tmp_path: Path, what: str) -> None:
    old, new = ADVISES[what]
    assert old in TASK_FILE
    changed = load_task(written(tmp_path / "b", TASK_FILE.replace(old, new, 1)))
    assert changed.fingerprint == load_task(written(tmp_path / "a")).fingerprint


def test_the_program_text_and_every_file_name_are_in_the_fingerprint() -> None:
    def variant(**files: str) -> Task:
        return KNOB_TASK.model_copy(update={"files": KNOB_TASK.files | files})

    prints = {KNOB_TASK.fingerprint, variant(a="x").fingerprint, variant(b="x").fingerprint, variant(a="").fingerprint}
    assert len(prints) == 4
    assert all(len(fingerprint) == 32 for fingerprint in prints)


BROKEN: dict[str, tuple[str, str, str]] = {
    "not TOML": ('name = "toy"', "name = ", "not valid TOML"),
    "missing section": ('[budget]\nkind = "flops"\namount = 1.0e12\n', "", "budget: Field required"),
    "unknown key": ("memory_mb = 3000", "memory_mb = 3000\nmemory_gb = 3", "limits.memory_gb"),
    "direction": ('"minimize"', '"down"', "metric.direction"),
    "budget of nothing": ("1.0e12", "0", "budget.amount"),
    "endless budget": ("1.0e12", "inf", "budget.amount"),
    "missing file": ('"prepare.py"]\neditable', '"gone.py"]\neditable', "gone.py"),
    "outside": ('"prepare.py"]\neditable', '"../x.py"]\neditable', "plain path below"),
    "editable unknown": ('editable = ["train.py"]', 'editable = ["other.py"]', "not among files"),
    "knob without constant": ('name = "LR"', 'name = "RATE"', "RATE.*now none of them does"),
    "knob twice": ('name = "LR"', 'name = "INIT"', "INIT: named twice"),
    "knob default given": ('type = "choice"', 'type = "choice"\ndefault = "normal"', "read from the program"),
    "default outside": ("low = 1e-4", "low = 1e-2", "program's own value does not fit.*0.001"),
    "range upside down": ("high = 1\n", "high = 1e-9\n", "low < high"),
    "log from zero": ("low = 1e-4", "low = 0.0", "needs low > 0"),
    "choice without choices": ('choices = ["default", "normal"]\n', "", "needs at least one"),
    "bound on a choice": ('type = "choice"', 'type = "choice"\nlow = 1', "mean nothing"),
    "prior below zero": ("cpu = 2.0", "cpu = -2.0", "prior.cpu"),
    "constant unknown": ("[metric]", "constants = { RATE = 1.0 }\n[metric]", "constants.RATE = 1.0: .* it is not"),
    "constant's type": ("[metric]", "constants = { LR = 1 }\n[metric]", "constants.LR = 1: .* now it is 0.001"),
    "device unknown": ("[metric]", 'devices = ["tpu"]\n[metric]', "program.devices"),
    "nameless knob": ('name = "LR"\n', "", r"knobs\[1\]: name is missing"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_wrong_task_file_is_refused_with_file_and_key(tmp_path: Path, what: str) -> None:
    old, new, message = BROKEN[what]
    assert old in TASK_FILE
    folder = written(tmp_path, TASK_FILE.replace(old, new, 1))
    with pytest.raises(TaskError, match=message) as caught:
        load_task(folder)
    assert "task.toml" in str(caught.value)


def test_a_constant_assigned_twice_is_no_knob(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"LR.*once"):
        load_task(written(tmp_path, train=TRAIN + "LR = 2e-3\n"))


def test_an_unknown_task_is_refused_with_the_choices() -> None:
    with pytest.raises(TaskError, match=r"no task 'nowhere'.*built-in"):
        load_task("nowhere")


@pytest.mark.parametrize("name", built_in_tasks())
def test_every_built_in_task_loads_by_its_name(name: str) -> None:
    assert load_task(name).name == name


def knob(**fields: Any) -> Knob:
    return Knob.model_validate({"name": "K"} | fields)


INT = knob(type="int", low=1, high=10, default=2)
FLOAT = knob(type="float", low=0, high=1.5, default=0.5)
BOOL = knob(type="bool", default=True)
CHOICE = knob(type="choice", choices=["a", 1, 2.0, True], default="a")


@pytest.mark.parametrize(
    ("checked", "value", "kept"),
    [(INT, 1, 1), (INT, 10, 10), (FLOAT, 1, 1.0), (FLOAT, -0.0, 0.0), (BOOL, False, False), (CHOICE, 1, 1),
     (CHOICE, True, True)],
)  # fmt: skip
def test_an_allowed_value_is_kept_in_the_knobs_own_type(checked: Knob, value: object, kept: object) -> None:
    assert repr(checked.check(value)) == repr(kept)


@pytest.mark.parametrize(
    ("checked", "value"),
    [(INT, 0), (INT, 11), (INT, 2.0), (INT, True), (INT, "2"), (INT, None), (FLOAT, 1.6), (FLOAT, float("nan")),
     (FLOAT, float("inf")), (FLOAT, 10**400), (FLOAT, True), (FLOAT, "0.5"), (BOOL, 1), (BOOL, "True"), (CHOICE, "b"),
     (CHOICE, 1.0), (CHOICE, False), (CHOICE, 2)],
)  # fmt: skip
def test_any_other_value_is_refused_with_what_is_allowed(checked: Knob, value: object) -> None:
    with pytest.raises(KnobError, match=r"K = .* is not allowed; it must be"):
        checked.check(value)


def test_the_longest_fitting_prior_counts() -> None:
    weighed = knob(type="bool", default=True, prior={"cuda": 0.5, "cuda-80g": 3.0})
    assert [weighed.weight(name) for name in ("cuda-24g", "cuda-80g+", "cpu")] == [0.5, 3.0, 1.0]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from(["minimize", "maximize"]))
def test_improvement_is_positive_exactly_when_better(a: float, b: float, direction: str) -> None:
    metric = Metric.model_validate({"name": "m", "direction": direction, "noise": 1.0})
    assert (metric.improvement(a, b) > 0) == metric.better(b, a)
    assert metric.better(a, b) == ((a < b) if direction == "minimize" else (a > b))
