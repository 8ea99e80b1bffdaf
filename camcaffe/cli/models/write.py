"""`camcaffe models write`."""

import click


@click.command()
@click.argument("folder", default="models", type=click.Path(file_okay=False))
def command(folder: str) -> None:
    """Write the deploy, train_val and solver prototxts of all networks, and the class lists, into FOLDER.

    FOLDER is `models` unless given. Files of these names that are there already are replaced.
    """
    from camcaffe.models.written import write_models

    click.echo(f"{len(write_models(folder))} files written to {folder}")
