"""The gate of the desktop session: a VNC server with one program on it, behind one HTTP port.

What is the same as in the other session image comes from its package `app`: who asks with which
right, activity, the hub's endpoints, the log. Import order, each module only from those before it:
`errors > rfb, program, load, race > vnc, saving > relay > screen > endpoints > session > __main__`.
"""
