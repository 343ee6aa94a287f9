"""What a user is told while weights are read."""

import logging
from functools import cache

log = logging.getLogger("vit")


@cache
def say_once(message: str) -> None:
    """To stderr, unless the program sends the log elsewhere; a command opens its model several times."""
    log.warning(message)
