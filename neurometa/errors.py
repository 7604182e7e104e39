"""One error family: everything a user can mend is a `UserError`, everything else is our fault."""


class NeurometaError(Exception):
    """Base of every error that neurometa raises on purpose."""


class UserError(NeurometaError):
    """Something the user gave cannot work.

    The message is one line: what was given, what was expected, what to do. The command line prints it and exits 2.
    """


class InternalError(NeurometaError):
    """Something that is our fault, such as a kernel that broke its contract. The command line exits 1."""
