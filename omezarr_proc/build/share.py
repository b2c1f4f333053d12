"""The share of a part of one dataset: of an image the levels up to the one that its cut says, of some regions; of a plate some fields.

Nothing is published.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from omezarr_proc.build.image import Conversion, noted
from omezarr_proc.build.passes import Build
from omezarr_proc.build.plate import PlateConversion
from omezarr_proc.model.errors import InputError
from omezarr_proc.plan.shares import Cut, FieldCut, Piece

if TYPE_CHECKING:
    from omezarr_proc.publish.shares import Share
    from omezarr_proc.publish.store_shares import StoreShare


def make_share(conversion: Conversion | PlateConversion, share: "Share | StoreShare", cut: Cut | FieldCut, pieces: Sequence[Piece]) -> None:
    """Make what of a dataset lies in `pieces`, and note that in `share`.

    Raises ProcError; what is finished by then waits for the next run; after an InputError nothing of an image is noted any more.
    """
    if isinstance(conversion, PlateConversion):
        _make_fields(conversion, share, pieces)
    elif isinstance(cut, Cut):
        _make_regions(conversion, share, cut, pieces)


def _make_fields(conversion: PlateConversion, share: "Share | StoreShare", pieces: Sequence[Piece]) -> None:
    paths = list(conversion.fields)
    with noted(share):
        conversion.make(share, [path for piece in pieces for path in paths[piece.start : piece.stop]])
        share.flush()
        conversion.refuse_changed()  # before the end is noted


def _make_regions(conversion: Conversion, share: "Share | StoreShare", cut: Cut, pieces: Sequence[Piece]) -> None:
    levels = replace(conversion.pyramid, levels=conversion.pyramid.levels[: cut.last + 1])
    within = tuple(region for piece in pieces for region in cut.regions(piece.start, piece.stop))
    store = conversion.store(share.objects, levels)
    engine, report = conversion.means.engine, conversion.means.report
    build = Build(image=conversion.image, store=store, engine=engine, tree=share, progress=report, within=within)
    try:
        with noted(share):
            conversion.attempts.run(build, share.flush)
            conversion.refuse_changed()  # before the end is noted
    except InputError:
        share.give_up()
        conversion.refuse_changed()
        raise
