"""`remanence user` and `remanence audit`: accounts, and the log of what was done to them.

Whoever may run these commands on the machine may do all of it; the audit log calls them "command line".
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.console import AsJson, Data, print_about, settings_in_force
from app.errors import BadRequest, translated

if TYPE_CHECKING:
    from app.accounts import People
    from storage.rows import AccountRow, Note

user_commands = typer.Typer(help="Accounts: who may come in, and what they may do.", no_args_is_help=True)
token_commands = typer.Typer(help="Tokens, by which programs come in.", no_args_is_help=True)
user_commands.add_typer(token_commands, name="token")

Name = Annotated[str, typer.Argument(help="Name of the person.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def add_user_commands(commands: typer.Typer) -> None:
    """Add `user` and `audit` to `commands`."""
    commands.add_typer(user_commands, name="user")
    commands.command()(audit)


@contextmanager
def _people(data: Path | None) -> Iterator["People"]:
    # without the model, and so without torch
    from app.accounts import People
    from storage.store import Store

    with translated(), closing(Store.open(settings_in_force(data=data).database)) as store:
        yield People(store)


@user_commands.command()
def add(
    name: Name,
    role: Annotated[Literal["user", "admin"], typer.Option(help="The first is an admin.")] = "user",
    password_stdin: FromStdin = False,
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make an account; the password is asked for. The first one closes the server to who has none."""
    from app.accounts import from_command_line

    with _people(data) as people:
        account = people.add(name, _password(password_stdin), role, from_command_line(reason))
    _print_account(account, as_json)


@user_commands.command("list")
def list_people(as_json: AsJson = False, data: Data = None) -> None:
    """List everybody, with how much is stored of each."""
    with _people(data) as people:
        listed = [_facts(account) | asdict(people.stored(account.name)) for account in people.accounts()]
    if as_json:
        print(json.dumps(listed, ensure_ascii=False))
        return
    for about in listed:
        marks = [
            about["role"],
            *(["disabled"] if about["is_disabled"] else []),
            *([] if about["has_password"] else ["no password"]),
            *(["may read others"] if about["may_read_others"] else []),
            f"turns {_of(about['turns'], about['max_turns'])}",
            f"bytes {_of(about['bytes'], about['max_bytes'])}",
        ]
        print(f"{about['name']}: {', '.join(marks)}")


@user_commands.command()
def disable(name: Name, reason: Reason = "", as_json: AsJson = False, data: Data = None) -> None:
    """Keep a person out, and end every login and token of theirs; what they said stays."""
    _change(data, as_json, lambda people, note: people.set_disabled(name, True, note), reason)


@user_commands.command()
def enable(name: Name, reason: Reason = "", as_json: AsJson = False, data: Data = None) -> None:
    """Let a disabled person in again."""
    _change(data, as_json, lambda people, note: people.set_disabled(name, False, note), reason)


