"""What a user may be told: one clear sentence that names the value and the way out.

Code raises these for what the user can act on (a file, a question, a model, the machine's limits). Everything else
is a bug and keeps its own type. The command line prints the sentence on stderr and exits with 2; the desk shows it
in the chat; neither shows a stack trace.
"""

from __future__ import annotations


class DeixisError(Exception):
    """Base of all errors meant for a user. `str(error)` is the sentence."""


class ScanError(DeixisError):
    """A scan cannot be used: the file, its geometry or its values. Also: a mask that does not fit its scan."""


class QuestionError(DeixisError):
    """A question cannot be asked: empty, too long, a point outside the scan, an unknown mask id."""


class ModelError(DeixisError):
    """A checkpoint or a base language model is missing, damaged, or does not belong to the other."""


class ResourceError(DeixisError):
    """The machine cannot do it: memory, disk, a device that is not there."""
