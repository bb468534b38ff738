"""The program inside a session: 3D Slicer's core behind a web page, for one user and their guests.

Import order, each module only from those before it: `errors, log > settings, roles, files, lean >
folders, bundles > autosaves, messages, activity > picture, front, scene, gate > endpoints > panel >
program > __main__`.
"""
