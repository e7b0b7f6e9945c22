"""How every page is made: from a template in its room, all texts escaped, nothing left unsaid."""

from collections.abc import Callable, Mapping

import jinja2


def template(
    room: str, name: str, filters: Mapping[str, Callable[..., str]] | None = None
) -> jinja2.Template:
    """Return a template that refuses a name it was not given.

    Args:
        room: the package whose folder `templates` holds it.
        name: of the file.
        filters: what it may call beside jinja's own.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(room),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(name)
