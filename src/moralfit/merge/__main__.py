"""`python -m moralfit.merge RUN --out DIR`: an adapter merged into its base, as one model for engines that load whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from moralfit.console import make_console, run_cli, silence_progress_bars
from moralfit.errors import RunError

app = typer.Typer(add_completion=False)


@app.command()
def main(
    place: Annotated[str, typer.Argument(metavar="RUN_OR_ADAPTER", help="A run, an adapter folder, or user/name of the Hub.")],
    out: Annotated[Path, typer.Option(help="The folder to write, which must not exist.")],
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16 or float32.")] = "bfloat16",
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Merge an adapter into its base and prove that the result does the same."""
    if out.exists():
        raise RunError(f"{out}: exists already and is not overwritten; move it away or name another folder")
    silence_progress_bars()
    from moralfit.merge._merge import Dtype, merge

    if dtype not in get_args(Dtype):
        raise RunError(f"--dtype {dtype}: say one of {', '.join(get_args(Dtype))}")
    console = make_console()
    merge(place, out, cast(Dtype, dtype), device, lambda text: console.print(text, highlight=False))
    console.print(f"merged model: {out}")


if __name__ == "__main__":
    run_cli(app)
