"""
What runs pytest: one session in a child process per slot, fed with units and telling events.

It runs under the *user's* interpreter, which need not have dt_action: standard library and the user's own pytest
(7 or newer) only, Python 3.9 or newer, and relative imports, since `bootstrap` loads this folder under a name of its
own.
"""
