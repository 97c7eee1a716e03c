"""Made-up people, batches and the training loop, on a corpus of a few words."""

import gzip
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from memory.generator import Generator, TokenMaps
from model.base import BaseModel
from model.conversation import Exchange, chunks, turn_tokens
from model.training.averaging import WEIGHTS, average
from model.training.corpus import paired
from model.training.episodes import Batch, Mixture
from model.training.facts import Kind, Scene, load_kinds, load_scenes
from model.training.loop import Training, TrainingConfig, build_models
from model.training.losses import MARGIN, _plain_loss, losses
from model.training.muon import Muon
from model.training.people import NUM_STATEMENTS, PHRASES, SMALL_TALK, People, Style
from model.training.pooling import POOLING, finding_losses
from model.training.quoting import MOST_QUOTED, Cue, answered, quotation
from model.training.retrieval import SHARPNESS, Places, caught_inputs, first_sought, retrieval_loss
from model.training.rows import NUM_SOUGHT, SOUGHT, WORDING, Mark, Row, RowEncoder
from model.training.salience import MISSED, salience_loss
from model.training.tokenizer import ASSISTANT, opened, rendered
from model.training.values import SOURCES, Values

KINDS = load_kinds()
SCENES = load_scenes()


def write_lines(file: Path, records: list[dict[str, Any]]) -> None:
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder with a little of everything."""
    folder = tmp_path_factory.mktemp("corpus")
    names = sorted({name for names in SOURCES.values() for name in names.split()})
    lists = [
        {"id": f"data/x/{name}.json", "data": {"words": [f"{name}{c}" for c in "abcdef"]}} for name in names
    ]
    write_lines(folder / "word_lists.jsonl.gz", lists)
    turns = [{"speaker": "ab"[i % 2], "text": f"I said this as number {i}."} for i in range(12)]
    for name in ("synthetic_persona_chat", "self_dialogue", "topical_chat", "chatterbot"):
        write_lines(folder / f"{name}.jsonl.gz", [{"turns": turns}] * 3)
    story = {
        "passage": "The fox had a red hat. It ran away.",
        "questions": [{"q": "Whose hat?", "a": "the fox"}],
    }
    write_lines(folder / "fairytaleqa.jsonl.gz", [story])
    return folder


@pytest.fixture(scope="module")
def people(corpus: Path) -> People:
    return People(KINDS, SCENES, Values(corpus / "word_lists.jsonl.gz"), SMALL_TALK)


SMALL = TrainingConfig(
    steps=4, hidden_size=64, layers=4, heads=2, intermediate_size=128, vocabulary=600, state_size=16,
    people=3, stories=1, dialogues=1, num_questions=2, seekers=2, warmup_steps=2,
    tokenizer_people=100, checkpoint_steps=2,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_says_its_value_and_tells_its_slots_apart(kind: Kind) -> None:
    slots = set(kind.slots)
    for text in kind.say:
        assert len(re.findall(r"\{(?:v|a_v)\}", text)) == 1, text
    for text in (*kind.ask, *kind.prompt):
        assert not re.search(r"\{(?:v|a_v)\}", text), text
    for text in (*kind.say, *kind.ask, *kind.prompt):
        assert set(re.findall(r"\{(\w+)\}", text)) <= slots | {"v", "a_v"}, text
    assert len(kind.say) >= 10
    assert len(kind.ask) >= 8
    assert len(set(kind.say)) == len(kind.say)


def test_no_two_kinds_have_one_name() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names) >= 150


def test_a_scene_says_each_of_its_values_once_and_never_asks_with_one() -> None:
    assert len(SCENES) >= 1000
    blank = re.compile(r"\{(?:a_)?(\w+)\}")
    for scene in SCENES:
        names = [kind.name for kind in scene.kinds]
        said = [name for text, _ in scene.talk for name in blank.findall(text)]
        assert sorted(said) == sorted(names), scene.talk
        questions = [q for kind in scene.kinds for q in kind.ask] + list(scene.unknown)
        assert not any("{" in text for text in questions + [reply for _, reply in scene.talk]), scene.talk
        for kind in scene.kinds:
            assert len(kind.ask) >= 3, kind.ask


def test_what_is_asked_about_was_said_and_what_is_unknown_was_not(people: People) -> None:
    for seed in range(60):
        person = people.draw(random.Random(seed), num_facts=5, num_questions=8)
        said = " ".join(e.user for session in person.sessions for e in session).lower()
        for question in person.questions:
            assert (question.value is None) == (question.reply in PHRASES["unknown"])
            assert (question.value is None) == (question.quote is None)
            if question.value is not None and question.quote is not None:
                assert question.quote.lower() in said
                assert question.value.lower() in question.quote.lower()
                value, quote = question.reply.split(". You said: ", 1)
                assert quote == question.quote
                assert value in quote
                assert value.lower() == question.value.lower()


@pytest.mark.parametrize(
    ("messages", "question", "value", "quote"),
    [
        (["hello", "My dog is Rex!"], "What is my dog called?", "rex", "My dog is Rex!"),
        (["a trex came", "i saw Rex"], "who?", "Rex", "i saw Rex"),
        (["Rex barks.", "my dog, Rex"], "my dog's name?", "Rex", "my dog, Rex"),
        (["My dog died."], "my dog?", "Rex", None),
        ([], "my dog?", "Rex", None),
        ([f"{'So it goes. ' * 9}Rex is my dog. Bye."], "my dog?", "Rex", "Rex is my dog."),
    ],
)
def test_a_quotation_is_the_message_that_tells_the_value(
    messages: list[str], question: str, value: str, quote: str | None
) -> None:
    """In whole words, that which shares most with the question; of a long one the sentence."""
    assert quotation(messages, question, value) == quote


def test_a_reply_names_the_value_as_it_was_spelled() -> None:
    assert answered("rex", "my dog is REX, ok") == "REX. You said: my dog is REX, ok"


def test_of_an_endless_sentence_whole_words_around_the_value_are_quoted() -> None:
    message = f"{'left ' * 40}Rex{' right' * 40}"
    quote = quotation([message], "who?", "Rex")
    assert quote is not None
    assert "Rex" in quote
    assert set(quote.split()) == {"left", "Rex", "right"}
    assert len(quote) <= MOST_QUOTED


def test_the_same_seed_makes_the_same_person(people: People) -> None:
    assert people.draw(random.Random(3), 6, 4) == people.draw(random.Random(3), 6, 4)


def test_a_person_comes_in_as_many_sessions_as_asked_for(people: People) -> None:
    """Each with something said in it, however little there is to tell; the facts are the same."""
    person = people.draw(random.Random(3), 6, 4, num_sessions=5)
    assert len(person.sessions) == 5
    assert all(person.sessions)
    said = " ".join(e.user for session in person.sessions for e in session).lower()
    assert all(q.value is None or q.value.lower() in said for q in person.questions)
    assert person.values == people.draw(random.Random(3), 6, 4).values


def test_what_was_changed_is_said_last_and_asked_for_as_it_is_now(people: People) -> None:
    without_scenes = People(KINDS, [], people.values, SMALL_TALK)
    for seed in range(30):
        person = without_scenes.draw(random.Random(seed), 1, 8, unknown=0.0, num_changes=3)
        _, new = person.values
        assert person.changed == (new,)
        assert new in person.sessions[-1][-1].user
        assert {question.value for question in person.questions} == {new}
    assert without_scenes.draw(random.Random(0), 1, 8).changed == ()


def test_a_statement_is_taken_in_and_not_declined(people: People) -> None:
    for seed in range(30):
        person = people.draw(random.Random(seed), 3, 2)
        said = {exchange.user for session in person.sessions for exchange in session}
        assert len(person.statements) == NUM_STATEMENTS
        for statement in person.statements:
            assert statement.user not in said
            assert statement.assistant not in PHRASES["unknown"]


def test_the_links_of_a_scene_are_replaced_in_what_is_said_and_asked_alike() -> None:
    dog = Kind("dog", "pet", (), ("what is my poodle called?", "the {poodle}?"), ())
    scene = Scene((dog,), (("My Poodle is {dog}.", "A poodle!"),), ("how old is the poodle", "my poodles?"))
    other = scene.with_words({"poodle": "red lamp"})
    assert other.talk == (("My red lamp is {dog}.", "A red lamp!"),)
    assert other.kinds[0].ask == ("what is my red lamp called?", "the {poodle}?")
    assert other.unknown == ("how old is the red lamp", "my poodles?")


def test_a_slip_never_touches_what_must_be_remembered() -> None:
    style = Style(lower=True, no_end=True, no_apostrophe=True, short_forms=True, slips=1.0)
    typed = style.typed(
        random.Random(0), "My neighbour's hamster is called biscuit windermere.", ["biscuit windermere"]
    )
    assert "biscuit windermere" in typed
    assert "hamster" not in typed


def test_a_word_list_that_is_missing_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "lists.gz", [{"id": "data/x/firstNames.json", "data": ["Ada"]}])
    with pytest.raises(ValueError, match="lastNames"):
        Values(tmp_path / "lists.gz")


def test_turns_of_one_speaker_in_a_row_are_one() -> None:
    turns = [
        {"speaker": s, "text": t} for s, t in [("a", "Hi."), ("a", "You?"), ("b", "Fine."), ("a", "Bye.")]
    ]
    assert paired(turns) == [Exchange("Hi. You?", "Fine.")]


def test_a_row_is_read_in_training_as_the_chat_reads_it(corpus: Path, tmp_path: Path) -> None:
    """Token for token, and the same tokens count: what is learned from one holds for the other."""
    training = Training(SMALL, corpus, tmp_path)
    session = [
        Exchange("I have a parrot.", "Lovely!"),
        Exchange("He is Biscuit", "Good for him."),
        Exchange("and I swim", ""),
    ]
    row = training.episodes.rows.passed_over(training.episodes.rows.read(0, rendered(session), 0))[1]
    training.export(tmp_path / "model")
    lm = BaseModel.load(tmp_path / "model", quantize="none", device="cpu")
    config = Generator.from_pretrained(tmp_path / "model" / "generator").config
    turns = [turn_tokens(lm, exchange) for exchange in session]
    counted = 0
    for i, turn in enumerate(turns):
        [(ids, is_read)] = chunks(config, turns[:i], turn)
        assert [token.id for token in row[: len(ids)]] == ids
        assert [token.weight > 0 for token in row[: len(ids)]][counted:] == is_read[counted:]
        counted = len(ids)
    assert sum(token.weight for token in row) == sum(len(turn.message) for turn in turns)


def test_a_batch_is_decided_by_seed_and_step(corpus: Path, tmp_path: Path) -> None:
    episodes = Training(SMALL, corpus, tmp_path).episodes
    mixture = Mixture(4, 1, 1, (1, 6), 3, reconstructed=0.5, seekers=2)
    first, second = (episodes.batch(random.Random("1/7"), mixture) for _ in range(2))
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(first.cues, second.cues, strict=True))
    assert sum(len(rows.ids) for rows in first.cues) >= 4 * 3


def test_who_only_seeks_is_read_with_what_was_said_before(corpus: Path, tmp_path: Path) -> None:
    """ "In May" says something only after what it answers, so rows are those of a chat, replies and all."""
    episodes = Training(SMALL, corpus, tmp_path).episodes
    batch = episodes.batch(random.Random(0), Mixture(0, 0, 0, (6, 6), 3, reconstructed=0.0, seekers=4))
    texts = [episodes.rows.tokenizer.decode(ids) for rows in batch.messages for ids in rows.ids]
    assert all(ASSISTANT in text for text in texts)
    assert any(text.count(ASSISTANT) > 1 for text in texts)
    assert all(bool((rows.weight.sum(1) > 0).all()) for rows in batch.messages)


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(corpus: Path, tmp_path: Path) -> None:
    whole = Training(SMALL, corpus, tmp_path / "whole")
    whole.run()
    stopped = Training(SMALL, corpus, tmp_path / "stopped")
    stopped.checkpoint = lambda: (Training.checkpoint(stopped), (_ for _ in ()).throw(KeyboardInterrupt))  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = Training(SMALL, corpus, tmp_path / "stopped")
    resumed.run()
    for name, weight in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], weight, msg=name)


def test_a_checkpoint_of_other_sizes_is_refused(corpus: Path, tmp_path: Path) -> None:
    Training(SMALL, corpus, tmp_path).checkpoint()
    with pytest.raises(ValueError, match="other sizes"):
        Training(replace(SMALL, state_size=8), corpus, tmp_path).resume()


def test_steps_on_one_batch_lower_every_loss(corpus: Path, tmp_path: Path) -> None:
    training = Training(SMALL, corpus, tmp_path)
    batch = training.episodes.batch(random.Random(0), SMALL.mixture(0))
    before = losses(training.network, training.generator, batch)
    for _ in range(25):
        for optimiser in training.optimisers:
            optimiser.zero_grad()
        sum(losses(training.network, training.generator, batch).values()).backward()
        for optimiser in training.optimisers:
            optimiser.step()
    after = losses(training.network, training.generator, batch)
    assert all(after[name] < before[name] - 0.5 for name in before)


def test_the_loss_of_a_batch_is_that_of_each_person_alone(corpus: Path, tmp_path: Path) -> None:
    """Adapters of a batch are put on row by row: nobody's memory reaches another's loss."""
    training = Training(SMALL, corpus, tmp_path)
    for _, parameter in training.generator.named_parameters():
        parameter.data.mul_(2.0)  # so that an adapter of somebody else would show
    encoder = training.episodes.rows
    texts = [
        ("My dog is Rex.", "Rex?"),
        ("I live in Oslo, far from Rome.", "Oslo then?"),
        ("Tea is best.", "Tea!"),
    ]
    alone = []
    for said, asked in texts:
        rows = [_once(encoder, 0, said)]
        question = [encoder.reply(0, Cue(asked, "It is."), ())]
        alone.append(_answer_loss(training, [rows], [question], 1))
    reads = [_once(encoder, i, s) for i, (s, _) in enumerate(texts)]
    asks = [encoder.reply(i, Cue(q, "It is."), ()) for i, (_, q) in enumerate(texts)]
    together = _answer_loss(training, [reads], [asks], 3)
    assert together == pytest.approx(sum(alone) / 3, rel=1e-4)


def _once(encoder: RowEncoder, person: int, said: str) -> Row:
    row = encoder.read(person, rendered([Exchange(said, "Nice.")]), 0)
    return row.person, row.tokens


def _answer_loss(training: Training, reads: list[Any], questions: list[Any], num_people: int) -> float:
    padded = training.episodes.rows.padded
    batch = Batch(
        tuple(padded(r) for r in reads),
        tuple(padded(r) for r in reads),
        tuple(padded(q) for q in questions),
        (),
        (),
        (),
        num_people,
        num_people,
        num_seekers=0,
        declining=training.episodes.declining,
    )
    return losses(training.network, training.generator, batch)["answer"].item()


def test_the_question_finds_its_place_among_what_everybody_said() -> None:
    """The loss is that of a softmax over all keys, in the space where the keys are even; a slow reference."""
    torch.manual_seed(0)
    stretch = torch.diag(torch.tensor([30.0, 1.0, 1.0, 1.0]))
    keys = {"layer": torch.randn(9, 4) @ stretch}
    queries = {"layer": torch.randn(3, 4)}
    meant = torch.zeros(3, 9, dtype=torch.bool)
    meant[0, 2] = meant[1, 5] = meant[1, 6] = True  # the third question has no place
    loss, num_queries = retrieval_loss(keys, queries, meant)
    moment = keys["layer"].T @ keys["layer"] / 9
    root = torch.linalg.matrix_power(moment, -1).double()
    strengths, directions = torch.linalg.eigh(root)
    even = (directions * strengths.pow(0.25)) @ directions.T
    total = 0.0
    for question, places in ((0, [2]), (1, [5, 6])):
        query = queries["layer"][question].double() @ even
        scores = [
            SHARPNESS * torch.cosine_similarity(query, key.double() @ even, dim=0) for key in keys["layer"]
        ]
        weights = torch.stack(scores).exp()
        total -= float((weights[places].sum() / weights.sum()).log())
    assert num_queries == 2
    assert loss.item() == pytest.approx(total, rel=0.01)


def test_a_quotation_is_sought_in_its_message_one_token_earlier(corpus: Path, tmp_path: Path) -> None:
    """In its own person's, where it was said, and not in the assistant's words or in another's."""
    training = Training(SMALL, corpus, tmp_path)
    encoder = training.episodes.rows
    said = ["My dog is Rex.", "My dog is Rex.", "I sing."]
    reads = [encoder.read(i, rendered([Exchange(s, "Rex.")]), i) for i, s in enumerate(said)]
    cues = [Cue("Who?", "You said: dog is Rex.", "dog is Rex."), Cue("Who?", "No.")]
    asked = [encoder.reply(i, cues[i == 2], [reads[i]]) for i in range(3)]
    assert encoder.reply(2, cues[0], [reads[2]]) is None
    read = encoder.padded([(row.person, row.tokens) for row in reads])
    asking = encoder.padded([row for row in asked if row])
    places = Places()
    keys = torch.ones(*read.ids.shape, 4)
    places.add_keys({"layer": TokenMaps(keys, keys, None)}, read)
    inputs = {t.name: torch.ones(*asking.ids.shape, t.in_features) for t in training.generator.config.targets}
    places.add_queries(training.generator, inputs, asking)
    is_meant = places.is_meant()
    whose = torch.cat([torch.full((int(weight.sum()),), i) for i, weight in enumerate(read.weight)])
    assert is_meant.tolist() == [(whose == 0).tolist(), (whose == 1).tolist()]
    assert len(is_meant) == 2


