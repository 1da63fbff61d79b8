"""Whether an environment can do what runs ask of it: `rsmtl doctor`.

A look is a plain function that finds facts, the same here, on a worker and on the scheduler; a judgement is one that
makes findings of them, and needs no machine in that state to be tried.
"""

from rsmtl.doctor.examine import Wanted, examine
from rsmtl.doctor.finding import Finding, Verdict, places, sentence

__all__ = ["Finding", "Verdict", "Wanted", "examine", "places", "sentence"]
