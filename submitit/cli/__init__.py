"""The ``submitit`` command: jobs seen and steered from a terminal, for people and for scripts.

``main`` is its entry point, ``app`` lists its commands, and each command is a module that is loaded when it is called. They
render the model of ``submitit.views`` and ask the client's own handles to act: nothing here reads a job's files by itself, but
for logs. What it needs beyond the library is the extra ``submitit[cli]``.
"""
