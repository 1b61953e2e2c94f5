"""`python -m moralfit.push RUN`: see :mod:`moralfit.hub`."""
