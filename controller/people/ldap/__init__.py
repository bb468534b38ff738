"""The LDAP directory."""
