"""The command line: flags -> settings -> inputs -> run -> exit status.

What the exit status says is `Exit` in model/errors.py. numpy and the engine are imported after the settings have been found right.
"""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, Protocol

from omezarr_proc import version
from omezarr_proc.app.parser import PROGRAM
from omezarr_proc.app.standard import say
from omezarr_proc.app.stop import STOPPED, Stop, Terminated, signals_raise
from omezarr_proc.app.words import named_as_given, place_output, refuse_misspelt, warn_of_misspelt
from omezarr_proc.config.secret import Mask, forget_environment, leave_no_core
from omezarr_proc.config.settings import Settings, table
from omezarr_proc.host.system import check_system
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import Exit, OutputError, ProcError, SettingsError, leading

if TYPE_CHECKING:
    from omezarr_proc.app.inputs import Input
    from omezarr_proc.app.progress import Report

# Verb: the module whose `main` does it, imported only then, and its line in --help.
VERBS = {
    "view": ("omezarr_proc.app.view", "look at datasets, or TIFFs as they are, in a web browser"),
    "validate": ("omezarr_proc.app.validate", "check datasets: metadata, chunks, with --deep also pixels"),
    "verify": ("omezarr_proc.app.verify", "compare datasets with the TIFFs that they were made of, pixel by pixel"),
    "restore": ("omezarr_proc.app.restore", "write the full resolution of a dataset as an OME-TIFF"),
    "upgrade": ("omezarr_proc.app.upgrade", "write the metadata of datasets in another version of NGFF"),
    "info": ("omezarr_proc.app.info", "tell what TIFFs and datasets hold"),
    "status": ("omezarr_proc.app.status", "tell which datasets are done, and which parts are to be started again"),
    "preview": ("omezarr_proc.app.preview", "make a picture of a dataset"),
    "clean": ("omezarr_proc.app.clean", "remove what unfinished conversions have left"),
    "memprofile": ("omezarr_proc.app.memprofile", "measure the memory of a conversion over time"),
}


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
    except KeyboardInterrupt:
        return _say(STOPPED[Exit.INTERRUPTED], Exit.INTERRUPTED)
    except Terminated:
        return _say(STOPPED[Exit.TERMINATED], Exit.TERMINATED)
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
        refuse_misspelt(arguments.files, VERBS)
    except SettingsError as error:
        arguments, wrong_flag = argparse.Namespace(files=[], dry_run=False, quiet=False, verbose=False), error
    check_system()
    given = {entry.variable: value for entry in table() if (value := getattr(arguments, entry.name, None)) is not None}
    settings, wrong_value = Settings.read(environ, given, files_named=bool(arguments.files))
    wrong = wrong_flag or wrong_value
    if settings.secrets():
        leave_no_core()
    with Mask(settings.secrets()).errors(), named_as_given(given):
        if wrong and settings.log_format == "text" and not settings.report:
            raise wrong
        return work(settings, arguments, wrong, stop, given)


def work(settings: Settings, arguments: argparse.Namespace, wrong: SettingsError | None, stop: Stop, given: Iterable[str]) -> int:
    """Convert or plan the inputs, unless something is `wrong` with the settings; returns the exit status. `given`: as flags."""
    from omezarr_proc.app import log, progress
    from omezarr_proc.app.account import Account, accounted

    json = settings.log_format == "json"
    verbose = arguments.verbose or json or settings.log_level == "DEBUG"
    report = progress.make_report(quiet=arguments.quiet, lines=json, verbose=verbose)
    log.configure(settings, report.write, quiet=arguments.quiet, ids=settings.ids(), many=lambda: report.many)
    warn_of_misspelt(os.environ)
    if json:
        stop.line = log.last_line(settings)
    if arguments.dry_run and not wrong:
        return plan(settings, arguments)
    try:
        with accounted(Account(settings, report, settings.ids())), named_as_given(given):
            if wrong:
                raise wrong
            convert_inputs(settings, arguments.files, report)
    except (ProcError, KeyboardInterrupt, Terminated) as error:
        if json:
            raise _Said(_status(error)) from None
        raise
    if not json and not arguments.quiet:
        report.write(Mask(settings.secrets())("".join(f"{line}\n" for line in report.table())))
    return leading(report.failures).exit if report.failures else Exit.OK