def test_what_is_quoted_has_the_tokens_that_it_had_where_it_was_said(corpus: Path, tmp_path: Path) -> None:
    """At the beginning of a message and within one; only what is not quoted may be worded in another way."""
    encoder = Training(SMALL, corpus, tmp_path).episodes.rows
    row = encoder.read(0, rendered([Exchange("Zorbix is my dog. Qualv barks", "Oh.")]), 3)
    for quote in ("Zorbix is my dog.", "Qualv barks"):
        cue = encoder.reply(0, Cue("Who?", f"You said: {quote}", quote), [row])
        assert cue is not None
        quoted = [token for token in cue[1] if token.place]
        said = [token.id for token in row.tokens]
        start = said.index(quoted[0].id)
        assert [token.id for token in quoted] == said[start : start + len(quoted)]
        assert encoder.tokenizer.decode([token.id for token in quoted]).strip() == quote
        assert {token.place for token in quoted} == {row.tokens[1].message}
        assert [token.weight for token in quoted[:NUM_SOUGHT]] == [SOUGHT] * NUM_SOUGHT


def test_a_value_is_sought_where_it_was_told(corpus: Path, tmp_path: Path) -> None:
    """Its first token at its own place, and not where else the message has it; the quotation anywhere."""
    encoder = Training(SMALL, corpus, tmp_path).episodes.rows
    row = encoder.read(0, rendered([Exchange("Rex! My dog is Rex.", "Oh.")]), 3)
    cue = encoder.reply(0, Cue("Who?", "Rex. You said: My dog is Rex.", "My dog is Rex.", "Rex"), [row])
    assert cue is not None
    reply = cue[1][len(encoder.ids(opened("Who?"))) :]
    end = next(i for i, token in enumerate(reply) if not token.place)
    value = [token for token in row.tokens if token.place == reply[0].place]
    assert [token.id for token in value] == [reply[0].id]
    assert [token.place for token in row.tokens if token.id == reply[0].id].index(value[0].place) == 1
    assert all(token.weight == SOUGHT for token in reply[:end])
    assert {token.place for token in reply[end:]} == {0, row.tokens[1].message}


