"""A study of one's own: what its TOML says, and what is refused before anything is trained."""

from pathlib import Path

import pytest

from sigmae.errors import SigmaeError
from sigmae.tables import Choices, definition_of, plan_table

STUDY = """
title = "Two methods"
metrics = ["squared_error"]
options = { source = "digits", latent_dim = 2, epochs = 3, settings = ["network.hidden=[16]"] }

[columns]
error = "squared_error:reconstructions"

[data.Digits]

[rows.VAE]
options = { method = "vae" }

[rows.AE]
options = { method = "ae" }

[scales.small]
"""


@pytest.fixture
def study(tmp_path):
    """The definition of a text, after some of it is replaced."""

    def read(*changes: tuple[str, str], more: str = "", trust=(), text: str = STUDY):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "study.toml"
        path.write_text(text + more)
        return definition_of(str(path), trust)

    return read


@pytest.fixture
def planned(study):
    """The plan of a text at scale small."""

    def plan(*changes, choices=Choices(), scale="small", **more):
        return plan_table(study(*changes, **more), scale, choices)

    return plan


def cells_of(plan) -> dict[tuple[str, str, str], object]:
    return {(e.place.row, e.place.column, e.place.data): e.cells[0] for e in plan.entries}


def test_a_study_is_named_by_its_file(study):
    found = study()
    assert (found.name, found.title, list(found.rows)) == ("study", "Two methods", ["VAE", "AE"])


def test_a_name_in_the_file_leads_nowhere_else(study):
    """It would be a part of the path where the tables are written."""
    assert study(('title = "Two methods"', 'title = "Two methods"\nname = "../../elsewhere"')).name == "study"


def test_every_row_has_every_column_on_all_data(planned):
    plan = planned()
    assert list(cells_of(plan)) == [("VAE", "error", "Digits"), ("AE", "error", "Digits")]
    assert {cell.settings for cell in plan.cells} == {("network.hidden=[16]",)}
    assert [cell.training.epochs for cell in plan.cells] == [3, 3]


def test_a_row_may_have_some_columns_only(planned):
    both = (
        '[columns]\nerror = "squared_error:reconstructions"',
        '[columns]\nerror = "squared_error:reconstructions"\nkl = "kl:all latents"',
    )
    plan = planned(both, ("[rows.AE]", '[rows.AE]\ncolumns = ["error"]'))
    assert [place[:2] for place in cells_of(plan)] == [("VAE", "error"), ("VAE", "kl"), ("AE", "error")]


def test_later_layers_hold_and_settings_add_up(planned):
    layers = """
options = { epochs = 9, settings = ["likelihood.variance=0.9"] }
on.Digits = { epochs = 10, lr = 0.5 }
of.VAE = { epochs = 11 }
"""
    plan = planned(
        ("[data.Digits]", '[data.Digits]\nlatent_dim = 4\nepochs = 5\nsettings = ["network.activation=tanh"]'),
        (
            'options = { method = "vae" }',
            'options = { method = "vae", epochs = 6, lr = 0.1 }\non.Digits = { epochs = 7, lr = 0.2 }',
        ),
        (
            'error = "squared_error:reconstructions"',
            'error = { measure = "squared_error:reconstructions", options = { epochs = 8, lr = 0.3 } }',
        ),
        more=layers,
    )
    cells = cells_of(plan)
    vae, ae = cells["VAE", "error", "Digits"], cells["AE", "error", "Digits"]
    assert (vae.training.epochs, ae.training.epochs, vae.training.lr, vae.latent_dim) == (11, 10, 0.5, 4)
    assert vae.settings == ("network.hidden=[16]", "network.activation=tanh", "likelihood.variance=0.9")


def test_columns_with_options_of_their_own_are_other_runs(planned):
    columns = """
early = { measure = "squared_error:reconstructions", options = { epochs = 1 } }
late = { measure = "squared_error:reconstructions", options = { epochs = 2 }, factor = 100 }
"""
    plan = planned(('error = "squared_error:reconstructions"\n', columns))
    assert sorted((cell.method, cell.training.epochs) for cell in plan.cells) == [
        *(("ae", 1), ("ae", 2)),
        *(("vae", 1), ("vae", 2)),
    ]
    assert [entry.factor for entry in plan.entries] == [1.0, 100.0, 1.0, 100.0]


