"""Where the species of a recipe come from, the cache, and the local library."""

import gzip
import http.server
import threading
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from cryosiam.cli.main import app
from cryosiam.errors import InputError, ProductExistsError
from cryosiam.simulation.download import download_structure
from cryosiam.simulation.library_entry import add_structure
from cryosiam.simulation.sources import load_all, load_species
from cryosiam.simulation.spec import SpeciesSpec
from cryosiam.simulation.species import size_class
from cryosiam.simulation.species_cache import SpeciesCache
from cryosiam.simulation.structure_store import ReadingHints, StructureStore

PDB_TEXT = "".join(
    f"ATOM  {5 * i + j + 1:5d}  {name:<3s} ALA A{i + 1:4d}    {place[0]:8.3f}{place[1]:8.3f}{place[2]:8.3f}  1.00 20.00"
    f"           {name[0]}\n"
    for i in range(60)
    for j, name in enumerate(("N", "CA", "C", "O", "CB"))
    for place in [np.random.default_rng([i, j]).normal(0, 9, 3)]
)


def cif_text():
    structure = gemmi.read_pdb_string(PDB_TEXT)
    structure.setup_entities()
    return structure.make_mmcif_document().as_string()


@pytest.fixture
def structure(tmp_path):
    path = tmp_path / "files" / "blob.pdb"
    path.parent.mkdir()
    path.write_text(PDB_TEXT)
    return path


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYOSIAM_STRUCTURES", str(tmp_path / "library"))
    return StructureStore.of_user()


def ball_map(path, voxel):
    z, y, x = np.indices((31, 31, 31)) - 15
    with mrcfile.new(path) as file:
        file.set_data((-5.0 / (1 + np.exp(2 * (np.sqrt(x**2 + y**2 + z**2) - 9)))).astype(np.float32))
        file.voxel_size = voxel
    return path


def same(a, b):
    return (
        (a.name, a.radius_angstrom, a.mass_kda, a.symmetry) == (b.name, b.radius_angstrom, b.mass_kda, b.symmetry)
        and np.array_equal(a.density, b.density)
        and np.array_equal(a.mask, b.mask)
    )


@pytest.mark.parametrize(
    ("mass", "name"),
    [(5, "tiny"), (39.9, "tiny"), (40, "small"), (200, "medium"), (600, "big"), (1000, "very big"), (4e6, "very big")],
)
def test_size_classes_are_those_of_the_thesis(mass, name):
    assert size_class(mass) == name


def test_a_mass_that_is_none_has_no_size_class():
    for mass in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="no size class"):
            size_class(mass)


def test_built_in_shapes_take_the_recipe_s_name_and_radius():
    spec = SpeciesSpec(name="mine", source="builtin:cage", radius_angstrom=61.0)
    species = load_species(spec, 10.0)
    assert (species.name, species.radius_angstrom, species.size_class) == ("mine", 61.0, "big")
    with pytest.raises(InputError, match=r"species mine: no built-in shape 'cagge'; there are capsid, .*receptor"):
        load_species(SpeciesSpec(name="mine", source="builtin:cagge"), 10.0)


def test_files_are_found_beside_the_recipe_then_with_the_structures(structure, tmp_path):
    spec = SpeciesSpec(name="blob", source="blob.pdb")
    here = load_species(spec, 8.0, recipe_dir=structure.parent, structures_dir=tmp_path)
    there = load_species(spec, 8.0, recipe_dir=tmp_path, structures_dir=structure.parent)
    absolute = load_species(SpeciesSpec(name="blob", source=str(structure)), 8.0)
    assert same(here, there)
    assert same(here, absolute)
    with pytest.raises(InputError, match=r"species blob: there is no .*blob\.pdb nor .*--structures"):
        load_species(spec, 8.0, recipe_dir=tmp_path, structures_dir=tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "blob.mmtf").write_bytes(b"x")
    with pytest.raises(InputError, match=r"blob\.mmtf is neither an atomic model"):
        load_species(SpeciesSpec(name="blob", source="blob.mmtf"), 8.0, recipe_dir=tmp_path)


