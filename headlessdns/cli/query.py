"""``headlessdns query``: asks a server, or answers from manifests or a cluster, and prints as ``dig`` would.

I/O: standard output, and what `exchange` and `source` do.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

from headlessdns import config, logs, names
from headlessdns.cli import display, exchange, options
from headlessdns.cli.display import Response
from headlessdns.cli.exchange import NoReplyError, Received
from headlessdns.config import Listen
from headlessdns.errors import FormatError
from headlessdns.names import CanonicalName
from headlessdns.records.rrset import Type
from headlessdns.wire.parse import Rcode

DEFAULT_SERVER = Listen("127.0.0.1", 1053)  # where `headlessdns serve` is if nobody says otherwise
EXIT_OTHER_RCODE = 1
EXIT_NO_REPLY = 9  # as dig has it
_SETTINGS = [setting for setting in config.SETTINGS if setting.section in (config.SOURCE, config.RECORDS)]
_SOURCES = ("manifests", "kubeconfig")
_MAX_TIMEOUT_S = 600


class Question(NamedTuple):
    """What is asked."""

    qname: CanonicalName
    qtype: int


class Answered(NamedTuple):
    """A response and what is known of it besides.

    Attributes:
        response: The response.
        notes: Lines about its records, only where the objects are known.
        footer: Lines about how it came.
    """

    response: Response
    notes: list[str]
    footer: list[str]


_Ask = Callable[[Question], Answered]


class _TypeName(click.ParamType[int]):
    """An RR type."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else display.type_number(str(value))
        except ValueError:
            self.fail(f"{value!r} is no RR type; write it as in A, SRV or TYPE65", param, ctx)


class _Server(click.ParamType[Listen]):
    """A server's address."""

    name = "server"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Listen:
        try:
            return value if isinstance(value, Listen) else config.parse_server(str(value))
        except ValueError:
            self.fail(f"{value!r} is no server; write it as in 127.0.0.1:1053 or [::1]:1053", param, ctx)


@click.command(
    name="query",
    cls=options.SectionedCommand,
    epilog="Exit codes: 0 for NOERROR, with or without records; 1 for any other RCODE; 2 for wrong input; 9 where no "
    "server replied.",
    short_help="Ask a server for a name, or answer as one would.",
)
@click.argument("name")
@click.argument("type", type=_TypeName(), required=False)
@click.option("--server", type=_Server(), metavar="ADDRESS[:PORT]", help="Ask this server; port 53 if there is none.")
@click.option(
    "-x", "--reverse-name", "is_reverse", is_flag=True, help="NAME is an address, as is assumed without TYPE."
)
@click.option("--short", is_flag=True, help="Print the data of the answers only.")
@click.option("--tcp", "is_stream", is_flag=True, help="Ask over TCP at once.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, _MAX_TIMEOUT_S, min_open=True),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for each of the tries, three over UDP.",
)
@options.settings_options(_SETTINGS)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    name: str,
    type: int | None,
    server: Listen | None,
    is_reverse: bool,
    short: bool,
    is_stream: bool,
    timeout_s: float,
    config_file: str | None,
    **flags: object,
) -> None:
    """Ask for NAME: its A records where no TYPE is given, PTR if it is an address.

    With --manifests or --kubeconfig the answer is the one that a server would give from them, and each record comes
    with the object that it was made from. Else a server is asked: --server, or 127.0.0.1:1053. With --server and one
    of the two the answer is the server's, and the objects are looked up there.
    """
    logs.set_up("text", level=logging.WARNING)
    question = _question(name, type, is_reverse=is_reverse)
    zone, ask = _asker(server, config_file, flags, timeout_s, is_stream=is_stream)
    try:
        answered = ask(question)
        lines = display.short_lines(answered.response) if short else _report(question, answered, zone, ask)
    except NoReplyError as error:
        click.echo(f";; {error}", err=True)
        ctx.exit(EXIT_NO_REPLY)
    except FormatError as error:
        click.echo(f";; {error}", err=True)
        ctx.exit(EXIT_OTHER_RCODE)
    for line in lines:
        click.echo(line)
    ctx.exit(0 if answered.response.rcode == Rcode.NOERROR else EXIT_OTHER_RCODE)


