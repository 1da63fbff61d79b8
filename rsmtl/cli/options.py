"""Options that several commands share; those of a run come from `Settings`, which holds names, defaults and help."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from rsmtl.cli.completion import model_names
from rsmtl.config import Settings
from rsmtl.errors import InputError, explain
from rsmtl.scene.search import Search

WHICH = "Which scenes"
RUNNING, SETTINGS = "Where and how it runs", "Settings, which decide every bit of the product"

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar="",
        help="Print one JSON object as the last line of standard output.",
        show_default=False,
    ),
]
SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Rasters, Zarr stores, STAC items, collections or catalogues, as paths or URLs. Arguments of the form "
        "pan=PAN.tif ms=MS.tif together make one scene; image=B4.tif,B3.tif,B2.tif has a file for each band.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|PATH",
        help="A model that comes with rsmtl, a classical method (see `rsmtl models`), or the path of a checkpoint or "
        "of an exported program.",
        autocompletion=model_names,
        show_default=False,
    ),
]
AssetsOption = Annotated[
    list[str],
    typer.Option(
        metavar="[INPUT=]NAME,...",
        help="Assets, variables or bands to take, in order; once for each input of a model that has several: "
        "--assets pan=pan --assets ms=red,green,blue.",
        show_default=False,
    ),
]
OffsetOption = Annotated[
    str,
    typer.Option(
        metavar="item|none|VALUE",
        help="What is added to a raster's scaled values: what the item or the file says, nothing, or a number.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Start so many worker processes on this machine. Unless this or --scheduler is given, threads of this "
        "process do the work, as many as there are cores.",
        rich_help_panel=RUNNING,
        show_default=False,
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use the Dask cluster whose scheduler listens there, such as tcp://host:8786.",
        rich_help_panel=RUNNING,
        show_default=False,
    ),
]
AnyGsdOption = Annotated[
    bool,
    typer.Option(
        "--any-gsd",
        metavar="",
        help="Take scenes more than 1.5 times finer or coarser than what the model was trained on, too.",
        show_default=False,
    ),
]
AllowNoCrsOption = Annotated[
    bool,
    typer.Option(
        "--allow-no-crs",
        metavar="",
        help="Take images that lie nowhere on the Earth, too: the product's grid is that of their pixels.",
        show_default=False,
    ),
]
LogOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append what happens to each scene and chunk to a file, as lines of JSON.",
        rich_help_panel=RUNNING,
        show_default=False,
    ),
]
_SEARCH: dict[str, tuple[Any, Any, str, str]] = {
    "since": (str | None, None, "--since", "TIME"),
    "until": (str | None, None, "--until", "TIME"),
    "bbox": (str | None, None, "--bbox", "W,S,E,N"),
    "max_cloud": (float | None, None, "--max-cloud", "PERCENT"),
    "collections": (list[str], [], "--collection", "ID"),
}
"""Kind, default, option and placeholder for each field of `Search`."""


def with_search(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command an option for every field of `Search` in the place of its parameter `search`."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "search"]
    options = [_search_option(name) for name in _SEARCH]

    @functools.wraps(command)
    def with_options(**given: Any) -> int:  # typer passes every parameter of the signature by name
        chosen = {name: given.pop(name) for name in _SEARCH}
        return command(**given, search=_searched(chosen))

    vars(with_options)["__signature__"] = signature.replace(parameters=[*own, *options])
    return with_options


def _search_option(name: str) -> inspect.Parameter:
    kind, default, option, metavar = _SEARCH[name]
    about = typer.Option(
        option,
        help=Search.model_fields[name].description,
        metavar=metavar,
        rich_help_panel=WHICH,
        show_default=False,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, about]
    )


def _searched(chosen: dict[str, Any]) -> Search:
    box = chosen["bbox"]
    try:
        return Search.model_validate({**chosen, "bbox": None if box is None else box.split(",")})
    except ValidationError as error:
        raise InputError(f"the search is wrong: {explain(error)}") from error


def with_settings(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command an option for every field of `Settings` in the place of its parameter `settings`."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
    options = [_option(name, field) for name, field in Settings.model_fields.items()]

    @functools.wraps(command)
    def with_options(**given: Any) -> int:  # typer passes every parameter of the signature by name
        chosen = {name: given.pop(name) for name in Settings.model_fields}
        return command(**given, settings=_checked(chosen))

    vars(with_options)["__signature__"] = signature.replace(parameters=[*own, *options])
    return with_options


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, default, metavar = field.annotation, field.default, None
    if _is_list(field):
        kind, default, metavar = str | None, None, ",".join(get_args(get_args(kind)[0])) or "NAME,..."
    is_flag = kind is bool
    about = typer.Option(
        *([f"--{name}"] if is_flag else []),
        help=field.description,
        metavar="" if is_flag else metavar,
        rich_help_panel=SETTINGS,
        show_default=default is not None and not is_flag,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, about]
    )


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _checked(chosen: dict[str, Any]) -> Settings:
    lists = {
        name: tuple(filter(None, (chosen[name] or "").split(",")))
        for name, field in Settings.model_fields.items()
        if _is_list(field)
    }
    try:
        return Settings.model_validate({**chosen, **lists})
    except ValidationError as error:
        raise InputError(f"the settings are wrong: {explain(error)}") from error
