"""`python -m rsmtl`."""

import sys

from rsmtl.cli import main

sys.exit(main())
