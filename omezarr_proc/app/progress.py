"""How far a run is: a `Report` that shows it as a bar on a terminal, as log lines elsewhere, or not at all."""

import time
from typing import Any, TextIO

from loguru import logger

from omezarr_proc.app.report import Aside, Report
from omezarr_proc.app.results import Clock
from omezarr_proc.app.standard import Lossy
from omezarr_proc.model.text import counted, duration, quantity, shown

PERCENT_STEP = 5
MIN_SECONDS = 1.0  # between two lines: small images are done before they would need one
MAX_SECONDS = 30.0


class LineReport(Report):
    """A log line every PERCENT_STEP percent, but none within MIN_SECONDS of the last one and one after MAX_SECONDS at the latest.

    Of many images these are percent of all inputs.
    """

    def __init__(self, clock: Clock = time.monotonic, *, verbose: bool = True) -> None:
        super().__init__(verbose=verbose)
        self._clock = clock
        self._name, self._unit, self._total, self._done, self._before = "", "", 0, 0, 0
        self._begun = self._said_at = 0.0
        self._said_percent = 0
        self._run_begun = self._run_said_at = clock()
        self._run_percent = 0

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image."""
        self._name, self._unit, self._total = shown(name), unit, total
        self._done = self._before = done
        self._begun = self._said_at = self._clock()
        self._said_percent = 100 * done // total if total else 0
        logger.debug(f"{self._name}: {quantity(total - done, unit)} to do")

    def advance(self, amount: int) -> None:
        """Count and show what is done."""
        self._done += amount
        now = self._clock()
        percent = 100 * self._done // self._total if self._total else 100
        waited = now - max(self._said_at, self._run_said_at if self.many else 0.0)
        if waited < (MAX_SECONDS if self.many else MIN_SECONDS) or (percent < self._said_percent + PERCENT_STEP and waited < MAX_SECONDS):
            return
        self._said_at, self._said_percent = now, percent
        rate = (self._done - self._before) / (now - self._begun)
        left = f", {duration(max(0, self._total - self._done) / rate)} left" if rate else ""
        text = f"{self.place}{self._name}: {percent} % of {quantity(self._total, self._unit)}, {quantity(rate, self._unit)}/s{left}"
        logger.bind(event="progress", image=self._name, percent=percent, rate=round(rate), unit=self._unit).info(text)

    def at(self, number: int, of: int) -> None:
        """Say from time to time how far many inputs are."""
        super().at(number, of)
        self._say_how_far()

    def again(self, image: Aside) -> None:
        """Come back to it; this says how far many are, too."""
        super().again(image)
        self._say_how_far()

    def _say_how_far(self) -> None:
        """What is left takes as long as what is made so far has taken: of images that wait for their names the work is done."""
        if not self.many:
            return
        number, of, now = self._number, self._of, self._clock()
        percent, waited = 100 * (number - 1) // of, now - self._run_said_at
        if waited < MIN_SECONDS or (percent < self._run_percent + PERCENT_STEP and waited < MAX_SECONDS):
            return
        done = len(self.results.done) - len(self.failures)
        self._run_said_at, self._run_percent = now, percent
        failed = f", {len(self.failures)} failed" if self.failures else ""
        left = f", {duration((of - self.made) * (now - self._run_begun) / self.made)} left" if 0 < self.made <= of else ""
        logger.bind(event="progress").info(f"{number} of {of}: {counted(done, 'image')} done{failed}{left}")


class BarReport(Report):
    """A tqdm bar on a terminal, of an image or of many inputs; log lines that go through `write` appear above it.

    A small image is made in a moment, by one worker, so what is shown is how many there are.
    """

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = True) -> None:
        import threading

        from tqdm import tqdm

        super().__init__(verbose=verbose)
        tqdm.monitor_interval = 0  # no monitor thread: workers are forked
        tqdm.set_lock(threading.RLock())  # the default one wants a semaphore
        self._tqdm = tqdm
        self._stream = Lossy(stream)
        self._bar: Any = None
        self._inputs: Any = None
        self._begun = time.time()

    def at(self, number: int, of: int) -> None:
        """Show how far the inputs are."""
        super().at(number, of)
        self._show_inputs()

    def again(self, image: Aside) -> None:
        """Come back to an image, of which more is made."""
        super().again(image)
        self._show_inputs()

    def _show_inputs(self) -> None:
        of = self._turn[1]
        if of < 2 or self._bar is not None:
            return
        if self._inputs is None:
            self._inputs = self._tqdm(total=of, desc="inputs", unit="image", file=self._stream, leave=False, dynamic_ncols=True)
            self._inputs.start_t = self._begun
        self._inputs.update(max(0, min(self.made, of) - self._inputs.n))

    def start(self, name: str, total: int, unit: str = "px", done: int = 0) -> None:
        """Begin an image."""
        self.end()
        name = f"{self.place}{shown(name)}"
        self._bar = self._tqdm(
            total=total, initial=done, desc=name, unit=unit, unit_scale=True, file=self._stream, leave=False, dynamic_ncols=True
        )

    def advance(self, amount: int) -> None:
        """Count and show what is done."""
        self._bar.update(amount)

    def leave(self) -> None:
        """Take the image's bar away."""
        super().leave()
        self._close_bar()

    def end(self) -> None:
        """Take all bars away."""
        self._close_bar()
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def write(self, text: str) -> None:
        """Write above the bar."""
        self._tqdm.write(text, file=self._stream, end="")
        self._stream.flush()


def make_report(*, quiet: bool = False, lines: bool = False, verbose: bool = True) -> Report:
    """Choose what fits stderr: nothing when `quiet`, a bar on a terminal unless `lines` are asked for (JSON logs), else lines."""
    if quiet:
        return Report(verbose=verbose)
    return LineReport(verbose=verbose) if lines or not Lossy().isatty() else BarReport(verbose=verbose)
