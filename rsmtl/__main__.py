"""`python -m rsmtl`."""

import os
import sys

if "TORCHELASTIC_RUN_ID" in os.environ:  # a rank: its agent may die while it imports
    from rsmtl.lifeline import end_with_agent

    end_with_agent()

from rsmtl.cli import main

sys.exit(main())