def convert_inputs(settings: Settings, files: Sequence[str], report: "Report") -> None:
    """Find the inputs and convert them."""
    from omezarr_proc.app.collect import collect

    # Of an image that failed, an empty folder would look like a dataset that is broken.
    new = settings.output_layout == "root" and not os.path.lexists(settings.output_dir)
    found = collect(settings, files, create_output=True)
    from omezarr_proc.app import batch as process

    try:
        process.run(settings, found, report)
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


def _status(error: BaseException) -> int:
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


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse flags and files in any order; leaves with SystemExit after --help, --version or a flag that does not exist."""
    parser = make_parser()
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    arguments, unknown = parser.parse_known_intermixed_args([*_with_values(words[:end])])
    if unknown:
        # only names: what follows a misspelt --session-token is a token
        flags = sorted({word.partition("=")[0] for word in unknown if word.startswith("-")})
        for entry in table():
            if entry.environment_only and entry.flag in flags:
                why = "`ps` would show the token" if entry.secret else "the platform gives it"
                parser.error(f"there is no flag {entry.flag}, since {why}: set {entry.variable} in the environment")
        parser.error(f"unknown flag {' '.join(map(repr, flags))} (a file of that name is given after --)")
    arguments.files += words[end + 1 :]
    place_output(arguments, second=not words[end + 1 :])
    return arguments


def _with_values(argv: Sequence[str]) -> Iterator[str]:
    """`--preview` by itself is `--preview=1`; a file that is named as one of its values is (0, 1, true, ...) is not meant after it."""
    switches = {entry.flag: entry.rule for entry in table() if entry.rule.switch}
    for word, following in pairwise([*argv, ""]):
        yield f"{word}=1" if word in switches and not switches[word].takes(following) else word


def make_parser() -> argparse.ArgumentParser:
    """Make the parser, with a flag for every row of the settings' table that is not given by the platform."""
    verbs = "; ".join(f"{verb}: {text}" for verb, (_, text) in VERBS.items())
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [flag ...] [FILE ...]\n       {PROGRAM} [flag ...] FILE OUTPUT\n       {PROGRAM} {{{','.join(VERBS)}}} ...",
        description="Convert OME-TIFF and TIFF images to multi-resolution OME-Zarr.",
        epilog=f"Verbs, each with its own --help: {verbs}. Every setting is an environment variable too (in capitals, - as _); flags win. "
        "Exit status: 0 all converted, 1 an input failed, 2 wrong settings or nothing to convert, 71 more memory is needed, 73 the output "
        "cannot be written, 75 run it again.",
        allow_abbrev=False,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="files to convert, instead of all TIFFs below --input-dir")
    parser.add_argument("--dry-run", action="store_true", help="print the plan for each image and write nothing")
    parser.add_argument("--quiet", action="store_true", help="show warnings and errors only")
    parser.add_argument("--verbose", action="store_true", help="tell of each image also where there are more than 20")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version()}")
    where = "the folder of the datasets, or with a name that ends in .zarr the dataset of the one image (--output-layout root)"
    parser.add_argument("-o", dest="output", metavar="PLACE", help=where)
    settings = parser.add_argument_group("settings")
    for entry in table():
        if entry.environment_only:
            continue
        default = f" (default {entry.default_text})" if entry.default_text else ""
        text = "; ".join(filter(None, (entry.help, entry.rule.text))) + default
        metavar = "[VALUE]" if entry.rule.switch else "VALUE"
        settings.add_argument(entry.flag, dest=entry.name, metavar=metavar, help=text.replace("%", "%%"))
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        message = re.sub(r"explicit argument .*", "its value: this flag takes none", message)
        raise SettingsError(f"{message}; see --help")


def _say(message: object, status: int) -> int:
    text = " ".join(str(message).splitlines())
    say(f"{PROGRAM}: {text}\n")
    return status
