"""What the admin's desk lists, as HTML; of people it shows names and figures."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from markupsafe import Markup

from app.counters import Counted
from app.desk import MAX_LISTED, AuditRow, Person, TurnRow
from app.doctor import Finding
from app.inspection import Overview
from app.jobs import Job
from ui import texts
from ui.tables import beside, meter, moment, note, progress, table


def introduction(name: str) -> str:
    """Return who sits at the desk, and the way back."""
    return Markup('<p>{} · <a href="/">{}</a></p><p>{}</p>').format(
        texts.DESK_SIGNED_IN.format(name=name), texts.DESK_BACK, texts.DESK_INTRO
    )


def people_table(people: Sequence[Person]) -> str:
    """Return the people, a row each."""
    if not people:
        return note(texts.DESK_NOBODY)
    rows = []
    for person in people:
        standing, account = person.standing, person.standing.account
        disabled = f", {texts.DESK_DISABLED}" if account.is_disabled else ""
        rows.append(
            (
                account.name,
                account.role + disabled,
                moment(standing.last_active, texts.DESK_NEVER),
                f"{standing.turns:,}",
                f"{standing.bytes:,}",
                f"{standing.revision:,}",
                _fullness(person),
            )
        )
    listed = table(texts.DESK_PEOPLE, texts.DESK_PEOPLE_HEADINGS, rows)
    more = note(texts.DESK_MORE.format(number=MAX_LISTED)) if len(people) == MAX_LISTED else ""
    return listed + more


def _fullness(person: Person) -> str | Markup:
    if not person.standing.revision:
        return texts.DESK_NO_MEMORY
    if person.is_damaged:
        return texts.DESK_DAMAGED
    if person.fullness is None:
        return texts.DESK_NOT_MEASURED
    return meter(person.fullness, texts.DESK_FULL_OF.format(name=person.standing.account.name))


def person_tables(person: Person, overview: Overview | None) -> str:
    """Return the figures of somebody and of the layers of their memory."""
    standing, account = person.standing, person.standing.account
    figures = [
        (texts.DESK_SINCE, moment(account.created_at, "")),
        (texts.DESK_PASSWORD, texts.DESK_YES if account.has_password else texts.DESK_NO),
        (texts.DESK_TURNS, _of_quota(standing.turns, account.max_turns)),
        (texts.DESK_BYTES, _of_quota(standing.bytes, account.max_bytes)),
        (texts.DESK_FULLNESS, _fullness(person)),
    ]
    if overview is not None:
        figures += [
            (texts.DESK_REVISION, f"{overview.revision:,}"),
            (texts.DESK_READ_TURNS, f"{overview.turns:,}"),
            (texts.DESK_READ_TOKENS, f"{overview.tokens:,}"),
            (texts.DESK_READ_SESSIONS, f"{overview.sessions:,}"),
            (texts.DESK_UNREAD, f"{overview.unread:,}"),
            (texts.DESK_SAVED, moment(overview.updated_at, texts.DESK_NEVER)),
            (texts.DESK_STATE_BYTES, f"{overview.bytes:,}"),
        ]
    layers = [
        (
            texts.DESK_LAYER.format(number=layer),
            f"{gauge.num_directions} / {gauge.state_size}",
            f"{gauge.effective_rank:.1f}",
            meter(gauge.fullness, texts.DESK_FULL_OF.format(name=texts.DESK_LAYER.format(number=layer))),
        )
        for layer, gauge in enumerate(overview.gauges if overview else ())
    ]
    told = table(account.name, texts.DESK_FIGURE_HEADINGS, figures)
    return beside(told, table(texts.DESK_LAYERS, texts.DESK_LAYER_HEADINGS, layers)) if layers else told


def _of_quota(number: int, quota: int | None) -> str:
    return f"{number:,}" if quota is None else texts.DESK_OF_QUOTA.format(number=number, quota=quota)


def messages_table(turns: Sequence[TurnRow]) -> str:
    """Return what somebody said."""
    rows = [(moment(t.created_at, ""), str(t.session_id), t.user_text, t.reply_text) for t in turns]
    return table(texts.DESK_MESSAGES, texts.DESK_MESSAGES_HEADINGS, rows)


def jobs_table(jobs: Sequence[Job]) -> str:
    """Return the jobs, with how far each is."""
    if not jobs:
        return note(texts.DESK_NO_JOBS)
    rows = [
        (
            str(job.id),
            job.person,
            texts.DESK_JOB_KINDS[job.kind],
            job.state,
            progress(job.share, texts.DESK_TURNS_OF.format(done=job.done, total=job.total)),
            moment(job.asked_at, ""),
            job.sentence,
        )
        for job in jobs
    ]
    return table(texts.DESK_JOBS, texts.DESK_JOB_HEADINGS, rows)


def audit_table(entries: Sequence[AuditRow]) -> str:
    """Return the audit log."""
    if not entries:
        return note(texts.DESK_NO_AUDIT)
    rows = [(moment(e.at, ""), e.actor, e.action, e.subject, e.reason) for e in entries]
    return table(texts.DESK_AUDIT, texts.DESK_AUDIT_HEADINGS, rows)


def counts_table(since: datetime, counts: Mapping[Counted, int]) -> str:
    """Return what happened since the start, in numbers."""
    rows = [(texts.DESK_COUNT_NAMES[what], f"{number:,}") for what, number in counts.items()]
    return table(texts.DESK_COUNTS.format(since=since), texts.DESK_COUNT_HEADINGS, rows)


def machine_table(findings: Sequence[Finding]) -> str:
    """Return what was found about the model and the machine."""
    rows = [(f.subject, f.found, f.problem or "") for f in findings]
    return table(texts.DESK_MACHINE, texts.DESK_MACHINE_HEADINGS, rows)
