"""``skensemble optimizers``: what ``--optimizer`` may be."""

import typer

from skensemble.cli._app import app, as_one_line
from skensemble.cli._output import cell, console, table


@app.command()
def optimizers():
    """List the optimizers, each with its default learning rate."""
    with as_one_line():
        from skensemble.optimizers import optimizer_table

        rows = optimizer_table()
    listed = table("name", "default lr", "element-wise", "closure", "class", "note")
    for row in rows:
        facts = [row[key] for key in ("name", "lr", "elementwise", "closure", "class")]
        listed.add_row(*map(cell, facts), row["refusal"] or row["summary"])
    console().print(listed)
    typer.echo(f"{len(rows)} optimizers.")
