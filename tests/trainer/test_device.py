import json
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import device
from trainer.errors import DeviceError

VOCABULARY = {"cpu", "mps", "cuda-16g", "cuda-24g", "cuda-48g", "cuda-80g+"}


def test_this_machine_is_described_in_the_designs_words() -> None:
    here = device.detect()
    assert here.device_class in VOCABULARY
    assert here.kind in ("cpu", "cuda", "mps")
    assert here.name
    assert here.cores >= 1
    assert here.memory_gb > 0.5
    assert here.software["torch"] == here.torch
    json.dumps(here.software)


def test_torch_is_not_imported_to_find_out() -> None:
    source = "import sys, trainer.device as d; d.detect(); raise SystemExit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", source], cwd=Path(__file__).parents[2], check=True)


@pytest.mark.parametrize(
    ("mib", "expected"),
    [(8188, "cuda-16g"), (16384, "cuda-16g"), (24564, "cuda-24g"), (46068, "cuda-48g"), (81559, "cuda-80g+"),
     (143771, "cuda-80g+")],
)  # fmt: skip
def test_cards_are_sorted_by_memory(mib: int, expected: str) -> None:
    assert device.cuda_class(mib * 2**20) == expected


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the driver's program, on a machine whose torch was built for CUDA."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "_version", lambda package: "2.13.0+cu130")
    return program


def write(program: Path, body: str) -> None:
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_a_card_gives_class_name_and_memory(nvidia_smi: Path) -> None:
    write(nvidia_smi, 'echo "NVIDIA GeForce RTX 4090, 24564"; echo "NVIDIA T4, 15360"')
    found = device.detect()
    assert (found.device_class, found.name, found.memory_gb) == ("cuda-24g", "NVIDIA GeForce RTX 4090", 25.8)


def test_a_task_gets_the_first_of_its_kinds_that_is_here_or_is_told_what_is_missing(nvidia_smi: Path) -> None:
    write(nvidia_smi, 'echo "NVIDIA T4, 15360"')
    assert device.detect(("cpu",)).kind == "cpu"
    assert device.require("x", ("cpu", "cuda")).kind == "cpu"
    assert device.require("x", ("mps", "cuda")).kind == ("mps" if sys.platform == "darwin" else "cuda")
    write(nvidia_smi, "exit 9")
    if sys.platform != "darwin":
        with pytest.raises(DeviceError, match="big runs on cuda or mps, and here is only cpu"):
            device.require("big", ("cuda", "mps"))


def test_a_hidden_card_does_not_count(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(nvidia_smi, 'echo "NVIDIA T4, 15360"')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device.detect().kind != "cuda"


@pytest.mark.parametrize("body", ["exit 9", "echo no devices were found", "true", "echo 'Card, lots'"])
def test_a_driver_that_fails_is_no_card(nvidia_smi: Path, body: str) -> None:
    write(nvidia_smi, body)
    assert device.detect().kind != "cuda"


def test_a_driver_that_hangs_is_no_card(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(nvidia_smi, "exec sleep 60")
    monkeypatch.setattr(device, "_SMI_SECONDS", 0.2)
    assert device.detect().kind != "cuda"


def test_a_torch_without_cuda_cannot_use_a_card(nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(nvidia_smi, 'echo "NVIDIA T4, 15360"')
    monkeypatch.setattr(device, "_version", lambda package: "2.13.0+cpu")
    assert device.detect().kind != "cuda"
