"""The chat over HTTP: who comes in and who does not, and that everybody talks as themselves only."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from urllib.request import urlopen

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

import app.server
from app.chat import Chat
from app.doorman import COOKIE, is_loopback, signed_in
from app.errors import BadRequest, Unavailable
from app.server import create_server, listen, run_server
from storage.rows import Note

HERE = "http://127.0.0.1:7860"


@pytest.fixture
def server(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The server without pages."""
    monkeypatch.setattr(app.server, "entry_points", lambda group: [])
    return create_server(chat)


@pytest.fixture
def anybody(server: FastAPI) -> TestClient:
    """A browser that has not logged in."""
    return TestClient(server, base_url=HERE, follow_redirects=False)


@pytest.fixture
def ada(server: FastAPI) -> TestClient:
    """Ada's browser."""
    client = TestClient(server, base_url=HERE)
    assert client.post("/api/login", json={"name": " Ada "}).json() == {"user": "Ada"}
    return client


def test_the_health_of_the_server_is_open_to_anybody(anybody: TestClient) -> None:
    """It says nothing about anybody."""
    assert anybody.get("/health").json() == {"status": "ok"}


def test_the_cookie_is_for_this_site_and_no_script(anybody: TestClient) -> None:
    """HttpOnly, SameSite=Strict, and nothing in it tells whose it is."""
    cookie = anybody.post("/api/login", json={"name": "Ada"}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Ada" not in cookie


def test_ask_answers_as_the_command_does(ada: TestClient, chat: Chat) -> None:
    """The same keys, and the turn is the person's."""
    answer = ada.post("/api/ask", json={"text": "I live in Lisbon.", "session": "talk", "memory": "off"})
    assert answer.status_code == 200
    assert set(answer.json()) == {"reply", "turn", "prompt_tokens", "memory", "seconds"}
    assert [s.name for s in chat.sessions("Ada")] == ["talk"]
    [talk] = chat.sessions("Ada")
    assert ada.post("/api/ask", json={"text": "Hello!", "session": talk.id}).status_code == 200
    assert ada.post("/api/ask", json={"text": "Hello!", "session": "new"}).status_code == 200
    assert len(chat.sessions("Ada")) == 2


def test_however_many_replies_are_asked_for_the_door_stays_open(
    server: FastAPI, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the exports of one do not keep everybody else out either."""
    ended = threading.Event()
    monkeypatch.setattr(Chat, "reply", lambda *_args, **_options: ended.wait(30) and iter(()))
    monkeypatch.setattr(Chat, "export_into", lambda *_args: ended.wait(30))

    async def ask_and_knock() -> int:
        transport = httpx.ASGITransport(app=server, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            await client.post("/api/login", json={"name": "Ada"})
            waiting = [
                asyncio.create_task(client.post("/api/ask", json={"text": "hello"})) for _ in range(50)
            ]
            waiting += [asyncio.create_task(client.get("/api/export")) for _ in range(50)]
            await asyncio.sleep(0.5)
            try:
                async with asyncio.timeout(10):
                    return (await client.get("/health")).status_code
            finally:
                ended.set()
                await asyncio.gather(*waiting)

    assert asyncio.run(ask_and_knock()) == 200


@pytest.mark.parametrize(
    "path", ["/", "/api/ask", "/api/logout", "/gradio_api/queue/join", "/gradio_api/cancel", "/no"]
)
def test_who_has_not_logged_in_is_refused(anybody: TestClient, path: str) -> None:
    """Everywhere, whether there is something or not; a browser that asks for a page is shown the door."""
    assert anybody.post(path, json={"text": "hello"}).status_code == 401
    assert anybody.get(path).status_code == 401
    page = anybody.get(path, headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")


def test_an_invented_cookie_is_nobody(anybody: TestClient) -> None:
    """Neither a name nor a guess lets anybody in."""
    for token in ("Ada", "", "x" * 43):
        anybody.cookies.set(COOKIE, token)
        assert anybody.post("/api/ask", json={"text": "hello"}).status_code == 401


def test_who_has_logged_out_is_nobody(ada: TestClient) -> None:
    """The cookie is worth nothing afterwards, even if it was kept."""
    token = ada.cookies[COOKIE]
    assert ada.post("/api/logout").status_code == 200
    assert COOKIE not in ada.cookies
    ada.cookies.set(COOKIE, token)
    assert ada.post("/api/ask", json={"text": "hello"}).status_code == 401


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:7860", "null", ""]
)
def test_another_web_site_may_not_use_a_persons_cookie(ada: TestClient, chat: Chat, origin: str) -> None:
    """Not another host, port or scheme, nor a page without an origin; neither to send nor to read."""
    refused = ada.post("/api/ask", json={"text": "hello"}, headers={"origin": origin})
    assert refused.status_code == 403
    assert ada.get("/health", headers={"origin": origin}).status_code == 403
    assert ada.post("/api/login", json={"name": "Eve"}, headers={"origin": origin}).status_code == 403
    assert chat.sessions("Ada") == []


def test_this_site_may(ada: TestClient) -> None:
    """Its own origin is how a browser sends every message."""
    assert ada.post("/api/ask", json={"text": "hello"}, headers={"origin": HERE}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "10.0.0.1", "", "[::1"]
)
def test_a_request_for_another_host_is_refused(ada: TestClient, host: str) -> None:
    """A name that somebody else points at this machine is not ours, even with the origin to match."""
    headers = {"host": host, "origin": f"http://{host}"}
    assert ada.post("/api/ask", json={"text": "hello"}, headers=headers).status_code == 421


def test_a_session_of_another_person_is_not_found(ada: TestClient, chat: Chat) -> None:
    """Its number is no key."""
    list(chat.reply("Bob", None, "I play the cello."))
    [session] = chat.sessions("Bob")
    refused = ada.post("/api/ask", json={"text": "hello", "session": session.id})
    assert refused.status_code == 404
    assert "no session" in refused.json()["error"]
    assert len(chat.turns("Bob", session.id)) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": ""}, 400),
        ({"text": "x" * 30_000}, 413),
        ({"text": "half \ud83d a pair"}, 400),
        ({"text": "hello", "session": 4711}, 404),
        ({"text": "hello", "session": 0}, 422),
        ({"text": "hello", "session": 2**63 - 1}, 404),
        ({"text": "hello", "session": 2**63}, 422),
        ({"text": "hello", "session": "x" * 65}, 400),
        ({}, 422),
        ({"text": 5}, 422),
        ({"text": "hello", "memory": "perhaps"}, 422),
        ({"text": "hello", "user": "Bob"}, 422),
    ],
)
def test_a_mistake_is_told_in_one_sentence(ada: TestClient, chat: Chat, body: object, status: int) -> None:
    """With the status of its kind, and nothing is stored."""
    headers = {"content-type": "application/json"}
    refused = ada.post("/api/ask", content=json.dumps(body), headers=headers)
    assert refused.status_code == status
    assert list(refused.json()) == ["error"]
    assert chat.sessions("Ada") == []


def test_a_bad_name_is_told_at_the_door(anybody: TestClient) -> None:
    """And gives no cookie."""
    refused = anybody.post("/api/login", json={"name": "x" * 65})
    assert refused.status_code == 400
    assert "1 to 64" in refused.json()["error"]
    assert "set-cookie" not in refused.headers


def test_a_document_is_sent_as_it_is(ada: TestClient, chat: Chat) -> None:
    """It becomes a session of whoever sends it; a mistake is told in one sentence, also of a large file."""
    answer = ada.post("/api/documents?name=log.txt", content=b"The keeper is called Ola.")
    [session] = chat.sessions("Ada")
    assert (answer.status_code, answer.json()) == (200, {"session": session.id})
    assert (session.name, chat.sessions("Bob")) == ("log.txt", [])
    for query, content, status in [
        ("?name=log.docx", b"x", 400),
        ("?name=log.txt", b"", 400),
        ("", b"x", 422),
        ("?name=log.txt", b"x" * (chat.max_document_bytes + 1), 413),
    ]:
        refused = ada.post(f"/api/documents{query}", content=content)
        assert (refused.status_code, list(refused.json())) == (status, ["error"])
    assert chat.sessions("Ada") == [session]


def test_pages_may_talk_to_nobody_else(ada: TestClient) -> None:
    """The content policy of every answer names this server only."""
    policy = ada.get("/health").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    # what the default does not cover
    assert "form-action 'none'; base-uri 'self'" in policy


def test_installed_pages_are_mounted_and_told_who_is_there(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page comes by entry point and learns the name that the cookie stands for."""

    def mount(server: FastAPI, _chat: Chat) -> None:
        @server.get("/who")
        def who(request: Request) -> str | None:
            return signed_in(request)

    page = SimpleNamespace(load=lambda: mount)
    monkeypatch.setattr(
        app.server, "entry_points", lambda group: [page] if group == "remanence.pages" else []
    )
    client = TestClient(create_server(chat), base_url=HERE)
    client.post("/api/login", json={"name": "Ada"})
    assert client.get("/who").json() == "Ada"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    """By number or by its usual name."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.evil.example", "", None]
)
def test_everything_else_is_refused_to_listen_on(host: str | None) -> None:
    """There are no passwords yet."""
    assert not is_loopback(host)
    with pytest.raises(BadRequest, match="passwords"), listen(host or "", 0):
        pass


def test_a_free_port_is_found_and_a_taken_one_told() -> None:
    """The URL names the port that was found."""
    with listen("127.0.0.1", 0) as (listening, url):
        port = listening.getsockname()[1]
        assert url == f"http://127.0.0.1:{port}/"
        with socket.create_connection(("127.0.0.1", port)):
            pass
        with pytest.raises(Unavailable, match=str(port)), listen("127.0.0.1", port):
            pass


def test_an_open_tab_does_not_keep_the_server_from_ending(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page holds a connection open for ever; the server waits a moment and ends."""
    servers = []

    class Watched(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            servers.append(self)

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.05)

    def mount(server: FastAPI, _chat: Chat) -> None:
        @server.get("/login")
        def events() -> StreamingResponse:
            return StreamingResponse(forever())

    monkeypatch.setattr(app.server, "entry_points", lambda group: [SimpleNamespace(load=lambda: mount)])
    monkeypatch.setattr(app.server, "GOODBYE_S", 1)
    monkeypatch.setattr(uvicorn, "Server", Watched)
    with listen("127.0.0.1", 0) as (listening, url):
        serving = threading.Thread(target=run_server, args=(chat, listening, lambda: None), daemon=True)
        serving.start()
        with urlopen(f"{url}login") as tab:
            assert tab.read(1) == b"."
            servers[0].should_exit = True
            serving.join(timeout=10)
            assert not serving.is_alive()


def test_an_open_server_serves_this_machine_only(server: FastAPI, chat: Chat) -> None:
    """Also where it listens elsewhere, and whatever name it is called by; with accounts it serves others."""
    there = TestClient(server, base_url="http://192.168.1.2:7860")
    for host in ("127.0.0.1:7860", "192.168.1.2:7860"):
        refused = there.post("/api/login", json={"name": "Ada"}, headers={"host": host})
        assert refused.status_code in (403, 421)
    chat.people.add("root", "correct horse", "admin", Note("command line"))
    assert there.get("/health", headers={"host": "127.0.0.1:7860"}).status_code == 200


def test_the_first_visit_makes_the_first_admin(anybody: TestClient, chat: Chat) -> None:
    """A password in the form of an open server closes it; a mistake with it is told."""
    login = {"name": "Ada", "password": "short"}
    assert anybody.post("/api/login", json=login).status_code == 400
    assert anybody.post("/api/login", json=login | {"password": "correct horse"}).status_code == 200
    assert anybody.get("/api/memory").json()["user"] == "Ada"
    assert anybody.get("/api/people").status_code == 200
    refused = anybody.post("/api/login", json={"name": "Bob"})
    assert (refused.status_code, refused.json()) == (401, {"error": "The name or the password is not right."})


def test_an_account_is_changed_all_or_nothing(server: FastAPI, chat: Chat) -> None:
    """One request is one change and one row of the log; one that is refused in part leaves no trace."""
    note = Note("command line")
    chat.people.add("root", "correct horse", "admin", note)
    chat.people.add("Carl", "correct horse", "user", note)
    root, carl = (TestClient(server, base_url=HERE) for _ in range(2))
    for client, name in ((root, "root"), (carl, "Carl")):
        client.post("/api/login", json={"name": name, "password": "correct horse"})
    before, log = chat.people.account("Carl"), chat.people.audit()
    change = {"role": "admin", "is_disabled": True, "quota": {"turns": -1, "bytes": None}}
    assert root.post("/api/people/Carl", json=change).status_code == 400
    assert (chat.people.account("Carl"), chat.people.audit()) == (before, log)
    assert carl.get("/api/memory").status_code == 200
    changed = root.post("/api/people/Carl", json=change | {"quota": {"turns": 5, "bytes": None}}).json()
    assert (changed["role"], changed["is_disabled"], changed["max_turns"]) == ("admin", True, 5)
    assert carl.get("/api/memory").status_code == 401
    [entry, *earlier] = chat.people.audit()
    assert earlier == log
    assert entry.action == ("give the role admin; disable; set the quota to 5 turns and any number of bytes")


def test_a_role_without_a_password_is_no_admins(ada: TestClient, chat: Chat) -> None:
    """Anybody could have come in by that name; the desk has the same rule."""
    chat.people.set_role("Ada", "admin", Note("command line"))
    assert ada.get("/api/people").status_code == 403
    assert ada.post("/api/people/Bob", json={"is_disabled": True}).status_code == 403


def test_too_many_tries_are_told(anybody: TestClient, chat: Chat) -> None:
    """With the status that says so."""
    chat.people.add("root", "correct horse", "admin", Note("command line"))
    login = {"name": "root", "password": "wrong horse"}
    answers = [anybody.post("/api/login", json=login).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]


def test_logging_out_everywhere_ends_the_other_browser(server: FastAPI, ada: TestClient) -> None:
    """And this one."""
    other = TestClient(server, base_url=HERE)
    other.post("/api/login", json={"name": "Ada"})
    assert ada.post("/api/logout/everywhere").json() == {"ended": 2}
    assert other.get("/api/memory").status_code == ada.get("/api/memory").status_code == 401


def test_a_login_outlives_the_server(ada: TestClient, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database knows the cookie."""
    monkeypatch.setattr(app.server, "entry_points", lambda group: [])
    again = TestClient(create_server(chat), base_url=HERE, cookies=dict(ada.cookies))
    assert again.get("/api/memory").json()["user"] == "Ada"


def test_a_cookie_over_https_stays_there(server: FastAPI) -> None:
    """A browser sends it over nothing else."""
    client = TestClient(server, base_url="https://127.0.0.1:7860")
    assert "Secure" in client.post("/api/login", json={"name": "Ada"}).headers["set-cookie"]


def test_with_accounts_the_server_listens_anywhere() -> None:
    """On every address of the machine."""
    with listen("0.0.0.0", 0, is_closed=True) as (listening, _):
        assert listening.getsockname()[0] == "0.0.0.0"
