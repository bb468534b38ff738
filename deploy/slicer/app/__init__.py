"""The program inside a session: 3D Slicer's core behind a web page, for one user and their guests.

Each room says in one sentence what it is for. A room imports only from those after it; the two of
one place do not know each other: `__main__ > program > front, page > modules > stream > people >
files > core`. Inside a room imports go one way, too.
"""
