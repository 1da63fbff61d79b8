"""What can go wrong, said once: every error a user can cause is an `RsmtlError` with a full sentence.

A message says what was expected, what came, and what to do. The command line prints it and exits with
`exit_status`; nothing else of the program's state reaches the user.
"""

from pydantic import ValidationError

from rsmtl.redaction import redacted


class RsmtlError(Exception):
    """Base of all errors that a user can cause; secrets in URLs are left out of its message."""

    exit_status = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


class InputError(RsmtlError):
    """The input, the options or the model's files are wrong: nothing was run."""

    exit_status = 2


class SceneError(InputError):
    """A scene cannot be opened, or does not fit the model."""


class ModelError(InputError):
    """A model or its checkpoint cannot be used."""


class PlanError(InputError):
    """The layout asked for is impossible, or does not fit the machines."""


class ResumeError(InputError):
    """What stands in the output folder belongs to another run."""


class RunError(RsmtlError):
    """The run began and could not be finished."""


class SceneWarning(RuntimeWarning):
    """Something that prevents no run, and that whoever uses its product should know."""


_WORDS = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected names with values",
    "extra_forbidden": "there is no such setting",
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "list_type": "expected a list",
    "literal_error": "expected {expected}",
    "missing": "is missing",
    "model_type": "expected names with values",
    "string_type": "expected a text",
    "tuple_type": "expected a list",
}
"""What pydantic calls a mistake, in the words of all other messages."""


def explain(error: ValidationError) -> str:
    """Return what pydantic found wrong as one line: `lr: expected more than 0, got -1`."""
    found = []
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"])
        known = _WORDS.get(detail["type"])
        said = known.format(**detail.get("ctx", {})) if known else detail["msg"].removeprefix("Value error, ")
        if not place and detail["type"] == "value_error":
            found.append(said)  # a check of the whole names what it is about
            continue
        got = "" if detail["type"] == "missing" else f", got {str(detail['input'])[:60]!r}"
        found.append(f"{place or 'value'}: {said}{got}")
    return "; ".join(found)