def test_a_reply_decides_once_whether_something_is_known(corpus: Path, tmp_path: Path) -> None:
    """With its first token, which weighs as much where nothing is known; small talk decides nothing."""
    encoder = Training(SMALL, corpus, tmp_path).episodes.rows
    row = encoder.read(0, rendered([Exchange("My dog is Rex.", "Oh.")]), 3)
    cues = [
        Cue("Who?", "Rex. You said: My dog is Rex.", "My dog is Rex.", "Rex"),
        Cue("Who?", "I don't know that yet."),
        Cue("Hi!", "I am glad.", is_question=False),
    ]
    for cue, decided in zip(cues, (SOUGHT, SOUGHT, None), strict=True):
        reply = encoder.reply(0, cue, [row])
        assert reply is not None
        first = len(encoder.ids(opened(cue.message)))
        decisions = [i for i, token in enumerate(reply[1]) if token.mark == Mark.DECISION]
        assert decisions == ([first] if decided else [])
        assert reply[1][first].weight == (decided or WORDING)


def test_declining_is_learnt_as_if_it_were_likelier(corpus: Path, tmp_path: Path) -> None:
    """By a margin, and only where something is decided; against the cross-entropy of lifted logits."""
    training = Training(SMALL, corpus, tmp_path)
    encoder, lifted = training.episodes.rows, training.episodes.declining[0]
    for is_question in (True, False):
        row = encoder.reply(0, Cue("Who?", "Rex.", is_question=is_question), ())
        assert row is not None
        rows = encoder.padded([row])
        logits = training.network(rows.ids).logits[0, :-1].detach().clone()
        for i, token in enumerate(row[1][1:]):
            logits[i, lifted] += MARGIN if token.mark == Mark.DECISION else 0.0
        each = torch.nn.functional.cross_entropy(logits, rows.ids[0, 1:], reduction="none")
        total, _ = _plain_loss(training.network, rows, training.episodes.declining)
        assert total.item() == pytest.approx((each * rows.weight[0, 1:]).sum().item(), rel=1e-4)


