"""Who may review answers and decide about models; a part of the store (`Store.accounts`). Farmers need no account.

There is no default password: the first administrator comes in by a one-time link that the server prints, everybody else by a
link from an administrator. Rights are looked up in the database at each action, so a role that is lost is lost at once.
"""

from __future__ import annotations

from sqlalchemy import delete, exc, select, text
from sqlalchemy.orm import Session

from agri_llm import account_links, account_names, passwords, sign_ins
from agri_llm.account_tables import AccountRow, LinkKind, LinkRow, account_from
from agri_llm.database import Transaction
from agri_llm.errors import BadInput, NotAllowed
from agri_llm.judgements import Account, Role
from agri_llm.records import new_id, now

_ROLES_CHANGE = 7_201_113_844  # any fixed number: the PostgreSQL lock for which those who change roles compete


class Accounts:
    """The accounts of one installation; `by` is always the id of the account that acts."""

    def __init__(self, writing: Transaction, reading: Transaction) -> None:
        """Work in the transactions of a store."""
        self._writing, self._reading = writing, reading

    # Links

    def first_link(self) -> str | None:
        """Return a one-time code for the first administrator, in the place of any before it; None where there is one."""
        with self._writing() as session:
            _one_at_a_time(session)
            if _administrators(session):
                return None
            session.execute(delete(LinkRow).where(LinkRow.kind == "first"))
            return account_links.add(session, "first", "administrator")

    def invite(self, by: str, role: Role, name: str = "") -> str:
        """Return a one-time code with which somebody makes an account of this role within a week. Raises NotAllowed."""
        with self._writing() as session:
            require(session, by, "administrator")
            return account_links.add(session, "invitation", role, name=account_names.shown(name) if name.strip() else "", by=by)

    def reset_link(self, by: str, account_id: str) -> str:
        """Return a one-time code with which somebody sets a new password; an earlier one stops working. Raises NotAllowed."""
        with self._writing() as session:
            require(session, by, "administrator")
            row = _known(session, account_id)
            session.execute(delete(LinkRow).where(LinkRow.account_id == account_id))
            return account_links.add(session, "reset", row.role, name=row.name, by=by, account_id=account_id)

    def invitation(self, code: str) -> tuple[LinkKind, Role, str] | None:
        """Return what a code is for, the role it gives and the name it was made for; None where it no longer works."""
        with self._reading() as session:
            row = account_links.find(session, code)
            return None if row is None else (row.kind, row.role, row.name)

    def accept(self, code: str, name: str, password: str) -> Account:
        """Make the account that a code promises, or set the new password; the code works once. `name` counts for new ones.

        Raises BadInput for a code that was used or is too old, a name that is taken and a password that is too short.
        """
        hashed = passwords.hashed(password)
        with self._writing() as session:
            _one_at_a_time(session)
            link = _used(session, code)
            row = _with_password(session, link, hashed) if link.kind == "reset" else _new_account(session, link, name, hashed)
            return account_from(row)

    # Signing in and out

    def sign_in(self, name: str, password: str) -> tuple[Account, str]:
        """Return the account and the token of a new sign-in. Raises NotAllowed, the same for a wrong name and password.

        After five wrong tries for a name each further one has to wait twice as long, a quarter of an hour at most.
        """
        key = account_names.key(name)
        with self._writing() as session:
            wait = sign_ins.count_try(session, key, now())
            kept = session.scalar(select(AccountRow.password).where(AccountRow.name_key == key))
        if wait:
            raise NotAllowed(
                "There were too many wrong tries for this name", "somebody may be guessing", f"wait {wait} seconds"
            )
        if not passwords.matches(kept, password):  # outside a transaction: it takes its time
            raise NotAllowed("Name and password do not fit", "nobody is signed in", "check both, or ask for a new link")
        renewed = passwords.hashed(password) if kept and passwords.outdated(kept) else None
        with self._writing() as session:
            row = session.scalar(select(AccountRow).where(AccountRow.name_key == key).with_for_update())
            if row is None or not row.active or row.password != kept:
                raise NotAllowed("This account was closed or changed", "nobody is signed in", "ask an administrator")
            row.password = renewed or row.password
            sign_ins.forget_tries(session, key)
            return account_from(row), sign_ins.begin(session, row.id)

    def signed_in(self, token: str) -> Account | None:
        """Return the account that a token belongs to, as it is at this moment, or None."""
        with self._reading() as session:
            row = sign_ins.account_of(session, token)
            return None if row is None else account_from(row)

    def sign_out(self, token: str) -> None:
        """End the sign-in of one browser."""
        with self._writing() as session:
            sign_ins.end(session, token)

    def hand_over(self, token: str, browser: str) -> str:
        """Return a ticket for the browser whose visitor key is `browser`: good for a minute, once."""
        with self._writing() as session:
            return sign_ins.ticket_for(session, token, browser)

    def take_over(self, ticket: str, browser: str) -> str | None:
        """Return the token for the browser's cookie, which replaces the one before it; None for a ticket that is no good."""
        with self._writing() as session:
            return sign_ins.redeem(session, ticket, browser)

    def change_password(self, by: str, old: str, new: str) -> None:
        """Set another password and sign out everywhere; links for a new one stop working.

        Raises NotAllowed where `old` is wrong, BadInput for a short one.
        """
        hashed = passwords.hashed(new)
        with self._writing() as session:
            row = require(session, by)
            name_key, kept = row.name_key, row.password
            wait = sign_ins.count_try(session, name_key, now())
        if wait or not passwords.matches(kept, old):
            raise NotAllowed("The present password is not this one", "nothing was changed", f"wait {wait + 1} s and try again")
        with self._writing() as session:
            row = require(session, by)
            row.password, row.updated_at = hashed, now()
            sign_ins.forget_tries(session, name_key)
            sign_ins.end_all(session, row.id)
            session.execute(delete(LinkRow).where(LinkRow.account_id == row.id))  # one that lies about would undo the change

    # What administrators do

    def everyone(self, by: str) -> list[Account]:
        """Return all accounts, the active ones first, by name. Raises NotAllowed."""
        with self._reading() as session:
            require(session, by, "administrator")
            return _all(session)

    def listed(self) -> list[Account]:
        """Return all accounts for the command line, whose user holds the database anyway."""
        with self._reading() as session:
            return _all(session)

    def set_role(self, by: str, account_id: str, role: Role) -> None:
        """Give an account another role; one administrator always stays. Raises NotAllowed, BadInput."""
        with self._writing() as session:
            row = _to_change(session, by, account_id, stays=role == "administrator")
            row.role, row.updated_at = role, now()
            if role != "administrator":
                session.execute(delete(LinkRow).where(LinkRow.invited_by == row.id))

    def deactivate(self, by: str, account_id: str) -> None:
        """Close an account and sign it out everywhere; links it made stop working, what it said stays. Raises NotAllowed."""
        with self._writing() as session:
            row = _to_change(session, by, account_id, stays=False)
            row.active, row.updated_at = False, now()
            sign_ins.end_all(session, row.id)
            session.execute(delete(LinkRow).where((LinkRow.invited_by == row.id) | (LinkRow.account_id == row.id)))

    def activate(self, by: str, account_id: str) -> None:
        """Open a closed account again, with its password. Raises NotAllowed, BadInput."""
        with self._writing() as session:
            row = _to_change(session, by, account_id, stays=True)
            row.active, row.updated_at = True, now()


