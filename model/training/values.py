"""Open-vocabulary values for made-up facts.

A model that only ever saw twenty cars answers with one of the twenty. So every type of value is drawn from
long word
lists, and a good part of all values are made up from syllables or are unrelated words: the only way to know
the answer is to remember it.
"""

import gzip
import json
import random
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gl",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "y",
    "z",
]
NUCLEI = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ia", "ie", "io", "oa", "oo", "ou"]
CODAS = ["", "", "", "", "n", "r", "l", "s", "m", "t", "k", "nd", "rt", "sh", "x", "th", "ck", "ng"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SMALL_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
]
STREET_ENDINGS = ["Street", "Road", "Lane", "Avenue", "Close", "Way", "Square", "Hill", "Court", "Row"]
COMPANY_ENDINGS = [
    "",
    "",
    "",
    " Ltd",
    " Group",
    " & Sons",
    " Labs",
    " Works",
    " School",
    " Club",
    " Studio",
    " Bank",
]
ACTIVITIES = [
    "running",
    "swimming",
    "baking",
    "knitting",
    "painting",
    "drawing",
    "sailing",
    "skating",
    "climbing",
    "fishing",
    "sewing",
    "singing",
    "gardening",
    "hiking",
    "cycling",
    "rowing",
    "juggling",
    "dancing",
    "boxing",
    "fencing",
    "camping",
    "writing",
    "reading",
    "cooking",
    "pottery-making",
    "whittling",
    "birdwatching",
    "stargazing",
    "bowling",
    "surfing",
    "diving",
    "kayaking",
    "skiing",
    "snowboarding",
    "archery-shooting",
    "photographing",
    "restoring",
    "building",
    "collecting",
    "repairing",
    "brewing",
    "weaving",
    "carving",
    "training",
    "teaching",
    "flying",
]

# shares of the values that are made up from syllables, and of those that are words of another type
MADE_UP, UNRELATED = 0.25, 0.1
# the word lists that fill each type
SOURCES = {
    "person": "firstNames neutralNames norwayFirstNamesBoys norwayFirstNamesGirls spanishFirstNames",
    "surname": "lastNames norwayLastNames spanishLastNames authors",
    "pet": "dog_names firstNames neutralNames",
    "place": "english_towns_cities us_cities norwegian_cities countries rivers london_underground_stations",
    "company": "fortune500 nasdaq newspapers charities cars guitar_manufacturers rock_hall_of_fame",
    "food": "menuItems fruits vegetables fish breads_and_pastries condiments sausages sandwiches curds "
    "herbs_n_spices shellfish",
    "drink": "tea iba_cocktails beer_styles fruits",
    "thing": "objects clothing appliances fabrics containers flowers gemstones",
    "animal": "common cats dogs horses rabbits",
    "job": "occupations obsolete-occupations",
    "colour": "xkcd crayola wikipedia",
    "subject": "academic_subjects industries computer_sciences",
    "instrument": "instruments",
    "sport": "sports",
    "title": "bestsellers rpg_games board_games",
    "language": "nationalities",
    "noun": "nouns objects",
    "adjective": "adjs descriptions",
    "verb": "infinitive_verbs",
}


def _strings(data: Any) -> Iterator[str]:
    """Yield the words of one list, whatever its shape: strings, or the first string field of each entry."""
    if isinstance(data, list):
        for item in data:
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict):
                first = next((v for v in item.values() if isinstance(v, str)), None)
                if first:
                    yield first
    elif isinstance(data, dict):
        for key, value in data.items():
            if key.lower() not in ("description", "source", "sources", "refs"):
                yield from _strings(value)


