"""The store on a cluster: shared by several controllers, in objects of the hub's namespace.

Records are ConfigMaps. They hold names, ids and hashes: nothing in them lets a reader in without
the key ring, so no record is a Secret.
The records are cut so that changes rarely conflict:

- a log-in, and a ticket of the queue, is an object of its own: made once, deleted once;
- the grants of a session are one object: a link's uses, and the people whom it shuts out, change
  together or not at all;
- a person's notices and choices are one object;
- failed log-ins are spread over sixteen objects, so that nobody can fill the cluster with names;
- the times of starts are one object, the decisions of administrators are one, the roster of gates
  is one, and the memos and the mark of each controller are one each that nobody else writes.

Each change reads the object and writes it back with its resourceVersion. If somebody else was
first, the cluster refuses (409), and the change reads and decides again. Reads come from a mirror
while ``changes`` is followed, otherwise from the cluster. The cluster numbers all changes by
resourceVersions: a reader of log-ins gets the number up to which the mirror is current, and can
distinguish a log-in that is not known yet from one that has ended. Grants are not owned by the
session's Pod, because an ownerReference cannot point into another namespace; ``remove_grants``
sweeps them.
"""