def require(session: Session, account_id: str, *roles: Role) -> AccountRow:
    """Return the active account with one of these roles, or any where none is named; nobody changes it before we are done.

    An administrator may do everything. Raises NotAllowed.
    """
    row = session.scalar(select(AccountRow).where(AccountRow.id == account_id).with_for_update(read=True))
    if row is None or not row.active:
        raise NotAllowed("You are not signed in", "this is for people with an account", "sign in again")
    if roles and row.role != "administrator" and row.role not in roles:
        raise NotAllowed(f"Your account is that of an {row.role}", f"this is for {', '.join(roles)}", "ask an administrator")
    return row


def _one_at_a_time(session: Session) -> None:
    """Let nobody else change roles until we are done; SQLite has one writer at a time anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ROLES_CHANGE})


def _administrators(session: Session) -> list[str]:
    query = select(AccountRow.id).where(AccountRow.role == "administrator", AccountRow.active.is_(True))
    return list(session.scalars(query))


def _to_change(session: Session, by: str, account_id: str, stays: bool) -> AccountRow:
    """Return an account that `by` may change; `stays` says that it can be an administrator afterwards."""
    _one_at_a_time(session)
    require(session, by, "administrator")
    row = _known(session, account_id)
    if not stays and _administrators(session) == [account_id]:
        raise BadInput(f"{row.name} is the last administrator", "nobody could let people in", "make another one first")
    return row


def _known(session: Session, account_id: str) -> AccountRow:
    row = session.get(AccountRow, account_id)
    if row is None:
        raise BadInput("There is no such account", "nothing was changed", "look at the list of accounts again")
    return row


def _all(session: Session) -> list[Account]:
    query = select(AccountRow).order_by(AccountRow.active.desc(), AccountRow.name_key)
    return [account_from(row) for row in session.scalars(query)]


def _used(session: Session, code: str) -> LinkRow:
    """Take a link away and return it: of two people who use it at once only one finds it."""
    link = account_links.find(session, code, hold=True)
    if link is None or (link.kind == "first" and _administrators(session)):
        why = "it was used, is older than a week, or another one replaced it"
        raise BadInput("This link does not work", why, "ask for a new one")
    session.delete(link)
    session.flush()
    return link


def _new_account(session: Session, link: LinkRow, name: str, hashed: str) -> AccountRow:
    shown, moment = account_names.shown(name), now()
    taken = BadInput(f"The name {shown} is taken", "two people would be mistaken for each other", "choose another")
    if session.scalar(select(AccountRow.id).where(AccountRow.name_key == account_names.key(shown))) is not None:
        raise taken
    row = AccountRow(id=new_id(), name=shown, name_key=account_names.key(shown), role=link.role, password=hashed, active=True)
    row.created_at = row.updated_at = moment
    session.add(row)
    try:
        session.flush()
    except exc.IntegrityError:
        raise taken from None
    return row


def _with_password(session: Session, link: LinkRow, hashed: str) -> AccountRow:
    row = _known(session, link.account_id or "")
    row.password, row.updated_at = hashed, now()
    sign_ins.end_all(session, row.id)
    sign_ins.forget_tries(session, row.name_key)
    return row
