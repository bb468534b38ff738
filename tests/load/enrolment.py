"""People who are in the stack's directory for as long as it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from docker import DockerClient
from e2e.stack import part
from security.attacker import change_directory

from tests.support.inside import inside

_SEARCH = (
    *("ldapsearch", "-Q", "-LLL", "-Y", "EXTERNAL", "-H", "ldapi://%2Ftmp%2Fslapd%2Fldapi"),
    *("-b", "ou=people,dc=example,dc=org", "uid"),
)
_PERSON = """\
dn: uid={uid},ou=people,dc=example,dc=org
changetype: add
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
displayName: {uid}
userPassword: {uid}
"""
_MEMBERS = """\
dn: cn=slicer-users,ou=groups,dc=example,dc=org
changetype: modify
add: member
{members}
"""


def enrol(engine: DockerClient, names: Sequence[str]) -> None:
    """Let people of these names be in the directory, with their name as password."""
    said = inside(part(engine, "ldap"), *_SEARCH)
    there = set(re.findall(r"^uid: (\S+)$", said, re.MULTILINE))
    if missing := [one for one in names if one not in there]:
        entries = [_PERSON.format(uid=one) for one in missing]
        members = [f"member: uid={one},ou=people,dc=example,dc=org" for one in missing]
        entries.append(_MEMBERS.format(members="\n".join(members)))
        change_directory(engine, "\n".join(entries))