def test_each_makes_a_row_of_every_value(planned):
    rows = """
[rows."{m} latents"]
options = { method = "vae", latent_dim = "{m}", settings = ["likelihood.variance={variance}"] }
each.m = [2, 3]
each.variance = [0.1, 0.2]
"""
    plan = planned(more=rows, choices=Choices(rows=("2 latents", "3 latents")))
    assert [(cell.latent_dim, cell.settings[-1]) for cell in plan.cells] == [
        (2, "likelihood.variance=0.1"),
        (3, "likelihood.variance=0.2"),
    ]


def test_words_of_a_row_stand_in_measures(planned):
    plan = planned(
        ("[rows.VAE]", '[rows.VAE]\nwords = { of = "reconstructions" }'),
        ("[rows.AE]", '[rows.AE]\nwords = { of = "means" }'),
        ('"squared_error:reconstructions"', '"squared_error:{of}"'),
    )
    assert [entry.measure for entry in plan.entries] == ["squared_error:reconstructions", "squared_error:means"]


def test_a_row_without_the_word_of_a_measure_is_refused(planned):
    with pytest.raises(SigmaeError, match="The column 'error' needs the word 'of' of the row 'VAE'"):
        planned(('"squared_error:reconstructions"', '"squared_error:{of}"'))


def test_a_study_extends_a_table(study):
    text = """
title = "More rows"
extends = "rae-table-1"

[rows.UAE]
options = { method = "uae" }
columns = ["FID_rec"]

[scales.mine]
data = ["MNIST"]
rows = ["UAE", "RAE"]
"""
    found = study(text=text)
    older = definition_of("rae-table-1")
    assert list(found.rows) == [*older.rows, "UAE"]
    assert set(found.scales) == {*older.scales, "mine"}
    assert (found.title, found.name, found.published) == ("More rows", "study", older.published)
    places = [(entry.place.row, entry.place.column) for entry in plan_table(found, "mine").entries]
    assert places.count(("UAE", "FID_rec")) == 1
    assert len(places) == 1 + 4


def test_rows_and_data_that_are_not_in_print_have_all_columns(study):
    text = """
title = "More"
extends = "rae-table-1"

[rows.UAE]
options = { method = "uae" }

[data.Digits]
source = "digits"

[scales.mine]
data = ["MNIST", "Digits"]
rows = ["UAE", "RAE"]
"""
    entries = plan_table(study(text=text), "mine").entries
    assert [(e.place.row, e.place.data) for e in entries if e.place.column == "FID_rec"] == [
        *(("UAE", "MNIST"), ("RAE", "MNIST")),
        *(("UAE", "Digits"), ("RAE", "Digits")),
    ]
    assert len(entries) == 4 * 4


def test_seeds_rows_and_data_are_narrowed(planned):
    plan = planned(choices=Choices(rows=("AE",), seeds=3))
    assert [(cell.method, cell.training.seed) for cell in plan.cells] == [("ae", 0), ("ae", 1), ("ae", 2)]


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        (Choices(rows=("VEA",)), "Unknown row at this scale 'VEA'. Did you mean 'VAE'?"),
        (Choices(data=("Digit",)), "Unknown data set at this scale 'Digit'. Did you mean 'Digits'?"),
        (Choices(seeds=0), "needs one seed or more, got 0"),
        (Choices(seeds=-1), "needs one seed or more, got -1"),
    ],
)
def test_choices_that_cannot_be_are_refused(planned, choices, told):
    with pytest.raises(SigmaeError) as raised:
        planned(choices=choices)
    assert told in str(raised.value)


def test_an_unknown_scale_names_the_nearest(study):
    with pytest.raises(SigmaeError, match="Unknown scale of study 'smal'"):
        plan_table(study(), "smal")


