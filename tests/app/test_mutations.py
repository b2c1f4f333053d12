"""Any change of a dataset that a reader could be misled by is found by `verify`: 500 at random, a few of them in the fast tests."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from datasets import made

from omezarr_proc.app.verify import verify_all

DATASETS: list[tuple[str, int, tuple[str, ...]]] = [
    ("rgb", 3, ()),
    ("rgb", 2, ("--initial-downsample", "1", "--downsample-method", "max")),
    ("rgb", 3, ("--initial-downsample", "1", "--sharding", "on")),
    ("stack", 3, ("--initial-downsample", "1")),
    ("stack", 3, ("--z-chunk", "2", "--z-downsample", "isotropic", "--initial-downsample", "1")),
    ("time", 2, ()),
    ("time", 3, ("--downsample-method", "mode", "--channel-chunking", "bundled", "--initial-downsample", "1")),
    ("float", 3, ("--downsample-method", "nearest",)),
]  # fmt: skip


class Mutation:
    """One change of a dataset at random; `text` says which, and nothing is changed where it would be none."""

    def __init__(self, dataset: Path, chance: random.Random) -> None:
        self.dataset, self.chance = dataset, chance
        self.levels = sorted(int(path.name) for path in dataset.iterdir() if path.name.isdecimal())
        self.kind = chance.choice(KINDS)
        self.text = self.kind(self)

    def level(self) -> tuple[str, zarr.Array[Any]]:
        path = str(self.chance.choice(self.levels))
        return path, zarr.open_array(self.dataset / path, mode="r+")

    def pixel(self) -> str:
        path, level = self.level()
        place = tuple(self.chance.randrange(size) for size in level.shape)
        before = level[place]
        after = np.nextafter(before, np.float32(9)) if level.dtype.kind == "f" else before ^ level.dtype.type(1 << self.chance.randrange(7))
        level[place] = after
        return f"pixel {place} of level {path} is {after}, was {before}"

    def neighbours(self) -> str:
        path, level = self.level()
        axes = [axis for axis in range(level.ndim) if level.shape[axis] >= 2 * level.chunks[axis]]
        if not axes:
            return ""
        axis, chunks, all_pixels = self.chance.choice(axes), level.chunks, level[...]
        first = [self.chance.randrange(0, max(1, size - chunk + 1), chunk) for size, chunk in zip(level.shape, chunks, strict=True)]
        first[axis] = chunks[axis] * self.chance.randrange(level.shape[axis] // chunks[axis] - 1)
        one = tuple(slice(a, a + chunk) for a, chunk in zip(first, chunks, strict=True))
        other = (*one[:axis], slice(one[axis].stop, one[axis].stop + chunks[axis]), *one[axis + 1 :])
        a, b = all_pixels[one], all_pixels[other]
        level[one], level[other] = b, a
        return "" if np.array_equal(a, b) else f"chunks {first} and the next along axis {axis} of level {path} are swapped"

    def shifted(self) -> str:
        path, level = self.level()
        axis, by = self.chance.choice([level.ndim - 2, level.ndim - 1]), self.chance.choice([-1, 1])
        before = level[...]
        level[...] = np.roll(before, by, axis)
        return "" if np.array_equal(level[...], before) else f"level {path} is shifted by {by} along axis {axis}"

    def plane(self) -> str:
        path, level = self.level()
        axes = [axis for axis in range(level.ndim - 2) if level.shape[axis] > 1]
        if not axes:
            return ""
        axis = self.chance.choice(axes)
        to, source = self.chance.sample(range(level.shape[axis]), 2)
        place = [self.chance.randrange(size) for size in level.shape[:-2]]
        before, place[axis] = (*place[:axis], source, *place[axis + 1 :]), to
        level[tuple(place)] = level[before]
        return f"plane {place} of level {path} is that of {source}"

    def form(self, edit: Callable[[dict[str, Any]], str]) -> str:
        """Change one of the forms that the metadata have, or both alike."""
        root = self.dataset / ("zarr.json" if (self.dataset / "zarr.json").exists() else ".zattrs")
        content = json.loads(root.read_text())
        there = content.get("attributes", content)
        forms = [there, *([there["ome"]] if "ome" in there else [])]
        chosen, state = self.chance.choice([forms, forms[:1], forms[-1:]]), self.chance.getstate()
        for form in chosen:
            self.chance.setstate(state)
            text = edit(form)
        root.write_text(json.dumps(content))
        return text and f"{text} in {len(chosen)} of {len(forms)} forms"

    def half_a_pixel(self) -> str:
        def edit(form: dict[str, Any]) -> str:
            number = self.chance.choice(self.levels)
            scale, translation = (step[step["type"]] for step in form["multiscales"][0]["datasets"][number]["coordinateTransformations"])
            axis, which = self.chance.choice([-2, -1]), self.chance.choice(["scale", "translation"])
            by = scale[axis] / 2 if which == "translation" else scale[axis] * self.chance.choice([-0.5, 0.5, 0.001])
            {"scale": scale, "translation": translation}[which][axis] += by
            return f"{which} {axis} of level {number} is off by {by}"

        return self.form(edit)

    def channel(self) -> str:
        def edit(form: dict[str, Any]) -> str:
            channels = form["omero"]["channels"]
            channel, key = self.chance.choice(channels), self.chance.choice(["label", "color", "active", "inverted", "order"])
            if key == "order":
                channels.reverse()
                return "channels are in another order" if len(channels) > 1 else ""
            changed = {"label": f"{channel['label']}b", "color": "13579B"}
            channel[key] = changed.get(key, not channel[key])
            return f"{key} of a channel is {channel[key]}"

        return self.form(edit)

    def window(self) -> str:
        def edit(form: dict[str, Any]) -> str:
            window, key = self.chance.choice(form["omero"]["channels"])["window"], self.chance.choice(["min", "max", "start", "end"])
            window[key] += self.chance.choice([-1.0, 0.5, 1.0])
            return f"{key} of a window is {window[key]}"

        return self.form(edit)

    def chunk(self) -> str:
        path = str(self.chance.choice(self.levels))
        chunks = sorted(found for found in (self.dataset / path).rglob("*") if found.is_file() and found.name.isdecimal())
        chosen = self.chance.choice(chunks)
        if self.chance.random() < 0.5:
            chosen.write_bytes(chosen.read_bytes()[: self.chance.randrange(chosen.stat().st_size)])
            return f"{chosen.relative_to(self.dataset)} ends early"
        chosen.unlink()
        return f"{chosen.relative_to(self.dataset)} is missing"


KINDS: list[Callable[[Mutation], str]] = [
    *(Mutation.pixel, Mutation.neighbours, Mutation.shifted, Mutation.plane),
    *(Mutation.half_a_pixel, Mutation.channel, Mutation.window, Mutation.chunk),
]


def mutated(folder: Path, seed: int) -> tuple[Path, str]:
    """A dataset with its source beside it, and what was changed in it."""
    for attempt in range(20):
        chance = random.Random(100 * seed + attempt)
        name, zarr_format, flags = chance.choice(DATASETS)
        original = made(name, zarr_format, *flags)
        dataset = folder / str(seed) / f"{attempt}" / original.name
        dataset.parent.mkdir(parents=True)
        os.link(original.with_name("a.ome.tif"), dataset.with_name("a.ome.tif"))
        shutil.copytree(original, dataset)
        if text := Mutation(dataset, chance).text:
            return dataset, f"seed {seed}, {name} {flags}: {text}"
        shutil.rmtree(dataset)
    raise AssertionError("no mutation changes anything")


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(1000, 1500), marks=pytest.mark.slow)], ids=["8", "500"])
def test_every_mutation_is_found(seeds: range, tmp_path: Path) -> None:
    changes = [mutated(tmp_path, seed) for seed in seeds]
    as_they_were = [made(*dataset[:2], *dataset[2]) for dataset in DATASETS[:: max(1, 16 // len(seeds))]]
    found = list(verify_all([*as_they_were, *(dataset for dataset, _ in changes)], None, None))
    assert [str(one.path) for one in found[: len(as_they_were)] if not one.proven] == []
    unseen = [text for one, (_, text) in zip(found[len(as_they_were) :], changes, strict=True) if one.proven]
    assert unseen == []
