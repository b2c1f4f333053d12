"""The share of a part of one image: the levels up to the one that its cut says, of its regions. Nothing is published."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from omezarr_proc.build.image import Conversion, noted
from omezarr_proc.build.passes import Build
from omezarr_proc.model.errors import InputError
from omezarr_proc.model.region import Region

if TYPE_CHECKING:
    from omezarr_proc.publish.shares import Share
    from omezarr_proc.publish.store_shares import StoreShare


def make_share(conversion: Conversion, share: "Share | StoreShare", last: int, regions: Iterable[Region]) -> None:
    """Make the levels 0 to `last` of `regions` (of the base level, in its pixels), and note that in `share`.

    Raises ProcError; what is finished by then waits for the next run; after an InputError nothing of it is noted any more.
    """
    levels = replace(conversion.pyramid, levels=conversion.pyramid.levels[: last + 1])
    store = conversion.store(share.objects, levels)
    engine, report = conversion.means.engine, conversion.means.report
    build = Build(image=conversion.image, store=store, engine=engine, tree=share, progress=report, within=tuple(regions))
    try:
        with noted(share):
            conversion.attempts.run(build, share.flush)
            conversion.refuse_changed()  # before the end is noted
    except InputError:
        share.give_up()
        conversion.refuse_changed()
        raise
