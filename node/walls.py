"""Doctor's check of the sandbox: which one stands, how many attacks it stood, and what to do where none does."""

import functools
import os
import platform
from collections.abc import Iterator, Mapping
from typing import Final

from node.finding import Case, Finding
from trainer.bubblewrap import Bubblewrap
from trainer.errors import Obstacle, SandboxError
from trainer.sandbox import Sandbox, find_sandbox

PROFILE: Final = (
    r"abi <abi/4.0>,\ninclude <tunables/global>\n"
    r"profile bwrap /usr/bin/bwrap flags=(unconfined) {\n  userns,\n}\n"
)
PROFILE_COMMAND: Final = (
    f"printf '{PROFILE}' | sudo tee /etc/apparmor.d/bwrap && sudo apparmor_parser -r /etc/apparmor.d/bwrap"
)
"""What Ubuntu 23.10 and newer want before bubblewrap may make user namespaces (Ubuntu's specification SE045)."""

BUILD_COMMAND: Final = (
    "sudo apt install -y git gcc meson pkg-config libcap-dev && "
    "git clone --depth 1 --branch v0.8.0 https://github.com/containers/bubblewrap && "
    "meson setup --prefix /usr bubblewrap/build bubblewrap && sudo meson install -C bubblewrap/build"
)
SYSCTL_COMMAND: Final = (
    "echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/60-userns.conf && sudo sysctl --system"
)
FIRST_WITH_PROFILES: Final = (23, 10)
FIRST_WITH_SIZES: Final = (23, 4)  # its bubblewrap can bound temporary folders


def sandbox(case: Case) -> Iterator[Finding]:
    """Whether programs can be locked in here. Tries every attack, which takes about a second."""
    try:
        system: Mapping[str, str] = platform.freedesktop_os_release()
    except OSError:
        system = {}  # not Linux, or one that does not say what it is
    yield sandbox_finding(_tested(), system, root=os.geteuid() == 0)


def sandbox_finding(found: Sandbox | SandboxError, system: Mapping[str, str], *, root: bool) -> Finding:
    """What the outcome of the test means on that system (the fields of os-release). Pure.

    Without a sandbox a node still runs knob recipes, so nothing here is a failure.
    """
    if isinstance(found, Sandbox):
        name = type(found.walls).__name__.lower()
        data: dict[str, object] = {"mechanism": name, "attacks_held": found.held}
        text = f"{name}: all {found.held} attacks from inside were stopped"
        if isinstance(found.walls, Bubblewrap):
            data["scope"] = found.scope is not None
            text += ", in a cgroup of its own" if found.scope else f"; no cgroup around it: {found.no_scope_because}"
        if not found.weaker_because:
            return Finding("sandbox", "ok", text, data=data)
        text += f", but memory and disk are only watched, so peers' code is not run; {found.weaker_because}"
        advice, command = remedy(found.obstacle or "other", system, root=root)
        return Finding("sandbox", "warning", text, advice, command, data)
    advice, command = remedy(found.obstacle, system, root=root)
    text = f"none, so no edited code runs: {found}"
    return Finding("sandbox", "warning", text, advice, command, {"mechanism": "none", "obstacle": found.obstacle})


def remedy(obstacle: Obstacle, system: Mapping[str, str], *, root: bool) -> tuple[str, str]:
    """What to do, and the command to paste (empty for none), on a system with those fields of os-release. Pure."""
    names = {system.get("ID", ""), *system.get("ID_LIKE", "").split()}
    ubuntu = _version(system) if system.get("ID") == "ubuntu" else None
    wants_profile = ubuntu is not None and ubuntu >= FIRST_WITH_PROFILES and not root
    if obstacle in ("missing", "old") and ubuntu is not None and ubuntu < FIRST_WITH_SIZES:
        return "this Ubuntu's bubblewrap cannot bound temporary folders: upgrade to 24.04, or build it", BUILD_COMMAND
    if obstacle == "missing" and wants_profile:
        return (
            "install it, and let AppArmor allow it namespaces",
            f"sudo apt install -y bubblewrap && {PROFILE_COMMAND}",
        )
    if obstacle == "missing":
        for family, command in (("debian", "apt install -y"), ("fedora", "dnf install -y"), ("arch", "pacman -S")):
            if family in names:
                return "install it", f"sudo {command} bubblewrap"
        return "install bubblewrap 0.7 or newer and util-linux", ""
    if obstacle == "namespaces" and wants_profile:
        return "AppArmor keeps namespaces from bubblewrap until a profile allows them", PROFILE_COMMAND
    if obstacle == "namespaces":
        container = "in a container: start it with --security-opt seccomp=unconfined, or run the node as root with "
        container += "CAP_SYS_ADMIN"
        return (f"{container}; otherwise", SYSCTL_COMMAND) if "debian" in names and not root else (container, "")
    if obstacle == "old":
        return "install bubblewrap 0.7 or newer", ""
    if obstacle == "leaks":
        return "report this, with the line above; until it is mended no edited code runs here", ""
    return "docs/sandbox.md says what a sandbox needs", ""


def _version(system: Mapping[str, str]) -> tuple[int, int] | None:
    year, _, month = system.get("VERSION_ID", "").partition(".")
    return (int(year), int(month)) if year.isdigit() and month.isdigit() else None


@functools.cache  # the machine does not change while a process looks at it
def _tested() -> Sandbox | SandboxError:
    try:
        return find_sandbox()
    except SandboxError as error:
        return error
