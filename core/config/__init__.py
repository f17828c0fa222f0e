"""The configuration of a home: read strictly, with the origin of each value."""

from core.config.loader import FILE_NAME, Config, check, check_text, load
from core.config.template import reference_markdown, template

__all__ = ["FILE_NAME", "Config", "check", "check_text", "load", "reference_markdown", "template"]
