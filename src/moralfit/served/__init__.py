"""Models on a server: anything with an OpenAI-compatible HTTP interface answers conversations in place of this machine."""

from moralfit.served._chat import ServedChat
from moralfit.served._endpoint import KEY, Answer, Endpoint
from moralfit.served._journal import Journal, Usage
from moralfit.served._names import resolve, shown

__all__ = ["KEY", "Answer", "Endpoint", "Journal", "ServedChat", "Usage", "resolve", "shown"]