class Values:
    """Draws a value of any type with the generator of random numbers it is given."""

    def __init__(self, word_lists: Path) -> None:
        lists: dict[str, list[str]] = {}
        with gzip.open(word_lists, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                name = record["id"].rsplit("/", 1)[-1].removesuffix(".json").removeprefix("a_list_of_")
                words = [w.strip().rstrip(".") for w in _strings(record["data"])]
                lists[name] = [w for w in words if 2 <= len(w) <= 24 and w.isascii() and w.count(" ") <= 2]
        rude = {w.lower() for w in lists.get("expletives", [])}
        self.words: dict[str, list[str]] = {}
        for kind, names in SOURCES.items():
            merged = {w for name in names.split() for w in lists.get(name, []) if w.lower() not in rude}
            if not merged:
                raise ValueError(
                    f"{word_lists} holds none of the lists {names} that values of type {kind} come from"
                )
            self.words[kind] = sorted(merged)

    def made_up(self, rng: random.Random, syllables: int | None = None) -> str:
        """Return a capitalised word that is in no list."""
        count = syllables or rng.choice([1, 2, 2, 2, 3])
        word = "".join(rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS) for _ in range(count))
        return word.capitalize()

    def _pick(self, rng: random.Random, kind: str) -> str:
        return rng.choice(self.words[kind])

    def _any_words(self, rng: random.Random, most: int) -> str:
        nouns = [self._pick(rng, "noun").lower() for _ in range(rng.randint(1, most))]
        if rng.random() < 0.25:
            nouns.insert(0, self._pick(rng, "adjective").lower())
        return " ".join(nouns[:most])

    def something(self, rng: random.Random) -> str:
        """Return the name of any thing, in lower case: one or two words, or one that is in no list."""
        return self.made_up(rng).lower() if rng.random() < MADE_UP / 2 else self._any_words(rng, 2)

    def draw(self, rng: random.Random, kind: str | Sequence[str]) -> str:
        """Return a value of type `kind`, or one of the words given; raises ValueError for an unknown type."""
        made_up = rng.random() < MADE_UP
        if not isinstance(kind, str):
            return self._any_words(rng, 2) if made_up else rng.choice(kind)
        match kind:
            case "surname":
                return self.made_up(rng) if made_up else self._pick(rng, "surname")
            case "person" | "pet":
                name = self.made_up(rng) if made_up else self._pick(rng, kind)
                if kind == "person" and rng.random() < 0.2:
                    name += " " + (self.made_up(rng) if rng.random() < 0.4 else self._pick(rng, "surname"))
                return name
            case "place":
                return self.made_up(rng, rng.choice([2, 2, 3])) if made_up else self._pick(rng, "place")
            case "street":
                stem = (
                    self.made_up(rng, 2)
                    if made_up
                    else self._pick(rng, rng.choice(["surname", "noun"])).title()
                )
                return f"{stem} {rng.choice(STREET_ENDINGS)}"
            case "company":
                if rng.random() < 0.45:
                    return self._pick(rng, "company")
                return self.made_up(rng, rng.choice([2, 3])) + rng.choice(COMPANY_ENDINGS)
            case "title":
                if rng.random() < 0.4:
                    return self._pick(rng, "title")
                return ("The " if rng.random() < 0.4 else "") + self._any_words(rng, 2).title()
            case "activity":
                stem = rng.choice(ACTIVITIES)
                return f"{stem} {self._pick(rng, 'noun').lower()}s" if rng.random() < 0.15 else stem
            case "food" | "drink" | "thing" | "animal" | "job" | "subject" | "instrument" | "sport":
                if rng.random() < UNRELATED:
                    return self._any_words(rng, 2)
                word = self._pick(rng, kind).lower()
                if kind in ("thing", "food", "drink") and rng.random() < 0.1 and " " not in word:
                    word = f"{self._pick(rng, 'adjective').lower()} {word}"
                return word
            case "colour":
                return self._any_words(rng, 1) if rng.random() < 0.1 else self._pick(rng, "colour").lower()
            case "language":
                return self.made_up(rng, 2) + "ish" if made_up else self._pick(rng, "language")
            case "phrase":
                return self._any_words(rng, 3)
            case "number":
                if made_up:
                    return rng.choice(SMALL_NUMBERS[2:])
                return str(rng.choice([rng.randint(2, 20), rng.randint(2, 99), rng.randint(100, 9999)]))
            case "duration":
                number = rng.randint(2, 30)
                count = SMALL_NUMBERS[number] if number < len(SMALL_NUMBERS) and made_up else str(number)
                return f"{count} {rng.choice(['minutes', 'hours', 'days', 'weeks', 'months', 'years'])}"
            case "money":
                amount = rng.choice([rng.randint(2, 99), rng.randint(100, 999), rng.randint(1, 90) * 100])
                return rng.choice([f"${amount}", f"£{amount}", f"{amount} euros", f"{amount} dollars"])
            case "year":
                return str(rng.randint(1930, 2030))
            case "date":
                day, month = rng.randint(1, 28), rng.choice(MONTHS)
                suffix = "th" if 10 <= day <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
                return rng.choice(
                    [f"{month} {day}", f"{month} {day}{suffix}", f"the {day}{suffix} of {month}"]
                )
            case "weekday":
                return rng.choice(WEEKDAYS)
            case "month":
                return rng.choice(MONTHS)
            case "time":
                hour = rng.randint(1, 12)
                minutes = rng.choice(["00", "15", "30", "45", "10", "20", "40", "50"])
                clock = [
                    f"{hour}:{minutes}",
                    f"{hour} {rng.choice(['am', 'pm'])}",
                    f"half past {hour}",
                    f"{hour}{rng.choice(['am', 'pm'])}",
                ]
                return rng.choice(clock)
            case "code":
                letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 3)))
                return letters + rng.choice(["", "-"]) + str(rng.randint(1, 9999))
        raise ValueError(f"expected a known type of value, got {kind!r}")
