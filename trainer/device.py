"""The device that trials run on: its class, its name and its software, found without importing torch."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from trainer.errors import DeviceError
from trainer.output import clean

_SMI_SECONDS = 5.0
_MIB = 2**20
_GB = 1e9
# Upper ends of the classes in GiB of graphics memory; a card sold as 16 GB reports a little less or more.
_CUDA_CLASSES = ((17, "cuda-16g"), (25, "cuda-24g"), (49, "cuda-48g"))


@dataclass(frozen=True)
class Device:
    """What trials run on.

    Attributes:
        device_class: `cpu`, `mps`, `cuda-16g`, `cuda-24g`, `cuda-48g` or `cuda-80g+`.
        name: the processor's or the graphics card's, as it calls itself.
        cores: processor cores that this process may use.
        memory_gb: graphics memory where the class is cuda, otherwise the machine's, in 10^9 bytes.
        torch: version of torch with its build, such as `2.13.0+cpu`.
        software: name to version of what else decides the bits of a value.
    """

    device_class: str
    name: str
    cores: int
    memory_gb: float
    torch: str
    software: dict[str, str]

    @property
    def kind(self) -> str:
        """The device as programs name it: `cpu`, `cuda` or `mps`."""
        return self.device_class.partition("-")[0]


def detect(kinds: Sequence[str] = ("cuda", "mps", "cpu")) -> Device:
    """The first of these kinds of device that this machine has; its processor where it has none of them.

    Takes milliseconds, or where a card is asked for as long as `nvidia-smi` does (at most 5 s).
    """
    torch = _version("torch")
    device_class, name, memory = "cpu", _cpu_name(), float(psutil.virtual_memory().total)
    for kind in kinds:
        # A card is of no use to a torch that was built without CUDA.
        if kind == "cuda" and not torch.endswith("+cpu") and (card := _nvidia_card()) is not None:
            name, memory = card
            device_class = cuda_class(memory)
            break
        if kind == "mps" and sys.platform == "darwin" and platform.machine() == "arm64":
            device_class = "mps"
            break
        if kind == "cpu":
            break
    software = {
        "python": platform.python_version(),
        "torch": torch,
        "numpy": _version("numpy"),
        "tokenizers": _version("tokenizers"),
        "os": f"{platform.system()} {platform.machine()}",
    }
    return Device(device_class, clean(name), len(own_cores()), round(memory / _GB, 1), torch, software)


def require(task: str, kinds: Sequence[str]) -> Device:
    """As `detect`, for a task of that name. Raises DeviceError where this machine has none of the kinds."""
    found = detect(kinds)
    if found.kind not in kinds:
        raise DeviceError(
            f"{task} runs on {' or '.join(kinds)}, and here is only {found.kind} (torch {found.torch}): join with "
            "another task, or with --no-research; for a card of NVIDIA, nvidia-smi must see it and torch be built for "
            "CUDA (pip install torch, without the CPU index)"
        )
    return found


def cuda_class(memory_bytes: float) -> str:
    """The device class of a graphics card with that much memory."""
    return next((name for top, name in _CUDA_CLASSES if memory_bytes <= top * 2**30), "cuda-80g+")


def cards_of(device: Device) -> tuple[str, ...] | None:
    """The graphics cards that trials may use, as CUDA_VISIBLE_DEVICES names them; None where they use the processor."""
    if device.kind != "cuda":
        return None if device.kind == "cpu" else ("0",)
    program = shutil.which("nvidia-smi")
    listed = ""
    if program is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # then one card is all that we know of
            command = [program, "--query-gpu=index", "--format=csv,noheader"]
            listed = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True).stdout
    return visible_cards(os.environ.get("CUDA_VISIBLE_DEVICES"), listed)


def visible_cards(allowed: str | None, listed: str) -> tuple[str, ...]:
    """The cards that CUDA_VISIBLE_DEVICES (None: not set) allows, else those that nvidia-smi lists. Pure.

    Written without a machine of several cards at hand: what it says has never been used.
    """
    names = listed.split() if allowed is None else allowed.split(",")
    return tuple(name.strip() for name in names if name.strip() not in ("", "-1")) or ("0",)


def own_cores() -> list[int]:
    """The processor cores that this process may use, by number."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _nvidia_card() -> tuple[str, float] | None:
    """Name and bytes of memory of the first card that CUDA would use; None where there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi")
    if program is None or visible in ("", "-1"):
        return None
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    if visible is not None:
        command.append(f"--id={visible.split(',')[0]}")
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True).stdout
        name, mib = said.splitlines()[0].rsplit(",", 1)
        return name.strip(), float(mib) * _MIB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        # No driver, no card, or an answer in another form: then there is no card that we could use.
        return None


def _cpu_name() -> str:
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True).stdout
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    except (OSError, subprocess.SubprocessError):
        pass  # the architecture below is the next best name
    return platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
