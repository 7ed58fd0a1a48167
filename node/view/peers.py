"""Who is there: connected peers, what every node says that it is doing, and how far this node believes it."""

from typing import Any

from gossip.host import peer_id_of
from node.events import mean_values
from node.state import State
from node.view.live import Live
from node.view.steps import Steps


def peers(state: State, live: Live) -> Steps[dict[str, Any]]:
    """`connected`: peers now, the longest-connected first, each with peer (its id), author and alias where they are
    known, address, inbound, since_ms. `nodes`: every author that published or was heard, the latest heard first, each
    with author, peer, alias, own, connected, device, activity (what it last said that it does), claim, best (value of
    its own best recipe, as it says), heard_ms (its latest presence), last_ms (its latest result), credibility (None
    for this node). `mesh`: with how many peers records are exchanged at once.
    """
    board = {row.author: row for row in state.notebook.board()}
    yield
    authors = [*board, *(author for author in live.presences if author not in board)]
    if state.me not in authors:
        authors.append(state.me)
    author_of = {peer_id_of(author): author for author in authors}
    connected = [
        {
            "peer": peer.peer,
            "author": author_of[peer.peer].hex() if peer.peer in author_of else None,
            "alias": state.alias(author_of[peer.peer]) if peer.peer in author_of else None,
            "address": peer.address,
            "inbound": peer.inbound,
            "since_ms": peer.since,
        }
        for peer in live.peers()
    ]
    yield
    here = {peer["peer"] for peer in connected}
    nodes: list[dict[str, Any]] = []
    for peer, author in author_of.items():
        said = live.presences.get(author)
        profile = state.notebook.profile(author)
        row = board.get(author)
        own = author == state.me
        yield
        nodes.append(
            {
                "author": author.hex(),
                "peer": peer,
                "alias": said.presence.alias if said and not profile and not own else state.alias(author),
                "own": own,
                "connected": own or peer in here,
                "device": profile.device if profile else None,
                "activity": live.activity if own else said.presence.activity if said else None,
                "claim": dict(said.presence.claim) if said else {},
                "best": _own_best(state) if own else said.presence.best if said else None,
                "heard_ms": said.time_ms if said else None,
                "last_ms": row.last_ms if row else None,
                "credibility": None if own else state.notebook.credibility(author),
            }
        )
    nodes.sort(key=lambda node: (not node["own"], -max(node["heard_ms"] or 0, node["last_ms"] or 0), node["author"]))
    return {"connected": connected, "mesh": live.mesh(), "nodes": nodes}


def _own_best(state: State) -> float | None:
    result = state.notebook.best_result()
    return mean_values(result.pairs)[0] if result else None