def _question(name: str, type: int | None, *, is_reverse: bool) -> Question:
    is_address = config.is_address(name)
    if is_reverse and not is_address:
        raise click.BadParameter(f"{name!r} is no IP address, which -x asks for.", param_hint="NAME")
    if is_address and (is_reverse or type in (None, Type.PTR)):
        return Question(names.reverse_name(config.parse_address(name)), Type.PTR if type is None else type)
    try:
        return Question(names.from_text(name), Type.A if type is None else type)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="NAME") from error


def _asker(
    server: Listen | None, config_file: str | None, flags: Mapping[str, Any], timeout_s: float, *, is_stream: bool
) -> tuple[CanonicalName, _Ask]:
    """Return the zone, and what gives a response for a question.

    Raises:
        HeadlessDNSError: The settings, the manifests or the cluster cannot be used.
    """
    file = options.read_file(config_file)
    chosen = config.load_some((*_SOURCES, "zone"), flags, os.environ, file)
    whom = server or DEFAULT_SERVER

    def ask_server(question: Question) -> Answered:
        query = exchange.compose_query(*question)
        received = exchange.exchange(whom, query, timeout_s, is_stream=is_stream)
        return Answered(display.parse(received.message), [], _server_footer(whom, received))

    # What a variable or the file names counts only where no server is named: else nobody could ask one there.
    if any(flags[field] for field in _SOURCES) or (server is None and any(chosen[field] for field in _SOURCES)):
        settings = config.load(flags, os.environ, file)
        return chosen["zone"], _source_asker(settings, ask_server if server else None)
    return chosen["zone"], ask_server


def _source_asker(settings: config.ServeConfig, ask_server: _Ask | None) -> _Ask:
    """Return what answers from objects, or adds them to the answers of a server."""
    from headlessdns.cli.source import Source  # it brings the server's parts

    source = Source(settings)

    def ask(question: Question) -> Answered:
        if ask_server is None:
            answered = Answered(display.parse(source.answer(exchange.compose_query(*question))), [], [])
        else:
            answered = ask_server(question)
        notes = list(source.origins(answered.response, is_ours=ask_server is None))
        notes = ["", ";; ORIGINS:", *notes] if notes else []
        stateful_set = source.stateful_set(question.qname)
        if stateful_set:
            notes += ["", stateful_set]
        return answered._replace(notes=notes, footer=[*answered.footer, f";; SOURCE: {source.description}"])

    return ask


def _server_footer(server: Listen, received: Received) -> list[str]:
    lines = [
        f";; Query time: {received.seconds * 1000:.1f} msec",
        f";; SERVER: {server.host}#{server.port} ({'TCP' if received.is_stream else 'UDP'})",
        f";; WHEN: {datetime.datetime.now().astimezone():%a %b %d %H:%M:%S %Z %Y}",
    ]
    return [";; Truncated over UDP, asked again over TCP.", *lines] if received.was_truncated else lines


def _report(question: Question, answered: Answered, zone: CanonicalName, ask: _Ask) -> list[str]:
    lines = [*display.lines(answered.response), *answered.notes]
    meant = _did_you_mean(question, answered.response, zone, ask)
    if meant:
        lines += [
            "",
            f";; {names.to_text(question.qname)} is not in the zone {names.to_text(zone)}; did you mean {meant}?",
        ]
    return [*lines, "", *answered.footer, f";; MSG SIZE  rcvd: {answered.response.size_octets}"]


def _did_you_mean(question: Question, response: Response, zone: CanonicalName, ask: _Ask) -> str:
    """Return the name that a pod's search list would have found for a name outside the zone; empty where there is none.

    The order is that of the search list in a pod of the namespace `default`.
    """
    qname = question.qname
    if response.rcode not in (Rcode.NXDOMAIN, Rcode.REFUSED) or names.is_at_or_below(qname, zone):
        return ""
    for search in (["default", "svc"], ["svc"], []):
        try:
            candidate = names.join([*names.split(qname), *(label.encode() for label in search)], zone)
        except ValueError:
            continue  # too long
        try:
            found = ask(Question(candidate, question.qtype)).response.rcode == Rcode.NOERROR
        except (NoReplyError, FormatError):
            return ""  # the answer itself is there, and counts
        if found:
            return names.to_text(candidate).removesuffix(".")
    return ""
