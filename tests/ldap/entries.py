"""The configuration and the entries of the tests' directory, as LDIF."""

from __future__ import annotations

import base64
from pathlib import Path

_MODULES = "/usr/lib/ldap"
_SCHEMAS = "/etc/ldap/schema"
_SUFFIX = "dc=example,dc=org"
ROOT_DN = f"cn=root,{_SUFFIX}"
PASSWORD = "root-of-the-test"

_CONFIG = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcTLSCACertificateFile: {folder}/ca.pem
olcTLSCertificateFile: {folder}/server.pem
olcTLSCertificateKeyFile: {folder}/server.key

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: {modules}
olcModuleLoad: back_mdb
olcModuleLoad: memberof
olcModuleLoad: ppolicy

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file://{schemas}/core.ldif
include: file://{schemas}/cosine.ldif
include: file://{schemas}/nis.ldif
include: file://{schemas}/inetorgperson.ldif

dn: cn=others,cn=schema,cn=config
objectClass: olcSchemaConfig
cn: others
olcAttributeTypes: ( 1.2.840.113556.1.4.8 NAME 'userAccountControl'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
olcAttributeTypes: ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
olcObjectClasses: ( 1.3.6.1.4.1.4203.666.11.1 NAME 'otherServersAccount' AUXILIARY
  MAY ( userAccountControl $ nsAccountLock ) )

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: dc=example,dc=org
olcDbDirectory: {folder}/data
olcRootDN: cn=root,dc=example,dc=org
olcRootPW: {password}
olcAccess: to attrs=userPassword by anonymous auth by * none
olcAccess: to dn.exact="uid=hidden,ou=people,dc=example,dc=org" by * auth
olcAccess: to dn.subtree="ou=groups,dc=example,dc=org" by users read
  by anonymous {anonymous}
olcAccess: to * by self read by dn.exact="cn=reader,dc=example,dc=org" read
  by anonymous {anonymous}

dn: olcOverlay=memberof,olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcMemberOf
olcOverlay: memberof

dn: olcOverlay=ppolicy,olcDatabase={{1}}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcPPolicyConfig
olcOverlay: ppolicy
"""


def _entry(dn: str, classes: str, **attributes: str | list[str]) -> str:
    lines = [f"dn: {dn},{_SUFFIX}" if dn else f"dn: {_SUFFIX}"]
    lines += [f"objectClass: {one}" for one in classes.split()]
    for name, values in attributes.items():
        for one in [values] if isinstance(values, str) else values:
            lines.append(f"{name}:: {base64.b64encode(one.encode()).decode()}")
    return "\n".join(lines) + "\n\n"


def _person(name: str, /, *, rdn: str = "", classes: str = "", **more: str | list[str]) -> str:
    """Somebody whose uid and password are the name, unless ``more`` says otherwise."""
    attributes = {"uid": name, "cn": name, "sn": name, "userPassword": name} | more
    return _entry(f"{rdn or f'uid={name}'},ou=people", f"inetOrgPerson {classes}", **attributes)


def people(rogue_port: int) -> str:
    """Return all entries; one refers to a port of this machine."""

    def dn(uid: str) -> str:
        return f"uid={uid},ou=people,dc=example,dc=org"

    return "".join(
        (
            _entry("", "dcObject organization", dc="example", o="Example"),
            _entry("cn=reader", "organizationalRole simpleSecurityObject", userPassword="reader"),
            _entry(
                "cn=strict",
                "device pwdPolicy",
                pwdAttribute="userPassword",
                pwdLockout="TRUE",
                pwdMaxFailure="2",
            ),
            _entry("ou=people", "organizationalUnit"),
            _entry("ou=groups", "organizationalUnit"),
            _entry("ou=elsewhere", "organizationalUnit"),
            _person("alice", displayName="Alice Ångström", mail="alice.a@example.org"),
            _person("bob"),
            _person("carol", displayName="Carol\u202e\u0007  of the\u2028North"),
            _person("dora"),
            _person("erin", memberOf="cn=staff,ou=groups,dc=example,dc=org"),
            _person("mallory", memberOf="cn=slicer-admins,ou=elsewhere,dc=example,dc=org"),
            _person("Mixed.Case"),
            _person("müller"),
            _person("straße"),
            _person("nickname", uid=["nickname", "aardvark"]),
            _person("nameless", rdn="cn=nameless", uid=["one", "two"]),
            _person("odd", uid="o d d", rdn="cn=odd"),
            _person("barred", pwdAccountLockedTime="000001010000Z"),
            _person("throttled", pwdPolicySubentry="cn=strict,dc=example,dc=org"),
            _person("inactive", classes="otherServersAccount", nsAccountLock="TRUE"),
            _person("active", classes="otherServersAccount", nsAccountLock="false"),
            _person("windows", classes="otherServersAccount", userAccountControl="512"),
            _person("windowsoff", classes="otherServersAccount", userAccountControl="514"),
            _person("hidden"),
            _person("twin"),
            _person("twin", rdn="cn=second twin", cn="second twin"),
            *(
                _person(f"crowd{number:02}", displayName=f"Crowd Member {number:02}")
                for number in range(60)
            ),
            _entry(
                "cn=slicer-users,ou=groups",
                "groupOfNames",
                member=[dn(one) for one in ("alice", "carol")],
            ),
            _entry("cn=Slicer-Admins,ou=groups", "groupOfUniqueNames", uniqueMember=dn("carol")),
            _entry("cn=posix,ou=groups", "posixGroup", gidNumber="5000", memberUid="dora"),
            _entry(
                "ou=away",
                "referral extensibleObject",
                ref=f"ldap://127.0.0.1:{rogue_port}/dc=example,dc=org",
            ),
        )
    )


def configuration(folder: Path, *, anonymous: str) -> str:
    """Return slapd's own configuration. ``anonymous``: what strangers may, such as ``read``."""
    return _CONFIG.format(
        folder=folder,
        modules=_MODULES,
        schemas=_SCHEMAS,
        password=PASSWORD,
        anonymous=anonymous,
    )
