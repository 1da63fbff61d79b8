"""What the fork server imports before it forks workers (`rsmtl.fork_server`); nothing else imports this.

Imports only: a thread, a library that is initialised or a tensor that is computed here would be broken in every copy.
"""

import gc
import os

from rsmtl.fork_server import PARENT
from rsmtl.lifeline import end_with_parent

if parent := os.environ.pop(PARENT, None):  # before what takes seconds
    end_with_parent()
    if os.getppid() != int(parent):
        os._exit(1)

import rsmtl.dispatch.executors
import rsmtl.engine.drain
import rsmtl.engine.jobs
import rsmtl.engine.publish
import rsmtl.request  # noqa: F401

gc.collect()
gc.freeze()  # a collection in a copy would touch, and so copy, all the memory that it shares with the server
