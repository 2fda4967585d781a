"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """A mistake the user can mend, told in one clear sentence: what, where, the law it breaks, the remedy.

    The command lines print it as `error: <sentence>` and exit with code 2; a traceback would only hide it.
    """
