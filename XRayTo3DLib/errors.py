"""The one exception that tells a user what is wrong with an input."""


class InputError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and what to do.

    The command line prints it and exits with code 2, the panel shows it, and nothing has been changed or written when
    it is raised.
    """
