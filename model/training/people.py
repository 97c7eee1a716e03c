"""Made-up people: chat sessions in which they say facts about themselves, and what they ask about them later.

Every value is open-vocabulary, and so are many of its links, the words that a question has in common with
what was said: who knows the links of the training by heart finds what "my treadmill is called" only if there
was a treadmill in it. A person has one style: careful, lower case, without punctuation, with slips.
"""

import random
import re
import tomllib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from model.conversation import Exchange
from model.training.facts import Fact, Kind, Scene, Told, scene_links
from model.training.quoting import Cue, answered, quotation
from model.training.values import Values

SCENE_SHARE = 0.6  # of what a person tells
OTHER_LINKS = 0.5  # share of the slots filled with anything, and of the scenes whose links are replaced
RIVALS = 0.5  # share of the facts that are of a kind already there, with another link
NUM_STATEMENTS = 2  # of a person, after the sessions
NEAR_SHARE = 0.4  # of the unanswerable questions: those next to something that was told

PHRASES = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))
# exchanges of no consequence, written by hand
SMALL_TALK: list[tuple[str, str]] = [(said, reply) for said, reply in PHRASES["small_talk"]]


@dataclass(frozen=True, slots=True)
class MadeUpPerson:
    """What one person says and asks.

    Attributes:
        sessions: to be read.
        values: all that are told in them.
        changed: those that took the place of another.
        quotes: the words that tell the values.
        questions: asked in a later session; of what was never said there is no value.
        statements: what is said afterwards and is no question, each with its reply.
    """

    sessions: tuple[tuple[Exchange, ...], ...]
    values: tuple[str, ...]
    changed: tuple[str, ...]
    quotes: tuple[str, ...]
    questions: tuple[Cue, ...]
    statements: tuple[Exchange, ...]

    @property
    def messages(self) -> list[str]:
        """What the person says in the sessions."""
        return [exchange.user for session in self.sessions for exchange in session]


@dataclass(frozen=True, slots=True)
class Style:
    """How one person types."""

    lower: bool
    no_end: bool
    no_apostrophe: bool
    short_forms: bool
    slips: float  # share of words with two letters swapped

    @classmethod
    def draw(cls, rng: random.Random) -> "Style":
        careful = rng.random() < 0.4
        if careful:
            return cls(False, False, False, False, 0.0)
        lower = rng.random() < 0.7
        return cls(
            lower,
            rng.random() < 0.6,
            rng.random() < 0.4,
            rng.random() < 0.3,
            rng.choice([0.0, 0.0, 0.02, 0.06]),
        )

    def spelled(self, value: str) -> str:
        """Return a value as this person spells it, which is how it is remembered."""
        value = value.replace("'", "") if self.no_apostrophe else value
        return value.lower() if self.lower else value

    def typed(self, rng: random.Random, text: str, keep: Sequence[str] = ()) -> str:
        """Return `text` as this person types it; the words of the spelled values `keep` stay as they are."""
        kept = {word for value in keep for word in value.split()}
        if self.no_end:
            text = re.sub(r"[.!]$", "", text)
        if self.no_apostrophe:
            text = re.sub(r"(\w)'(\w)", r"\1\2", text)
        if self.short_forms:
            for long, short in PHRASES["short_form"].items():
                if long not in kept and rng.random() < 0.5:
                    text = re.sub(rf"\b{long}\b", short, text)
        words = text.split(" ")
        for i, word in enumerate(words):
            if len(word) > 3 and word.isalpha() and word not in kept and rng.random() < self.slips:
                j = rng.randrange(1, len(word) - 1)
                words[i] = word[:j] + word[j + 1] + word[j] + word[j + 2 :]
        text = " ".join(words)
        return text.lower() if self.lower else text


