"""Short stories from a seed, the same bytes on every machine, with a known entropy.

A story is one expansion of a small grammar (RULES) over word lists (WORDS). People, places, numbers and
causes are drawn where the text first mentions them and recalled later (who lives where, how many are left,
which tool a smith carries, what the cat is called), so that predicting the text well needs memory over the
whole story and not only good manners in the next word.

Randomness is splitmix64 (Steele, Lea and Flood, 2014) and nothing but integers: no hash(), no float, no random.

The floor. Every choice has the probability of its Huffman code, so it costs a whole number of bits, and the
bits of a story are the sum over its choices. A story that could be derived in two ways would cost less than
that sum; names of different roles come from disjoint lists and alternatives differ in their text, and the
tests parse stories back and find one derivation each. So sum(bits) / sum(bytes) is what a reader who knows
this file, and starts each story at its beginning, needs on average; nobody does better in the long run.
"""

import heapq
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from words import WORDS

MASK = 2**64 - 1
DRAW_BITS = 12  # one draw selects one of 4096 slots; five draws come from one splitmix64 output

Entry = dict[str, str]  # the forms of a drawn word: "" the word itself, "a" with its article, and those of its list
Part = tuple[str, str, str, str, list[tuple[Any, int]]]  # literal, then what follows: kind, slot, form, its slots


class Story(NamedTuple):
    text: str  # ASCII, one line, ends with its only newline
    bits: int  # -log2 of the probability of the choices made