CLAIM = '\n[[claims]]\nsays = "So it is."\n'
WRONG = {  # what is changed, or added, and what is told
    "an option": (("epochs = 3", "epoch = 3"), "", "Unknown option in options of", "'epoch'. Did you mean 'epochs'?"),
    "an option of a row": (('method = "vae"', 'metod = "vae"'), "", "Unknown option in 'VAE' of", "'method'"),
    "an option of data": (("[data.Digits]", "[data.Digits]\nsauce = 1"), "", "in data 'Digits' of", "'source'"),
    "an option of a scale": ((), "of.AE = { lrr = 1 }", "in 'AE' at 'small' of", "'lr'"),
    "the seed": (("epochs = 3", "seed = 3"), "", "Unknown option", "'seed'"),
    "a section": ((), "[colums]", "", "colums"),
    "a row in a scale": ((), 'rows = ["VEA"]', "Unknown row in", "Did you mean 'VAE'?"),
    "a row of a scale": ((), "of.VEA = { lr = 1 }", "Unknown row in", "Did you mean 'VAE'?"),
    "a column in a scale": ((), 'columns = ["eror"]', "Unknown column in", "Did you mean 'error'?"),
    "data in a scale": ((), 'data = ["Digit"]', "Unknown data set in", "Did you mean 'Digits'?"),
    "data of a row": (("[rows.AE]", "[rows.AE]\non.Digit = { lr = 1 }"), "", "data set of 'AE'", "'Digits'?"),
    "columns of a row": (("[rows.AE]", '[rows.AE]\ncolumns = ["eror"]'), "", "column of 'AE'", "Did you mean 'error'?"),
    "broken TOML": (("[columns]", "[columns"), "", "cannot be read as TOML", "line"),
    "lists": ((), '[rows."{a}{b}"]\neach.a = [1, 2]\neach.b = [1]\n', "'each' of '{a}{b}'", "different lengths"),
    "no lists": ((), '[rows."{a}"]\neach.a = 1\n', "'each' of '{a}'", "lists of values"),
    "two of a name": ((), '[rows.X]\neach.a = [1, 2]\noptions = { method = "vae" }\n', "two of 'X'", "each"),
    "no table": (('[columns]\nerror = "squared_error:reconstructions"', "columns = 3"), "", "'columns' is a", "3"),
    "rows that are a list": (("[data.Digits]", '[data]\nDigits = ["digits"]'), "", "'Digits' is a table", ""),
    "the base": (("title", 'extends = "rae-table-7"\ntitle'), "", "extends 'rae-table-7'", "Did you mean 'rae-table-"),
    "a base that is no name": (("title", 'extends = ["a"]\ntitle'), "", "extends", "['a']"),
    "a scale without seeds": ((), "seeds = 0", "one seed or more", "got 0"),
    "no comparison": ((), CLAIM, "'So it is.' compares by one of less, falls, rises, near", "none"),
    "two comparisons": ((), CLAIM + 'falls = "* | error"\nrises = "* | error"', "'So it is.'", "falls and rises"),
    "a claim's row": ((), CLAIM + 'falls = "VEA | error"', "Unknown row", "Did you mean 'VAE'?"),
    "a claim's column": ((), CLAIM + 'less = [["AE | eror", "VAE | error"]]', "Unknown column", "'error'?"),
    "a claim's data": ((), CLAIM + 'falls = "* | error"\ndata = ["Digit"]', "Unknown data set", "'Digits'?"),
    "a claim's reference": ((), CLAIM + 'falls = "error"', "'row | column'", "got 'error'"),
    "a claim's key": ((), CLAIM + 'fall = "* | error"', "", "fall"),
    "pairs that are none": ((), CLAIM + 'less = ["AE | error", "VAE | error"]', "In ", "less"),
    "the source": (('source = "digits", ', ""), "", "VAE on Digits has no source", "options"),
    "the method": (('method = "vae"', ""), "", "VAE on Digits has no method", "options"),
    "a number": (("epochs = 3", "epochs = 2.5"), "", "$.epochs", "expected int"),
    "settings": (('["network.hidden=[16]"]', '"network.hidden=[16]"'), "", "settings", "list"),
    "the rate": (("epochs = 3", "lr = -1"), "", "lr must be above 0", "-1"),
    "a metric": (('["squared_error"]', '["squared_eror"]'), "", "Unknown metric", "Did you mean 'squared_error'?"),
    "features": ((), 'features = "inceptoin"', "Unknown features", "Did you mean 'inception'?"),
    "a density": ((), 'densities = ["gmmm10"]', "Unknown density", "Did you mean 'gmm10'?"),
    "a picture": (("[columns]", 'pictures = ["manifolds"]\n[columns]'), "", "Unknown picture", "'manifold'?"),
    "published": (("[columns]", 'published = "../plan.py"\n[columns]'), "", "Unknown file of published", "plan.py"),
    "the split": (("[columns]", 'split = "tset"\n[columns]'), "", "split", "'test'"),
    "no scale": (("[scales.small]", ""), "", "$.scales", "missing"),
    "an empty section": (("[scales.small]", "[scales]"), "", "needs rows, columns, data and scales", "one of each"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_before_anything_is_trained(planned, name):
    change, more, *told = WRONG[name]
    with pytest.raises(SigmaeError) as raised:
        planned(*([change] if change else []), more=more)
    for words in told:
        assert words in str(raised.value)


FOREIGN = {
    "a method": ('method = "vae"', 'method = "own:vae"'),
    "a network": ('method = "vae"', 'method = "vae", network = "own:net"'),
    "data": ('source = "digits"', 'source = "own:data"'),
    "a part": ('method = "vae"', 'method = "vae", settings = ["latent=own:KL"]'),
    "a part's type": ('method = "vae"', 'method = "vae", settings = ["latent.type=own:KL"]'),
    "a metric": ('["squared_error"]', '["squared_error", "own:metric"]'),
    "features": ("[scales.small]", '[scales.small]\nfeatures = "own:features"'),
    "a scale's row": ("[scales.small]", '[scales.small]\nof.VAE = { method = "own:vae" }'),
    "a row on data": ("[rows.AE]", '[rows.AE]\non.Digits = { method = "own:vae" }'),
    "a column": ('"squared_error:reconstructions"', '{ measure = "m", options = { method = "own:vae" } }'),
    "an attribute of an attribute": ('method = "vae"', 'method = "own:vae.more"'),
    "an attribute that is none": ('method = "vae"', 'method = "own:1"'),
    "an empty attribute": ('method = "vae"', 'method = "own:"'),
    "a line behind": ('method = "vae"', 'method = "own:vae\\n"'),
    "words": ('method = "vae"', 'method = "own:a b"'),
    "a list": ("[rows.AE]", '[rows."{m}"]\neach.m = ["own:vae"]\noptions = { method = "{m}" }\n[rows.AE]'),
}


@pytest.mark.promise(
    "Files of strangers", "Code that a file names as module:attribute is imported only where --trust names the module."
)
@pytest.mark.parametrize("name", FOREIGN)
def test_the_code_of_a_third_party_is_not_imported_unless_trusted(study, name, own_import):
    with pytest.raises(SigmaeError, match=r"names code outside this library \(own\).*--trust own"):
        study(FOREIGN[name])
    assert own_import() == 0
    assert study(FOREIGN[name], trust=("own",)).title


@pytest.mark.promise(
    "Files of strangers", "Code that a file names as module:attribute is imported only where --trust names the module."
)
@pytest.mark.parametrize("module", ["1own", "my-own", "own.inner"])
def test_a_module_of_any_name_has_to_be_trusted(study, module):
    change = ('method = "vae"', f'method = "{module}:vae"')
    with pytest.raises(SigmaeError, match=f"--trust {module}"):
        study(change, trust=("own",))


@pytest.fixture
def own_import(tmp_path, monkeypatch):
    """How often the module `own` in the working folder has been imported."""
    (tmp_path / "own.py").write_text("from pathlib import Path\nPath('imported').open('a').write('x')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda: len(Path("imported").read_text()) if Path("imported").exists() else 0


@pytest.mark.parametrize("source", ["hf:owner/name", "./digits.npz", "mnist"])
def test_data_that_are_no_code_need_no_trust(study, source):
    assert study(('source = "digits"', f'source = "{source}"')).options["source"] == source


def test_measures_are_no_code(study):
    assert (
        study(('"squared_error:reconstructions"', '"squared_error:means"')).columns["error"].measure.endswith("means")
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rae-tabel-1", "Unknown table or .toml file 'rae-tabel-1'. Did you mean 'rae-table-1'?"),
        ("study.json", "Unknown table or .toml file"),
        ("missing.toml", "missing.toml cannot be read"),
        (".toml", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(name, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SigmaeError) as raised:
        definition_of(name)
    assert told in str(raised.value)


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.toml").mkdir()
    for name in ("binary.toml", "folder.toml"):
        with pytest.raises(SigmaeError, match="cannot be read"):
            definition_of(str(tmp_path / name))


BANDWIDTHS = """
title = "Bandwidths"
measured_by = "bandwidths"
options = { latent_dim = 10 }
[columns]
h = "{which}"
[rows.h]
words = { which = "optimal" }
[data.few]
count = 500
[scales.small]
"""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("count = 500", ""), "few has no count"),
        (('"optimal"', '"optimum"'), "Unknown bandwidth 'optimum'. Did you mean 'optimal'?"),
        (("count = 500", "cuont = 500"), "Unknown option"),
        (("count = 500", 'source = "digits"'), "Unknown option"),
    ],
)
def test_bandwidths_that_cannot_be_computed_are_refused(study, change, told):
    from sigmae.tables import reproduce

    with pytest.raises(SigmaeError) as raised:
        reproduce(plan_table(study(change, text=BANDWIDTHS), "small"), Path("runs"))
    assert told in str(raised.value)
