"""The admin's desk, a page of its own at /admin: people, jobs, the audit log, the server.

Who comes in is decided three times: at the path (`ui.guard`), by the page, and in everything that it does,
where `Desk` looks up whether the person whom the cookie names is an admin. Names and numbers that the browser
sends say whom something is done to, never who does it.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.requests import Request

from app.accounts import Quota
from app.chat import Chat
from app.desk import Desk, Role
from app.doorman import signed_in
from app.errors import RemanenceError
from ui import tables, texts
from ui.guard import PATH as PATH
from ui.guard import AdminsOnly
from ui.listings import (
    audit_table,
    counts_table,
    introduction,
    jobs_table,
    machine_table,
    messages_table,
    people_table,
    person_tables,
)
from ui.mounting import mount_page
from ui.tables import note
from ui.visitor import user_of

# How often the jobs and the counts are looked at, while they are shown.
LOOK_S = 2


def mount(server: FastAPI, chat: Chat) -> None:
    """Add the desk to `server`; before the page at /, which takes every path that is left."""
    desk = Desk(chat)

    def admin(request: Request) -> str | None:
        name = signed_in(request)
        return name if name is not None and desk.is_admin(name) else None

    server.add_middleware(AdminsOnly, is_admin=desk.is_admin, is_closed=chat.people.is_closed)
    mount_page(server, DeskPage(desk).build(), PATH, tables.CSS, admin)


class DeskPage:
    """The desk's components and what they do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def build(self) -> gr.Blocks:
        """Return the page."""
        page: gr.Blocks
        with gr.Blocks(title=texts.DESK_TITLE, analytics_enabled=False) as page:
            gr.Markdown(f"# {texts.DESK_TITLE}")
            intro = gr.HTML()
            timer = gr.Timer(LOOK_S, active=False)
            with gr.Tabs():
                with gr.Tab(texts.DESK_PEOPLE) as people_tab:
                    shown = self._build_people(people_tab)
                with gr.Tab(texts.DESK_JOBS) as jobs_tab:
                    self._build_jobs(jobs_tab, timer)
                with gr.Tab(texts.DESK_AUDIT) as audit_tab:
                    self._build_audit(audit_tab)
                with gr.Tab(texts.DESK_SERVER) as server_tab:
                    self._build_server(server_tab, timer)
            for tab in (people_tab, jobs_tab, audit_tab, server_tab):
                is_live = tab in (jobs_tab, server_tab)
                tab.select(_ticking if is_live else _resting, None, timer, show_progress="hidden")
            page.load(self.arrive, None, [intro, *shown])
        return page

    # people

    def _build_people(self, tab: gr.Tab) -> list[Any]:
        """Add the tab; return the list of people and the choice among them."""
        search = gr.Textbox("", label=texts.DESK_SEARCH, submit_btn=True, max_length=64)
        people = gr.HTML()
        person = gr.Dropdown(
            label=texts.DESK_PERSON, info=texts.DESK_CHOOSE, allow_custom_value=True, interactive=True
        )
        figures = gr.HTML()
        reason = gr.Textbox(label=texts.DESK_REASON, info=texts.DESK_REASON_HINT, max_length=500)
        with gr.Row():
            rebuild = gr.Button(texts.DESK_REBUILD)
            disable = gr.Button(texts.DESK_DISABLE)
            enable = gr.Button(texts.DESK_ENABLE)
            reset = gr.Button(texts.DESK_RESET, variant="stop")
        said = gr.HTML()
        with gr.Group(visible=False) as sure:
            whom = gr.Textbox(label=texts.DESK_RESET, info=texts.DESK_RESET_WHOM, interactive=False)
            sure_reset = gr.Button(texts.DESK_RESET_SURE, variant="stop")
            not_reset = gr.Button(texts.DESK_RESET_NOT)
        with gr.Row():
            role = gr.Radio(["user", "admin"], label=texts.DESK_ROLE)
            give_role = gr.Button(texts.DESK_ROLE_BUTTON)
        with gr.Row():
            turns = gr.Number(label=texts.DESK_MAX_TURNS, info=texts.DESK_QUOTA_HINT, precision=0, value=None)
            num_bytes = gr.Number(
                label=texts.DESK_MAX_BYTES, info=texts.DESK_QUOTA_HINT, precision=0, value=None
            )
            set_quota = gr.Button(texts.DESK_QUOTA_BUTTON)
        with gr.Accordion(texts.DESK_MESSAGES, open=False):
            gr.Markdown(texts.DESK_MESSAGES_HINT)
            read = gr.Button(texts.DESK_MESSAGES)
            messages = gr.HTML()
        with gr.Accordion(texts.DESK_ADD, open=False):
            new_name = gr.Textbox(label=texts.DESK_ADD_NAME, max_length=64)
            password = gr.Textbox(label=texts.DESK_ADD_PASSWORD, type="password", max_length=1024)
            add = gr.Button(texts.DESK_ADD_BUTTON)
        shown = [people, person]
        about = [figures, role, turns, num_bytes]
        search.submit(self.people, search, shown)
        tab.select(self.people, search, shown)
        person.change(self.person, person, about)
        person.change(lambda: ("", "", gr.Group(visible=False)), None, [said, messages, sure])
        reset.click(self.ask_before_reset, person, [sure, whom])
        not_reset.click(lambda: gr.Group(visible=False), None, sure)
        read.click(self.messages, [person, reason], [messages, said])
        acts: list[tuple[gr.Button, Callable[..., Any], list[Any]]] = [
            (rebuild, self.rebuild, [person, reason]),
            (disable, self.disable, [person, reason]),
            (enable, self.enable, [person, reason]),
            (give_role, self.set_role, [person, reason, role]),
            (set_quota, self.set_quota, [person, reason, turns, num_bytes]),
            (add, self.add, [new_name, reason, password]),
            # the name that was asked about, whoever is chosen by now
            (sure_reset, self.reset, [whom, reason]),
        ]
        for button, act, inputs in acts:
            done = button.click(act, inputs, [said, reason])
            done.then(self.people, search, shown).then(self.person, person, about)
        add.click(lambda: "", None, password)
        sure_reset.click(lambda: gr.Group(visible=False), None, sure)
        return shown

    def arrive(self, request: gr.Request) -> tuple[Any, ...]:
        """Return who sits here, and the people."""
        return introduction(user_of(request)), *self.people("", request)

    def people(self, search: str, request: gr.Request) -> tuple[Any, ...]:
        """Return the list of people, and the choice among them."""
        try:
            listed = self._desk.everybody(user_of(request), search.strip())
        except RemanenceError as error:
            return note(str(error)), gr.skip()
        names = [person.standing.account.name for person in listed]
        return people_table(listed), gr.Dropdown(choices=names)

    def person(self, name: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Return what is known of somebody: figures, role, quotas."""
        if not name:
            return "", None, None, None
        try:
            person, overview = self._desk.person(user_of(request), name)
        except RemanenceError as error:
            return note(str(error)), None, None, None
        account = person.standing.account
        return person_tables(person, overview), account.role, account.max_turns, account.max_bytes

    def rebuild(self, name: str | None, reason: str, request: gr.Request) -> tuple[Any, ...]:
        """Let everything somebody said be read again."""

        def act(admin: str) -> str:
            job = self._desk.rebuild(admin, name or "", reason)
            return texts.DESK_DONE_REBUILD.format(name=name, number=job.id)

        return _done(act, request)

    def ask_before_reset(self, name: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Ask whether everything somebody said shall be deleted."""
        return gr.Group(visible=bool(name) and self._desk.is_admin(user_of(request))), name

    def reset(self, name: str, reason: str, request: gr.Request) -> tuple[Any, ...]:
        """Delete everything somebody said."""

        def act(admin: str) -> str:
            gone = self._desk.reset(admin, name, reason)
            return texts.DESK_DONE_RESET.format(name=name, turns=gone.turns, sessions=gone.sessions)

        return _done(act, request)

    def disable(self, name: str | None, reason: str, request: gr.Request) -> tuple[Any, ...]:
        """Keep somebody out."""

        def act(admin: str) -> str:
            self._desk.set_disabled(admin, name or "", True, reason)
            return texts.DESK_DONE_DISABLED.format(name=name)

        return _done(act, request)

    def enable(self, name: str | None, reason: str, request: gr.Request) -> tuple[Any, ...]:
        """Let somebody in again."""

        def act(admin: str) -> str:
            self._desk.set_disabled(admin, name or "", False, reason)
            return texts.DESK_DONE_ENABLED.format(name=name)

        return _done(act, request)

    def set_role(self, name: str | None, reason: str, role: Role, request: gr.Request) -> tuple[Any, ...]:
        """Give somebody the role."""

        def act(admin: str) -> str:
            self._desk.set_role(admin, name or "", role, reason)
            return texts.DESK_DONE_ROLE.format(name=name, role=role)

        return _done(act, request)

    def set_quota(
        self,
        name: str | None,
        reason: str,
        turns: int | None,
        num_bytes: int | None,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        """Keep no more than so much of what somebody says."""

        def act(admin: str) -> str:
            self._desk.set_quota(admin, name or "", Quota(turns, num_bytes), reason)
            return texts.DESK_DONE_QUOTA.format(name=name)

        return _done(act, request)

    def add(self, name: str, reason: str, password: str, request: gr.Request) -> tuple[Any, ...]:
        """Make an account."""

        def act(admin: str) -> str:
            self._desk.add(admin, name.strip(), password, reason)
            return texts.DESK_DONE_ADDED.format(name=name.strip())

        return _done(act, request)

    def messages(self, name: str | None, reason: str, request: gr.Request) -> tuple[str, str]:
        """Return what somebody said, for an admin who has that right."""
        try:
            return messages_table(self._desk.messages(user_of(request), name or "", reason)), ""
        except RemanenceError as error:
            return "", note(str(error))

    # jobs

    def _build_jobs(self, tab: gr.Tab, timer: gr.Timer) -> None:
        jobs = gr.HTML()
        said = gr.HTML()
        number = gr.Number(label=texts.DESK_JOB, precision=0, value=None)
        reason = gr.Textbox(label=texts.DESK_REASON, info=texts.DESK_REASON_HINT, max_length=500)
        cancel = gr.Button(texts.DESK_CANCEL, variant="stop")
        cancel.click(self.cancel, [number, reason], [said, reason]).then(self.jobs, None, jobs)
        tab.select(self.jobs_to_cancel, None, [jobs, number])
        timer.tick(self.jobs, None, jobs, show_progress="hidden")

    def jobs(self, request: gr.Request) -> str:
        """Return everybody's jobs."""
        return _shown(lambda admin: jobs_table(self._desk.jobs(admin)), request)

    def jobs_to_cancel(self, request: gr.Request) -> tuple[str, int | None]:
        """Return everybody's jobs, and the number of the one that runs."""
        try:
            jobs = self._desk.jobs(user_of(request))
        except RemanenceError as error:
            return note(str(error)), None
        return jobs_table(jobs), next((job.id for job in jobs if job.state == "running"), None)

    def cancel(self, number: int | None, reason: str, request: gr.Request) -> tuple[Any, ...]:
        """Stop a job at its next turn."""

        def act(admin: str) -> str:
            job = self._desk.cancel(admin, number or 0, reason)
            sentence = texts.DESK_WAS_OVER if job.ended_at else texts.DESK_DONE_CANCEL
            return sentence.format(number=job.id, name=job.person, state=job.state)

        return _done(act, request)

    # the audit log, the server

    def _build_audit(self, tab: gr.Tab) -> None:
        subject = gr.Textbox("", label=texts.DESK_AUDIT_FILTER, submit_btn=True, max_length=64)
        log = gr.HTML()
        subject.submit(self.audit, subject, log)
        tab.select(self.audit, subject, log)

    def audit(self, subject: str, request: gr.Request) -> str:
        """Return the audit log, or what of it is about somebody."""
        return _shown(lambda admin: audit_table(self._desk.audit(admin, subject.strip())), request)

    def _build_server(self, tab: gr.Tab, timer: gr.Timer) -> None:
        counts = gr.HTML()
        machine = gr.HTML()
        tab.select(self.machine, None, machine)
        tab.select(self.counts, None, counts)
        timer.tick(self.counts, None, counts, show_progress="hidden")

    def counts(self, request: gr.Request) -> str:
        """Return what happened since the start, in numbers."""
        return _shown(lambda admin: counts_table(*self._desk.counts(admin)), request)

    def machine(self, request: gr.Request) -> str:
        """Return what the model and the machine are."""
        return _shown(lambda admin: machine_table(self._desk.machine(admin)), request)


def _ticking() -> gr.Timer:
    return gr.Timer(active=True)


def _resting() -> gr.Timer:
    return gr.Timer(active=False)


def _shown(look: Callable[[str], str], request: gr.Request) -> str:
    """Return what `look` shows to who asks, or the sentence that says why it shows nothing."""
    try:
        return look(user_of(request))
    except RemanenceError as error:
        return note(str(error))


def _done(act: Callable[[str], str], request: gr.Request) -> tuple[Any, ...]:
    """Return what `act` says, and the box for the next reason; where it failed, the reason stays."""
    try:
        return note(act(user_of(request))), ""
    except RemanenceError as error:
        return note(str(error)), gr.skip()