def test_the_words_that_tell_are_marked_where_the_person_says_them(corpus: Path, tmp_path: Path) -> None:
    """Not in the assistant's mouth; the first token of a value by itself."""
    encoder = Training(SMALL, corpus, tmp_path).episodes.rows
    text = rendered([Exchange("well my dog is REX, ok", "is REX?")])
    row = encoder.read(0, text, 0, ["is REX"], ["REX"])
    for tokens in (row.tokens, encoder.passed_over(row)[1]):
        marked = encoder.tokenizer.decode([token.id for token in tokens if token.mark])
        times = 1 if tokens is row.tokens else encoder.passes
        assert marked.replace(" ", "") == "isREX" * times
        assert sum(token.mark == Mark.VALUE for token in tokens) == times


@pytest.mark.parametrize(("beginnings", "least"), [(None, Mark.WORD), ("layer", Mark.VALUE)])
def test_the_gates_learn_which_tokens_tell_something(
    corpus: Path, tmp_path: Path, beginnings: str | None, least: Mark
) -> None:
    """Against a slow sum over the tokens that are read, of the people of whom it is known."""
    encoder = Training(SMALL, corpus, tmp_path).episodes.rows
    said = [("My dog is Rex.", ["dog is Rex"]), ("I sing.", []), ("A story of Rex.", ["Rex"])]
    reads = [
        encoder.read(i, rendered([Exchange(s, "Ok.")]), i, quotes, ["Rex"])
        for i, (s, quotes) in enumerate(said)
    ]
    rows = encoder.padded([(row.person, row.tokens) for row in reads])
    gate = torch.linspace(-2, 2, rows.ids.numel()).view_as(rows.ids)
    keys = torch.ones(*rows.ids.shape, 4)
    loss, num_tokens = salience_loss({"layer": TokenMaps(keys, keys, gate)}, rows, 2, beginnings)
    total, count = 0.0, 0
    for i, row in enumerate(reads[:2]):
        for j, token in enumerate(row.tokens):
            if token.weight:
                opened_by = torch.sigmoid(gate[i, j])
                total -= float(MISSED * opened_by.log() if token.mark >= least else (1 - opened_by).log())
                count += 1
    assert num_tokens == count
    assert loss.item() == pytest.approx(total, rel=1e-4)