@user_commands.command()
def role(
    name: Name,
    role: Annotated[Literal["user", "admin"], typer.Argument()],
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Give a person a role."""
    _change(data, as_json, lambda people, note: people.set_role(name, role, note), reason)


@user_commands.command()
def password(
    name: Name,
    password_stdin: FromStdin = False,
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Give a person another password, and end every login and token of theirs."""

    def change(people: "People", note: "Note") -> "AccountRow":
        # a mistake in the name is told before anything is asked
        people.account(name)
        return people.set_password(name, _password(password_stdin), note)

    _change(data, as_json, change, reason)


@user_commands.command()
def quota(
    name: Name,
    turns: Annotated[str | None, typer.Option(help="How many turns are stored, or none for any.")] = None,
    num_bytes: Annotated[
        str | None, typer.Option("--bytes", help="Of all that the person said, or none for any.")
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Limit how much a person may store; what is not named stays as it is."""
    from app.accounts import Quota

    if turns is None and num_bytes is None:
        raise BadRequest("Say --turns or --bytes: a number, or none.")

    def change(people: "People", note: "Note") -> "AccountRow":
        account = people.account(name)
        limits = Quota(account.max_turns, account.max_bytes)
        if turns is not None:
            limits = replace(limits, turns=_limit("--turns", turns))
        if num_bytes is not None:
            limits = replace(limits, bytes=_limit("--bytes", num_bytes))
        return people.set_quota(name, limits, note)

    _change(data, as_json, change, reason)


@user_commands.command()
def right(
    name: Name,
    read_others: Annotated[bool, typer.Option(help="To read what others said; for admins only.")],
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Let an admin read what others said, each time with a reason in the audit log, or no longer."""
    _change(data, as_json, lambda people, note: people.set_right(name, read_others, note), reason)


@user_commands.command()
def logout(name: Name, reason: Reason = "", as_json: AsJson = False, data: Data = None) -> None:
    """End every login of a person; tokens stay."""
    from app.accounts import from_command_line

    with _people(data) as people:
        ended = people.log_out_everywhere(name, from_command_line(reason))
    print_about({"name": name, "ended_logins": ended}, as_json)


@token_commands.command("add")
def add_token(
    name: Name,
    scopes: Annotated[str, typer.Option(help="What it is good for, with commas between: chat, memory.")],
    called: Annotated[str, typer.Option("--name", help="What the token is called.")] = "token",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a token, which is shown this once: a program sends `Authorization: Bearer TOKEN`."""
    from app.accounts import from_command_line

    with _people(data) as people:
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        token, row = people.add_token(name, called, wanted, from_command_line(reason))
    print_about({"token": token, "id": row.id, "name": row.name, "scopes": row.scopes}, as_json)


@token_commands.command("list")
def list_tokens(name: Name, as_json: AsJson = False, data: Data = None) -> None:
    """List a person's tokens, those that were revoked too."""
    with _people(data) as people:
        tokens = [_facts(token) for token in people.tokens(name)]
    if as_json:
        print(json.dumps(tokens, ensure_ascii=False))
        return
    for about in tokens:
        ended = f", revoked {about['revoked_at']}" if about["revoked_at"] else ""
        print(
            f"{about['id']}: {about['name']} ({about['scopes']}), used {about['last_used_at'] or '-'}{ended}"
        )


@token_commands.command("revoke")
def revoke_token(
    name: Name,
    number: Annotated[int, typer.Argument(help="Number of the token, as `list` shows it.")],
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a token worthless."""
    from app.accounts import from_command_line

    with _people(data) as people:
        token = people.revoke_token(name, number, from_command_line(reason))
    print_about(_facts(token), as_json)


def audit(
    user: Annotated[str | None, typer.Option(help="Only what was done to this person.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows, the newest.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show who did what to whose account or memory, when and why; the newest first."""
    with _people(data) as people:
        entries = [_facts(entry) for entry in people.audit(user, limit)]
    if as_json:
        print(json.dumps(entries, ensure_ascii=False))
        return
    for about in entries:
        why = f" ({about['reason']})" if about["reason"] else ""
        print(f"{about['at']} {about['actor']}: {about['action']}: {about['subject']}{why}")


def _change(
    data: Path | None,
    as_json: bool,
    change: "Callable[[People, Note], AccountRow]",
    reason: str,
) -> None:
    from app.accounts import from_command_line

    with _people(data) as people:
        account = change(people, from_command_line(reason))
    _print_account(account, as_json)


def _print_account(account: "AccountRow", as_json: bool) -> None:
    print_about(_facts(account), as_json)


def _facts(row: Any) -> dict[str, Any]:
    """Return what a row says, by name, with moments as text."""
    facts = {}
    for name, value in asdict(row).items():
        is_moment = name == "at" or name.endswith("_at")
        facts[name] = value.isoformat(timespec="seconds") if is_moment and value else value
    return facts


def _of(used: int, limit: int | None) -> str:
    return f"{used:,}" if limit is None else f"{used:,} of {limit:,}"


def _limit(option: str, text: str) -> int | None:
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(f"{option} is a number or none, got {text!r}.")
    return int(text)


def _password(from_stdin: bool) -> str:
    """Return the password that is typed, twice and unseen, or the first line of standard input."""
    if from_stdin:
        try:
            return sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError as exc:
            raise BadRequest("The password is not text in UTF-8.") from exc
    if not sys.stdin.isatty():
        raise BadRequest("There is no terminal to ask for the password: use --password-stdin.")
    first = getpass("Password: ")
    if getpass("Again: ") != first:
        raise BadRequest("The two passwords are not the same.")
    return first
