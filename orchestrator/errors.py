"""The one exception that a user is meant to see."""


class UserError(Exception):
    """A mistake that its maker can mend: one clear sentence saying what, where, the law it breaks and the remedy."""
