"""Several people at once, each in a browser of their own."""

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.site import Site
from ui import texts


def test_two_people_at_once_see_nothing_of_each_other(visit: Visit) -> None:
    """Neither while both are answered, nor in their chats, nor in their memories."""
    secrets = {"Ada Alone": "xylophone", "Bob Alone": "didgeridoo"}
    people = {name: visit(name) for name in secrets}
    for name, person in people.items():
        person.begin_to_say(f"My secret is {secrets[name]}.")
    for person in people.values():
        person.last_reply()
        person.say("What is the secret?")
        person.open_memory()
        expect(person.page.locator("#memory-figures")).to_contain_text("2 turns of 1 chats")
        person.unfold(texts.FORGET_TITLE)
        person.page.get_by_label(texts.FORGET_TURN, exact=True).click()
        expect(person.page.get_by_role("option")).to_have_count(2)
    for name, person in people.items():
        own, others = secrets[name], set(secrets.values()) - {secrets[name]}
        for _ in range(2):
            assert own in person.page.content()
            assert not [secret for secret in others if secret in person.page.content()]
            person.reload()
            expect(person.chats).to_have_count(1)


# One after the other, as a page would: every event of it, and the stream of what it returns.
SEND_EVENTS = """async ([session, turn, tab]) => {
    const config = await (await fetch("/config")).json();
    const types = Object.fromEntries(config.components.map((one) => [one.id, one.type]));
    const sent = {textbox: "hello", radio: session, number: session, checkbox: true, dropdown: turn,
                  datetime: null, chatbot: []};
    const told = [];
    for (const handler of config.dependencies.filter((one) => one.backend_fn && !one.types.generator)) {
        const event = {
            fn_index: handler.id, session_hash: tab, trigger_id: null,
            data: handler.inputs.map((id) => sent[types[id]]),
            event_data: {index: 0, value: "hello", previous_value: "hello", liked: true},
        };
        const begun = await fetch("/gradio_api/queue/join", {
            method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(event),
        });
        const answer = await fetch(`/gradio_api/queue/data?session_hash=${tab}`);
        told.push([handler.api_name, begun.status, answer.status, await answer.text()]);
    }
    return told;
}"""
FETCH = """async ([method, path, body]) => {
    const answer = await fetch(path, {
        method, headers: {"content-type": "application/json"}, body: body && JSON.stringify(body),
        // a stream that should be refused would not end
        signal: AbortSignal.timeout(30000),
    });
    return [answer.status, await answer.text()];
}"""


def test_numbers_that_are_somebody_elses_open_nothing(visit: Visit, site: Site) -> None:
    """A chat, a message, a job and a tab of Ada's, asked for by Bob's own browser."""
    ada, bob = visit("Ada Numbers"), visit("Bob Numbers")
    with ada.page.expect_request(re.compile("/queue/join")) as joined:
        ada.say("My secret is xylophone.")
    tab = joined.value.post_data_json["session_hash"]
    with site.store() as store:
        user = store.find_user("Ada Numbers").id
        [session] = store.sessions(user)
        [turn] = store.session_turns(user, session.id)
    ada.open_memory()
    ada.unfold(texts.VERIFY_TITLE)
    ada.page.get_by_role("button", name=texts.VERIFY_BUTTON).click()
    # not just something: while it is waited for, a clock may stand there
    expect(ada.page.locator("#receipt")).to_contain_text(texts.VERIFIED.split(":")[0])
    jobs = json.loads(ada.page.evaluate(FETCH, ["GET", "/api/jobs", None])[1])
    # what she said may still be being read
    [job] = [job for job in jobs if job["kind"] == "verify"]

    def ask(method: str, path: str, body: object = None) -> int:
        status, told = bob.page.evaluate(FETCH, [method, path, body])
        assert "xylophone" not in told
        assert "Ada" not in told
        return status

    assert ask("GET", f"/gradio_api/queue/data?session_hash={tab}") == 403
    assert ask("POST", f"/api/jobs/{job['id']}/cancel") == 404
    assert ask("POST", "/api/ask", {"text": "What is the secret?", "session": session.id}) == 404
    assert ask("GET", "/api/jobs") == ask("GET", "/api/memory") == 200
    answers = bob.page.evaluate(SEND_EVENTS, [session.id, turn.id, "bobstab"])
    assert {(begun, told) for _, begun, told, _ in answers} == {(200, 200)}
    assert any("Bob Numbers" in content for *_, content in answers)
    assert not [name for name, *_, content in answers if "xylophone" in content or "Ada" in content]
    # it was asked for in the right way: to Ada the same opens what she said
    hers = ada.page.evaluate(SEND_EVENTS, [session.id, turn.id, "adastab"])
    assert any("xylophone" in content for *_, content in hers)
