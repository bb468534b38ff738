"""People and their groups from LDAP.

Rules (threats.md rows 22 to 26):

- A user name passes an allow-list before anything is sent, and is also escaped for a filter or a
  DN. Only the directory's own uid attribute says who somebody is.
- A password that is empty, blank or contains a NUL is refused before any bind: servers treat a
  bind without a password as an anonymous one and answer "success".
- Referrals are never followed. TLS uses the standard library's ``ssl``: certificate and host name
  are always checked, and StartTLS comes before any bind.
- Each question is one connection in one thread of a small pool. It ends within a fixed time,
  whatever the server does, and a thread that still waits is freed by shutting its socket.
- No exception of ldap3, ssl or socket leaves this module. What is not known is denied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import anyio
from ldap3 import (
    BASE,
    LEVEL,
    NO_ATTRIBUTES,
    SUBTREE,
)

from controller.core.errors import DirectoryUnavailable, LoginRefused
from controller.core.model import Person, UserId, canonical_uid
from controller.core.sentence import Phrase
from controller.people.directory import (
    SUGGEST_ENTRIES,
    check_password,
    clean_username,
    refused,
    suggest_prefix,
)
from controller.people.ldap.conversation import ANSWER_SECONDS, Conversation, Scope, fault_of
from controller.people.ldap.entries import (
    PLACEHOLDER,
    Entry,
    display_name,
    find_filter,
    fold,
    group_filter,
    login_filter,
    own_uid,
    person_dn,
    person_of,
    split_dn,
    suggest_filter,
)
from controller.settings.schema import Ldap

_Answer = TypeVar("_Answer")


class LdapDirectory:
    """The people of an LDAP server, by DN template or by search; see ``Directory``.

    ``answer_seconds``: longest time for one question. Threads: at most
    ``settings.max_connections``. The pool is concurrent.futures' and not anyio's: anyio no longer
    counts a thread when nobody waits for it, but a thread that hangs in a slow name service still
    exists and must count.
    """

    def __init__(self, settings: Ldap, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """No request is made yet."""
        self._settings = settings
        self._answer_seconds = answer_seconds
        self._threads = ThreadPoolExecutor(settings.max_connections, thread_name_prefix="ldap")

    @property
    def can_find(self) -> bool:
        """Tell whether it works: with a DN template, looking up needs a service account."""
        return bool(self._settings.search_base or self._settings.bind_dn)

    async def authenticate(self, username: str, password: str) -> Person:
        """Return the person. Raises LoginRefused, DirectoryUnavailable; see ``Directory``."""
        name = clean_username(username)
        check_password(password)
        login = (
            self._login_by_template if self._settings.user_dn_template else self._login_by_search
        )
        try:
            return await self._ask(lambda talk: login(talk, name, password))
        except DirectoryUnavailable as cause:
            public = DirectoryUnavailable(
                "The directory of user accounts does not answer properly at the moment. People who "
                "are logged in can go on working. Try again in a minute; if it lasts, tell the "
                "administrator."
            )
            public.add_note(str(cause))
            raise public from cause

    async def find(self, uid: UserId) -> Person | None:
        """Return the person's present entry; see ``Directory``.

        Asks for the canonical uid, so the uid attribute must compare without regard to case, as
        ``uid`` and ``sAMAccountName`` do. None too if two entries have it.
        """
        self._check_can_find()
        return await self._ask(lambda talk: self._find(talk, uid))

    async def suggest(self, text: str, limit: int) -> list[Person]:
        """Return people whose names begin like this; see ``Directory``."""
        self._check_can_find()
        prefix = suggest_prefix(text)
        if not prefix or limit < 1:
            return []
        return await self._ask(lambda talk: self._suggest(talk, prefix, limit))

    async def ping(self) -> None:
        """Ask a harmless question. Raises DirectoryUnavailable naming the cause and the fix."""
        await self._ask(self._ping)

    def _check_can_find(self) -> None:
        if not self.can_find:
            raise DirectoryUnavailable(
                "With ldap.user_dn_template people can be looked up only through a service "
                "account. Set ldap.bind_dn and ldap.bind_password."
            )

    async def _ask(self, question: Callable[[Conversation], _Answer]) -> _Answer:
        talk = Conversation(self._settings)

        def converse() -> _Answer:
            with talk.open():
                return question(talk)

        try:
            with anyio.fail_after(self._answer_seconds):
                return await asyncio.wrap_future(self._threads.submit(converse))
        except TimeoutError as error:
            raise fault_of(error, self._settings.url) from error
        finally:
            talk.abort()

    def _login_by_template(self, talk: Conversation, username: str, password: str) -> Person:
        dn = person_dn(self._settings.user_dn_template, username)
        if not talk.bind(dn, password):
            raise refused("no such account, or the password is wrong")
        talk.bind_service()  # without one, people read their own entries
        entry = talk.read(dn, self._person_attributes)
        if entry is None:
            reader = self._settings.bind_dn or Phrase("the person that it belongs to")
            raise DirectoryUnavailable(
                "The entry {entry} cannot be read by {reader}. Allow it in the directory.",
                entry=repr(dn),
                reader=reader,
            )
        return person_of(entry, self._groups(talk, entry), self._settings)

    def _login_by_search(self, talk: Conversation, username: str, password: str) -> Person:
        talk.bind_service()
        query = login_filter(self._settings.search_filter, username)
        entry = self._only_one(talk, query)
        if entry is None:
            raise refused("no entry, or more than one, has that name")
        groups = self._groups(talk, entry)
        if not talk.bind(entry.dn, password):
            raise refused("the password is wrong, or the directory has locked the account")
        return person_of(entry, groups, self._settings)

    def _find(self, talk: Conversation, uid: UserId) -> Person | None:
        talk.bind_service()
        return self._look_up(talk, uid)

    def _suggest(self, talk: Conversation, prefix: str, limit: int) -> list[Person]:
        talk.bind_service()
        settings = self._settings
        query = suggest_filter(
            self._conditions, settings.uid_attribute, settings.name_attribute, prefix
        )
        base, scope = self._people()
        named: set[tuple[str, UserId]] = set()
        for entry in talk.search(
            base, query, scope, self._person_attributes, limit=SUGGEST_ENTRIES
        ):
            with suppress(LoginRefused):
                uid = own_uid(entry, settings.uid_attribute)
                name = display_name(entry, settings.name_attribute, uid)
                named.add((fold(name), canonical_uid(uid)))
        people: list[Person] = []
        for _, uid in sorted(named):
            # One by one, by the rules of ``find``: an ambiguous name is not suggested.
            person = self._look_up(talk, uid)
            if person is not None:
                people.append(person)
            if len(people) == limit:
                break
        return people

    def _look_up(self, talk: Conversation, uid: UserId) -> Person | None:
        settings = self._settings
        query = find_filter(self._conditions, settings.uid_attribute, uid)
        entry = self._only_one(talk, query)
        if entry is None:
            return None
        try:
            person = person_of(entry, self._groups(talk, entry), settings)
        except LoginRefused:
            return None
        return person if person.uid == uid else None

    def _ping(self, talk: Conversation) -> None:
        base, _ = self._people()
        talk.bind_service()
        if not self.can_find:
            # Whether a stranger may read anything is the server's business: that it answers is
            # all there is to learn.
            talk.search("", "(objectClass=*)", BASE, [NO_ATTRIBUTES], limit=1)
            return
        for one in filter(None, (base, self._settings.group_base)):
            talk.search(one, "(objectClass=*)", BASE, [NO_ATTRIBUTES], limit=1)
        self._find(talk, canonical_uid("slicerhub-check"))

    def _groups(self, talk: Conversation, entry: Entry) -> list[Entry]:
        settings = self._settings
        if not settings.group_base:
            return []
        uid = own_uid(entry, settings.uid_attribute)
        return talk.search(settings.group_base, group_filter(entry.dn, uid), SUBTREE, ["cn"])

    def _only_one(self, talk: Conversation, query: str) -> Entry | None:
        base, scope = self._people()
        found = talk.search(base, query, scope, self._person_attributes, limit=2)
        return found[0] if len(found) == 1 else None

    def _people(self) -> tuple[str, Scope]:
        """Return the base of the search for people; with a DN template, the DN's parent."""
        settings = self._settings
        if settings.search_base:
            return settings.search_base, SUBTREE
        try:
            split_dn(person_dn(settings.user_dn_template, "nobody"))
        except ValueError:
            raise DirectoryUnavailable(
                "ldap.user_dn_template {template} is not a DN. Write it like "
                "uid={{username}},ou=people,dc=example,dc=org.",
                template=repr(settings.user_dn_template),
            ) from None
        return settings.user_dn_template.partition(PLACEHOLDER)[2].partition(",")[2], LEVEL

    @property
    def _conditions(self) -> str:
        """Return the filter that every person's entry must match, without the uid."""
        return self._settings.search_filter if self._settings.search_base else "(objectClass=*)"

    @property
    def _person_attributes(self) -> list[str]:
        return [
            self._settings.uid_attribute,
            self._settings.name_attribute,
            "cn",
            "memberOf",
            "pwdAccountLockedTime",
            "nsAccountLock",
            "userAccountControl",
        ]
