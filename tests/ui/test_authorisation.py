"""Who is refused where: every route of the server with its page, so that a new one cannot be forgotten.

The tables below name each route. One that is in none of them, Gradio's own included, fails the first test.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount
from starlette.testclient import TestClient

import storage.logins
from app.chat import Chat
from app.doorman import COOKIE, OPEN_TO_ANYBODY, TOKEN_SCOPES
from tests.ui.conftest import NOTE, PASSWORD, serve

HERE = "http://127.0.0.1:7860"

ANYBODY = {"GET /health", "GET /login", "POST /api/login"}
# Of these, what each person gets is their own: a request names nobody.
PERSON = {
    "POST /api/logout",
    "POST /api/logout/everywhere",
    "POST /api/password",
    "POST /api/ask",
    "POST /api/documents",
    "GET /api/memory",
    "GET /api/export",
    "POST /api/import",
    "GET /api/jobs",
    # a number of somebody else's job is that of none
    "POST /api/jobs/{number}/cancel",
}
ADMIN = {
    "GET /api/people": None,
    "POST /api/people": {"name": "Eve", "password": PASSWORD},
    "POST /api/people/{name}": {"role": "admin"},
    "POST /api/people/{name}/messages": {"reason": "why"},
    "GET /api/audit": None,
}
# Methods and path, a line each.
GRADIO_ROUTES = """
GET,HEAD /openapi.json
POST /login/
POST /login
GET /logout
GET /svelte/{path:path}
GET,HEAD /
GET /gradio_api/deep_link
GET /config
GET /config/
GET /static/{path:path}
GET /assets/{path:path}
GET /favicon.ico
GET /theme.css
GET /robots.txt
GET /pwa_icon/{size}
GET /pwa_icon
GET /manifest.json
GET /monitoring
GET /monitoring/summary
GET /monitoring/{key}
GET /gradio_api/user/
GET /gradio_api/user
GET /gradio_api/login_check/
GET /gradio_api/login_check
GET /gradio_api/token/
GET /gradio_api/token
GET /gradio_api/app_id/
GET /gradio_api/app_id
GET /gradio_api/dev/reload
GET /gradio_api/runs/
GET /gradio_api/runs
GET /gradio_api/info
GET /gradio_api/info/
GET /gradio_api/openapi.json
GET /gradio_api/custom_component/{id}/{environment}/{type}/{file_name}
GET,HEAD /gradio_api/proxy={url_path:path}
GET,HEAD /gradio_api/file={path_or_url:path}
POST /gradio_api/stream/{event_id}
POST /gradio_api/stream/{event_id}/close
GET /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8
GET /gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}
GET /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file
GET /gradio_api/file/{path:path}
POST /gradio_api/reset
POST /gradio_api/reset/
GET /gradio_api/heartbeat/{session_hash}
POST /gradio_api/api/{api_name}/
POST /gradio_api/api/{api_name}
POST /gradio_api/run/{api_name}/
POST /gradio_api/run/{api_name}
POST /gradio_api/call/v2/{api_name}/
POST /gradio_api/call/v2/{api_name}
POST /gradio_api/call/{api_name}/
POST /gradio_api/call/{api_name}
POST /gradio_api/queue/join
POST /gradio_api/cancel
GET /gradio_api/call/{api_name}/{event_id}
GET /gradio_api/call/v2/{api_name}/{event_id}
GET /gradio_api/queue/data
POST /gradio_api/component_server/
POST /gradio_api/component_server
GET /gradio_api/queue/status
GET /gradio_api/upload_progress
POST /gradio_api/upload
GET /gradio_api/startup-events
GET /gradio_api/theme.css
POST /gradio_api/process_recording
POST /gradio_api/vibe-edit
POST /gradio_api/vibe-edit/
POST /gradio_api/undo-vibe-edit
POST /gradio_api/undo-vibe-edit/
GET,POST /gradio_api/vibe-code
GET,POST /gradio_api/vibe-code/
POST /gradio_api/vibe-starter-queries
POST /gradio_api/vibe-starter-queries/
"""
GRADIO = {
    f"{method} {path}"
    for methods, path in (line.split(" ") for line in GRADIO_ROUTES.split("\n") if line)
    for method in methods.split(",")
}
# The demo is an application of its own, of which this much is for anybody.
DEMO = {"GET /demo"} | {route.replace(" /", " /demo/") for route in GRADIO}
DEMO_OPEN = {
    "GET /demo",
    "GET /demo/",
    "GET /demo/theme.css",
    "GET /favicon.ico",
    "GET /demo/static/{path:path}",
    "GET /demo/assets/{path:path}",
    "POST /demo/gradio_api/queue/join",
    "GET /demo/gradio_api/queue/data",
}
# All of the admin's desk, what Gradio brings along included.
DESK = {"GET /admin"} | {route.replace(" ", " /admin") for route in GRADIO}


def routes(found: list[BaseRoute], before: str = "") -> Iterator[str]:
    """Yield every route as "METHOD path", those of what is mounted or included too."""
    for route in found:
        if isinstance(route, Mount):
            yield from routes(route.routes, before + route.path)
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from routes(included.routes, before)
        else:
            for method in sorted(getattr(route, "methods", None) or ["WEBSOCKET"]):
                yield f"{method} {before}{route.path}"  # type: ignore[attr-defined]


@pytest.fixture
def server(closed: Chat) -> FastAPI:
    """The server with its page; root is an admin, Ada and Bob have passwords, and Ada has said something."""
    return serve(closed, frozenset({"chat.example.org"}))


def browser(server: FastAPI, name: str | None = None) -> TestClient:
    """A browser in which `name` is logged in."""
    client = TestClient(server, base_url=HERE, follow_redirects=False, raise_server_exceptions=False)
    if name is not None:
        assert client.post("/api/login", json={"name": name, "password": PASSWORD}).status_code == 200
    return client


def send(client: TestClient, route: str, **options: Any) -> Any:
    """Send a request for `route`, something in place of each of its parameters."""
    method, path = route.split(" ")
    return client.request(method, re.sub(r"\{[^}]*\}", "Ada", path), **options)


def test_every_route_is_in_a_table(server: FastAPI) -> None:
    """And every entry of a table is a route; what the doorman lets anybody do is what stands here."""
    assert set(routes(server.routes)) == ANYBODY | PERSON | set(ADMIN) | GRADIO | DEMO | DESK
    assert {" ".join(route) for route in OPEN_TO_ANYBODY} == ANYBODY
    for route in DEMO_OPEN:
        assert send(browser(server), route, json={}).status_code != 401, route
    assert {" ".join(route) for route in TOKEN_SCOPES} <= PERSON


def test_who_may_not_come_in_is_refused_at_every_route(
    server: FastAPI, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody, an invented cookie, a disabled account, a login that expired or was ended, a revoked token."""
    disabled, ended = browser(server, "Bob"), browser(server, "Ada")
    chat.people.log_out_everywhere("Ada")
    expired, token = browser(server, "Ada"), browser(server)
    shown, row = chat.people.add_token("Ada", "laptop", ["chat", "memory"], NOTE)
    chat.people.revoke_token("Ada", row.id, NOTE)
    token.headers["authorization"] = f"Bearer {shown}"
    invented = browser(server)
    invented.cookies.set(COOKIE, "x" * 43)
    assert disabled.get("/api/memory").status_code == expired.get("/api/memory").status_code == 200
    chat.people.set_disabled("Bob", True, NOTE)
    later = storage.logins.now() + storage.logins.LOGIN_RESTS
    monkeypatch.setattr(storage.logins, "now", lambda: later)
    refused = {
        "nobody": browser(server),
        "invented": invented,
        "disabled": disabled,
        "expired": expired,
        "ended": ended,
        "revoked token": token,
    }
    let_in = [
        (who, route, answer.status_code)
        for who, client in refused.items()
        for route in routes(server.routes)
        if route not in ANYBODY | DEMO_OPEN and (answer := send(client, route, json={})).status_code != 401
    ]
    assert let_in == []


