"""The one exception that the kit raises for input it cannot use."""


class KitError(ValueError):
    """Input that cannot be used, told in one sentence: what is wrong, what is allowed, what to do.

    The command line prints the sentence without a traceback and exits with 2.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback, which would hide the sentence among the kit's own lines."""
        return [f"KitError: {self}"]
