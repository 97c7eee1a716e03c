"""What made-up people can tell: kinds of facts and scenes, and how they are put into words.

A kind (kinds/*.toml) is one relation with many ways of saying and of asking, most with slots that multiply
it. A scene (scenes/*.toml) is a stretch of natural chat that mentions a few facts in passing, with the
questions that may follow.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

KINDS = Path(__file__).parent / "kinds"
SCENES = Path(__file__).parent / "scenes"
RARE = 20  # a word is peculiar to what it is about if no more scenes than this have it


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

        kinds = tuple(replace(kind, ask=new(kind.ask)) for kind in self.kinds)
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


def load_kinds(folder: Path = KINDS) -> list[Kind]:
    """Return every kind of fact in the TOML files of `folder`."""
    kinds = []
    for file in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["kind"]:
            texts: dict[str, Any] = {key: tuple(entry[key]) for key in ("say", "ask", "prompt")}
            kinds.append(Kind(entry["name"], entry["value"], slots=entry.get("slots", {}), **texts))
    return kinds


def load_scenes(folder: Path = SCENES) -> list[Scene]:
    """Return every scene in the TOML files of `folder`."""
    scenes = []
    for file in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["scene"]:
            kinds = []
            for name, value in entry["values"].items():
                filler = value if isinstance(value, str) else tuple(value)
                kinds.append(Kind(name, filler, (), tuple(entry["ask"][name]), ()))
            talk = tuple((said, reply) for said, reply in entry["talk"])
            scenes.append(Scene(tuple(kinds), talk, tuple(entry["unknown"])))
    return scenes


def scene_links(scenes: Sequence[Scene]) -> list[tuple[str, ...]]:
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
