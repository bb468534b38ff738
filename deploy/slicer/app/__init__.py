"""The program inside a session: 3D Slicer's core behind a web page, for one user and their guests.

Each folder says in one sentence what it is for. A folder imports only from those after it; two
that are separated by a comma do not import each other: `__main__ > program > front, page > modules
> stream > people > files > core`. Inside a folder imports go one way, too.
"""
