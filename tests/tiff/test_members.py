"""Multi-file sets: found by name or UUID, in the folder of the file only, and never silently incomplete."""

import pytest
from ome import SPACE, page, xml
from tiffs import build, grey, save

from omezarr_proc.model.errors import InputError
from omezarr_proc.tiff.describe import images as tiff


@pytest.fixture
def files(tmp_path):
    names = [f"img_Z{i}.ome.tif" for i in (9, 10, 11)]
    return [save(tmp_path / name, page(i, xml(i, names))) for i, name in enumerate(names)]


@pytest.mark.parametrize("entry", [0, 1, 2])
def test_any_member_opens_the_whole_set(files, entry):
    (image,) = tiff.open_images(files[entry])
    assert image.files[0] == files[entry]
    assert [image.files[plane.file] for plane in image.planes] == files
    assert sorted(image.files) == sorted(files)


def test_a_plain_file_is_its_own_set(tmp_path):
    path = save(tmp_path / "x.tif", build([grey(bytes(12), 4, 3)]))
    (image,) = tiff.open_images(path)
    assert image.files == (path,)


def test_a_missing_member_is_an_error_or_none(files, tmp_path):
    (tmp_path / "img_Z10.ome.tif").unlink()
    with pytest.raises(InputError, match=r"img_Z10\.ome\.tif of its set is missing"):
        tiff.open_images(files[0])
    (image,) = tiff.open_images(files[0], on_missing="fill")
    assert [plane is None for plane in image.planes] == [False, True, False]
    assert image.files == (files[0], files[2])


def test_renamed_members_are_found_by_uuid(files, tmp_path):
    for number, path in enumerate(files):
        (tmp_path / path.rsplit("/", 1)[1]).rename(tmp_path / f"renamed {number}.tif")
    (image,) = tiff.open_images(str(tmp_path / "renamed 1.tif"))
    assert [image.files[plane.file].rsplit("/", 1)[1] for plane in image.planes] == ["renamed 0.tif", "renamed 1.tif", "renamed 2.tif"]


@pytest.mark.parametrize("name", ["../secret.ome.tif", "{outside}/secret.ome.tif", "..\\secret.ome.tif", "sub/../../secret.ome.tif"])
def test_members_are_only_looked_for_in_the_folder(tmp_path, name):
    inside, outside = tmp_path / "in", tmp_path
    inside.mkdir()
    save(outside / "secret.ome.tif", page(1, "x"))
    path = save(inside / "a.ome.tif", page(0, xml(0, ["a.ome.tif", name.format(outside=outside)])))
    with pytest.raises(InputError, match="missing"):
        tiff.open_images(path)
    (image,) = tiff.open_images(path, on_missing="fill")
    assert image.files == (path,)


def test_a_single_file_that_was_renamed_is_itself(tmp_path):
    text = xml(0, ["old name.ome.tif"]).replace(' UUID="urn:uuid:u0"', "")
    (image,) = tiff.open_images(save(tmp_path / "new name.ome.tif", page(0, text)))
    assert len(image.planes) == 1


def test_binary_only_files_follow_their_companion(tmp_path):
    names = ["a.ome.tif", "b.ome.tif"]
    (tmp_path / "x.companion.ome").write_text(xml(7, names))
    files = []
    for number, name in enumerate(names):
        text = f'<OME {SPACE} UUID="urn:uuid:u{number}"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:u7"/></OME>'
        files.append(save(tmp_path / name, page(number, text)))
    for entry in (*files, str(tmp_path / "x.companion.ome")):
        (image,) = tiff.open_images(entry)
        assert (image.size_z, [image.files[plane.file] for plane in image.planes]) == (2, files)
    (tmp_path / "x.companion.ome").rename(tmp_path / "renamed.ome")
    assert tiff.open_images(files[0])[0].size_z == 2
    (tmp_path / "renamed.ome").unlink()
    with pytest.raises(InputError, match=r"metadata are in 'x\.companion\.ome'"):
        tiff.open_images(files[0])


def test_an_unreadable_member_is_named(files, tmp_path):
    (tmp_path / "img_Z11.ome.tif").write_bytes(b"not a tiff at all")
    with pytest.raises(InputError, match=r"img_Z11\.ome\.tif: not a TIFF"):
        tiff.open_images(files[0])
