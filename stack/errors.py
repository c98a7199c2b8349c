"""Error that the stack raises."""


class StackError(Exception):
    """Failure that ends the stack; its message is one clear line for the operator.

    Args:
        message: What is wrong and what to do.
        log_lines: Last log lines of the service that failed, if a service failed.
    """

    def __init__(self, message: str, log_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log_lines = log_lines
