"""The exception for mistakes that the user can correct, and how errors are printed."""

# What to do about a run that needs too much memory.
LESS_MEMORY = "a smaller run.training.batch_size, run.training.precision = bf16, or fewer trials at a time would help"


class UserError(Exception):
    """A mistake the user can correct, in one sentence: what, where, the rule it breaks, what to do.

    The command lines print it as `error: <sentence>` and exit with code 2; a traceback would only hide it.
    """


def printable(text: str) -> str:
    """A text in one line that any terminal can show, such as a file's name: control and invalid characters escaped."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def first_line(error: BaseException) -> str:
    """What an error says, without its explanations."""
    return printable(str(error).partition("\n")[0])


def named(error: BaseException) -> str:
    """The kind of an error and what it says, in one line."""
    return f"{type(error).__name__}: {first_line(error)}"


def error_lines(error: BaseException) -> str:
    """An error as command lines print it: `error: ` before each line, except indented continuations."""
    return "".join(f"{'' if line.startswith(' ') else 'error: '}{line}\n" for line in str(error).split("\n"))