def test_species_are_kept_by_content_settings_and_voxel_size(structure, tmp_path):
    cache = SpeciesCache(tmp_path / "cache")
    specs = [SpeciesSpec(name="blob", source="blob.pdb"), SpeciesSpec(name="cage", source="builtin:cage")]

    def load(voxel=8.0):
        return load_all(specs, voxel, structures_dir=structure.parent, cache=cache)

    first = load()
    assert list(first) == ["blob", "cage"]
    (kept,) = cache.folder.glob("*.npz")
    written = kept.stat().st_mtime_ns
    again = load()
    assert same(first["blob"], again["blob"])
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(kept.read_bytes()[:200])
    assert same(first["blob"], load()["blob"])
    assert kept.stat().st_size > 200
    load(9.0)
    structure.write_text(PDB_TEXT.replace(" CB ", " CG "))
    load()
    assert len(list(cache.folder.glob("*.npz"))) == 3
    assert not list(cache.folder.glob(".*"))


def test_a_flipped_byte_in_the_cache_is_noticed(structure, tmp_path):
    cache = SpeciesCache(tmp_path / "cache")
    specs = [SpeciesSpec(name="blob", source="blob.pdb")]
    first = load_all(specs, 8.0, structures_dir=structure.parent, cache=cache)["blob"]
    (kept,) = cache.folder.glob("*.npz")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 255
    kept.write_bytes(content)
    assert same(first, load_all(specs, 8.0, structures_dir=structure.parent, cache=cache)["blob"])