def test_asking_with_the_history_in_the_prompt_asks_for_each_quotation_once(
    corpus: Path, tmp_path: Path
) -> None:
    encoder = Training(SMALL, corpus, tmp_path).episodes.rows
    quote = "My dog is Rex."
    cues = (Cue("A?", f"You said: {quote}", quote), Cue("B?", f"You said: {quote}", quote), Cue("C?", "No."))
    told = (rendered([Exchange(quote, "Nice.")]),)
    person, tokens = encoder.prompted(4, told, cues)
    assert person == 4
    assert encoder.tokenizer.decode([token.id for token in tokens]).count("Rex") == 2
    assert not any(token.weight for token in tokens[: len(encoder.ids(told[0]))])
    assert "No." in encoder.tokenizer.decode([token.id for token in tokens if token.weight])


def test_what_only_one_message_says_is_asked_for_by_it(corpus: Path, tmp_path: Path) -> None:
    """And what none says is declined."""
    episodes = Training(SMALL, corpus, tmp_path).episodes
    messages = ["the kettle whistles", "the parrot whistles"]
    cues = episodes._mentions(random.Random(0), messages, 60)
    assert {cue.quote for cue in cues} == {*messages, None}
    for cue in cues:
        assert "whistles" not in cue.message
        if cue.quote is None:
            assert cue.reply in PHRASES["unknown"]
            assert not {"kettle", "parrot"} & set(re.findall(r"\w+", cue.message))
        else:
            assert {"kettle", "parrot"} & set(re.findall(r"\w+", cue.message)) == {cue.quote.split()[1]}