def test_what_is_for_admins_is_for_nobody_else(server: FastAPI, chat: Chat) -> None:
    """Not even about themselves; an admin comes through, to read others only with the right."""
    bob, root = browser(server, "Bob"), browser(server, "root")
    before = chat.people.audit()
    for route, body in ADMIN.items():
        assert send(bob, route, json=body).status_code == 403
    assert chat.people.audit() == before
    for route, body in ADMIN.items():
        expected = 403 if route.endswith("messages") else 200
        assert send(root, route, json=body).status_code == expected, route
    assert "xylophone" not in root.get("/api/audit").text + root.get("/api/people").text
    chat.people.set_right("root", True, NOTE)
    read = send(root, "POST /api/people/{name}/messages", json={"reason": "a court order"})
    assert [turn["user"] for turn in read.json()] == ["my secret is xylophone"]
    entry = root.get("/api/audit").json()[0]
    assert (entry["actor"], entry["subject"], entry["reason"]) == ("root", "Ada", "a court order")


def test_a_job_is_seen_and_cancelled_by_whose_it_is(server: FastAPI, chat: Chat) -> None:
    """By nobody else, an admin neither: the desk is for that, where it is logged."""
    with chat.jobs.running("verify", "Ada", 1):
        # what she said may still be being read
        (job,) = (job for job in chat.jobs.listed() if job.kind == "verify")
        for name in ("Bob", "root"):
            client = browser(server, name)
            assert client.get("/api/jobs").json() == []
            refused = client.post(f"/api/jobs/{job.id}/cancel")
            assert (refused.status_code, "Ada" in refused.text) == (404, False)
        ada = browser(server, "Ada")
        assert job.id in [found["id"] for found in ada.get("/api/jobs").json()]
        assert ada.post(f"/api/jobs/{job.id}/cancel").json()["state"] == "running"


