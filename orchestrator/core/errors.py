"""The one exception that is meant for the person at the keyboard, and what to tell of others."""

# What to do about a run that needs too much memory.
LESS_MEMORY = "a smaller run.training.batch_size, run.training.precision = bf16, or fewer trials at a time would help"


class UserError(Exception):
    """A mistake the user can mend, told in one clear sentence: what, where, the law it breaks, the remedy.

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


def told(error: BaseException) -> str:
    """What a command line prints of mistakes: a line for each; an indented one goes with the line before."""
    return "".join(f"{'' if line.startswith(' ') else 'error: '}{line}\n" for line in str(error).split("\n"))
