"""The command's frame: every error is one line, whatever subcommand it comes from."""

import os
import shlex
import sys
import warnings
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from typer.core import TyperGroup

_CLICK_ERROR = typer.BadParameter.__mro__[2]  # ClickException, wherever this release of typer keeps it


class Refusal(Exception):
    """What the user asked for cannot be done; its text is the one line that says why."""


class OneLineGroup(TyperGroup):
    """A command group that reports every error as one line on standard error."""

    def main(self, args=None, prog_name="skensemble", standalone_mode=True, **extra):
        """Run, and leave with 0, with 2 after a wrong request, with 130 after Ctrl-C."""
        args = list(sys.argv[1:] if args is None else args)
        extra.setdefault("obj", shlex.join(["skensemble", *args]))  # the exact command, for reports
        try:
            code = super().main(args=args, prog_name=prog_name, standalone_mode=False, **extra)
            sys.stdout.flush()
        except _CLICK_ERROR as error:
            code = _fail(error.format_message())
        except Refusal as error:
            code = _fail(str(error))
        except BrokenPipeError:
            with suppress(OSError, ValueError):  # no pipe to flush to when Python leaves
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx):
        """Run a command; Ctrl-C ends it with one line instead of a traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail("Interrupted.", kind="")
            raise typer.Exit(130) from None


app = typer.Typer(cls=OneLineGroup, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def main():
    """Run the command ``skensemble``; the console script's entry."""
    app()


def _version(wanted):
    if wanted:
        from skensemble import __version__

        typer.echo(f"skensemble {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def skensemble(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
):
    """Ensembles of torch networks that scikit-learn treats as its own."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def _fail(message, kind="Error: "):
    print(kind + " ".join(message.split()), file=sys.stderr)
    return 2


@contextmanager
def as_one_line():
    """Turn the library's refusals into ours, and its warnings into plain lines."""

    def show(message, category, filename, lineno, file=None, line=None):
        print("Warning: " + " ".join(str(message).split()), file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("once", UserWarning)
            warnings.showwarning = show
            yield
    except (ValueError, OSError, ImportError, MemoryError) as error:
        raise Refusal(str(error) or type(error).__name__) from error
