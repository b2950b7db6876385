"""The receivers file: who can be told, and of which alerts each is told.

    version: 1
    receivers:
      pager: {type: alertmanager, urls: [http://am1:9093, http://am2:9093]}
      hook: {type: webhook, url: https://example.com/alerts, secret_file: /run/secrets/hook}
      finance: {type: apprise, urls_file: /run/secrets/finance}
    routes:
      - {severity: [critical], receivers: [pager, hook]}

Secrets are in files of their own, or in environment variables; no message shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from engine.catalog import document
from engine.catalog.alerting import Severity
from engine.catalog.kinds import Choice, Flag, ListOf, MapOf, OneOrList, Place, Text, Version
from engine.catalog.problems import Problem, Problems
from engine.catalog.records import Key, Read, Record, Variant
from engine.catalog.vocabulary.recurring import exact, name, text, where
from sinks.alerting.notices import Notice

ReceiverType = Literal["alertmanager", "webhook", "apprise"]
SECOND_US: Final = 1_000_000
DEFAULT_RESEND_S: Final = 60.0
DEFAULT_TIMEOUT_S: Final = 10.0
SHORT_WAY: Final = "alertmanager"  # the name of the receiver that --alertmanager makes
_NAME: Final = "[A-Za-z][A-Za-z0-9_-]{0,63}"
_NAME_SAYS: Final = "a name: a letter, then letters, digits, _ and -, at most 64"


class ReceiverUnusable(Exception):
    """A receiver cannot be opened: a file that cannot be read, a URL that is none. Secrets are not in the message."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One of the file. Which of the members are set follows from ``type``; times are seconds."""

    name: str
    type: ReceiverType
    urls: tuple[str, ...] = ()
    urls_file: Path | None = None
    urls_env: str | None = None
    secret_file: Path | None = None
    secret_env: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    resend_s: float = DEFAULT_RESEND_S
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Route:
    """Which alerts go to which receivers; what is empty matches everything."""

    receivers: tuple[str, ...]
    severity: tuple[Severity, ...] = ()
    owner: tuple[str, ...] = ()
    goal: tuple[str, ...] = ()
    kpi: tuple[str, ...] = ()
    alert: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    goes_on: bool = False

    def matches(self, notice: Notice) -> bool:
        told = notice.members
        members = ((self.severity, told.severity), (self.owner, told.owner), (self.goal, told.goal))
        named = ((self.kpi, told.kpi), (self.alert, told.alert))
        return all(not wanted or found in wanted for wanted, found in (*members, *named)) and all(
            told.labels.get(label) == value for label, value in self.labels.items()
        )


@dataclass(frozen=True, slots=True)
class Receivers:
    receivers: tuple[Receiver, ...] = ()
    routes: tuple[Route, ...] = ()

    def of(self, notice: Notice) -> frozenset[str]:
        """Who is told of it: of the first route that matches, and of those after it where it says continue; without
        any routes everybody.
        """
        if not self.routes:
            return frozenset(receiver.name for receiver in self.receivers)
        found: set[str] = set()
        for route in self.routes:
            if route.matches(notice):
                found.update(route.receivers)
                if not route.goes_on:
                    break
        return frozenset(found)

    def wants(self, receiver: str) -> Callable[[Notice], bool]:
        return lambda notice: receiver in self.of(notice)

    def and_alertmanager(self, urls: Sequence[str]) -> Receivers:
        """With another receiver for these Alertmanagers, which is told of everything."""
        if not urls:
            return self
        added = Receiver(SHORT_WAY, "alertmanager", tuple(urls))
        everything = Route((SHORT_WAY,), goes_on=True)
        return Receivers((*self.receivers, added), (everything, *self.routes) if self.routes else ())


