"""The made-up night of the pictures and of whoever looks at the page without waiting for one."""

from pathlib import Path

from node.home import open_home
from node.state import open_state
from scripts.demo_home import NODES, fill, simulate


def test_a_made_up_night_is_a_log_like_any_other(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    night = simulate(minutes=6)
    fill(home, night)
    with open_state(home, None, writing=False) as state:
        assert state.me == night.swarm.nodes[0].author
        assert {state.alias(node.author) for node in night.swarm.nodes} == {alias for alias, _ in NODES}
        assert len(state.notebook.experiments()) == sum(1 for _ in night.swarm.results())
        assert state.notebook.experiments()
