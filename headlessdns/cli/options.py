"""The flags of the commands, made from the table of settings. I/O: reads the configuration file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from headlessdns import config, logs
from headlessdns.cli.main import EXIT_INPUT
from headlessdns.config import BOOLEAN, FILE_VARIABLE, ConfigFile, Setting
from headlessdns.errors import ConfigError, Fault, HeadlessDNSError

logger = logging.getLogger(__name__)

_Command = TypeVar("_Command", bound=Callable[..., object])
JSON: Final = "json"
_LOG_VARIABLE = "HEADLESSDNS_LOG"
FILE_REMEDY = "correct --config or " + FILE_VARIABLE
WAYS = (
    "Every flag is an environment variable and a key of the file, too: --cluster-ip-ttl is HEADLESSDNS_CLUSTER_IP_TTL "
    "and clusterIpTtl. Flags win over variables, variables over the file. Repeatable variables are separated by commas."
)

CONTROLLER_WAYS = (
    "Every flag is an environment variable and a key of the file, too: --concurrent-syncs is "
    "HEADLESSDNS_CONCURRENT_SYNCS and concurrentSyncs. Flags win over variables, variables over the file. Repeatable "
    "variables are separated by commas."
)


class SectionedCommand(click.Command):
    """A command whose ``--help`` shows the settings under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each heading, and the other options last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                heading = parameter.section if isinstance(parameter, _SettingOption) else "Options"
                sections.setdefault(heading, []).append(record)
        for heading in sorted(sections, key=lambda heading: heading == "Options"):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])


class LoggingCommand(SectionedCommand):
    """A command whose faults are JSON lines where the log is to be JSON."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the arguments; what is wrong with them is told as the log is."""
        wants_json = _wants_json(args, os.environ)
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not wants_json:
                raise
            _log_faults(error.format_message())
            raise click.exceptions.Exit(error.exit_code) from error
        ctx.meta[JSON] = wants_json
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what is wrong with its input is told as the log is."""
        try:
            return super().invoke(ctx)
        except HeadlessDNSError as error:
            if not ctx.meta[JSON]:
                raise
            _log_faults(str(error))
            ctx.exit(EXIT_INPUT)


def _wants_json(args: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Tell whether the log is to be JSON, as far as that can be told of what may be wrong."""
    chosen = environ.get(_LOG_VARIABLE, "")
    for index, arg in enumerate(args):
        if arg == "--log":
            chosen = args[index + 1] if index + 1 < len(args) else ""
        elif arg.startswith("--log="):
            chosen = arg.removeprefix("--log=")
    return chosen == JSON


def _log_faults(text: str) -> None:
    logs.set_up(JSON)
    for line in text.splitlines():
        logger.error("%s", line)


class _SettingOption(click.Option):
    """A flag for a setting. It takes any text: the setting's form judges it, in the words of all three sources."""

    def __init__(self, setting: Setting) -> None:
        self.section = setting.section
        is_switch = setting.form is BOOLEAN
        flag = f"--{setting.flag}/--no-{setting.flag}" if is_switch else f"--{setting.flag}"
        super().__init__(
            [flag, setting.field],
            type=bool if is_switch else str,
            default=None,
            multiple=setting.repeatable,
            metavar=setting.metavar or None,
            help=f"{setting.help}{_shown_default(setting)}",
        )


def _shown_default(setting: Setting) -> str:
    shown = setting.shown_default or setting.default
    return f"  [default: {shown}]" if shown else ""


def settings_options(settings: Iterable[Setting]) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the flags of *settings*, and ``--config``."""

    def decorate(command: _Command) -> _Command:
        parameters = [_SettingOption(setting) for setting in settings]
        file = click.Option(
            ["--config", "config_file"],
            metavar="FILE",
            envvar=FILE_VARIABLE,
            help="Read settings from this file; config/headlessdns.yaml explains every key.",
        )
        # What click.option() does, last one first.
        stored: list[click.Parameter] = command.__dict__.setdefault("__click_params__", [])
        stored.extend(reversed([*parameters, file]))
        return command

    return decorate


def read_file(path: str | None) -> ConfigFile | None:
    """Return the configuration file at *path*, None where none is named.

    Raises:
        ConfigError: It cannot be read.
    """
    if not path:
        return None
    try:
        return ConfigFile(path, Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        fault = Fault(path, "octets that are no UTF-8", "YAML in UTF-8", "save the file as UTF-8 text")
    except IsADirectoryError:
        fault = Fault(path, "a folder", "a file", "name a file in it")
    except PermissionError as error:
        fault = Fault(path, str(error.strerror), "a file that can be read", "grant this user the right to read it")
    except OSError as error:
        fault = Fault(path, str(error.strerror), "a file that can be read", FILE_REMEDY)
    raise ConfigError([fault])


def load(flags: Mapping[str, Any], config_file: str | None, hostname: str) -> config.ServeConfig:
    """Return the settings from *flags*, this process' environment and the file.

    Raises:
        ConfigError: With every fault.
    """
    return config.load(flags, os.environ, read_file(config_file), hostname=hostname)
