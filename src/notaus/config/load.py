"""Loading: a directory of files and the environment become one `Configuration`, or every problem at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from notaus.config.daemon_keys import DAEMON
from notaus.config.document import Node, Table, parse
from notaus.config.environment import Environ, Filler, overlaid, read_text
from notaus.config.problems import Problem, Report, Where
from notaus.config.service import Loaded, Surroundings, read_service
from notaus.config.settings import Settings, read_settings
from notaus.config.sources import Entry, Question
from notaus.config.table import Values
from notaus.core.ladder import DeploymentLever, KvLever
from notaus.core.service import Service

DAEMON_FILE = "notaus.yaml"
SERVICES = "services"
SUFFIXES = (".yaml", ".yml")
READABLE = "make it a readable file, one service each"
LARGEST = 250_000
"""Bytes; a larger file is a mistake: the largest example has 5,000. The slowest text of this size takes seconds."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that the files and the environment say."""

    settings: Settings
    services: tuple[Service, ...]
    entries: tuple[Entry, ...]
    """What the poller reads: one for each entry of `signals:` that something asks for."""
    warnings: tuple[Problem, ...]
    texts: Mapping[str, str] = field(repr=False)
    """File to its text, as it stands there: `${X}` is not filled in."""
    hash: str
    """Of the texts and of what they mean; equal for equal configurations."""
    rule_fingerprints: Mapping[tuple[str, str], str]
    """(service, rule) to a hash of what the rule means; a reload that changes it starts its hold anew."""
    recovery: Mapping[str, Mapping[str, str]]
    """Service to its commands for people, by name."""
    questions: Mapping[str, Mapping[str, Question]] = field(default_factory=dict)
    """Service to what is asked for an incident's evidence, by name."""

    def service(self, name: str) -> Service:
        """Raises `KeyError` if there is none of that name."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)


def load(directory: Path, environ: Environ | None = None, *, lenient: bool = False) -> Configuration:
    """Read `directory`/notaus.yaml and `directory`/services/*.yaml.

    Lenient (for scenarios): `${X}` that is not set becomes a placeholder, tokens and channels need not be there.
    Raises `InvalidConfiguration`, a `ConfigurationError`, with every problem of every file.
    """
    report = Report()
    files = Files(report)
    environ = os.environ if environ is None else environ
    filler = Filler(environ, report, lenient)
    settings, defaults = _daemon(directory, files, filler)
    around = Surroundings(
        defaults,
        None if lenient else settings.channels,
        settings.github is not None,
        str(directory / DAEMON_FILE),
        settings.mode,
    )
    loaded = [
        one
        for path in _service_files(directory, report)
        if (one := _service_file(path, files, filler, around)) is not None
    ]
    _check_together(loaded, report)
    report.raise_if_any()
    return _configuration(settings, loaded, files.texts, report)


def load_settings(directory: Path, environ: Environ | None = None, *, lenient: bool = False) -> Settings:
    """The daemon's settings alone. Raises `InvalidConfiguration`."""
    report = Report()
    filler = Filler(os.environ if environ is None else environ, report, lenient)
    settings, _ = _daemon(directory, Files(report), filler)
    report.raise_if_any()
    return settings


def load_service_text(
    text: str, file: str = "service.yaml", environ: Environ | None = None, *, lenient: bool = False
) -> Loaded:
    """One service from its text, against the defaults and with any channels. Raises `InvalidConfiguration`."""
    report = Report()
    loaded = _service_text(text, file, Filler(environ or {}, report, lenient), Surroundings())
    report.raise_if_any()
    assert loaded is not None, "a document without problems is a service"
    return loaded


@dataclass(slots=True)
class Files:
    """Reads files, keeps their texts, and reports what cannot be read."""

    report: Report
    texts: dict[str, str]

    def __init__(self, report: Report) -> None:
        self.report = report
        self.texts = {}

    def read(self, path: Path) -> str | None:
        try:
            text = read_text(path, LARGEST)
        except UnicodeDecodeError:
            self.report.problem(Where(str(path)), "is not UTF-8 text", "save it as UTF-8")
            return None
        except OSError as error:
            self.report.problem(Where(str(path)), f"cannot be read: {error.strerror}", READABLE)
            return None
        self.texts[str(path)] = text
        return text


def _daemon(directory: Path, files: Files, filler: Filler) -> tuple[Settings, Values]:
    path, report = directory / DAEMON_FILE, files.report
    where = Where(str(path), 1, 1)
    root: Node = Table(where, ())
    if path.exists():
        text = files.read(path)
        root = (parse(text, str(path), report) if text is not None else None) or root
    elif not filler.lenient:
        right = "an empty file takes every value from the environment" if directory.is_dir() else "name the directory"
        report.problem(Where(str(path)), "there is no such file", right)
    if isinstance(root, Table):
        root = overlaid(root, filler.environ, DAEMON.names, report)
    return read_settings(filler.fill(root), report, lenient=filler.lenient)


def _service_files(directory: Path, report: Report) -> list[Path]:
    folder = directory / SERVICES
    found = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and not path.name.startswith("."))
    if not found:
        report.problem(Where(str(folder)), "there are no services", f"one file each, such as {folder}/my-worker.yaml")
    return found


def _service_file(path: Path, files: Files, filler: Filler, around: Surroundings) -> Loaded | None:
    text = files.read(path)
    return None if text is None else _service_text(text, str(path), filler, around)


def _service_text(text: str, file: str, filler: Filler, around: Surroundings) -> Loaded | None:
    report = filler.report
    before = len(report.problems)
    root = parse(text, file, report)
    if root is None:
        if len(report.problems) == before:
            report.problem(Where(file, 1, 1), "is empty", "a service: name, account, worker, signals, ladder, rules")
        return None
    return read_service(filler.fill(root), around, report)


def _check_together(loaded: Iterable[Loaded], report: Report) -> None:
    """What no two services may share: a name, a KV key, a script to deploy."""
    names: dict[str, Loaded] = {}
    levers: dict[tuple[str, ...], Loaded] = {}
    for one in loaded:
        service = one.service
        first = names.setdefault(service.name, one)
        if first is not one and service.name:
            wrong = f"a service `{service.name}` is in {first.where.file} already"
            report.problem(one.where.key("name"), wrong, "rename one of them")
        if (lever := _lever_of(service)) is None:
            continue
        first = levers.setdefault(lever, one)
        if first is not one:
            what = "KV key" if isinstance(service.ladder.lever, KvLever) else "script"
            wrong = f"service `{first.service.name}` moves the same {what}"
            report.problem(one.lever, wrong, "one lever, one service: give each its own, or merge the two files")


def _lever_of(service: Service) -> tuple[str, ...] | None:
    match service.ladder.lever:
        case KvLever(namespace, key):
            return ("kv", service.account, namespace, key) if namespace and key else None
        case DeploymentLever(script):
            return ("deployment", service.account, script) if script else None


def _configuration(settings: Settings, loaded: list[Loaded], texts: Mapping[str, str], report: Report) -> Configuration:
    services = tuple(one.service for one in loaded)
    return Configuration(
        settings=settings,
        services=services,
        entries=tuple(entry for one in loaded for entry in one.entries),
        warnings=tuple(report.warnings),
        texts=dict(texts),
        hash=_hash(_meaning(texts, services)),
        rule_fingerprints={key: value for one in loaded for key, value in _fingerprints(one).items()},
        recovery={one.service.name: one.recovery for one in loaded if one.recovery},
        questions={one.service.name: one.questions for one in loaded if one.questions},
    )


def _meaning(texts: Mapping[str, str], services: Iterable[Service]) -> str:
    """Everything that a decision can depend on, in an order that no hash seed changes."""
    parts = [f"{file}\n{text}" for file, text in sorted(_relative(texts).items())]
    parts += [repr((sorted(service.require), replace(service, require=frozenset()))) for service in services]
    return "\n".join(parts)


def _relative(texts: Mapping[str, str]) -> Mapping[str, str]:
    """By file name alone, so that where the directory lies changes no hash."""
    return {Path(file).name if DAEMON_FILE in file else f"{SERVICES}/{Path(file).name}": t for file, t in texts.items()}


def _fingerprints(one: Loaded) -> Mapping[tuple[str, str], str]:
    """What each rule means: itself, its signals, and how those are measured."""
    service = one.service
    sources = {entry.name: entry for entry in one.entries}
    found = {}
    for rule in service.rules:
        signals = [service.signals[name] for name in rule.signals]
        read = [(sources[signal.source].source, signal) for signal in signals]
        found[service.name, rule.name] = _hash(repr((rule, service.step, read)))
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