def test_a_cache_that_cannot_be_written_costs_only_time(structure, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    species = load_all(
        [SpeciesSpec(name="blob", source="blob.pdb")], 8.0, structures_dir=structure.parent, cache=SpeciesCache(blocked)
    )
    assert species["blob"].mass_kda > 0


def test_the_library_keeps_files_by_name_and_hands_them_out(structure, store):
    card = add_structure(str(structure), name="my-blob")
    assert card.mass_kda == pytest.approx(60 * 71.08 / 1e3, rel=0.02)
    assert card.size_class == "tiny"
    structure.unlink()
    species = load_species(SpeciesSpec(name="other", source="library:my-blob"), 8.0)
    assert species.name == "other"
    assert [one.name for one in store.cards()] == ["my-blob"]
    store.remove("my-blob")
    assert list(store.folder.iterdir()) == []
    with pytest.raises(InputError, match=r"no structure 'my-blob' \(there: it is empty\)"):
        load_species(SpeciesSpec(name="other", source="library:my-blob"), 8.0)


def test_a_name_is_taken_once_unless_overwritten(structure, store):
    add_structure(str(structure), name="blob")
    with pytest.raises(ProductExistsError, match="holds a structure 'blob' already"):
        add_structure(str(structure), name="blob")
    zipped = structure.with_suffix(".pdb.gz")
    zipped.write_bytes(gzip.compress(structure.read_bytes()))
    assert add_structure(str(zipped), name="blob", overwrite=True).file == "blob.pdb.gz"
    assert sorted(path.name for path in store.folder.iterdir()) == ["blob.json", "blob.pdb.gz"]
    for name in ("a_b", "../up", "", "a b"):
        with pytest.raises(InputError, match="cannot name a structure"):
            add_structure(str(structure), name=name)


def test_what_cannot_be_read_leaves_no_trace(tmp_path, store):
    bad = tmp_path / "bad.pdb"
    bad.write_text("END\n")
    with pytest.raises(InputError):
        add_structure(str(bad))
    assert not store.folder.exists()


def test_a_damaged_card_or_a_lost_file_is_said(structure, store):
    add_structure(str(structure), name="blob")
    (store.folder / "blob.pdb").unlink()
    with pytest.raises(InputError, match=r"blob\.pdb is gone"):
        store.file("blob")
    (store.folder / "blob.json").write_text("[]")
    with pytest.raises(InputError, match="is no structure's card"):
        store.card("blob")


def test_the_library_remembers_how_a_map_is_read(tmp_path, store):
    path = ball_map(tmp_path / "ball.mrc", 1.0)
    add_structure(str(path), hints=ReadingHints(map_voxel_size_angstrom=6.0, inverted=True))
    species = load_species(SpeciesSpec(name="ball", source="library:ball"), 6.0)
    assert species.radius_angstrom == pytest.approx(56, abs=8)
    smaller = load_species(SpeciesSpec(name="ball", source="library:ball", map_voxel_size_angstrom=3.0), 6.0)
    assert smaller.radius_angstrom == pytest.approx(28, abs=6)
    assert store.card("ball").hints.inverted


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        whole = gzip.compress(cif_text().encode())
        answers = {
            "/pdb/1ABC.cif.gz": (200, whole, len(whole)),
            "/pdb/1CUT.cif.gz": (200, whole[:-20], len(whole) - 20),
            "/pdb/1LOW.cif.gz": (200, whole[:-20], len(whole)),
            "/pdb/1ERR.cif.gz": (503, b"", 0),
        }
        code, body, length = answers.get(self.path, (404, b"", 0))
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/pdb"
        httpd.shutdown()
        thread.join()


def test_an_entry_is_downloaded_by_its_id(server, store, monkeypatch):
    monkeypatch.setenv("CRYOSIAM_PDB_URL", server)
    card = add_structure("1abc")
    assert (card.name, card.file, card.origin) == ("1abc", "1abc.cif.gz", f"{server}/1ABC.cif.gz")
    assert load_species(SpeciesSpec(name="one", source="library:1abc"), 8.0).mass_kda > 1


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("1non", "has no entry 1non"),
        ("1cut", "did not arrive whole"),
        ("1low", "did not arrive whole"),
        ("1err", "answered with error 503"),
        ("abcd", "is no PDB id"),
    ],
)
def test_what_goes_wrong_in_a_download_is_one_sentence(server, tmp_path, entry, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        download_structure(entry, tmp_path, base_url=server)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_server_the_sentence_says_so(tmp_path):
    with pytest.raises(InputError, match="cannot be reached"):
        download_structure("1abc", tmp_path, base_url="http://127.0.0.1:9")
    with pytest.raises(InputError, match="no address of a server"):
        download_structure("1abc", tmp_path, base_url="file:///etc")


def test_the_command_adds_lists_shows_and_removes(structure, store):
    def run(*words):
        result = CliRunner().invoke(app, ["structures", *words])
        return result.exit_code, result.output

    assert "no structures in" in run("list")[1]
    code, said = run("add", str(structure), "--name", "blob")
    assert (code, "added blob: 4 kDa (tiny)" in said) == (0, True)
    code, said = run("add", str(structure), "--name", "blob")
    assert (code, "--overwrite" in said) == (1, True)
    table = run("list")[1]
    assert "size class" in table
    assert "blob.pdb" in table
    assert str(structure) in run("show", "blob")[1].replace("\n", "")
    assert run("remove", "blob")[0] == 0
    assert run("show", "blob")[0] == 1


def test_the_library_s_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("CRYOSIAM_STRUCTURES", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert StructureStore.of_user().folder == tmp_path / "cryosiam" / "structures"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert StructureStore.of_user().folder == Path.home() / ".local" / "share" / "cryosiam" / "structures"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert SpeciesCache.of_user().folder == tmp_path / "cryosiam" / "species"


def test_a_built_in_shape_that_vanishes_at_its_voxel_is_refused():
    with pytest.raises(InputError, match="the built-in shape ellipsoid vanishes at voxels of 100 Å; make voxel_size"):
        load_species(SpeciesSpec(name="one", source="builtin:ellipsoid"), 100.0)
