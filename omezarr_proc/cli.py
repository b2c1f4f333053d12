"""The command line: flags -> settings -> inputs -> run -> exit status.

What the exit status says is `Exit` in model/errors.py. numpy and the engine are imported after the settings have been found right.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from omezarr_proc.app.flags import VERBS, parse
from omezarr_proc.app.parser import PROGRAM
from omezarr_proc.app.standard import say
from omezarr_proc.app.stop import GOES_ON, STOPPED, Stop, Terminated, json_line, signals_raise
from omezarr_proc.app.words import flags_meant, named_as_given, refuse_misspelt, warn_of_misspelt
from omezarr_proc.config.reading import read_settings
from omezarr_proc.config.secret import Mask, forget_environment, leave_no_core
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.host.system import check_system
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit, OutputError, ProcError, SettingsError, leading

if TYPE_CHECKING:
    from omezarr_proc.app.inputs import Input
    from omezarr_proc.app.report import Report


class Verb(Protocol):
    """The module of a verb."""

    def main(self, argv: list[str]) -> int:
        """Do it with the words after the verb; returns the exit status."""


class _Said(Exception):  # noqa: N818  nothing is wrong with it
    """The run has ended as `status` says, and the log has it."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def main(argv: Sequence[str] | None = None) -> int:
    """Convert as the environment and `argv` say and return the exit status; errors are one line on stderr."""
    stop = Stop(lambda status, text: f"{PROGRAM}: {text}\n")
    try:
        with signals_raise(stop):
            return convert(sys.argv[1:] if argv is None else argv, stop)
    except _Said as said:
        return said.status
    except ProcError as error:
        return _say(error, error.exit)
    except (KeyboardInterrupt, Terminated) as error:
        status = _status(error)
        say(stop.line(status, STOPPED[status]))
        return status
    except SystemExit as done:  # argparse: --help, --version, a wrong flag
        return int(done.code or 0)


def convert(argv: Sequence[str], stop: Stop) -> int:
    """Convert, or do what a verb as the first word says; a file that is named like a verb is given as `./view`.

    The verb `convert` may be left out.
    """
    environ = dict(os.environ)
    forget_environment()
    argv = argv[1:] if argv and argv[0] == "convert" else argv
    if argv and argv[0] in VERBS:
        module: Verb = importlib.import_module(VERBS[argv[0]][0])
        return printing(lambda: module.main(list(argv[1:])))
    try:
        arguments, wrong_flag = parse(argv), None
        refuse_misspelt(arguments.files, (*VERBS, "convert"))
    except SettingsError as error:
        arguments, wrong_flag = argparse.Namespace(files=[], dry_run=False, quiet=False, verbose=False), error
    check_system()
    given = {entry.variable: value for entry in table() if (value := getattr(arguments, entry.name, None)) is not None}
    settings, wrong_value = read_settings(environ, given, files_named=bool(arguments.files))
    if settings.log_format == "json":
        stop.line = json_line(settings)
    wrong = wrong_flag or wrong_value
    if settings.secrets():
        leave_no_core()
    names = flags_meant(environ, given, argv)
    with Mask(settings.secrets()).errors(), named_as_given(names):
        if wrong and settings.log_format == "text" and not settings.report:
            raise wrong
        return work(settings, arguments, wrong, names)


def work(settings: Settings, arguments: argparse.Namespace, wrong: SettingsError | None, names: Iterable[str]) -> int:
    """Convert or plan the inputs, unless something is `wrong` with the settings, whose `names` are flags here; returns the exit status."""
    from omezarr_proc.app import log, progress
    from omezarr_proc.app.account import Account, accounted

    json = settings.log_format == "json"
    verbose = arguments.verbose or json or settings.log_level == "DEBUG"
    report = progress.make_report(quiet=arguments.quiet, lines=json, verbose=verbose)
    log.configure(settings, report.write, quiet=arguments.quiet, ids=settings.ids(), many=lambda: report.many)
    warn_of_misspelt(os.environ)
    if arguments.dry_run and not wrong:
        return plan(settings, arguments)
    try:
        with accounted(Account(settings, report, settings.ids())), named_as_given(names):
            if wrong:
                raise wrong
            convert_inputs(settings, arguments.files, report)
    except (ProcError, KeyboardInterrupt, Terminated) as error:
        status = _status(error)
        if json:
            raise _Said(status) from None
        if isinstance(error, ProcError):
            raise
        raise _Said(_say(STOPPED[status] + GOES_ON, status)) from None
    if not json and not arguments.quiet:
        report.write(Mask(settings.secrets())("".join(f"{line}\n" for line in report.table())))
    return leading(report.failures).exit if report.failures else Exit.OK


def convert_inputs(settings: Settings, files: Sequence[str], report: "Report") -> None:
    """Find the inputs and convert them."""
    from omezarr_proc.app.collect import collect

    # Of an image that failed, an empty folder would look like a dataset that is broken.
    new = settings.output_layout == "root" and not os.path.lexists(settings.output_dir)
    found = collect(settings, files, create_output=True)
    from omezarr_proc.app import batch

    try:
        batch.run(settings, found, report)
    finally:
        report.end()
        if new and not isinstance(settings.output_dir, Address):
            with suppress(OSError):  # something is in it
                settings.output_dir.rmdir()


def plan(settings: Settings, arguments: argparse.Namespace) -> int:
    """Find the inputs and print what would be done."""
    from omezarr_proc.app.collect import collect

    found = collect(settings, arguments.files, create_output=False)
    return printing(lambda: print_plan(settings, found))


def _status(error: BaseException) -> Exit:
    if isinstance(error, ProcError):
        return error.exit
    return Exit.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Exit.TERMINATED


def print_plan(settings: Settings, found: "Iterable[Input]") -> int:
    """Print what would be done, and return the exit status."""
    from omezarr_proc.app.plan import dry_run
    from omezarr_proc.model.text import one_line

    mask = Mask(settings.secrets())
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    failed = False
    for line, is_error in dry_run(settings, found):
        print(one_line(mask(line)))
        failed |= is_error
    return Exit.INPUT_FAILED if failed else Exit.OK


def printing(work: Callable[[], int]) -> int:
    """Do work whose result is what it prints on stdout, and return its exit status. Raises OutputError where that cannot be written.

    A reader that has seen enough (`--dry-run | head`) is no error.
    """
    try:
        status = work()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:
        if error.filename is not None:  # not stdout's
            raise
        raise OutputError(f"the result cannot be written to stdout: {error.strerror or error}") from error
    return status


def _say(message: object, status: int) -> int:
    text = " ".join(str(message).splitlines())
    say(f"{PROGRAM}: {text}\n")
    return status