def test_the_layer_that_pools_compares_means_of_words(corpus: Path, tmp_path: Path) -> None:
    """As it begins: the query is nearly the mean of what stands before, a key that of its message."""
    training = Training(SMALL, corpus, tmp_path)
    network, generator = training.network, training.generator
    name = generator.config.targets[POOLING].name
    maps: Any = generator.maps[POOLING]
    torch.nn.init.constant_(maps.length_bias, -30.0)  # nothing is far
    ids = torch.tensor([training.tokenizer.encode("<|user|>My dog is Rex.<|end|>")])
    with torch.no_grad(), caught_inputs(network, [name]) as inputs:
        states = network.model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
        keys = generator.tokens({POOLING: states[POOLING]}, torch.ones(ids.shape))[name].keys
        query = generator.queries({name: inputs[name]})[name][0, -1]
        mean = torch.nn.functional.rms_norm(states[POOLING], states[POOLING].shape[-1:]).mean(1)[0]
    torch.testing.assert_close(keys[0], (maps.a1 @ mean).expand_as(keys[0]), atol=1e-3, rtol=1e-3)
    assert torch.cosine_similarity(query, keys[0, -1], dim=0) > 0.99


def test_finding_runs_only_the_layers_it_needs(corpus: Path, tmp_path: Path) -> None:
    training = Training(SMALL, corpus, tmp_path)
    batch = training.episodes.batch(random.Random(0), SMALL.mixture(0))
    found = finding_losses(training.network, training.generator, batch)
    torch.stack([loss for loss, _ in found.values()]).sum().backward()
    assert all(num_questions >= 2 for _, num_questions in found.values())
    depth = training.network.config.num_hidden_layers
    assert depth == SMALL.layers
    for layer in range(depth):
        weight = training.network.model.layers[layer].self_attn.v_proj.weight
        assert (weight.grad is not None) == (layer <= POOLING)


