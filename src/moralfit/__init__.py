"""moralfit: language-model agents whose choices follow a stated utility, and proof that they do."""

from importlib import metadata

__version__ = metadata.version("moralfit")
