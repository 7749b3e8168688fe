"""HTML pages from the templates; every text that comes from outside is escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(template: str, **values: object) -> str:
    """One self-contained page.

    Args:
        template: File name in ``templates/``.
        values: What the template names; one that is missing is an error.
    """
    environment = Environment(
        loader=PackageLoader("medtranslate.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
