"""Made-up people: chat sessions in which they say facts about themselves, and what they ask about them later.

Facts come from two places. A kind (kinds/*.toml) is one relation with many ways of saying and of asking, most
with slots that multiply it. A scene (scenes/*.toml) is a stretch of natural chat that mentions a few facts in
passing, with the questions that may follow. Every value is open-vocabulary, and so are many of its links, the
words that a question has in common with what was said: who knows the links of the training by heart finds
what "my treadmill is called" only if there was a treadmill in it. A person has one style: careful, lower
case, without punctuation, with slips.
"""

import random
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model.conversation import Exchange
from model.training.values import Values

KINDS = Path(__file__).parent / "kinds"
SCENES = Path(__file__).parent / "scenes"
SCENE_SHARE = 0.6  # of what a person tells
OTHER_LINKS = (
    0.5  # share of the slots that are filled with anything, and of the scenes whose links are replaced
)
RIVALS = 0.5  # share of the facts that are of a kind already there, with another link
NUM_STATEMENTS = 2  # of a person, after the sessions
RARE = 20  # a word is peculiar to what it is about if no more scenes than this have it
NEAR_SHARE = 0.4  # of the unanswerable questions: those next to something that was told

PHRASES = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))
# exchanges of no consequence, written by hand
SMALL_TALK: list[tuple[str, str]] = [(said, reply) for said, reply in PHRASES["small_talk"]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One relation between a person and a value, and the ways of putting it into words.

    Attributes:
        value: a type of `Values`, or what it is chosen from.
        slots: what else stands in its texts: what each is chosen from, or a type of `Values`.
        say, prompt: empty in a scene, which says its facts itself.
    """

    name: str
    value: str | tuple[str, ...]
    say: tuple[str, ...]
    ask: tuple[str, ...]
    prompt: tuple[str, ...]
    reply: tuple[str, ...]
    slots: dict[str, list[str] | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fact:
    """A kind with its slots and its value chosen."""

    kind: Kind
    slots: dict[str, str]
    value: str

    @property
    def relation(self) -> tuple[str, ...]:
        """What the fact is about; a person has one value for it."""
        return (self.kind.name, *self.slots.values())

    @property
    def with_article(self) -> str:
        """The value after "a" or "an"."""
        return f"{'an' if self.value[:1].lower() in 'aeiou' else 'a'} {self.value}"

    def words(self, template: str) -> str:
        """Return `template` with this fact filled in."""
        return template.format(v=self.value, a_v=self.with_article, **self.slots)


@dataclass(frozen=True, slots=True)
class Scene:
    """A stretch of chat in which a person mentions facts in passing.

    Attributes:
        kinds: of those facts; `{name}` stands for the value of the kind of that name, `{a_name}` for it after
            an article.
        talk: what the person says and the assistant replies, in turn.
        unknown: questions near to it whose answers it does not give.
    """

    kinds: tuple[Kind, ...]
    talk: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]

    def with_words(self, others: Mapping[str, str]) -> "Scene":
        """Return the scene with each of the words `others`, in lower case, replaced by its other."""
        words = re.compile(rf"(?<![\w{{])({'|'.join(others)})(?![\w}}])", re.IGNORECASE)

        def new(texts: Iterable[str]) -> tuple[str, ...]:
            return tuple(words.sub(lambda found: others[found[0].lower()], text) for text in texts)

        kinds = tuple(replace(kind, ask=new(kind.ask), reply=new(kind.reply)) for kind in self.kinds)
        talk = tuple((said, reply) for said, reply in map(new, self.talk))
        return Scene(kinds, talk, new(self.unknown))


@dataclass(frozen=True, slots=True)
class Told:
    """What a person tells in one go: one fact in the words of its kind, or all facts of a scene."""

    facts: tuple[Fact, ...]
    scene: Scene | None = None

    def words(self, template: str) -> str:
        """Return `template`, a message of the scene, with its facts filled in."""
        values = {fact.kind.name: fact.value for fact in self.facts}
        articles = {f"a_{fact.kind.name}": fact.with_article for fact in self.facts}
        return template.format(**values, **articles)


@dataclass(frozen=True, slots=True)
class Question:
    """Something the person says in a later session, and the reply to learn; no value: it was never said."""

    text: str
    reply: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Retelling:
    """A fact said a second time, in other words than in the sessions."""

    text: str
    value: str


@dataclass(frozen=True, slots=True)
class MadeUpPerson:
    """What one person says and asks.

    Attributes:
        sessions: to be read.
        values: all that are told in them.
        changed: those that took the place of another.
        questions: asked afterwards.
        retellings: facts told again in other words.
        statements: what is said afterwards and is no question, each with its reply.
    """

    sessions: tuple[tuple[Exchange, ...], ...]
    values: tuple[str, ...]
    changed: tuple[str, ...]
    questions: tuple[Question, ...]
    retellings: tuple[Retelling, ...]
    statements: tuple[Exchange, ...]


def load_kinds(folder: Path = KINDS) -> list[Kind]:
    """Return every kind of fact in the TOML files of `folder`."""
    kinds = []
    for file in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["kind"]:
            texts: dict[str, Any] = {key: tuple(entry[key]) for key in ("say", "ask", "prompt", "reply")}
            kinds.append(Kind(entry["name"], entry["value"], slots=entry.get("slots", {}), **texts))
    return kinds


def load_scenes(folder: Path = SCENES) -> list[Scene]:
    """Return every scene in the TOML files of `folder`."""
    scenes = []
    for file in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["scene"]:
            kinds = []
            for name, value in entry["values"].items():
                reply = entry["reply"][name].replace(f"{{{name}}}", "{v}").replace(f"{{a_{name}}}", "{a_v}")
                filler = value if isinstance(value, str) else tuple(value)
                kinds.append(Kind(name, filler, (), tuple(entry["ask"][name]), (), (reply,)))
            talk = tuple((said, reply) for said, reply in entry["talk"])
            scenes.append(Scene(tuple(kinds), talk, tuple(entry["unknown"])))
    return scenes


def _links(scenes: Sequence[Scene]) -> list[tuple[str, ...]]:
    """Return of each scene the rare words that its questions have in common with what the person says."""
    said = [_words(message for message, _ in scene.talk) for scene in scenes]
    num_scenes = Counter(word for words in said for word in words)
    asked = [_words(text for kind in scene.kinds for text in kind.ask) for scene in scenes]
    return [
        tuple(sorted(word for word in own & words if num_scenes[word] <= RARE))
        for own, words in zip(said, asked, strict=True)
    ]


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"(?<![\w{])[a-z]{4,}(?![\w}])", text.lower())}


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
        self.scenes = list(scenes)
        self.values = values
        self.small_talk = list(small_talk)
        self._links = _links(scenes)

    def draw(
        self,
        rng: random.Random,
        num_facts: int,
        num_questions: int,
        num_retellings: int = 0,
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
            new = self._told(rng, style, facts)
            known = {fact.relation for fact in facts}
            if len(facts) + len(new.facts) <= num_facts and known.isdisjoint(f.relation for f in new.facts):
                told.append(new)
                facts += new.facts
        values = [fact.value for fact in facts]
        changes = self._changes(rng, style, facts, num_changes) if num_changes else {}
        facts = [changes.get(fact.relation, fact) for fact in facts]
        questions = []
        for _ in range(num_questions):
            if not facts or rng.random() < unknown:
                questions.append(self._unknown(rng, style, told, facts))
            else:
                questions.append(self._known(rng, style, rng.choice(facts)))
        retold = [fact for fact in facts if fact.kind.say]
        retellings = [
            self._retelling(rng, style, rng.choice(retold)) for _ in range(num_retellings if retold else 0)
        ]
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
        statements = tuple(self._statement(rng, style, facts) for _ in range(NUM_STATEMENTS))
        return MadeUpPerson(
            sessions, (*values, *changed), changed, tuple(questions), tuple(retellings), statements
        )

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

    def _told(self, rng: random.Random, style: Style, others: Sequence[Fact]) -> Told:
        if not self.scenes or rng.random() >= SCENE_SHARE:
            fact = self._fact(rng, others)
            return Told((replace(fact, value=style.spelled(fact.value)),))
        number = rng.randrange(len(self.scenes))
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

    def _known(self, rng: random.Random, style: Style, fact: Fact) -> Question:
        reply = fact.words(rng.choice(fact.kind.reply if rng.random() < 0.5 else PHRASES["plain_reply"]))
        return Question(style.typed(rng, fact.words(rng.choice(fact.kind.ask))), reply, fact.value)

    def _retelling(self, rng: random.Random, style: Style, fact: Fact) -> Retelling:
        text = style.typed(rng, fact.words(rng.choice(fact.kind.say)), keep=[fact.value])
        return Retelling(text, fact.value)

    def _unknown(
        self, rng: random.Random, style: Style, told: Sequence[Told], facts: Sequence[Fact]
    ) -> Question:
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
        return Question(style.typed(rng, text), rng.choice(PHRASES["unknown"]), None)

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
