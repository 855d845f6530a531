"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """What happened, where, and what to do next; shown without a stack trace."""
