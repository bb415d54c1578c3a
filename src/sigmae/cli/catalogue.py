"""The verbs that run nothing: show and list."""

from typing import Literal

from sigmae.cli.app import app, examples, Flag


@app.command(
    help_epilogue=examples(
        {
            "sigmae show rae-l2": "Parts, weights, citation.",
            "sigmae show rae-l2 --data cifar10": "With its weights for other data.",
        }
    )
)
def show(method: str, /, *, data: str = "", json: Flag = False) -> None:
    """Show a method's parts, weights and citation; runs nothing.

    Parameters
    ----------
    method
        A method's name.
    data
        A data set whose published weights are meant: mnist, cifar10, celeba.
    json
        Print JSON.
    """
    from sigmae.console import show_method
    from sigmae.recipes import method as find

    show_method(find(method), data, json)


@app.command(
    name="list",
    help_epilogue=examples(
        {
            "sigmae list methods": "All methods.",
            "sigmae list metrics --json": "All metrics, for a program to read.",
        }
    ),
)
def list_(
    kind: Literal["methods", "datasets", "networks", "densities", "features", "metrics", "tables"] = "methods",
    /,
    *,
    json: Flag = False,
) -> None:
    """List what there is: methods, datasets, networks, densities, features, metrics or tables.

    Parameters
    ----------
    kind
        What to list.
    json
        Print JSON.
    """
    from sigmae.console import print_catalogue

    print_catalogue(kind, json)
