"""The store on a cluster: what several controllers must agree on, in objects of their namespace.

Records are ConfigMaps of the hub's own namespace. They hold names, ids and hashes: nothing in them
lets a reader in without the key ring, so the controller needs no right to read Secrets but that
one, which has a fixed name. How they are cut decides who can get in whose way:

- a log-in, and a ticket of the queue, is an object of its own: made once, deleted once;
- what a session's owner has granted is one object a session: a link's uses, and who is shut out
  of it, change together or not at all;
- what a person is told and has chosen is one object a person;
- failed log-ins are spread over sixteen objects, so that nobody can fill the cluster with names;
- the times of starts are one object, what administrators have decided is one, and what each
  controller knows of sessions is one object a controller: nobody else writes it.

Each change reads the object and writes it back with its resourceVersion; who comes second is
refused by the cluster (409), reads again and decides again. Questions are answered from a mirror
as long as ``changes`` is followed, and by the cluster else. The cluster counts all changes in one
row, the resourceVersions: whoever reads log-ins is told up to which of them the mirror has heard,
and can tell a log-in that it has not heard of from one that has ended. Grants are not owned by the
session's Pod: that is in another namespace, where an ownerReference cannot point;
``remove_grants`` sweeps.
"""
