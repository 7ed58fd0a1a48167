"""Records that try everything that text and numbers can, for whatever shows them."""

from agent.entries import Hypothesis, Insight, Profile, Result
from gossip.identity import new_identity
from tests.node.lab import Lab

OVERRIDE = "\u202e"
EVIL = f"<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>{OVERRIDE}desrever\x00\x1b[31m&lt;i&gt;"
LINK = '<a href="https://evil.example/x">free GPUs</a>'


def hostile(lab: Lab) -> list[str]:
    """Records that try everything that text and numbers can; returns their ids."""
    mallory = new_identity()
    honest = lab.result({"DEPTH": 3}, values=(2.5, 2.7), hypothesis=EVIL + LINK)
    fields = honest.model_dump()
    lies = [
        honest,
        Result.model_validate(fields | {"pairs": [{"seed": 1, "candidate": -1e300, "parent": 1e300}], "effect": 1e300}),
        Result.model_validate(fields | {"pairs": [{"seed": 1, "candidate": 1e-320, "parent": 99.0}], "effect": 99.0}),
        Result.model_validate(fields | {"interval": (-1e308, 1e308), "device": EVIL[:200], "proposer": LINK}),
        Result.model_validate(
            fields | {"change": {EVIL[:64]: (LINK, "x" * 200)}, "seconds": 1e300, "tokens": 2**63 - 1}
        ),
        lab.result({"INIT": "zeros"}, verdict="crash", values=(None, 2.7)).model_copy(update={"reason": EVIL[:200]}),
        Hypothesis(text=(EVIL + LINK + "ש" * 1000)[:1000], change={"DEPTH": 4}, proposer=LINK),
        Insight(text="W" * 1000, kind=EVIL[:200], about={"DEPTH": None}, effect=1e300, interval=(-1e300, 1e300)),
    ]
    lab.write(Profile(alias=f"<b>{OVERRIDE}me</b>", device_class="cpu", device=LINK), mallory)
    return [lab.write(entry, mallory).id.hex() for entry in lies]