def splitmix64(state: int) -> Iterator[int]:
    """Yield 64-bit outputs of splitmix64 from a 64-bit state, for ever."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def draws(seed: int) -> Iterator[int]:
    """Yield uniform draws of DRAW_BITS bits; seeds are mixed first, so neighbouring seeds share nothing."""
    for z in splitmix64(next(splitmix64(seed & MASK))):
        yield z & 4095
        yield z >> 12 & 4095
        yield z >> 24 & 4095
        yield z >> 36 & 4095
        yield z >> 48 & 4095


def code_lengths(weights: list[int]) -> list[int]:
    """Return the Huffman code length of each weight; ties are broken by position, so it is one fixed answer.

    Lengths are at most DRAW_BITS (raises ValueError otherwise), and the sum of 2**-length is exactly 1.
    """
    lengths = [0] * len(weights)
    heap: list[tuple[int, int, tuple[int, ...]]] = [(weight, i, (i,)) for i, weight in enumerate(weights)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (w1, _, left), (w2, order, right) = heapq.heappop(heap), heapq.heappop(heap)
        for i in left + right:
            lengths[i] += 1
        heapq.heappush(heap, (w1 + w2, order, left + right))
    if max(lengths) > DRAW_BITS:
        raise ValueError(f"a choice of {max(lengths)} bits does not fit one draw of {DRAW_BITS} bits")
    return lengths


# A rule expands to one of its texts, all about equally likely; a text takes a line, and what is indented deeper
# continues it. {slot:list} draws a word and remembers it, {:list} draws and forgets, {slot} recalls, {slot.form} takes
# another form of it, {a+b} and {a-b} compute, <rule> expands a rule.
RULES = {
    "story": """
        Once {hero:hero} the {:adj} {job:trade} lived in {town:town} with {hero.his} {:adj} {kin:kin}
            {friend:friend}<tale>
        In {:year}, by the {:adj} {:spot} of {town:town}, {hero:hero} became {job:trade.a}, like {hero.his} {:adj}
            {kin:kin} {friend:friend}<tale>
        {town:town}, {:few} {:month} {:year}. Dear {friend:friend}, I am now {:adj.a}, {:adj} {job:trade} at
            {n:house} {road:street}. <news> <news> <news> <news> Write to {n} {road}, {town}. Your {:adj} {kin:kin},
            {hero:hero}.
        Ledger of {hero:hero} {:surname}, {job:trade} in {town:town}, {:year}. In the {job.shop}: {n:many}
            {g:goods}, {k:many} {:adj} {h:goods}. <entry> <entry> Sold to {friend:friend}: {m:few} {g}. <entry>
            <entry> <entry> Left, says {hero}: {n-m} {g}, {k} {h}.
        Diary of {hero:hero} {:surname}, {job:trade}. {:day}, {sky:sky}. <note> <note> My {job.tool} is lost.
            {:day}, {:sky}. <note> <note> {:day}, {sky} again. <note> Found my {job.tool} {:near} the {:adj}
            {:spot}.
        Lost in {town:town}, {:few} {:month} {:year}, {:near} the {:adj} {:spot}: {a:adj.a} {thing:thing} marked
            {secret:secret}{n:many}. <clue> <clue> <clue> Tell {hero:hero} {:surname}, {job:trade}, {:house}
            {:street}, {town}, the mark {secret}{n} and the {a} {thing} is yours.
        Auction at {town:town}, {:few} {:month} {:year}, by {hero:hero} {:surname} and {hero.his} {kin:kin}
            {friend:friend}. <lot> <lot> <lot> <lot> <lot> <lot> <lot> Best lot, says {friend}: {who}'s, for {p}.
        Log of the ship {ship:secret} of {town:town}, {job:trade} {hero:hero}, mate {friend:friend}, {:year}.
            {n:many} {g:goods}. <watch> <watch> <watch> Sold {m:few} {g}. <watch> <watch> <watch> <watch> {n-m} {g}
            left, signs {hero} of the {ship}.
        Roll of {:street} in {town:town}, {:year}. <house> <house> <house> <house> <house> <house> <house> Also
            {hero:hero}, {job:trade}, {:adj}, with {hero.his} {job.tool}; {friend:friend}, {:adj} like {who} {last}.
            {friend} lent {hero.him} {hero.his} {job.shop}.
        A play. {hero:hero}, {:adj.a} {job:trade}, and {friend:friend}, {hero.his} {:adj} {kin:kin}, meet {:near}
            the {:adj} {:spot}. <line> <line> <line> {friend.I}: Where is your {job.tool}, {kin}? {hero.I}: In the
            {job.shop}, with <noun>.""",
    "tale": """
        . {hero.He} had {n:many} {g:goods} and {:adj.a} {b:beast}, {pet:pet}. <scene> <scene> <scene> <asked>
        , who sought {a:adj.a} {thing:thing} of {stuff:stuff}. <scene> <scene> <scene> So {hero} {:adv} {:went} home
            with the {stuff} {thing}, and it was {a}.
        . Then the {why:mishap} failed and the {why.so}. <scene> <scene> <scene> So {hero} {:adv} mended the
            {why.mended} of the {why} with {hero.his} {job.tool}, and {friend} was {:adj}.
        . {elder:stranger} taught {hero.him} a word: {word:secret}. <scene> <scene> <scene> A voice in the {:adj}
            {:spot} asked the word of {elder}. {hero} said {word} and got <noun>.""",
    "scene": """
        <when> {hero} {:went} {:near} the {:adj} {:spot} and <did> <noun>.
        <when> {friend} <did> <noun> and <did> <noun>.
        <when> they ate {:meal} {:near} the {:spot} and <did> <noun>.
        {friend} was {m:mood}. "<speech>," {friend.he} {m.said} {m.adv}.
        {hero.He} felt {m:mood}. "<speech>," {hero.he} {m.said} {m.adv}. "<speech>," said {friend}.
        <when> {hero} took {p:many} {q:goods} to {:town} and sold {r:few}; {p-r} {q} were left.
        {:adj.A}, {:adj} {:beast} {:went} out of the {:adj} {:spot} and <did> <noun>.
        {x:beast.A} {x.sound} at {friend}, so {friend.he} gave it {x.food} and <noun>.
        <when> {hero} opened {x:adj.a} {u:thing}. In it was {y:adj.a} {v:thing}, and in that {:adj.a} {w:thing}.
            {hero.He} put the {w} in the {y} {v} and that in the {x} {u}.
        The {:thing} that {hero} <did> was {:adj}; what {friend} <did> was {:adj} and {:adj}.
        {who:stranger} told {friend} that {:stranger} <did> <noun>, and {friend} told {who.his} {:adj} {:kin}
            {:stranger}, who <did> <noun>.
        For {p:few} days and {q:few} more, {p+q} in all, {hero} <did> <noun> {:near} the {:spot}.""",
    "when": """
        {:when}
        {:when} in {:sky}
        At {:clock}""",
    "did": """
        {:did}
        {:adv} {:did}""",
    "noun": """
        {:adj.a} {:thing}
        the {:adj} {:stuff} {:thing}
        {:many} {:adj} {:goods}
        {:stranger}'s {:adj} {:thing}
        the {:adj}, {:adj} {:beast}
        {:thing.a}, {:thing.a} and {:thing.a}
        the {:thing} of {:town}
        {:house} {:stuff} {:goods}
        the {:thing} {:near} the {:adj} {:spot}
        {:adj.a} {:thing} for <noun>""",
    "speech": """
        The {:thing} is {:near} the {:adj} {:spot}
        I <did> <noun>
        Bring me <noun> from {:town}
        My {:adj} {:kin} {:went} {:near} the {:spot}
        Never eat {:meal} with {:adj.a} {:beast}
        It is {:clock} and the {:mishap.so}
        {:stranger} has {:few} {:goods} for {:kin.a}
        We need <noun>""",
    "asked": """
        How many {g}? {n}.
        What was {pet}? {b.A} fond of {b.food}.
        Whose {b} {b.sound}? {hero}'s {pet}.
        Where was {friend}? In {town}.
        Who was {friend}? The {kin} of {hero}.
        What did {hero} need? {hero.His} {job.tool}.
        Where did {hero} {job.task}? In the {job.shop}.
        What was {hero}? A {job} of {town}.""",
    "news": """
        The {:mishap} is mended; the {:mishap.so}.
        I <did> <noun>.
        We ate {:meal} at {:clock} in {:sky}.
        Your {:adj} {:kin} {who:stranger} {x:did} <noun>; tell {who.him} I {x} it too.
        I have {p:many} {:adj} {q:goods}; if I send {r:few} I keep {p-r}.
        Please bring <noun>.
        Is {:stranger}'s {:adj}, {:adj} {:beast} {:near} the {:adj} {:spot}?
        At the {:spot} {:stranger} <did> <noun>.""",
    "entry": """
        Bought of {:stranger} {:surname}, {:house} {:street}: <noun>.
        Lent to {:stranger}: <noun>.
        {:clock}, {:spot}: <noun>.
        {p:few} and {q:few} for <noun>: {p+q}.""",
    "note": """
        I <did> <noun>.
        At {:clock} {who:stranger} {:went} {:near} the {:spot} with {who.his} {:adj} {:beast}.
        Dreamt of <noun>, {:adj} and {:adj}.
        The {:adj} {x:beast} {x.sound} and got {x.food}.
        {:meal.Cap} at {:clock}, {:adj} but {:adj}.
        To {job.task} is {:adj}, {:adj} work.
        Met {who:stranger} {:surname} and <did> {who.his} {:adj} {:thing}.
        In {:town} the {:mishap.so}, says {:adj} {:stranger} {:surname}.""",
    "lot": """
        {:adj.A} {:thing}, {p:house}, to {who:stranger} {:surname}.
        {:adj.A} {:beast}, {p:house}, to {who:stranger} of {:town}.
        {:many} {:stuff} {:goods}, {p:house}, to {who:stranger} {:surname}.
        Lot {:many}, <noun>, {p:house}, to {who:stranger}.""",
    "watch": """
        {:clock} {:sky}, {:adj} and {:adj}.
        {:clock} {:town} {:near}, {:many} {:goods} for {:many} {:goods}.
        {:clock} {:stranger} <did> <noun>.
        {:clock} {friend} {:mood}, {:meal}, {:adj}.
        {:clock} the {:mishap.so}.
        {:clock} {:adj} {:beast} off {:town}, {hero} {:mood.adv} {:did} it.""",
    "house": """
        {:house}: {who:stranger} {last:surname}, {:adj} {:trade}, {:few} {:goods}.
        {:house}: {who:stranger} {last:surname}, <noun>.
        {:house}: {who:stranger} {last:surname} of {:town}, {:kin}, {:adj}, {:few}.""",
    "clue": """
        Last seen with {:adj.a} {:beast} in {:street}.
        It has {:many} {:adj} {:goods} on it, and <noun>.
        {:stranger} {:surname} <did> it in {:year}.
        Unlike <noun>, it is {:adj} and {:adj}.""",
    "line": """
        {hero.I}: Who <did> <noun>? {friend.I}: {:stranger} of {:town}, or {:adj.a} {:beast}.
        {friend.I}: I {x:did} <noun>. {hero.I}: And I {x} <noun>.
        {friend.I}: Is it {x:clock}? {hero.I}: {x}, and the {:mishap.so}, {:adj} {kin}.
        {hero.I}: I am {x:adj}. {friend.I}: Why {x}? {hero.I}: My {:kin} <did> <noun>.""",
}

PART = re.compile(r"([^{<]*)(?:\{(\w*)(?::(\w+))?(?:\.(\w+))?(?:([+-])(\w+))?\}|<(\w+)>)?")


def entries(fields: str, words: str) -> tuple[list[Entry], list[int]]:
    """Read one list of WORDS: the forms of each word, and the bits it costs to draw it."""
    kind, *names = ["", *fields.replace("=", "").split()]
    found = []
    for word in " ".join(words.split()).split(", "):
        forms = dict(zip([kind, *names], word.split("/"), strict=True))
        forms["a"] = f"an {forms['']}" if word[0] in "aeiou" or word.startswith(("hon", "hour")) else f"a {forms['']}"
        forms["i"] = word[0]
        forms |= {name.capitalize() or "Cap": form[0].upper() + form[1:] for name, form in forms.items()}
        found.append(forms)
    weights = [1 if "=" in fields else 2**20 // (rank + 100) for rank in range(len(found))]
    return found, code_lengths(weights)


def slots(values: list[Any], lengths: list[int]) -> list[tuple[Any, int]]:
    """Spread values over the 4096 slots of a draw, each as often as its probability says, with its bits."""
    return [(v, bits) for v, bits in zip(values, lengths, strict=True) for _ in range(2 ** (DRAW_BITS - bits))]


LISTS = {name: slots(*entries(fields, words)) for name, (fields, words) in WORDS.items()}
CHOICES: dict[str, list[tuple[Any, int]]] = {}  # a rule's slots, as in LISTS; filled below, since rules name rules


def compiled(text: str) -> list[Part]:
    """Cut a rule's text at its braces and angles, and look the lists and rules up once."""
    parts: list[Part] = []
    for literal, slot, source, form, sign, other, rule in PART.findall(text)[:-1]:
        if rule:
            parts.append((literal, "rule", "", "", CHOICES.setdefault(rule, [])))
        elif source:
            parts.append((literal, "draw", slot, form, LISTS[source]))
        elif sign:
            parts.append((literal, sign, slot, other, []))
        else:
            parts.append((literal, "recall" if slot else "", slot, form, []))
    return parts


for _name, _lines in RULES.items():
    _texts = _lines.replace("\n" + " " * 12, " ").split("\n" + " " * 8)[1:]
    CHOICES.setdefault(_name, []).extend(slots([compiled(text) for text in _texts], code_lengths([1] * len(_texts))))


def story(seed: int, rule: str = "story") -> Story:
    """Tell the story of a seed; the same seed and rule give the same text everywhere."""
    draw = draws(seed).__next__
    memory: dict[str, Entry] = {}
    text: list[str] = []
    say = text.append
    bits = 0

    def expand(choices: list[tuple[Any, int]]) -> None:
        nonlocal bits
        parts, cost = choices[draw()]
        bits += cost
        for literal, kind, slot, form, source in parts:
            say(literal)
            if kind == "draw":
                entry, cost = source[draw()]
                bits += cost
                memory[slot] = entry
                say(entry[form])
            elif kind == "recall":
                say(memory[slot][form])
            elif kind == "rule":
                expand(source)
            elif kind == "+":
                say(str(int(memory[slot][""]) + int(memory[form][""])))
            elif kind == "-":
                say(str(int(memory[slot][""]) - int(memory[form][""])))

    expand(CHOICES[rule])
    say("\n")
    return Story("".join(text), bits)