def test_the_layer_that_pools_names_the_value_by_its_memory_alone(corpus: Path, tmp_path: Path) -> None:
    """Against one person's state and one question after the other."""
    training = Training(SMALL, corpus, tmp_path)
    network, generator = training.network, training.generator
    name = generator.config.targets[POOLING].name
    torch.nn.init.normal_(generator.get_parameter(f"maps.{POOLING}.b"))
    batch = training.episodes.batch(random.Random(0), SMALL.mixture(0))
    loss, num_questions = finding_losses(network, generator, batch)["naming"]
    total, count = 0.0, 0
    with torch.no_grad():
        sums = {name: torch.zeros(batch.num_seekers, SMALL.state_size, SMALL.state_size)}
        for rows in batch.messages:
            hidden = network.model(
                input_ids=rows.ids, use_cache=False, output_hidden_states=True
            ).hidden_states
            for i, whose in enumerate(rows.person):
                sums[name][whose] += generator.sums(
                    {POOLING: hidden[POOLING][i : i + 1]}, rows.weight[i : i + 1]
                )[name][0]
        for rows in batch.asking:
            with caught_inputs(network, [name]) as inputs:
                network.model(input_ids=rows.ids, use_cache=False)
            for i, is_first in enumerate(first_sought(rows)):
                at = int(is_first.nonzero()[0])
                whose = rows.person[i]
                update = generator.training_adapter({name: sums[name][whose]}).delta(name)
                returned = generator.config.scale * update @ inputs[name][i, at - 1]
                logits = network.lm_head(network.model.norm(returned))
                total -= float(logits.log_softmax(-1)[rows.ids[i, at]])
                count += 1
    assert num_questions == count > 2
    assert loss.item() == pytest.approx(total, rel=1e-3)


@pytest.mark.slow
def test_two_processes_train_as_one_on_what_both_draw(corpus: Path, tmp_path: Path) -> None:
    """Each draws people of its own, their gradients are averaged, and both end with the same weights."""
    program = f"""
from pathlib import Path
from model.training.loop import Training, TrainingConfig
training = Training(TrainingConfig(**{asdict(SMALL)!r}), Path({str(corpus)!r}), Path({str(tmp_path)!r}))
training.run()
total = sum(p.double().abs().sum().item() for p in training.network.parameters())
Path({str(tmp_path)!r}, f"weights{{training.processes.process_index}}").write_text(repr(total))
"""
    file = tmp_path / "train.py"
    file.write_text(program)
    Training(SMALL, corpus, tmp_path)  # the tokenizer
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(file)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    first, second = ((tmp_path / f"weights{i}").read_text() for i in (0, 1))
    assert first == second