def url_problem(url: str) -> str | None:
    """Why a URL cannot stand where everybody reads it, or is none; without showing it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "the address is none"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "the address is none that begins with http:// or https://"
    if parts.username is not None or parts.password is not None:
        return "the address holds credentials"
    return None


_url: Final = Text(r"\S+", "an address", "write it as https://...")
_file: Final = Text(says="a file's path", hint="write it as /run/secrets/NAME")
_variable: Final = Text(r"[A-Za-z_][A-Za-z0-9_]*", "a variable's name")
_timeout: Final = Key(exact, "How long an answer may take.", default="10s")
_ca: Final = Key(_file, "Authorities to trust (PEM); default: the system's.")
_token: Final = Key(_file, "File with a bearer token.")


def _type(word: str) -> Key:
    return Key(Choice((word,)), word, required=True)


receiver: Final = Variant(
    "receiver",
    "type",
    {
        "alertmanager": Record(
            "receiver",
            {
                "type": _type("alertmanager"),
                "urls": Key(ListOf(_url, "addresses", 1, "write it as [http://alertmanager:9093]"), "Every replica."),
                "urls_file": Key(_file, "File with the addresses, one a line, where they hold credentials."),
                "resend": Key(exact, "How often what fires is sent again.", default="1m"),
                "timeout": _timeout,
                "token_file": _token,
                "ca_file": _ca,
            },
            one_of=("urls", "urls_file"),
        ),
        "webhook": Record(
            "receiver",
            {
                "type": _type("webhook"),
                "url": Key(_url, "Where JSON is posted to."),
                "url_file": Key(_file, "File with the address, where it is a secret."),
                "secret_file": Key(_file, "File with the secret that messages are signed with."),
                "secret_env": Key(_variable, "Environment variable with that secret."),
                "timeout": _timeout,
                "token_file": _token,
                "ca_file": _ca,
            },
            one_of=("url", "url_file"),
        ),
        "apprise": Record(
            "receiver",
            {
                "type": _type("apprise"),
                "urls_file": Key(_file, "File with Apprise URLs, one a line."),
                "urls_env": Key(_variable, "Environment variable with Apprise URLs, between blanks."),
                "timeout": _timeout,
            },
            instead={"urls": "write urls_file: Apprise URLs are secrets", "url": "write urls_file"},
            one_of=("urls_file", "urls_env"),
        ),
    },
    "What kind of receiver it is.",
)


def _some(kind: Any, noun: str) -> OneOrList:
    return OneOrList(kind, ListOf(kind, noun, 1), f"one of the {noun}, or a list", "write it as [a, b]")


route: Final = Record(
    "route",
    {
        "receivers": Key(
            ListOf(Text(_NAME, _NAME_SAYS), "receivers", 0, "write it as [pager]"), "Who is told.", required=True
        ),
        "severity": Key(_some(Choice(get_args(Severity), "severities"), "severities"), "Of these severities."),
        "owner": Key(_some(text, "owners"), "Of KPIs of these owners."),
        "goal": Key(_some(name, "goals"), "Of KPIs that serve these goals."),
        "kpi": Key(_some(name, "KPIs"), "Of these KPIs."),
        "alert": Key(_some(name, "alerts"), "Of these alerts."),
        "labels": Key(where, "With these labels."),
        "continue": Key(Flag(), "Whether the routes after it are looked at as well."),
    },
)

receivers_file: Final = Record(
    "receivers file",
    {
        "version": Key(Version(), "Version of the file's form.", required=True, hint="write version: 1"),
        "receivers": Key(MapOf(receiver, "receiver", _NAME, _NAME_SAYS, least=1), "Who can be told.", required=True),
        "routes": Key(ListOf(route, "routes"), "Who is told of what: the first that matches."),
    },
)


def parse_receivers(file: str, content: str) -> tuple[Receivers | None, tuple[Problem, ...]]:
    """The receivers, None exactly when there are problems. Never raises for what the text holds."""
    problems = Problems()
    found = document.read_document(content)
    for fault in found.faults:
        problems.add(Problem(file, fault.line, "", fault.message, fault.hint), structural=False)
    if found.root is None:
        return None, problems.in_order()
    read = receivers_file.read(found.root, Place(problems, file, ""))
    made: dict[str, Receiver] = {}
    routes: list[Route] = []
    if isinstance(read, Read):
        lines = _lines(found.root, "receivers")
        for of, given in (read.get("receivers") or {}).items():
            if isinstance(given, Read) and given.complete:
                made[of] = _receiver(of, given)
            for url in made[of].urls if of in made else ():
                if (why := url_problem(url)) is not None:
                    hint = "write it into a file, and name that: url_file, urls_file"
                    problems.add(Problem(file, lines[of], f'receiver "{of}"', why, hint), structural=False)
        for number, given in enumerate(read.get("routes") or (), 1):
            routes.append(_route(given))
            for unknown in set(routes[-1].receivers) - set(read.get("receivers") or ()):
                line = _route_line(found.root, number)
                hint = f"there are {', '.join(read['receivers'])}"
                problems.add(Problem(file, line, f"route {number}", f"no receiver {unknown}", hint), structural=False)
    if problems.found:
        return None, problems.in_order()
    return Receivers(tuple(made.values()), tuple(routes)), ()


def _lines(root: document.Mapping, section: str) -> Mapping[str, int]:
    node = root.entries.get(section)
    return node.key_lines if isinstance(node, document.Mapping) else {}


def _route_line(root: document.Mapping, number: int) -> int:
    node = root.entries["routes"]
    return node.items[number - 1].line if isinstance(node, document.Sequence) else node.line


def _receiver(of: str, read: Read) -> Receiver:
    def path(*keys: str) -> Path | None:
        return next((Path(read[key]) for key in keys if key in read.values), None)

    url = read.get("url")
    return Receiver(
        of,
        read["type"],
        urls=tuple(read.get("urls") or ((url,) if url else ())),
        urls_file=path("urls_file", "url_file"),
        urls_env=read.get("urls_env"),
        secret_file=path("secret_file"),
        secret_env=read.get("secret_env"),
        token_file=path("token_file"),
        ca_file=path("ca_file"),
        resend_s=read.get("resend", DEFAULT_RESEND_S * SECOND_US) / SECOND_US,
        timeout_s=read.get("timeout", DEFAULT_TIMEOUT_S * SECOND_US) / SECOND_US,
    )


def _route(read: Read) -> Route:
    def some(key: str) -> tuple[Any, ...]:
        given = read.get(key, ())
        return tuple(given) if isinstance(given, list) else (given,) if given else ()

    return Route(
        tuple(read["receivers"]),
        some("severity"),
        some("owner"),
        some("goal"),
        some("kpi"),
        some("alert"),
        read.get("labels") or {},
        bool(read.get("continue")),
    )
