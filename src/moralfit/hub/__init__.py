"""The Hugging Face Hub: agents from it, and runs to it."""

from moralfit.hub._agent import Play, TunedAgent, load_agent
from moralfit.hub._contents import Repository, contents
from moralfit.hub._push import push_run, show

__all__ = ["Play", "Repository", "TunedAgent", "contents", "load_agent", "push_run", "show"]