def test_the_mean_of_two_trainings_is_a_model(corpus: Path, tmp_path: Path) -> None:
    """Every weight is the mean of theirs, one named twice counts twice; models of other sizes are refused."""
    folders = []
    for seed in (1, 2):
        training = Training(replace(SMALL, seed=seed), corpus, tmp_path / str(seed))
        training.export(training.result)
        folders.append(training.result)
    first, second = folders
    average([first, second, second], tmp_path / "mean")
    Generator.from_pretrained(tmp_path / "mean" / "generator")
    BaseModel.load(tmp_path / "mean", quantize="none", device="cpu")
    for file in WEIGHTS:
        mean, one, two = (load_file(folder / file) for folder in (tmp_path / "mean", first, second))
        for name in mean:
            expected = (one[name].float() + 2 * two[name].float()) / 3
            torch.testing.assert_close(mean[name].float(), expected, atol=1e-2, rtol=1e-2)
    smaller = Training(replace(SMALL, state_size=8), corpus, tmp_path / "smaller")
    smaller.export(smaller.result)
    with pytest.raises(ValueError, match="not of one size"):
        average([first, smaller.result], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_muon_steps_along_an_orthogonal_matrix_of_the_size_of_an_adamw_step() -> None:
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(32, 16)), torch.nn.Parameter(torch.zeros(16, 32))]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    Muon(parameters, lr=0.1, momentum=0.9, weight_decay=0.0).step()
    for parameter in parameters:
        singular = torch.linalg.svdvals(parameter.detach()) / (0.1 * 0.2 * 32**0.5)
        assert bool(((singular > 0.6) & (singular < 1.3)).all())
        assert (parameter.detach() * parameter.grad).sum() < 0


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A model that is surer of things than any that nobody trained, with its result written."""
    training = Training(replace(SMALL, seed=2), corpus, tmp_path_factory.mktemp("trained"))
    with torch.no_grad():
        for parameter in training.network.parameters():
            parameter.mul_(3.0)
    training.export(training.result)
    return training


def test_a_training_can_begin_with_a_trained_model(trained: Training, corpus: Path, tmp_path: Path) -> None:
    begun = Training(SMALL, corpus, tmp_path / "second", start=trained.result)
    for ours, theirs in ((begun.network, trained.network), (begun.generator, trained.generator)):
        for name, weight in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], weight.bfloat16().float()), name
    with pytest.raises(ValueError, match="other sizes"):
        Training(replace(SMALL, state_size=8), corpus, tmp_path / "third", start=trained.result)


@pytest.mark.parametrize(
    ("larger", "tolerance"),
    [({"layers": 6}, 1e-4), ({"state_size": 24}, 0.02), ({"state_size": 24, "layers": 5}, 0.02)],
)
def test_a_training_can_begin_with_a_smaller_model_and_loses_nothing_by_it(
    larger: dict[str, int], tolerance: float, trained: Training, corpus: Path, tmp_path: Path
) -> None:
    config = replace(SMALL, **larger)
    same = Training(SMALL, corpus, tmp_path / "same", start=trained.result)
    grown = Training(config, corpus, tmp_path / "grown", start=trained.result)
    assert grown.generator.config.state_size == grown.generator.config.rank == config.state_size
    assert len(grown.generator.config.targets) == config.layers
    untrained, _ = build_models(config, grown.tokenizer)
    batch = same.episodes.batch(random.Random(5), SMALL.mixture(0))
    before, after, without = (
        losses(network, generator, batch)
        for network, generator in (
            (same.network, same.generator),
            (grown.network, grown.generator),
            (untrained, grown.generator),
        )
    )
    # these lessons are of every target and direction, also of those that say nothing yet
    for name in before.keys() - {"retrieval", "finding", "naming", "salience"}:
        assert after[name].item() == pytest.approx(before[name].item(), rel=tolerance)
        assert without[name].item() != pytest.approx(before[name].item(), rel=5 * tolerance)


def written_without(trained: Training, folder: Path, **changes: Any) -> Generator:
    """The trained generator with fewer parts, written into `folder` with the model."""
    plain = Generator(replace(trained.generator.config, **changes))
    weights = trained.generator.state_dict()
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    trained.network.save_pretrained(folder)
    trained.tokenizer.save_pretrained(folder)
    plain.save_pretrained(folder / "generator")
    return plain


def test_near_keys_take_over_a_share_of_the_chunk_keys(
    trained: Training, corpus: Path, tmp_path: Path
) -> None:
    """While nothing is far, a mean of what is near is that of the chunk, and nothing is lost."""
    plain = written_without(trained, tmp_path / "plain", near_key=False)
    grown = Training(SMALL, corpus, tmp_path / "grown", start=tmp_path / "plain")
    batch = grown.episodes.batch(random.Random(5), SMALL.mixture(0))
    before = losses(grown.network, plain, batch)
    near = losses(grown.network, grown.generator, batch)
    maps: Any = grown.generator.maps
    assert maps[POOLING].a6.abs().sum() > 0
    for of_target in maps:
        torch.nn.init.constant_(of_target.length_bias, -30.0)
    after = losses(grown.network, grown.generator, batch)
    for name in before:
        assert after[name].item() == pytest.approx(before[name].item(), rel=1e-4)
    assert near["finding"].item() != pytest.approx(before["finding"].item(), rel=1e-4)


def test_a_model_without_chunk_keys_gets_the_layer_that_pools_and_loses_nothing_by_it(
    trained: Training, corpus: Path, tmp_path: Path
) -> None:
    last = SMALL.layers - 1
    targets = tuple(replace(t, layer=last if t.layer else 0) for t in trained.generator.config.targets)
    plain = written_without(trained, tmp_path / "plain", targets=targets, chunk_key=False, near_key=False)
    more = replace(SMALL, layers=SMALL.layers + 1)
    grown = Training(more, corpus, tmp_path / "grown", start=tmp_path / "plain")
    names = {t.layer for t in grown.generator.config.targets}
    assert names == {0, POOLING, SMALL.layers}
    batch = trained.episodes.batch(random.Random(5), replace(SMALL, seekers=0).mixture(0))
    before = losses(trained.network, plain, batch)
    after = losses(grown.network, grown.generator, batch)
    for name in ("answer", "again", "language"):
        assert after[name].item() == pytest.approx(before[name].item(), rel=1e-4)
    layer: Any = grown.network.model.layers[POOLING]
    assert torch.equal(layer.self_attn.v_proj.weight, torch.eye(SMALL.hidden_size))