class People:
    """Makes people up."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        scenes: Sequence[Scene],
        values: Values,
        small_talk: Sequence[tuple[str, str]],
    ) -> None:
        self.kinds = list(kinds)
        self.scenes = sorted(scenes, key=lambda scene: len(scene.kinds))
        self.values = values
        self.small_talk = list(small_talk)
        self._links = scene_links(self.scenes)
        self._num_facts = list(accumulate(len(scene.kinds) for scene in self.scenes))

    def draw(
        self,
        rng: random.Random,
        num_facts: int,
        num_questions: int,
        unknown: float = 0.15,
        num_sessions: int | None = None,
        num_changes: int = 0,
    ) -> MadeUpPerson:
        """Return a person of `num_facts` facts who asks questions, a share `unknown` of them unanswerable.

        Args:
            num_sessions: over how many sessions the facts are dealt out, each of which begins with small
                talk; None draws a number that fits the facts.
            num_changes: how many of the facts are told once more at the end, with another value: the one that
                is true then. Fewer where fewer are told in words of their own.
        """
        style = Style.draw(rng)
        told: list[Told] = []
        facts: list[Fact] = []
        while len(facts) < num_facts:
            new = self._told(rng, style, facts, num_facts - len(facts))
            known = {fact.relation for fact in facts}
            if known.isdisjoint(fact.relation for fact in new.facts):
                told.append(new)
                facts += new.facts
        values = [fact.value for fact in facts]
        changes = self._changes(rng, style, facts, num_changes) if num_changes else {}
        facts = [changes.get(fact.relation, fact) for fact in facts]
        if num_sessions is None:
            sessions = self._sessions(rng, style, told)
        else:
            sessions = self._dealt_sessions(rng, style, told, num_sessions)
        if changes:
            said = tuple(
                self._telling(rng, style, fact, rng.choice(PHRASES["change"])) for fact in changes.values()
            )
            together = rng.random() < 0.5
            sessions = (*sessions[:-1], sessions[-1] + said) if together else (*sessions, said)
        changed = tuple(fact.value for fact in changes.values())
        messages = [exchange.user for session in sessions for exchange in session]
        questions = tuple(
            self._unknown(rng, style, told, facts)
            if not facts or rng.random() < unknown
            else self._known(rng, style, rng.choice(facts), messages)
            for _ in range(num_questions)
        )
        values = [*values, *changed]
        quotes = tuple(quote for value in values if (quote := quotation(messages, "", value)))
        statements = tuple(self._statement(rng, style, facts) for _ in range(NUM_STATEMENTS))
        return MadeUpPerson(sessions, tuple(values), changed, quotes, questions, statements)

    def _changes(
        self, rng: random.Random, style: Style, facts: Sequence[Fact], number: int
    ) -> dict[tuple[str, ...], Fact]:
        """Return facts that take the place of some of `facts`, by what they are about."""
        can_change = [fact for fact in facts if fact.kind.say]
        return {
            fact.relation: replace(fact, value=style.spelled(self.values.draw(rng, fact.kind.value)))
            for fact in rng.sample(can_change, min(number, len(can_change)))
        }

    def _statement(self, rng: random.Random, style: Style, facts: Sequence[Fact]) -> Exchange:
        """Return something new, in words of its own or as a scene begins, and a reply that takes it in."""
        told = self._told(rng, style, facts)
        if told.scene is None:
            return self._telling(rng, style, told.facts[0])
        said, reply = told.scene.talk[0]
        return Exchange(style.typed(rng, told.words(said), [fact.value for fact in told.facts]), reply)

    def _telling(self, rng: random.Random, style: Style, fact: Fact, pattern: str = "{said}") -> Exchange:
        said = pattern.format(said=fact.words(rng.choice(fact.kind.say)))
        return Exchange(style.typed(rng, said, keep=[fact.value]), self._acknowledgement(rng, fact))

    def _told(
        self, rng: random.Random, style: Style, others: Sequence[Fact], most: int | None = None
    ) -> Told:
        """Return something that a person could tell beside the facts `others`, of at most `most` facts."""
        num_scenes = len(self.scenes)
        if most is not None:
            num_scenes = bisect_right(self.scenes, most, key=lambda scene: len(scene.kinds))
        if not num_scenes or rng.random() >= SCENE_SHARE:
            fact = self._fact(rng, others)
            return Told((replace(fact, value=style.spelled(fact.value)),))
        # each fact is as likely as any other, so long chats are drawn more often than short ones
        number = bisect_right(self._num_facts, rng.randrange(self._num_facts[num_scenes - 1]))
        scene = self._relinked(rng, self.scenes[number], self._links[number])
        facts = (Fact(kind, {}, style.spelled(self.values.draw(rng, kind.value))) for kind in scene.kinds)
        return Told(tuple(facts), scene)

    def _fact(self, rng: random.Random, others: Sequence[Fact] = ()) -> Fact:
        # often a second fact of a kind already there, so that "dog" and "cat" must be told apart
        again = [f.kind for f in others if f.kind.slots]
        kind = rng.choice(again) if again and rng.random() < RIVALS else rng.choice(self.kinds)
        return Fact(kind, self._slots(rng, kind), self.values.draw(rng, kind.value))

    def _slots(self, rng: random.Random, kind: Kind) -> dict[str, str]:
        return {name: self._slot(rng, options) for name, options in kind.slots.items()}

    def _slot(self, rng: random.Random, options: list[str] | str) -> str:
        if isinstance(options, str):
            return self.values.draw(rng, options)
        option = rng.choice(options)
        if rng.random() >= OTHER_LINKS:
            return option
        article = re.match(r"(the |a |my )?", option)
        return (article[0] if article else "") + self.values.something(rng)

    def _relinked(self, rng: random.Random, scene: Scene, links: Sequence[str]) -> Scene:
        """Return `scene`, or `scene` with some of its links replaced by other words throughout."""
        if rng.random() >= OTHER_LINKS:
            return scene
        others = {link: self.values.something(rng) for link in links if rng.random() < 0.7}
        return scene.with_words(others) if others else scene

    def _known(self, rng: random.Random, style: Style, fact: Fact, messages: Sequence[str]) -> Cue:
        text = fact.words(rng.choice(fact.kind.ask))
        # None where a slip of the value's own fell between the words: then the value is all there is to say
        quote = quotation(messages, text, fact.value) or fact.value
        return Cue(style.typed(rng, text), answered(fact.value, quote), quote, fact.value)

    def _unknown(self, rng: random.Random, style: Style, told: Sequence[Told], facts: Sequence[Fact]) -> Cue:
        near = [text for t in told if t.scene for text in t.scene.unknown]
        known = {fact.relation for fact in facts}
        others = [replace(fact, slots=self._slots(rng, fact.kind)) for fact in facts if fact.kind.slots]
        near += [other.words(rng.choice(other.kind.ask)) for other in others if other.relation not in known]
        if near and rng.random() < NEAR_SHARE:
            text = rng.choice(near)
        else:
            while True:
                other = rng.choice(self._told(rng, style, facts).facts)
                if other.relation not in known:
                    break
            text = other.words(rng.choice(other.kind.ask))
        return Cue(style.typed(rng, text), rng.choice(PHRASES["unknown"]))

    def _sessions(
        self, rng: random.Random, style: Style, told: Sequence[Told]
    ) -> tuple[tuple[Exchange, ...], ...]:
        num_sessions = 1 if len(told) <= 3 else rng.randint(1, 1 + len(told) // 4)
        groups: list[list[Told]] = [[] for _ in range(num_sessions)]
        for one in told:
            rng.choice(groups).append(one)
        return tuple(s for s in (self._session(rng, style, group) for group in groups) if s)

    def _dealt_sessions(
        self, rng: random.Random, style: Style, told: Sequence[Told], num_sessions: int
    ) -> tuple[tuple[Exchange, ...], ...]:
        return tuple(
            (self._small(rng, style, PHRASES["greeting"]), *self._session(rng, style, told[i::num_sessions]))
            for i in range(num_sessions)
        )

    def _session(self, rng: random.Random, style: Style, told: Sequence[Told]) -> tuple[Exchange, ...]:
        chat_share = rng.choice([0.0, 0.2, 0.5, 1.0])
        exchanges: list[Exchange] = []
        if rng.random() < 0.4 * chat_share + 0.2:
            exchanges.append(self._small(rng, style, PHRASES["greeting"]))
        waiting = list(told)
        while waiting:
            one = waiting.pop()
            if one.scene:
                keep = [fact.value for fact in one.facts]
                exchanges += (
                    Exchange(style.typed(rng, one.words(said), keep), reply) for said, reply in one.scene.talk
                )
                exchanges += self._chat(rng, style, chat_share)
                continue
            fact = one.facts[0]
            if exchanges and rng.random() < 0.15:
                # the assistant asks, and the person answers with little more than the value
                last = exchanges[-1]
                prompt = fact.words(rng.choice(fact.kind.prompt))
                opening = "" if last.assistant.endswith("?") else f"{last.assistant} "
                exchanges[-1] = Exchange(last.user, f"{opening}{prompt}")
                said = style.typed(rng, fact.words(rng.choice(PHRASES["bare_answer"])), keep=[fact.value])
                exchanges.append(Exchange(said, self._acknowledgement(rng, fact)))
                continue
            said = fact.words(rng.choice(fact.kind.say))
            keep = [fact.value]
            if waiting and not waiting[-1].scene and rng.random() < 0.15:
                other = waiting.pop().facts[0]
                said = (
                    said.rstrip(".!") + rng.choice(PHRASES["join"]) + other.words(rng.choice(other.kind.say))
                )
                keep.append(other.value)
            if rng.random() < 0.15 * chat_share + 0.05:
                aside = rng.choice(self.small_talk)[0]
                said = f"{aside} {said}" if rng.random() < 0.5 else f"{said} {aside}"
            said = style.typed(rng, said, keep=keep)
            exchanges.append(Exchange(said, self._acknowledgement(rng, fact)))
            exchanges += self._chat(rng, style, chat_share)
        return tuple(exchanges)

    def _chat(self, rng: random.Random, style: Style, share: float) -> list[Exchange]:
        exchanges = []
        while rng.random() < 0.45 * share:
            exchanges.append(self._small(rng, style, self.small_talk if rng.random() < 0.7 else SMALL_TALK))
        return exchanges

    @staticmethod
    def _small(rng: random.Random, style: Style, pairs: Sequence[tuple[str, str]]) -> Exchange:
        said, reply = rng.choice(pairs)
        return Exchange(style.typed(rng, said), reply)

    def _acknowledgement(self, rng: random.Random, fact: Fact) -> str:
        reply: str = rng.choice(PHRASES["acknowledgement"])
        if rng.random() < 0.15:
            reply = rng.choice(PHRASES["echo"]).format(v=fact.value)
        if rng.random() < 0.2:
            reply += " " + rng.choice(PHRASES["follow_up"])
        return reply