def test_the_desk_is_for_admins(server: FastAPI, chat: Chat) -> None:
    """Each of its routes, with whatever is sent along, and no longer once the role is taken."""
    bob, root = browser(server, "Bob"), browser(server, "root")
    assert root.get("/admin").headers["location"] == "/admin/"
    assert "gradio" in root.get("/admin/").text
    chat.people.add("second", PASSWORD, "admin", NOTE)
    chat.people.set_role("root", "user", NOTE)
    for name, client in (("Bob", bob), ("root", root)):
        let_in = [route for route in DESK if send(client, route, json={}).status_code != 403]
        assert let_in == [], name
    page = bob.get("/admin/", headers={"accept": "text/html"})
    assert page.status_code == 403
    assert "remanence user role NAME admin" in page.text
    # what is only called alike is not the desk's
    assert bob.get("/adminton").status_code != 403


def test_an_open_server_has_no_desk_and_says_how_to_get_one(chat: Chat) -> None:
    """A name is all it takes there, and nobody's name makes an admin."""
    client = TestClient(serve(chat), base_url=HERE)
    client.post("/api/login", json={"name": "Ada"})
    page = client.get("/admin/", headers={"accept": "text/html"})
    assert page.status_code == 403
    assert "who sets the first one becomes the admin" in page.text


def test_a_token_opens_its_scopes_and_nothing_else(server: FastAPI, chat: Chat) -> None:
    """Of all routes, an admin's token too; a wrong one is refused though the cookie is good."""
    for scope in ("chat", "memory"):
        shown, _ = chat.people.add_token("root", "laptop", [scope], NOTE)
        program = browser(server)
        program.headers["authorization"] = f"Bearer {shown}"
        opened = {
            route
            for route in routes(server.routes)
            if route not in ANYBODY | DEMO_OPEN
            and send(program, route, json={"text": "hello"}).status_code != 403
        }
        assert opened == {" ".join(route) for route, needed in TOKEN_SCOPES.items() if needed == scope}
    ada = browser(server, "Ada")
    assert ada.get("/api/memory", headers={"authorization": "Bearer rmn_wrong"}).status_code == 401


def test_every_handler_of_the_page_answers_about_the_person_who_asks(server: FastAPI, chat: Chat) -> None:
    """Sent by Bob with the number of Ada's session, no event of the page returns a word of hers."""
    (talk,) = chat.sessions("Ada")
    (turn,) = chat.turns("Ada", talk.id)

    def told(name: str) -> str:
        """Return what every event of the page answers, one after the other in one tab."""
        with browser(server, name) as client:
            config = client.get("/config").json()
            types = {component["id"]: component["type"] for component in config["components"]}
            sent = {
                "textbox": "hello",
                "radio": talk.id,
                "number": talk.id,
                "checkbox": True,
                "dropdown": turn.id,
                "datetime": None,
                "chatbot": [],
            }
            answers = []
            for handler in config["dependencies"]:
                event = {
                    "fn_index": handler["id"],
                    "session_hash": f"tab of {name}",
                    "data": [sent[types[component]] for component in handler["inputs"]],
                    "event_data": {"index": 0, "value": "hello", "previous_value": "hello"},
                }
                answers.append(client.post("/gradio_api/run/predict", json=event).text)
            return "".join(answers)

    bobs = told("Bob")
    assert "Signed in as **Bob**" in bobs
    assert "xylophone" not in bobs
    assert len(chat.turns("Ada", talk.id)) == 1
    # the numbers are right, and open what they name to the person whose they are
    assert "xylophone" in told("Ada")


def test_the_events_of_a_tab_go_to_its_owner_only(server: FastAPI) -> None:
    """The number that a browser made up is no key to what another one is told."""
    ada, bob = browser(server, "Ada"), browser(server, "Bob")
    for path in ("/gradio_api/queue/status?session_hash=tab1", "/gradio_api/stream/tab1/1/2/playlist.m3u8"):
        assert ada.get(path).status_code != 403
        assert bob.get(path).status_code == 403
    assert bob.get("/gradio_api/queue/data?session_hash=tab1").status_code == 403
    assert bob.get("/gradio_api/heartbeat/tab1").status_code == 403
    assert bob.get("/gradio_api/queue/status?session_hash=tab2").status_code != 403


def test_a_visitor_of_the_demo_gets_into_nobodys_tab(server: FastAPI) -> None:
    """And owns none: who comes in later under its number is not kept out."""
    visitor, ada = browser(server), browser(server, "Ada")
    path = "/demo/gradio_api/queue/data?session_hash="
    assert ada.get("/gradio_api/queue/status?session_hash=tab1").status_code != 403
    assert visitor.get(f"{path}tab1").status_code == 403
    assert visitor.get(f"{path}tab2").status_code != 403
    assert ada.get("/gradio_api/queue/status?session_hash=tab2").status_code != 403


def test_a_closed_server_is_called_by_its_public_names(server: FastAPI) -> None:
    """And by no other, from which a web site could pass for it."""
    client = browser(server)
    for host, status in [("chat.example.org", 200), ("127.0.0.1:1", 200), ("evil.example", 421)]:
        assert client.get("/health", headers={"host": host}).status_code == status


def test_the_door_asks_for_a_password(server: FastAPI) -> None:
    """And sets it up in no way."""
    page = browser(server).get("/login").text
    assert 'autocomplete="current-password" required' in page
    assert "Nobody has a password yet" not in page
