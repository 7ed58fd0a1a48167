"""What a node keeps of an old record: all of it, or a gist.

Kept for ever: what this node said itself; what anybody kept, which is the frontier, every discovery and what confirms
it, with the code of its recipes; calibrations, hypotheses and profiles, which are few; the newest insight of an author
about each thing. Of another's result that was not kept a gist stays, so that nothing that is computed changes: not what
was tried, the effects, the noise, who is believed, nor what never to try again. An edit of code that failed, and that
tested nobody's discovery, leaves nothing: nobody proposes the same text twice.
"""

from collections.abc import Callable

from agent.entries import Insight, Result, kept, read_if_known
from agent.evidence import Moment
from agent.gist import gist_of
from agent.insights import subject
from agent.notebook import Notebook
from gossip.record import Record


def rule(notebook: Notebook) -> Callable[[Record], bytes | None]:
    """By the notebook as it is now: what to keep of an old record, None for all of it, else its gist.

    The gist is empty where nothing has to stay. What is returned may be called in another thread.
    """
    me = notebook.me
    newest: dict[object, Moment] = {}
    for told in notebook.insights():
        newest[told.author, subject(told.insight)] = told.moment

    def gist(record: Record) -> bytes | None:
        entry = None if record.author == me else read_if_known(record)
        match entry:
            case Result() if not kept(entry.verdict):
                if not (entry.candidate.files or entry.edits):
                    return gist_of(entry)
                return b"" if entry.replicates is None else None
            case Insight() if entry.about:
                moment = (record.time_ms, record.id)
                return b"" if newest.get((record.author, subject(entry)), moment) > moment else None
        return None

    return gist
