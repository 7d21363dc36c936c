"""``axisor-executor new-plugin``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click


@click.command("new-plugin", short_help="Make a plugin of your own, ready to be changed.")
@click.argument("name", metavar="NAME")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    help="The folder to make.  [default: axisor-NAME]",
)
@click.option("--type", "automation_type", metavar="TYPE", help="Its automation type.  [default: NAME]")
@click.option("--title", help="How logs name it.  [default: NAME, in words]")
@click.option(
    "--description",
    default="Closes trades at a profit or a loss of your choice.",
    show_default=True,
    help="What it does, in a line.",
)
@click.option("--author", metavar="AUTHOR", help="You: NAME, or NAME <EMAIL>.")
def new_plugin(
    name: str, folder: Path | None, automation_type: str | None, title: str | None, description: str, author: str | None
) -> None:
    """Make a plugin: a distribution with one automation type, its rules, its tests and its packaging.

    It works as it is: it closes trades at a profit or a loss in percent of their margin. Nothing is ever overwritten.

    \b
    Examples:
      axisor-executor new-plugin calm_exit
      axisor-executor new-plugin calm-exit --dir ~/plugins/calm-exit --author "Jane Doe <jane@example.org>"
    """
    from axisor_executor.new_plugin import Texts, make, name_plugin

    names = name_plugin(name, automation_type=automation_type, installed=_installed())
    folder = folder or Path(names.distribution)
    in_words = names.name.replace("_", " ").title()
    made = make(folder, names, Texts(in_words if title is None else title, description, author))
    click.echo(f"Made {folder}, the plugin of the automation type {names.type}:")
    for path in made:
        click.echo(f"  {path}")
    click.echo("\nNext:")
    for command in (f"cd {shlex.quote(str(folder))}", 'pip install -e ".[test]"', "python -m pytest"):
        click.echo(f"  {command}")


def _installed() -> dict[str, str]:
    """Return the automation types that are there, with the plugin that has each."""
    from axisor_executor.observe.logs import configure
    from axisor_executor.plugins import discover, load

    configure("human", "CRITICAL")  # what fails to load is not this command's business
    return {name: one.found.display_name for name, one in load(discover()).handlers.items()}
