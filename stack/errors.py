"""The one error of this room."""


class StackError(Exception):
    """The stack cannot go on; the message is one clear line for a person.

    Args:
        message: What is wrong and what to do.
        log_lines: The last words of the service that failed, if one did.
    """

    def __init__(self, message: str, log_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log_lines = log_lines
