"""Several people at once, each in a browser of their own."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit
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
